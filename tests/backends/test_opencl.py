"""The OpenCL accelerator: probing, compiling, what its errors say, and killing what does not end. Runs on PoCL."""

# ruff: noqa: E501  # kernels in strings read better on one line

from __future__ import annotations

import importlib.util
import time
from collections.abc import Iterator

import pytest
from attrs import evolve

from kernelevolve import Workload, parse_kernel, registry
from kernelevolve.accelerator import Accelerator, Status, Target
from kernelevolve.backends import opencl
from kernelevolve.backends.opencl import OpenCL
from kernelevolve.evaluation.gate import Gate
from kernelevolve.evaluation.isolation import Limits
from kernelevolve.evaluation.pipeline import Evaluator, Settings
from kernelevolve.kernel import Kernel
from kernelevolve.outcome import (
    CompileError,
    CompileTimeout,
    DeviceLost,
    Outcome,
    ResourceExceeded,
    RunTimeout,
)
from kernelevolve.plan import LaunchPlan
from kernelevolve.problem import Problem, TensorSpec

PROBLEM = Problem(
    name="double",
    axes=("n",),
    inputs=(TensorSpec("x", "n"),),
    outputs=(TensorSpec("y", "n"),),
    reference=lambda x: 2 * x,
    workloads=("n=256", "n=512"),
    hidden=("n=1", "n=7"),
    distributions=("normal",),
)
HEADER = '// /// kernel\n// language = "opencl"\n{extra}// [[launch]]\n// entry = "k"\n// grid = ["n"]\n// block = ["{block}"]\n// ///\n'


def kernel(
    body: str, parameters: str = "__global const x_t *x, __global y_t *y", block: str = "1", extra: str = ""
) -> Kernel:
    return parse_kernel(HEADER.format(extra=extra, block=block) + f"__kernel void k({parameters}) {{\n  {body}\n}}\n")


@pytest.fixture(scope="module")
def accelerator() -> Accelerator:
    made = registry.accelerator("opencl")
    found = made.probe()
    if found.status is not Status.OK:
        pytest.skip(f"needs an OpenCL device: {found.message}")
    return made


def plan(made: Accelerator, what: Kernel, workload: str = "n=256", **configuration: int) -> LaunchPlan:
    chosen = {**what.default, **configuration}
    return Gate(PROBLEM, made.devices()[0].facts).plan(what, chosen, Workload.parse(workload))


def compiled(made: Accelerator, what: Kernel, **configuration: int):
    return made.compile(plan(made, what, **configuration), made.targets()[0])


@pytest.mark.opencl
def test_the_probe_names_platform_and_version_and_devices_agree_with_targets(accelerator: Accelerator) -> None:
    assert "Portable Computing Language" in accelerator.probe().message or "OpenCL" in accelerator.probe().message
    assert [device.target for device in accelerator.devices()] == list(accelerator.targets())
    device = accelerator.devices()[0]
    assert {"num_units", "warp_size", "max_group_size"} <= set(device.facts)
    assert device.memory["global"] >= device.memory["max_allocation"] > device.memory["local"] > 0


def test_without_pyopencl_the_probe_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opencl, "find_spec", lambda _: None)
    found = OpenCL().probe()
    assert found.status is Status.MISSING
    assert "pip install 'kernelevolve[opencl]'" in found.message


def test_without_a_platform_the_probe_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    if importlib.util.find_spec("pyopencl") is None:
        pytest.skip("needs the package pyopencl")
    made = OpenCL()
    monkeypatch.setitem(vars(made), "_platforms", [])
    found = made.probe()
    assert found.status is Status.MISSING
    assert "no OpenCL platform" in found.message
    assert "pip install" in found.message


def test_a_pyopencl_that_does_not_import_is_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opencl, "find_spec", lambda _: object())
    monkeypatch.setitem(__import__("sys").modules, "pyopencl", None)
    found = OpenCL().probe()
    assert found.status is Status.BROKEN
    assert "does not import" in found.message


@pytest.mark.opencl
def test_an_unknown_device_or_target_lists_what_there_is(accelerator: Accelerator) -> None:
    with pytest.raises(DeviceLost, match=accelerator.targets()[0].name):
        accelerator.compile(plan(accelerator, kernel("y[0] = x[0];")), Target("opencl:nothing"))
    with pytest.raises(Exception, match=r"unknown device 'h900'.*0: "):
        registry.find_device(accelerator, "h900")


@pytest.mark.opencl
@pytest.mark.parametrize("float64", [False, True], ids=["plain", "with extension line"])
@pytest.mark.parametrize("above", [0, 3])
def test_a_build_error_names_the_line_of_the_kernels_body(accelerator: Accelerator, above: int, float64: bool) -> None:
    text = HEADER.format(extra="", block="1") + "// a comment\n" * above
    text += "__kernel void k(__global const x_t *x, __global y_t *y) {\n  int a = 1;\n  y[0] = nowhere;\n}\n"
    what = parse_kernel(text)
    workload = "n=256,x:float64,y:float64" if float64 else "n=256"
    with pytest.raises(CompileError) as caught:
        accelerator.compile(plan(accelerator, what, workload), accelerator.targets()[0])
    assert caught.value.details["line"] == above + 3
    assert what.body.splitlines()[above + 2].strip() == "y[0] = nowhere;"
    assert "nowhere" in caught.value.message
    assert "/tmp/" not in caught.value.details["log"]
    assert caught.value.details["stage"] == "build"


@pytest.mark.opencl
def test_a_compile_returns_the_binary_and_what_it_uses(accelerator: Accelerator) -> None:
    artifact = compiled(
        accelerator, kernel("__local float t[64]; t[get_local_id(0)] = x[0]; y[0] = t[get_local_id(0) / 2];")
    )
    assert len(artifact.stages["binary"]) > 100
    assert artifact.resources["k"]["local_bytes"] >= 256
    assert artifact.resources["k"]["max_group_size"] > 0
    assert "pyopencl" in artifact.toolchain


@pytest.mark.opencl
def test_what_changes_the_binary_is_in_the_key_and_sizes_are_not(accelerator: Accelerator) -> None:
    what = kernel("y[get_global_id(0)] = x[0] * F;", extra="// [tune]\n// F = [1, 2]\n")
    key = accelerator.compile_key(plan(accelerator, what))
    assert "-DF=1" in key["options"]
    assert "-Dx_t=float" in key["options"]
    assert accelerator.compile_key(plan(accelerator, what, F=2)) != key
    assert accelerator.compile_key(plan(accelerator, what, "n=512")) == key
    assert accelerator.compile_key(plan(accelerator, what, "n=256,x:int32")) != key


@pytest.mark.opencl
def test_a_type_that_the_device_lacks_is_named_with_those_it_has(accelerator: Accelerator) -> None:
    device = accelerator.devices()[0]
    if "float16" in device.dtypes:
        pytest.skip("needs a device without half precision, such as PoCL")
    with pytest.raises(ResourceExceeded, match=r"has no float16 \(buffer 'x'\); it has bool, float32") as caught:
        accelerator.compile(plan(accelerator, kernel("y[0] = x[0];"), "n=256,x:float16"), device.target)
    assert caught.value.details["resource"] == "dtype float16"


@pytest.mark.opencl
def test_a_group_larger_than_the_kernels_own_limit_is_too_much(accelerator: Accelerator) -> None:
    limit = accelerator.devices()[0].facts["max_group_size"]
    with pytest.raises(ResourceExceeded) as caught:
        compiled(accelerator, kernel("y[0] = x[0];", block=str(2 * limit)))
    assert (caught.value.details["needed"], caught.value.details["limit"]) == (2 * limit, limit)


@pytest.mark.opencl
def test_more_local_memory_than_there_is_is_too_much(accelerator: Accelerator) -> None:
    limit = accelerator.devices()[0].memory["local"]
    with pytest.raises(ResourceExceeded, match="local memory") as caught:
        compiled(
            accelerator, kernel(f"__local float t[{limit}]; t[get_local_id(0)] = 1; y[0] = t[get_local_id(0) / 2];")
        )
    assert caught.value.details["needed"] > caught.value.details["limit"] == limit


@pytest.fixture(scope="module")
def evaluator(accelerator: Accelerator) -> Iterator[Evaluator]:
    settings = Settings(limits=Limits(run_seconds=1.0, compile_seconds=15.0))
    device = accelerator.devices()[0]
    with Evaluator(
        PROBLEM, accelerator, device, workloads=PROBLEM.workloads[:1], path="opencl", settings=settings, secret=3
    ) as opened:
        yield opened


GOOD = kernel("size_t i = get_global_id(0); y[i] = 2 * x[i];")


@pytest.mark.opencl
def test_an_endless_kernel_ends_within_its_limit_plus_a_second_and_the_next_worker_is_clean(
    evaluator: Evaluator,
) -> None:
    case = evaluator.book.rotations(PROBLEM.workloads[0], 1)[0]
    endless = kernel("volatile __global y_t *v = y; while (1) v[0] = x[0];")
    loop = evaluator.gate.plan(endless, {}, PROBLEM.workloads[0])
    evaluator.runner.prepare("loop", loop, case.staged)
    generation = evaluator.worker.generation
    begin = time.monotonic()
    with pytest.raises(RunTimeout):
        evaluator.runner.launch("loop")
    assert time.monotonic() - begin < 2.0
    assert evaluator.worker.pid is None
    assert evaluator.evaluate(GOOD).outcome in (Outcome.CORRECT, Outcome.UNSTABLE)
    assert evaluator.worker.generation == generation + 1


@pytest.mark.opencl
def test_a_source_that_the_compiler_never_finishes_is_a_compile_timeout(
    evaluator: Evaluator, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The gate would refuse this bomb; it is let through to see that the compiler is stopped too.
    monkeypatch.setattr("kernelevolve.languages.opencl_c.language.check", lambda _: None)
    levels = "".join(f"#define A{n + 1}(v) A{n}(A{n}(v))\n" for n in range(30))
    bomb = parse_kernel(
        HEADER.format(extra="", block="1")
        + f"#define A0(v) ((v) * 1.5f + x[0])\n{levels}__kernel void k(__global const x_t *x, __global y_t *y) {{ y[0] = A30(x[0]); }}\n"
    )
    evaluator.worker.start()
    evaluator.worker.limits = evolve(evaluator.worker.limits, compile_seconds=1.0)
    begin = time.monotonic()
    try:
        with pytest.raises(CompileTimeout, match="1 s"):
            evaluator.runner.program(evaluator.gate.plan(bomb, {}, PROBLEM.workloads[0]))
        assert time.monotonic() - begin < 3.0
    finally:
        evaluator.worker.limits = evolve(evaluator.worker.limits, compile_seconds=15.0)
    assert evaluator.worker.pid is None
    assert evaluator.evaluate(GOOD).outcome in (Outcome.CORRECT, Outcome.UNSTABLE)
