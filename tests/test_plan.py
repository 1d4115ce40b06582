"""Launch plans: every name bound to what the header means, and every way in which a header does not fit."""

from __future__ import annotations

import json

import attrs
import pytest

from kernelevolve.kernel import parse_kernel
from kernelevolve.language import Parameter, ParameterKind
from kernelevolve.outcome import ConstraintViolated, Rejected, ResourceExceeded
from kernelevolve.plan import (
    MAX_GRID,
    BufferArgument,
    LocalArgument,
    PlannedBuffer,
    Role,
    ScalarArgument,
    make_plan,
    serves,
    violated,
)
from kernelevolve.problem import Problem, ScalarSpec, TensorSpec, Workload

FACTS = {"num_units": 4, "warp_size": 32, "max_group_size": 256}
NORM = Problem(
    name="norm",
    axes=("rows", "cols"),
    inputs=(TensorSpec("x", "rows, cols"), TensorSpec("w", "cols")),
    outputs=(TensorSpec("y", "rows, cols"),),
    scalars=(ScalarSpec("eps", 1e-5), ScalarSpec("steps", 3, "int32")),
    reference=lambda x, w: x * w,
    workloads=("rows=6,cols=10",),
)
WORKLOAD = Workload.parse("rows=6,cols=10,x:float16")


def kernel_of(*lines, launch=("[[launch]]", 'entry = "f"', 'grid = ["rows"]')):
    text = "\n".join(f"// {line}" for line in ("/// kernel", 'language = "c"', *lines, *launch, "///"))
    return parse_kernel(text + "\nvoid f();\n")


def plan_of(parameters, *lines, configuration=None, workload=WORKLOAD, **how):
    kernel = kernel_of(*lines, **how)
    entries = {"f": tuple(p if isinstance(p, Parameter) else Parameter(p, ParameterKind.ANY) for p in parameters)}
    return make_plan(kernel, NORM, workload, kernel.configuration(configuration), entries, FACTS)


def launch(*lines, grid='["rows"]'):
    return ("[[launch]]", 'entry = "f"', f"grid = {grid}", *lines)


def refused(parameters, *lines, **how):
    with pytest.raises(Rejected) as caught:
        plan_of(parameters, *lines, **how)
    return caught.value.message


def test_parameters_bind_by_name_in_the_order_of_the_source():
    parameters = ("cols", "y", "eps", "LANES", "x", "part", "steps", "stride", "tile", "FAST")
    plan = plan_of(
        parameters,
        "[tune]",
        "LANES = [8, 4]",
        "FAST = [true, false]",
        "[scratch.part]",
        'shape = ["rows", "LANES"]',
        'dtype = "float64"',
        launch=launch("args = { stride = 'cols * LANES + warp_size' }", "local = { tile = { shape = ['LANES', 2] } }"),
        configuration={"LANES": 4},
    )
    assert plan.launches[0].arguments == (
        ScalarArgument("cols", 10),
        BufferArgument("y", "y"),
        ScalarArgument("eps", 1e-5, "float32"),
        ScalarArgument("LANES", 4),
        BufferArgument("x", "x"),
        BufferArgument("part", "part"),
        ScalarArgument("steps", 3, "int32"),
        ScalarArgument("stride", 10 * 4 + 32),
        LocalArgument("tile", 4 * 2 * 4),
        ScalarArgument("FAST", 1),
    )


def test_buffers_are_inputs_outputs_scratch_with_the_workloads_types_and_sizes():
    plan = plan_of(("x",), "[scratch.part]", 'shape = ["rows"]', 'dtype = "float64"')
    assert plan.buffers == (
        PlannedBuffer("x", Role.INPUT, (6, 10), "float16"),
        PlannedBuffer("w", Role.INPUT, (10,), "float32"),
        PlannedBuffer("y", Role.OUTPUT, (6, 10), "float32"),
        PlannedBuffer("part", Role.SCRATCH, (6,), "float64"),
    )
    assert [buffer.nbytes for buffer in plan.buffers] == [120, 40, 240, 48]
    assert plan.buffer("part") is plan.buffers[3]


def test_grid_and_block_are_numbers_and_see_tunables_device_facts_and_types():
    plan = plan_of(
        ("x",),
        "[tune]",
        "LANES = [4]",
        launch=launch(
            "block = ['LANES', '2', '1']", grid="['cdiv(rows, LANES)', 'num_units', \"1 + (dtype(x) == 'float16')\"]"
        ),
    )
    assert (plan.launches[0].grid, plan.launches[0].block) == ((2, 4, 2), (4, 2, 1))


def test_several_launches_keep_their_order():
    kernel = kernel_of(launch=(*launch(), "[[launch]]", 'entry = "g"', 'grid = ["cols"]'))
    entries = {"g": (), "f": (Parameter("x", ParameterKind.POINTER),)}
    plan = make_plan(kernel, NORM, WORKLOAD, {}, entries, FACTS)
    assert [(one.entry, one.grid) for one in plan.launches] == [("f", (6,)), ("g", (10,))]


def test_args_win_over_names_that_would_bind():
    plan = plan_of(("cols",), launch=launch("args = { cols = 7 }"))
    assert plan.launches[0].arguments == (ScalarArgument("cols", 7),)


def test_equal_plans_have_equal_digests_and_any_number_changes_them():
    plan = plan_of(("x", "cols"), "[tune]", "LANES = [4, 8]")
    assert plan.digest == plan_of(("x", "cols"), "[tune]", "LANES = [4, 8]").digest
    others = [
        plan_of(("x", "cols"), "[tune]", "LANES = [4, 8]", configuration={"LANES": 8}),
        plan_of(("x", "cols"), "[tune]", "LANES = [4, 8]", workload=Workload.parse("rows=6,cols=11")),
        attrs.evolve(plan, source=plan.source + " "),
        attrs.evolve(plan, launches=(attrs.evolve(plan.launches[0], grid=(7,)),)),
    ]
    assert len({plan.digest, *(other.digest for other in others)}) == 5


def test_a_plan_is_plain_data():
    assert json.loads(json.dumps(attrs.asdict(plan_of(("x",)))))["launches"][0]["grid"] == [6]


class TestNamesThatDoNotFit:
    def test_an_entry_that_the_source_lacks(self):
        message = refused((), launch=("[[launch]]", 'entry = "g"', "grid = [1]"))
        assert message == "launch[0].entry: the source defines no kernel 'g'; there is f."

    def test_an_entry_that_is_nearly_right_is_suggested(self):
        kernel = kernel_of(launch=("[[launch]]", 'entry = "softmax_row"', "grid = [1]"))
        with pytest.raises(Rejected, match="Did you mean 'softmax_rows'"):
            make_plan(kernel, NORM, WORKLOAD, {}, {"softmax_rows": ()}, FACTS)

    def test_a_parameter_that_nothing_binds_lists_what_there_is(self):
        message = refused(("x", "row"), "[tune]", "LANES = [4]", "[scratch.part]", "shape = [1]")
        assert message == (
            "launch[0]: nothing binds parameter 'row' of f; there is x, w, y, part, rows, cols, eps, steps, LANES. "
            "Did you mean 'rows'? Or add args = { row = … }."
        )

    def test_device_facts_bind_through_args_only(self):
        assert "nothing binds parameter 'warp_size'" in refused(("warp_size",))
        plan = plan_of(("warp_size",), launch=launch("args = { warp_size = 'warp_size' }"))
        assert plan.launches[0].arguments == (ScalarArgument("warp_size", 32),)

    @pytest.mark.parametrize("table", ["args = { q = 1 }", "local = { q = { shape = [1] } }"])
    def test_args_for_a_parameter_that_the_entry_lacks(self, table):
        assert refused(("x", "cols"), launch=launch(table)) == "launch[0]: f has no parameter 'q'; it has x, cols"

    @pytest.mark.parametrize("taken", ["rows", "x", "y", "eps", "warp_size"])
    def test_a_tunable_or_scratch_buffer_with_a_name_that_is_taken(self, taken):
        says = f"{taken!r} has the name of something the problem or device declares"
        assert refused((), "[tune]", f"{taken} = [1]") == f"tunable {says}"
        assert refused((), f"[scratch.{taken}]", "shape = [1]") == f"scratch buffer {says}"

    def test_a_name_that_is_both_a_tunable_and_a_scratch_buffer(self):
        message = refused((), "[tune]", "B = [1]", "[scratch.B]", "shape = [1]")
        assert message == "'B' is both a tunable and a scratch buffer"


class TestExpressionsThatDoNotFit:
    @pytest.mark.parametrize(
        ("how", "where"),
        [
            ({"launch": launch(grid='["row"]')}, "launch[0].grid"),
            ({"launch": launch('block = ["row"]')}, "launch[0].block"),
            ({"launch": launch("args = { x = 'row' }")}, "launch[0].args.x"),
            ({"launch": launch("local = { x = { shape = ['row'] } }")}, "launch[0].local.x"),
        ],
    )
    def test_an_unknown_name_says_where_and_what_there_is(self, how, where):
        message = refused(("x",), **how)
        assert message.startswith(f"{where}: expression 'row': unknown name 'row'; it sees cols, max_group_size, ")
        assert message.endswith("Did you mean 'rows'?")

    def test_scratch_shapes_say_where_too_and_are_at_least_one(self):
        assert refused((), "[scratch.p]", 'shape = ["row"]').startswith("scratch.p.shape: expression 'row'")
        message = refused((), "[scratch.p]", 'shape = ["rows", "cols - 10"]')
        assert message == "scratch.p has shape (6, 0); every size must be at least 1"

    @pytest.mark.parametrize("size", ["0", "rows - 7", str(MAX_GRID + 1)])
    def test_grids_and_blocks_stay_in_range(self, size):
        assert refused((), launch=launch(grid=f'["{size}"]')).endswith(f"every dimension must be from 1 to {MAX_GRID}")
        message = refused((), launch=launch(f'block = ["{size}"]'))
        assert message.startswith("launch[0].block is (")

    def test_local_memory_has_elements(self):
        message = refused(("t",), launch=launch("local = { t = { shape = ['rows - 6'] } }"))
        assert message == "launch[0].local.t has 0 elements; at least 1 is needed"

    def test_a_block_larger_than_the_device_allows_exceeds_a_resource(self):
        assert plan_of((), launch=launch('block = ["256"]')).launches[0].block == (256,)
        with pytest.raises(ResourceExceeded) as caught:
            plan_of((), launch=launch('block = ["16", "17"]', grid="[1, 1]"))
        assert caught.value.details == {"resource": "group size", "needed": 272, "limit": 256}


class TestKinds:
    @pytest.mark.parametrize(
        ("kind", "name", "says"),
        [
            (ParameterKind.SCALAR, "x", "launch[0]: parameter 'x' is a scalar and would get a buffer"),
            (ParameterKind.CONSTEXPR, "x", "launch[0]: parameter 'x' is a constexpr and would get a buffer"),
            (ParameterKind.LOCAL, "x", "launch[0]: parameter 'x' is a local and would get a buffer"),
            (ParameterKind.POINTER, "rows", "launch[0]: parameter 'rows' is a pointer and would get a number"),
            (ParameterKind.POINTER, "eps", "launch[0]: parameter 'eps' is a pointer and would get a number"),
            (ParameterKind.LOCAL, "LANES", "launch[0]: parameter 'LANES' is a local and would get a number"),
        ],
    )
    def test_a_parameter_of_the_wrong_kind_is_refused(self, kind, name, says):
        assert refused((Parameter(name, kind),), "[tune]", "LANES = [1]") == says

    def test_args_are_numbers_and_local_memory_is_for_local_parameters(self):
        pointer = (Parameter("p", ParameterKind.POINTER),)
        assert refused(pointer, launch=launch("args = { p = 3 }")).endswith("is a pointer and would get a number")
        message = refused(pointer, launch=launch("local = { p = { shape = [1] } }"))
        assert message == "launch[0].local.p: parameter 'p' is a pointer and would get local memory"

    @pytest.mark.parametrize(
        ("kind", "name"),
        [(ParameterKind.POINTER, "x"), (ParameterKind.SCALAR, "eps"), (ParameterKind.CONSTEXPR, "LANES")],
    )
    def test_a_parameter_of_the_right_kind_binds(self, kind, name):
        plan = plan_of((Parameter(name, kind),), "[tune]", "LANES = [1]")
        assert plan.launches[0].arguments[0].parameter == name


class TestConditions:
    def test_when_sees_axes_and_types(self):
        kernel = kernel_of("when = \"cols <= 10 and dtype(x) == 'float16'\"")
        assert serves(kernel, NORM, WORKLOAD)
        assert not serves(kernel, NORM, Workload.parse("rows=6,cols=11,x:float16"))
        assert not serves(kernel, NORM, Workload.parse("rows=6,cols=10"))
        assert serves(kernel_of(), NORM, WORKLOAD)

    def test_a_workload_that_when_excludes_breaks_a_constraint(self):
        with pytest.raises(ConstraintViolated) as caught:
            plan_of((), 'when = "cols > 10"')
        assert caught.value.message == "the kernel does not serve rows=6,cols=10,x:float16 (when cols > 10)"
        assert caught.value.details == {"constraint": "cols > 10"}

    def test_when_that_has_no_value_is_rejected(self):
        with pytest.raises(Rejected, match="when: expression 'LANES > 1': unknown name 'LANES'") as caught:
            plan_of((), 'when = "LANES > 1"', "[tune]", "LANES = [1]")
        assert caught.value.details == {"rule": "when"}

    def test_the_first_constraint_that_does_not_hold_is_named(self):
        lines = (
            'constraints = ["LANES <= cols", "LANES * 2 <= warp_size", "rows < 0"]',
            "[tune]",
            "LANES = [64, 32, 4]",
        )
        kernel = kernel_of(*lines)
        axes = {"rows": 6, "cols": 32}
        found = [violated(kernel, axes, configuration, FACTS) for configuration in kernel.configurations()]
        assert found == ["LANES <= cols", "LANES * 2 <= warp_size", "rows < 0"]
        with pytest.raises(ConstraintViolated) as caught:
            plan_of((), *lines)
        assert caught.value.details == {"constraint": "LANES <= cols"}

    def test_constraints_that_hold_are_none(self):
        assert violated(kernel_of('constraints = ["rows > 1"]'), {"rows": 2}, {}, FACTS) is None

    def test_a_constraint_that_has_no_value_is_rejected(self):
        with pytest.raises(Rejected, match="constraints: expression 'LANE > 1': unknown name 'LANE'"):
            plan_of((), 'constraints = ["LANE > 1"]', "[tune]", "LANES = [1]")

    def test_text_tunables_are_no_numbers(self):
        message = refused((), "[tune]", 'MODE = ["fast"]', launch=launch(grid='["MODE"]'))
        assert "unknown name 'MODE'" in message
