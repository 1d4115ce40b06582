"""The page says what the records say: reached, not reached, not measured; the same files make the same page."""

from __future__ import annotations

import math
from typing import Any

import pytest
from attrs import evolve
from benchmarks.gpu.datasheet import rate_of
from benchmarks.gpu.targets import ORIENTATION, TARGETS

from kernelevolve import registry
from kernelevolve.reports.gpu_figures import Figures, Metric, Target
from kernelevolve.reports.gpu_page import render_page

GPU = "NVIDIA H100 80GB HBM3"
_AXES = {"rows": 8192, "cols": 4096}
SOFTMAX = Target("softmax: time", Metric.MICROSECONDS, "<=", 48, "µs", "softmax", _AXES, "bfloat16")


def _timing(seconds: float, **more: Any) -> dict[str, Any]:
    return {"seconds": seconds, "source": "device-event", "launches": 1, "flushed": True, "samples": [seconds], **more}


def _torch(seconds: float, **more: Any) -> dict[str, Any]:
    built = {"compile_seconds": 2.5, "synchronises": False, "graphs": 1, "graph_breaks": 0, "difference": None}
    return _timing(seconds, **{**built, **more})


def _table(problem: str = "softmax", **more: Any) -> dict[str, Any]:
    """A record: seed 200 µs, best 45 µs, eager 97 µs, compiled 90 µs; 134 MB move."""
    workload = "rows=8192,cols=4096,x:bfloat16,y:bfloat16"
    accelerator = more.get("accelerator", "triton-cuda")
    record = {
        "key": f"table/{problem}/{workload}/{accelerator}",
        "kind": "table",
        "run": "r1",
        "when": "2026",
        "problem": problem,
        "workload": workload,
        "axes": _AXES,
        "dtype": "bfloat16",
        "device": GPU,
        "accelerator": accelerator,
        "headline": True,
        "bytes": 134217728,
        "operations": 5 * 8192 * 4096,
        "operations_per_second": 989.5e12,
        "evaluated": {
            "best": {"outcome": "CORRECT", "origin": "softmax__x.py", "digest": "d1"},
            "seed": {"outcome": "CORRECT", "origin": "seed", "digest": "d0"},
        },
        "kernels": {"best": _timing(45e-6), "seed": _timing(200e-6)},
        "torch": {"eager": _torch(97e-6, graphs=0), "compile": _torch(90e-6)},
        "torch_failures": {},
        "torch_settings": {"TF32 in matmul": "False", "torch": "2.11.0"},
        "best_torch": "compile",
        "ratios": [_ratio("eager", 97 / 45), _ratio("compile", 2.0), _ratio("compile", 0.45, "seed")],
    }
    return {**record, **more}


def _ratio(implementation: str, ratio: float, kernel: str = "best") -> dict[str, Any]:
    bounds = {"ratio": ratio, "low": ratio * 0.99, "high": ratio * 1.01, "rounds": 30, "verdict": "FASTER"}
    return {"implementation": implementation, "kernel": kernel, **bounds}


def _copy() -> dict[str, Any]:
    rates = {"bytes_per_second": 3e12, "operations_per_second": None, "source": "device-event"}
    where = {"problem": "copy", "workload": "count=268435456", "device": GPU, "torch_device": "cuda:0"}
    return {"key": "environment/copy", "kind": "environment", "run": "r1", "when": "2026", **where, **rates}


def _document(*records: dict[str, Any]) -> dict[str, Any]:
    run = {
        "id": "r1",
        "when": "2026-01-01",
        "command": "python -m benchmarks.gpu table",
        "kernelevolve": "0.1.0",
        "commit": "abc",
        "python": "3.12.3",
        "platform": "Linux",
        "cpu": "cpu",
        "cores": 16,
        "packages": {"torch": "2.11.0"},
        "gpu": {"name": GPU, "driver_version": "580.1"},
        "absent": {},
    }
    return {"schema": 1, "runs": {"r1": run}, "records": list(records)}


def _wrong(**more: Any) -> dict[str, Any]:
    """Right in the check, and wrong in the ring: it has a time, and that time counts for nothing."""
    record = _table(**more)
    for one in record["evaluated"].values():
        one["outcome"] = "WRONG_RESULT"
    return record


@pytest.mark.parametrize(
    ("target", "value", "holds"),
    [
        (SOFTMAX, 45.0, True),
        (evolve(SOFTMAX, value=40), 45.0, False),
        (evolve(SOFTMAX, metric=Metric.OVER_TORCH, relation=">=", value=1.9), 2.0, True),
        (evolve(SOFTMAX, metric=Metric.OVER_EAGER, relation=">=", value=2.2), 97 / 45, False),
        (evolve(SOFTMAX, metric=Metric.OF_COPY, relation=">=", value=93), 100 * 134217728 / 3e12 / 45e-6, True),
        (evolve(SOFTMAX, dtype="float32"), None, None),
        (evolve(SOFTMAX, accelerator="numba-cuda"), None, None),
    ],
)
def test_a_target_is_held_against_the_best_right_kernel(
    target: Target, value: float | None, holds: bool | None
) -> None:
    measured = Figures(_document(_table(), _copy())).measured(target)
    assert measured.value == (None if value is None else pytest.approx(value))
    assert measured.holds(target) is holds


def test_a_kernel_that_turned_out_wrong_reaches_nothing_however_fast() -> None:
    measured = Figures(_document(_wrong(), _copy())).measured(SOFTMAX)
    assert (measured.value, measured.holds(SOFTMAX)) == (None, False)
    assert "WRONG_RESULT" in measured.note


def test_an_implementation_that_is_wrong_is_not_the_best_eager_one() -> None:
    record = _table()
    record["torch"]["eager:fast"] = _torch(10e-6, difference="WRONG_RESULT: off")
    record["ratios"].append(_ratio("eager:fast", 0.2))
    target = evolve(SOFTMAX, metric=Metric.OVER_EAGER, relation=">=")
    assert Figures(_document(record)).measured(target).value == pytest.approx(97 / 45)


def test_the_mean_is_geometric_over_every_problem_of_the_suite() -> None:
    target = Target("suite", Metric.MEAN, ">=", 1.5, "×")
    least = Target("least", Metric.LEAST, ">=", 0.9, "×")
    slow = _table("rms_norm", ratios=[_ratio("compile", 0.5)])
    figures = Figures(_document(_table(), slow))
    assert figures.measured(target).value == pytest.approx(math.sqrt(2.0 * 0.5))
    assert (figures.measured(least).value, figures.measured(least).note) == (0.5, "rms_norm")
    other_size = _table("rms_norm", ratios=[_ratio("compile", 9.0)], headline=False, key="table/other")
    assert Figures(_document(_table(), slow, other_size)).measured(target).value == pytest.approx(1.0)


def test_the_mean_as_written_leaves_out_formulas_that_a_person_rewrote_for_pytorch() -> None:
    target = Target("suite", Metric.MEAN_AS_WRITTEN, ">=", 1.5, "×")
    record = _table()
    record["torch"]["compile:gram"] = _torch(10e-6)
    record["best_torch"] = "compile:gram"
    record["ratios"].append(_ratio("compile:gram", 0.2))
    assert Figures(_document(record)).measured(target).value == pytest.approx(2.0)
    assert Figures(_document(record)).measured(evolve(target, metric=Metric.MEAN)).value == pytest.approx(0.2)


def test_a_problem_without_a_figure_leaves_the_mean_open_and_a_wrong_one_decides_it() -> None:
    target = Target("suite", Metric.MEAN, ">=", 1.5, "×")
    elsewhere = _table("matmul", accelerator="numba-cuda")
    open_ = Figures(_document(_table(), elsewhere)).measured(target)
    assert (open_.value, open_.holds(target)) == (None, None)
    assert "1 of 2 problems; without matmul" in open_.note
    assert Figures(_document(_table(), _wrong(problem="matmul"))).measured(target).holds(target) is False


def test_the_roofline_is_the_larger_of_its_two_floors() -> None:
    bytes_bound, arithmetic = _table(), _table("matmul", operations=1e15)
    figures = Figures(_document(bytes_bound, arithmetic, _copy()))
    assert figures.floor(bytes_bound) == pytest.approx(134217728 / 3e12)
    assert figures.floor(arithmetic) == pytest.approx(1e15 / 989.5e12)
    assert Figures(_document(bytes_bound)).floor(bytes_bound) is None


def test_throughput_and_warmth_take_what_was_recorded() -> None:
    rate = {"count": 9, "per_second": 13.5, "seconds_each": [0.1], "outcomes": {"CORRECT": 9}}
    spread = {"median": 0.4, "p95": 0.9, "seconds_each": [0.4]}
    throughput = {
        "key": "throughput/a", "kind": "throughput", "run": "r1", "when": "2026", "problem": "softmax", "device": GPU,
        "workload": "rows=64,cols=256", "accelerator": "triton-cuda", "configurations": rate,
        "new_kernels": {**rate, "per_second": 0.8}, "warm": spread, "cold": spread,
    }  # fmt: skip
    warmth = {
        "key": "warmth/a", "kind": "warmth", "run": "r1", "when": "2026", "problem": "softmax", "workload": "w",
        "accelerator": "triton-cuda", "device": GPU, "ratio": 0.985, "low": 0.98, "high": 0.99, "processes": [{}, {}],
    }  # fmt: skip
    document = _document(throughput, warmth)
    held = {t.name: Figures(document).measured(t) for t in TARGETS if not t.problem}
    assert held["configurations of one kernel"].value == 13.5
    assert held["new kernels through the whole pipeline"].value == 0.8
    assert held["warm worker against fresh processes"].value == pytest.approx(1.5)
    page = render_page(document, TARGETS, (), throughput_note="Others take longer.")
    assert "| new kernels through the whole pipeline | ≥ 1 /s | 0.8 /s | **not reached** |" in page
    assert "0.4 s, 0.9 s" in page
    assert "Others take longer." in page


def test_the_page_shows_what_happened_and_hides_no_failure() -> None:
    made = {
        "key": "evolve/a", "kind": "evolve", "run": "r1", "when": "2026", "problem": "softmax", "workload": "w",
        "accelerator": "triton-cuda", "device": GPU, "start": "hand-written softmax/x.py", "digest": "d1",
        "outcomes": {"CORRECT": 3, "WRONG_RESULT": 1}, "evaluations": 4, "seconds": 60.0, "speedup": 1.2,
    }  # fmt: skip
    broken = _wrong(problem="conv1d")
    slow = _table("rope", torch_failures={"compile-max-autotune": "COMPILE_ERROR: a | b\nc"})
    slow["torch"]["eager"] |= {"difference": "WRONG_RESULT: y", "synchronises": True, "graph_breaks": 2}
    page = render_page(_document(_table(), broken, slow, _copy(), made), TARGETS, ORIENTATION)
    assert "| softmax: time | ≤ 48 µs | 45 µs | reached |" in page
    assert "| conv1d: time | ≤ 120 µs | – | not measured |" in page  # other sizes were measured than the target's
    assert "99 %" in page  # of the roofline: 44.7 of 45 µs
    assert "2× [1.98, 2.02]" in page
    assert "evolved from hand-written softmax/x.py" in page
    assert "| conv1d |" in page.split("## Without a time")[1]
    assert "COMPILE_ERROR: a \\| b c" in page
    assert "WRONG: WRONG_RESULT: y; waits for the device, which idles meanwhile; 2 graph breaks" in page
    assert "3 CORRECT, 1 WRONG_RESULT" in page
    assert "| Liger | 50 µs | 90 µs | 45 µs |" in page


def test_the_same_records_make_the_same_page_in_any_order() -> None:
    records = [_table(), _table("rms_norm"), _copy(), _wrong(problem="matmul")]
    pages = {render_page(_document(*order), TARGETS, ORIENTATION) for order in (records, records[::-1])}
    assert len(pages) == 1


def test_a_page_of_nothing_says_so() -> None:
    page = render_page({"schema": 1, "runs": {}, "records": []}, TARGETS, ORIENTATION)
    assert "# Measured on no device" in page
    assert f"0 reached, 0 not reached, {len(TARGETS)} not measured." in page


@pytest.mark.parametrize("asked", [one for one in (*TARGETS, *ORIENTATION) if one.problem], ids=lambda one: one.problem)
def test_what_is_asked_for_is_a_workload_of_the_suite(asked: Any) -> None:
    problem = registry.problem(asked.problem)
    found = [
        one
        for one in problem.tagged("gpu")
        if dict(one.axes) == dict(asked.axes) and rate_of(GPU, problem, one)[0] == asked.dtype
    ]
    assert len(found) == 1
