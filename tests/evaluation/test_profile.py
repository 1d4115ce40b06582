"""Rooflines by hand: the least time physics allows, and the rates that a time implies."""

from __future__ import annotations

import pytest
from attrs import evolve

from kernelevolve import Workload, registry
from kernelevolve.accelerator import Peaks, Source
from kernelevolve.evaluation.profile import describe, plausibility_floor
from kernelevolve.evaluation.records import Timing
from kernelevolve.expressions import parse
from kernelevolve.testing import samples

WORKLOAD = Workload.parse("rows=1000,cols=1000")
PROBLEM = evolve(samples.problem(), operations=parse("2 * rows * cols"))
DEVICE = registry.accelerator("reference").devices()[0]


def timing(seconds: float, workload: Workload = WORKLOAD) -> Timing:
    return Timing(workload.label, (seconds,) * 3, Source.DEVICE_EVENT)


@pytest.mark.parametrize(
    ("bandwidth", "rate", "floor"),
    [
        (8e9, None, 1e-3),  # 8 MB at 8 GB/s
        (None, 1e9, 2e-3),  # 2 million operations at 1 Gop/s
        (8e9, 1e9, 2e-3),
        (8e8, 1e9, 1e-2),
        (None, None, 0.0),
    ],
)
def test_the_floor_is_the_slower_of_traffic_and_arithmetic(
    bandwidth: float | None, rate: float | None, floor: float
) -> None:
    device = evolve(DEVICE, peaks=Peaks(bandwidth, rate, "by hand"))
    assert plausibility_floor(PROBLEM, device, WORKLOAD) == pytest.approx(floor)


def test_a_device_without_known_peaks_forbids_nothing() -> None:
    assert plausibility_floor(PROBLEM, evolve(DEVICE, peaks=None), WORKLOAD) == 0.0


def test_rates_follow_from_compulsory_traffic_and_declared_operations() -> None:
    found = describe(PROBLEM, [timing(1e-3)], [WORKLOAD])
    assert found["rates"][WORKLOAD.label] == pytest.approx(
        {"bytes_per_second": 8e9, "compulsory_bytes": 8e6, "operations_per_second": 2e9, "intensity": 0.25}
    )
    assert found["bottleneck"] == f"{WORKLOAD.label}: 8.0 GB/s of compulsory traffic, 2.0 Gop/s"


def test_the_sentence_is_about_the_slowest_workload_and_says_when_it_is_all_launch() -> None:
    small = Workload.parse("rows=1,cols=1")
    found = describe(samples.problem(), [timing(1e-3), timing(1e-6, small)], [WORKLOAD, small])
    assert found["bottleneck"].startswith(WORKLOAD.label)
    assert "operations_per_second" not in found["rates"][small.label]
    only = describe(samples.problem(), [timing(5e-6, small)], [small])
    assert only["bottleneck"].endswith("the launch itself is most of it")


def test_what_the_device_tells_is_kept_by_workload_and_names_the_bottleneck() -> None:
    told = {WORKLOAD.label: {"bottleneck": "DRAM bandwidth is used up", "units": {"dot": 1}}}
    found = describe(PROBLEM, [timing(1e-5)], [WORKLOAD], told)
    assert found["device"] == told
    assert found["bottleneck"].endswith("Gop/s; DRAM bandwidth is used up")


def test_a_device_that_tells_nothing_leaves_no_trace() -> None:
    assert describe(PROBLEM, [timing(1e-5)], [WORKLOAD], {WORKLOAD.label: {}}) == describe(
        PROBLEM, [timing(1e-5)], [WORKLOAD]
    )
