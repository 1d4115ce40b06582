"""The reference accelerator's compiler, its cache key and what it says of itself."""

from __future__ import annotations

import json

import attrs
import pytest

from kernelevolve import registry
from kernelevolve.accelerator import Accelerator, FlushesCache, Realm, Session, Status, Target
from kernelevolve.outcome import CompileError, ResourceExceeded
from kernelevolve.plan import PlannedBuffer, Role, ScalarArgument
from kernelevolve.testing import samples
from kernelevolve.testing.accelerator import ReferenceAccelerator
from kernelevolve.testing.memory import ContractError

from .conftest import compiled, plan_of

ACCELERATOR = ReferenceAccelerator()
DEVICE = ACCELERATOR.devices()[0]


def test_it_satisfies_the_protocols_and_is_found_by_name():
    assert isinstance(registry.accelerator("reference"), ReferenceAccelerator)
    assert isinstance(ACCELERATOR, Accelerator)
    with ACCELERATOR.open(DEVICE) as session:
        assert isinstance(session, Session)
        assert isinstance(session, FlushesCache)


def test_it_says_that_its_clock_is_made_up():
    assert ACCELERATOR.probe().status is Status.OK
    assert DEVICE.realm is Realm.EMULATED
    assert "made-up" in DEVICE.name
    assert "made up" in DEVICE.description["clock"]
    assert "made up" in DEVICE.peaks.source


def test_compiling_twice_gives_the_same_artifact():
    assert compiled(samples.TUNED) == compiled(samples.TUNED)
    assert compiled(samples.TUNED).stages == compiled(samples.TUNED).stages


def test_an_artifact_holds_its_source_its_resources_and_plain_json():
    artifact = compiled(samples.TUNED, {"LANES": 4})
    assert list(artifact.stages) == ["ast", "program"]
    assert artifact.resources == {"affine": {"registers": 160, "local_bytes": 0}}
    assert json.loads(json.dumps(artifact.extra))["configuration"] == {"LANES": 4, "DEPTH": 1}
    assert artifact.toolchain == ACCELERATOR.toolchain()


def test_registers_that_depend_on_a_tunable_run_out_for_one_configuration_only():
    with pytest.raises(ResourceExceeded) as caught:
        compiled(samples.TUNED, {"LANES": 8})
    assert caught.value.details == {"resource": "registers", "needed": 320, "limit": 255}


def test_local_memory_runs_out_beyond_the_limit():
    text = samples.kernel_text("def affine(x, y, tile):\n    y[0] = 1.0\n").replace(
        'grid = ["rows"]', 'grid = ["rows"]\n# local = { tile = { shape = ["rows * 4096"] } }'
    )
    with pytest.raises(ResourceExceeded) as caught:
        compiled(text)
    assert caught.value.details == {"resource": "local memory", "needed": 4 * 4096 * 4, "limit": 48 * 1024}


@pytest.mark.parametrize(
    ("source", "stage", "line", "says"),
    [
        ("def affine(x):\n    x[0] = undefined\n", "names", 4, "uses 'undefined'"),
        (
            'COST = "cols"\n\ndef affine(x, rows):\n    pass\n',
            "markers",
            1,
            "COST of affine uses 'cols'; it sees bytes",
        ),
        ('COST = "rows +"\n\ndef affine(x, rows):\n    pass\n', "markers", 3, "cannot be read"),
        ('COST = {"f": "1"}\n\ndef affine(x):\n    pass\n', "markers", 3, "the entries are affine"),
        ("COST = 1.5\n\ndef affine(x):\n    pass\n", "markers", 3, "COST"),
        ("NOISE = -1\n\ndef affine(x):\n    pass\n", "markers", 3, "NOISE = -1"),
        ('COMPILER = "sulks"\n\ndef affine(x):\n    pass\n', "markers", 3, "works, breaks or aborts"),
    ],
)
def test_compile_errors_name_stage_and_line_and_carry_a_log(source, stage, line, says):
    with pytest.raises(CompileError) as caught:
        compiled(samples.kernel_text(source))
    assert (caught.value.details["stage"], caught.value.details["line"]) == (stage, line)
    assert says in caught.value.message
    assert caught.value.details["log"] == f"<kernel>:{line}: error: {caught.value.message.removeprefix(stage + ': ')}"


def test_a_tunable_that_the_source_defines_again_does_not_compile():
    text = samples.kernel_text("LANES = 4\n\n\ndef affine(x):\n    pass\n", tune="LANES = [1, 2]")
    with pytest.raises(CompileError, match="'LANES' is a tunable and is defined in the source too"):
        compiled(text)


def test_the_compiler_refuses_ungated_sources_and_types_it_does_not_have():
    plan = plan_of(samples.GOOD)
    with pytest.raises(CompileError, match=r"gate: line 1: 'import os'"):
        ACCELERATOR.compile(attrs.evolve(plan, source="import os\n"), DEVICE.target)
    odd = attrs.evolve(plan, buffers=(PlannedBuffer("x", Role.INPUT, (4,), "bfloat16"), *plan.buffers[1:]))
    with pytest.raises(CompileError, match="'x' has dtype bfloat16; there is bool, float16"):
        ACCELERATOR.compile(odd, DEVICE.target)


def test_a_plan_that_does_not_link_does_not_compile():
    plan = plan_of(samples.GOOD)
    launch = plan.launches[0]
    for wrong in (attrs.evolve(launch, entry="other"), attrs.evolve(launch, arguments=launch.arguments[::-1])):
        with pytest.raises(CompileError) as caught:
            ACCELERATOR.compile(attrs.evolve(plan, launches=(wrong,)), DEVICE.target)
        assert caught.value.details["stage"] == "link"


def test_the_cache_key_changes_with_everything_that_changes_the_artifact_and_not_with_sizes():
    key = ACCELERATOR.compile_key(plan_of(samples.TUNED))
    assert json.loads(json.dumps(key)) == key
    assert ACCELERATOR.compile_key(plan_of(samples.TUNED, workload="rows=16,cols=32")) == key
    assert ACCELERATOR.compile_key(plan_of(samples.TUNED, {"LANES": 2})) != key
    assert ACCELERATOR.compile_key(plan_of(samples.TUNED + "# more\n")) != key
    assert ACCELERATOR.compile_key(plan_of(samples.TUNED, workload="rows=4,cols=8,x:float16")) != key
    plan = plan_of(samples.TUNED)
    number = ScalarArgument("rows", 4.0, "float64")
    launch = attrs.evolve(plan.launches[0], arguments=(*plan.launches[0].arguments[:2], number))
    assert ACCELERATOR.compile_key(attrs.evolve(plan, launches=(launch,))) != key


def test_a_foreign_plan_target_or_device_is_the_callers_fault():
    plan = plan_of(samples.GOOD)
    with pytest.raises(ContractError, match="not in 'reference'"):
        ACCELERATOR.compile(attrs.evolve(plan, language="opencl"), DEVICE.target)
    with pytest.raises(ContractError, match="no target 'cuda:sm_90'; there is reference:1"):
        ACCELERATOR.compile(plan, Target("cuda:sm_90"))
    with (
        pytest.raises(ContractError, match="is no device of this accelerator"),
        ACCELERATOR.open(attrs.evolve(DEVICE, index=1)),
    ):
        pytest.fail("a foreign device was opened")
