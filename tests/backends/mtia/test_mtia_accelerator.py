"""The accelerator without a worker: what it lists, what it compiles, and what it refuses with which outcome."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from typing import Any

import pytest

from kernelevolve import Workload, parse_kernel, registry
from kernelevolve.accelerator import API, Accelerator, CompilesOnHost, Realm, Status, Target
from kernelevolve.backends.mtia.accelerator import MTIA, RULES_VARIABLE
from kernelevolve.backends.mtia.model import CHIPS
from kernelevolve.backends.mtia.program import from_json
from kernelevolve.backends.triton_cuda import TritonCUDA
from kernelevolve.errors import KernelEvolveError
from kernelevolve.evaluation.gate import Gate
from kernelevolve.outcome import CompileError, ResourceExceeded
from kernelevolve.plan import LaunchPlan
from kernelevolve.testing import samples

HEADER = """# /// kernel
# language = "triton"
# [tune]
# BLOCK = [64]
# {tune}
# [[launch]]
# entry = "affine"
# grid = ["rows"]
# ///
import triton
import triton.language as tl


@triton.jit
def affine(x, y, cols, BLOCK: tl.constexpr):
    lanes = tl.arange(0, BLOCK)
    row = tl.program_id(0) * cols
"""
COPY = """    for start in range(0, cols, BLOCK):
        col = start + lanes
        value = tl.load(x + row + col, mask=col < cols)
        tl.store(y + row + col, 2 * value + 1, mask=col < cols)
"""
TARGET = Target("mtia:mtia2i")


def planned(body: str, tune: str = "", chosen: Mapping[str, Any] | None = None) -> LaunchPlan:
    """The plan of a kernel that doubles and adds 1, with this body, for 16 x 32 elements."""
    kernel = parse_kernel(HEADER.format(tune=tune) + body)
    device = MTIA().devices()[0]
    gate = Gate(samples.problem(), device.facts, memory=None)
    return gate.plan(kernel, {**kernel.default, **(chosen or {})}, Workload.parse("rows=16,cols=32"))


def test_it_is_an_accelerator_that_is_found_by_its_name() -> None:
    made = registry.accelerator("mtia")
    assert isinstance(made, MTIA)
    assert isinstance(made, Accelerator)
    assert isinstance(made, CompilesOnHost)
    assert (made.name, made.api, made.languages) == ("mtia", API, {"triton"})
    assert made.probe().status is Status.OK


def test_listing_imports_neither_triton_nor_torch() -> None:
    code = "from kernelevolve.backends.mtia.accelerator import MTIA as M; m = M(); m.probe(); m.targets(); m.devices();"
    code += " m.toolchain(); import sys; print(sorted({'triton', 'torch'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_every_chip_is_a_target_and_an_emulated_device() -> None:
    made = MTIA()
    assert [target.name for target in made.targets()] == [f"mtia:{chip}" for chip in CHIPS]
    for device, chip in zip(made.devices(), CHIPS.values(), strict=True):
        assert (device.name, device.realm, device.host_threads) == (chip.name, Realm.EMULATED, None)
        assert device.facts["num_units"] == chip.elements
        assert device.memory["local"] == chip.local_bytes
        assert device.peaks is not None
        assert device.peaks.bytes_per_second == chip.dram_bytes_per_second
    assert "float8_e4m3fn" in made.devices()[1].dtypes - made.devices()[0].dtypes
    assert all("float64" not in device.dtypes for device in made.devices())


def test_an_artifact_has_both_stages_what_it_uses_and_the_models_version() -> None:
    artifact = MTIA().compile(planned(COPY), TARGET)
    assert list(artifact.stages) == ["ttir:affine", "mtia:affine"]
    assert b"tt.func" in artifact.stages["ttir:affine"]
    program = from_json(artifact.stages["mtia:affine"])
    assert (program.entry, program.parameters) == ("affine", ("x", "y", "cols"))
    used = artifact.resources["affine"]
    assert used["circular_buffers"] == 2  # one in, one out
    assert used["circular_buffers_limit"] == 14
    assert 0 < used["local_bytes"] <= used["local_bytes_limit"] == 384 * 1024
    assert artifact.toolchain["model"] == "kernelevolve-mtia-2"
    assert artifact.toolchain["rules"] == "plain"


def test_launch_options_change_the_key_and_the_buffers_and_other_tunables_of_gpus_do_not() -> None:
    made, tune = MTIA(), "cb_multiplier = [1, 4]\n# use_dual_core = [0, 1]\n# num_stages = [2, 3]\n# num_warps = [4, 8]"
    plain = planned(COPY, tune)
    assert made.compile_key(plain)["options"] == {"cb_multiplier": 1, "use_dual_core": 0, "num_stages": 2}
    assert made.compile_key(planned(COPY, tune, {"num_warps": 8})) == made.compile_key(plain)
    deeper = planned(COPY, tune, {"cb_multiplier": 4, "use_dual_core": 1})
    assert made.compile_key(deeper) != made.compile_key(plain)
    first, second = (made.compile(plan, TARGET) for plan in (plain, deeper))
    assert second.extra["options"] == {"cb_multiplier": 4, "use_dual_core": True, "num_stages": 2}
    assert second.resources["affine"]["local_bytes"] > first.resources["affine"]["local_bytes"]
    assert second.stages["ttir:affine"] == first.stages["ttir:affine"]


def test_a_gpu_leaves_this_chips_options_out() -> None:
    plan = planned(COPY, "cb_multiplier = [2]\n# use_dual_core = [1]\n# num_warps = [4]")
    assert TritonCUDA().compile_key(plan)["options"] == {"num_warps": 4}


@pytest.mark.parametrize(
    ("tune", "what"),
    [
        ("cb_multiplier = [0]", "cb_multiplier is 0; it must be a whole number from 1 on"),
        ("use_dual_core = [2]", "use_dual_core is 2; it must be 0 or 1"),
        ("num_stages = [0]", "num_stages is 0; it must be a whole number from 1 on"),
    ],
)
def test_an_option_with_a_value_that_it_does_not_have_is_refused(tune: str, what: str) -> None:
    with pytest.raises(CompileError, match=what):
        MTIA().compile(planned(COPY, tune), TARGET)


def test_divisibility_makes_no_variant() -> None:
    made, kernel = MTIA(), parse_kernel(HEADER.format(tune="") + COPY)
    gate = Gate(samples.problem(), made.devices()[0].facts, memory=None)
    keys = [
        made.compile_key(gate.plan(kernel, kernel.default, Workload.parse(f"rows=3,cols={cols}"))) for cols in (32, 33)
    ]
    assert keys[0] == keys[1]


def refused(body: str, kind: type[Exception], match: str) -> Any:
    with pytest.raises(kind, match=match) as caught:
        MTIA().compile(planned(body), TARGET)
    return caught.value


def test_what_the_emulator_cannot_execute_is_named_with_its_line() -> None:
    body = """    bits = tl.load(x + tl.arange(0, 1024)).to(tl.uint8).reshape(32, 32)
    scale = tl.full((32, 1), 127, tl.uint8)
    found = tl.dot_scaled(bits, scale, "e5m2", bits, scale, "e5m2")
    tl.store(y + tl.arange(0, 1024), found.reshape(1024))
"""
    error = refused(body, CompileError, "line 11: the MTIA emulator does not support tt.dot_scaled")
    assert (error.details["stage"], error.details["line"]) == ("mtia", 11)


def test_tritons_own_refusal_has_its_line_too() -> None:
    error = refused(
        COPY + "    tl.store(y + lanes, lanes + tl.arange(0, 32))\n", CompileError, "^line 13: .*incompatible"
    )
    assert error.details["line"] == 13


def test_a_dot_of_three_dimensions_breaks_a_rule_by_its_name() -> None:
    body = """    tile = tl.load(x + tl.arange(0, 512)).reshape(2, 16, 16)
    tl.store(y + tl.arange(0, 512), tl.dot(tile, tile).reshape(512))
"""
    error = refused(body, CompileError, "line 10: no-3d-dot: tl.dot takes matrices")
    assert error.details["stage"] == "rules"


def test_a_program_that_does_not_fit_says_how_many_bytes_it_needs() -> None:
    body = """    many = tl.arange(0, 131072)
    value = tl.load(x + many, mask=many < cols)
    tl.store(y + many, tl.sqrt(value) + value, mask=many < cols)
"""
    error = refused(body, ResourceExceeded, "local-memory: at line 1[01]")
    assert error.details["resource"] == "local memory"
    assert error.details["needed"] > error.details["limit"] == 384 * 1024


def test_more_tiles_than_circular_buffers_in_one_loop_are_refused() -> None:
    loads = "".join(f"        total += tl.load(x + row + col + {n}, mask=col < cols - {n})\n" for n in range(15))
    body = "    total = tl.zeros((BLOCK,), tl.float32)\n    for start in range(0, cols, BLOCK):\n"
    body += "        col = start + lanes\n" + loads + "    tl.store(y + lanes, total)\n"
    error = refused(body, ResourceExceeded, "circular-buffers: ")
    assert (error.details["needed"], error.details["limit"]) == (15, 14)


def test_strict_rules_are_asked_for_by_a_variable_that_workers_inherit(monkeypatch: pytest.MonkeyPatch) -> None:
    body = COPY.replace("2 * value + 1", "tl.where(value > 0, 2 * value + 1, 2 * value + 1.0)")
    made, plan = MTIA(), planned(body)
    plain = made.toolchain()
    made.compile(plan, TARGET)
    assert RULES_VARIABLE not in made.environment()
    monkeypatch.setenv(RULES_VARIABLE, "strict")
    with pytest.raises(CompileError, match="line 12: where-in-loop: "):
        made.compile(plan, TARGET)
    assert made.environment()[RULES_VARIABLE] == "strict"
    assert made.toolchain() != plain  # so the cache of compiles keeps the two apart
    monkeypatch.setenv(RULES_VARIABLE, "harsh")
    with pytest.raises(KernelEvolveError, match="'harsh'; it must be plain or strict"):
        made.toolchain()


def test_another_chip_is_refused_with_the_list() -> None:
    with pytest.raises(CompileError, match="no target 'mtia:mtia9'; there is mtia:mtia2i"):
        MTIA().compile(planned(COPY), Target("mtia:mtia9"))
