"""The tool chain's rules as diagnostics, the calibration, and the sensitivity's plot and table."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import triton
import triton.language as tl
from benchmarks.mtia_calibration import TOLERANCE, figures, parameter_table, sensitivity_changes, softmax_trace

from kernelevolve.backends.mtia.model import CHIPS, ModelOptions
from kernelevolve.backends.mtia.model.rules import check_launch, check_program
from kernelevolve.backends.mtia.model.sensitivity import assumed, sensitivities
from kernelevolve.outcome import CompileError
from kernelevolve.reports.sensitivity import sensitivity_svg, sensitivity_table

if TYPE_CHECKING:
    from conftest import Emulate

CHIP = CHIPS["mtia2i"]


@triton.jit
def batched(a, b, c, SIZE: tl.constexpr):
    one = tl.arange(0, SIZE)
    place = tl.arange(0, 2)[:, None, None] * SIZE * SIZE + one[None, :, None] * SIZE + one[None, None, :]
    tl.store(c + place, tl.dot(tl.load(a + place), tl.load(b + place)))


@triton.jit
def narrow(a, b, c, COLS: tl.constexpr):
    left = tl.arange(0, 32)[:, None] * 32 + tl.arange(0, 32)[None, :]
    right = tl.arange(0, 32)[:, None] * COLS + tl.arange(0, COLS)[None, :]
    total = tl.load(c + right)
    tl.store(c + right, tl.dot(tl.load(a + left), tl.load(b + right), total))


@triton.jit
def chosen(x, y, count, INSIDE: tl.constexpr, BLOCK: tl.constexpr):
    lanes = tl.arange(0, BLOCK)
    total = tl.zeros((BLOCK,), tl.float32)
    for start in range(0, count, BLOCK):
        value = tl.load(x + start + lanes)
        total += tl.where(value > 0, value, 0.0) if INSIDE else value
    tl.store(y + lanes, tl.where(total > 1, total, 1.0))


@triton.jit
def shifted(x, y, first, BLOCK: tl.constexpr):
    lanes = tl.arange(0, BLOCK)
    tl.store(y + lanes, tl.load(x + first + lanes))


def zeros(*shape: int) -> Any:
    return np.zeros(shape, np.float32)


def test_three_dimensional_dots_are_refused(emulate: Emulate) -> None:
    trace = emulate(batched, (1,), a=zeros(2, 16, 16), b=zeros(2, 16, 16), c=zeros(2, 16, 16), SIZE=16)
    with pytest.raises(CompileError, match="no-3d-dot") as refused:
        check_program(trace.program, CHIP)
    assert refused.value.details["line"] == batched.fn.__code__.co_firstlineno + 4
    assert "loop over the first axis" in refused.value.message


@pytest.mark.parametrize(("cols", "right"), [(16, False), (32, True)])
def test_an_initial_value_of_short_rows_is_refused_in_strict_mode(emulate: Emulate, cols: int, right: bool) -> None:
    trace = emulate(narrow, (1,), a=zeros(32, 32), b=zeros(32, cols), c=zeros(32, cols), COLS=cols)
    check_program(trace.program, CHIP)
    if right:
        check_program(trace.program, CHIP, strict=True)
        return
    with pytest.raises(CompileError, match=r"dot-init-stride.*64 bytes apart.*at least 32 columns"):
        check_program(trace.program, CHIP, strict=True)


def test_where_inside_a_loop_is_refused_in_strict_mode(emulate: Emulate) -> None:
    inside = emulate(chosen, (1,), x=zeros(256), y=zeros(64), count=256, INSIDE=True, BLOCK=64).program
    outside = emulate(chosen, (1,), x=zeros(256), y=zeros(64), count=256, INSIDE=False, BLOCK=64).program
    check_program(inside, CHIP)
    check_program(outside, CHIP, strict=True)
    with pytest.raises(CompileError, match="where-in-loop") as refused:
        check_program(inside, CHIP, strict=True)
    assert refused.value.details["stage"] == "rules"


def test_transfers_off_their_alignment_are_refused_in_strict_mode(emulate: Emulate) -> None:
    for first in (8, 3):
        trace = emulate(shifted, (1,), x=zeros(128), y=zeros(64), first=first, BLOCK=64)
        check_launch(trace, CHIP)
        if first == 8:
            check_launch(trace, CHIP, strict=True)
        else:
            with pytest.raises(CompileError, match=r"alignment-32.*byte 12 of 'x'"):
                check_launch(trace, CHIP, strict=True)


def test_the_model_is_within_five_points_of_what_is_published(triton_backend: None) -> None:
    for figure in figures():
        assert figure.promised == TOLERANCE == 0.05
        assert figure.holds, figure


def test_sensitivities_cover_every_assumption(triton_backend: None) -> None:
    found = sensitivities(softmax_trace(128, 256), CHIP, ModelOptions())
    assert tuple(each.parameter for each in found) == assumed()
    by_name = {each.parameter: each for each in found}
    assert by_name["vector_math_cycles"].half <= 1 < by_name["vector_math_cycles"].double
    assert by_name["layout_bytes"].span == 0


def test_the_page_shows_the_numbers_in_force(triton_backend: None) -> None:
    page = (Path(__file__).parents[3] / "docs" / "explanation" / "mtia-model.md").read_text(encoding="utf-8")
    assert parameter_table() in page
    assert sensitivity_table(sensitivity_changes()) in page


CHANGES = {
    "one <kernel>": {"latency": (0.8, 1.6), "rate": (1.5, 1.0), "unused": (1.0, 1.0)},
    "two": {"latency": (1.0, 1.0), "rate": (4.0, 0.3), "unused": (0.999, 1.0)},
}


def test_the_plot_shows_every_parameter_for_every_kernel() -> None:
    root = ET.fromstring(sensitivity_svg(CHANGES, title="a & b"))
    space = "{http://www.w3.org/2000/svg}"
    words = ["".join(text.itertext()) for text in root.iter(f"{space}text")]
    assert {"a & b", "one <kernel>", "two"} <= set(words)
    assert [word for word in words if word in ("rate", "latency", "unused")] == ["rate", "latency", "unused"]
    bars = [rect for rect in root.iter(f"{space}rect") if rect.find(f"{space}title") is not None]
    assert len(bars) == 2 * 2 * 3
    width = {bar.find(f"{space}title").text: float(bar.get("width")) for bar in bars}  # type: ignore[union-attr,arg-type]
    assert width["rate × ½: 4.000"] > width["rate × ½: 1.500"] > width["latency × ½: 0.800"]
    assert width["unused × 2: 1.000"] == 0.5
    assert all(0 <= float(bar.get("x", "-1")) <= 860 for bar in bars)


def test_the_table_leaves_out_what_changes_nothing() -> None:
    text = sensitivity_table(CHANGES)
    assert "| `rate` | +50% / · | +300% / -70% |" in text
    assert "| `latency` | -20% / +60% | · / · |" in text
    assert "Less than 1% everywhere: `unused`." in text
