from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernelevolve.accelerator import Peaks
from kernelevolve.evolution.descriptors import (
    CELLS,
    Bound,
    cell_index,
    describe,
    fixed_vector_width,
    limited_by,
)
from kernelevolve.plan import BufferArgument, LaunchPlan, LocalArgument, PlannedBuffer, PlannedLaunch, Role


def plan(
    *,
    groups: int = 64,
    elements: int = 65536,
    launches: int = 1,
    local: int = 0,
    scratch: bool = False,
    source: str = "",
) -> LaunchPlan:
    buffers = [PlannedBuffer("x", Role.INPUT, (elements,), "float32"), PlannedBuffer("y", Role.OUTPUT, (1,), "float32")]
    if scratch:
        buffers.append(PlannedBuffer("s", Role.SCRATCH, (4,), "float32"))
    arguments = (BufferArgument("x", "x"), *([LocalArgument("t", local)] if local else []))
    launch = PlannedLaunch("f", (groups,), (32,), arguments)
    return LaunchPlan("opencl", source, {}, tuple(buffers), (launch,) * launches)


def test_every_cell_has_a_number_of_its_own() -> None:
    cells = itertools.product(range(4), range(8), range(5), range(3), range(4))
    assert sorted(cell_index(cell) for cell in cells) == list(range(CELLS))


@pytest.mark.parametrize("cell", [(), (0, 0, 0, 0), (0, 8, 0, 0, 0), (0, 0, 0, 0, -1)])
def test_what_is_no_cell_is_refused(cell: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="is no cell"):
        cell_index(cell)


@given(
    groups=st.integers(1, 2**31),
    elements=st.integers(1, 2**40),
    launches=st.integers(1, 20),
    local=st.integers(0, 4096),
    scratch=st.booleans(),
    width=st.integers(-1, 1000),
    bound=st.sampled_from(Bound),
)
def test_any_plan_has_a_cell(**parts: int) -> None:
    width, bound = parts.pop("width"), Bound(parts.pop("bound"))
    described = describe(plan(**parts), vector_width=lambda _: width, bound=bound)  # type: ignore[arg-type]
    assert 0 <= cell_index(described.cell) < CELLS


@pytest.mark.parametrize(("elements", "expected"), [(1, 0), (15, 0), (16, 1), (63, 1), (64, 2), (65536, 7), (2**30, 7)])
def test_the_tile_class_grows_with_every_factor_of_four(elements: int, expected: int) -> None:
    assert describe(plan(groups=10, elements=elements * 10)).tile == expected


def test_more_groups_mean_smaller_tiles() -> None:
    tiles = [describe(plan(groups=4**power)).tile for power in range(9)]
    assert tiles == [7, 6, 5, 4, 3, 2, 1, 0, 0]


def test_storage_says_local_scratch_or_both() -> None:
    found = [describe(plan(local=local, scratch=scratch)).storage for local in (0, 64) for scratch in (False, True)]
    assert found == [0, 2, 1, 3]


def test_local_memory_that_only_the_toolchain_reports_counts() -> None:
    assert describe(plan(), resources={"f": {"local_bytes": 128}}).storage == 1
    assert describe(plan(), resources={"f": {"local_bytes": 0, "registers": 40}}).storage == 0


def test_launches_are_counted_up_to_four() -> None:
    assert [describe(plan(launches=count)).launches for count in (1, 2, 3, 4, 9)] == [0, 1, 2, 3, 3]


@pytest.mark.parametrize(
    ("source", "width"),
    [
        ("float x = 1;", 1),
        ("float4 x; float2 y;", 4),
        ("vstore8(v, 0, p);", 8),
        ("half16 a;", 16),
        ("myfloat4 a; float43 b; float3 c; afloat8x();", 1),
    ],
)
def test_vector_types_are_read_from_the_source(source: str, width: int) -> None:
    assert fixed_vector_width(source) == width
    assert describe(plan(source=source)).vector == width.bit_length() - 1


def test_the_normal_form_is_read_where_there_is_one_so_that_comments_do_not_count() -> None:
    assert describe(plan(source="/* float16 */ float2 a;"), source="float2 a;").vector == 1


@given(comment=st.text(max_size=500))
def test_how_long_a_source_is_changes_nothing(comment: str) -> None:
    constant = describe(plan(source="x"), vector_width=lambda _: 4)
    assert describe(plan(source=comment), vector_width=lambda _: 4) == constant


@pytest.mark.parametrize(
    ("rates", "expected"),
    [
        ((80.0, 100.0), Bound.MEMORY),
        ((10.0, 900.0), Bound.COMPUTE),
        ((None, 900.0), Bound.UNKNOWN),
        ((80.0, None), Bound.UNKNOWN),
    ],
)
def test_a_kernel_is_bound_by_the_peak_that_it_is_nearer_to(
    rates: tuple[float | None, float | None], expected: Bound
) -> None:
    assert limited_by(*rates, Peaks(100.0, 1000.0, "invented")) is expected


@pytest.mark.parametrize("peaks", [None, Peaks(None, 1.0, ""), Peaks(1.0, None, "")])
def test_without_peaks_nothing_is_known_of_the_bound(peaks: Peaks | None) -> None:
    assert limited_by(1.0, 1.0, peaks) is Bound.UNKNOWN
