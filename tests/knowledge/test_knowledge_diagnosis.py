"""Diagnoses: of what evaluations really store, of failures that kernels really have, and never an exception."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from kernelevolve import registry
from kernelevolve.accelerator import Device, Peaks, Realm, Source
from kernelevolve.evaluation.pipeline import Evaluator, Settings
from kernelevolve.evaluation.profile import describe
from kernelevolve.evaluation.records import Timing
from kernelevolve.evaluation.wire import structure
from kernelevolve.kernel import parse_kernel
from kernelevolve.knowledge import Bottleneck, Diagnosis, diagnose
from kernelevolve.outcome import Outcome
from kernelevolve.problem import Workload

RESULTS = Path(__file__).resolve().parents[2] / "benchmarks" / "results"
WORKLOAD = "rows=64,cols=256"


def profile(
    gigabytes: float, gigaops: float | None = None, *, seconds: float = 1e-3, label: str = WORKLOAD, **more: Any
) -> dict[str, Any]:
    rate = {"bytes_per_second": gigabytes * 1e9, "compulsory_bytes": gigabytes * 1e9 * seconds}
    if gigaops is not None:
        rate["operations_per_second"] = gigaops * 1e9
    return {"rates": {label: rate}, **more}


def of(found: Mapping[str, Any], device: Device | None, **resources: Mapping[str, int]) -> Diagnosis:
    return diagnose(outcome=Outcome.CORRECT, profile={**found, "resources": resources}, device=device)


# --- what was measured on an H100


def measured_on_h100() -> list[Any]:
    """The best kernel of each problem and workload in the results, with its time and its device."""
    rows = {}
    for name in ("candidates-products", "candidates-rows", "table"):
        results = json.loads((RESULTS / f"{name}.json").read_text())
        for record in results["records"]:
            best = record["evaluated"].get("best") if "evaluated" in record else record["ranked"][0]
            if best and best["outcome"] == "CORRECT":
                device = dict(results["runs"][record["run"]]["devices"][record["accelerator"]])
                del device["label"]  # a property
                seconds = best["screen"]["seconds"] if "screen" in best else best["seconds"]
                rows[record["problem"], record["workload"]] = (seconds, best["resources"], device)
    return [pytest.param(*key, *row, id=key[0] + "-" + key[1][:40]) for key, row in rows.items()]


#: What the results say of the best kernel of each, on the sizes of the table; see docs/explanation/h100.md.
EXPECTED = {
    "softmax": Bottleneck.MEMORY_BOUND,
    "rms_norm": Bottleneck.MEMORY_BOUND,
    "layer_norm": Bottleneck.MEMORY_BOUND,
    "swiglu": Bottleneck.MEMORY_BOUND,
    "cross_entropy": Bottleneck.MEMORY_BOUND,
    "rope": Bottleneck.MEMORY_BOUND,
    "matmul": Bottleneck.COMPUTE_BOUND,
    "attention": Bottleneck.COMPUTE_BOUND,
}


@pytest.mark.parametrize(("name", "label", "seconds", "resources", "described"), measured_on_h100())
def test_the_best_kernels_on_an_h100_are_limited_by_what_the_results_say(
    name: str, label: str, seconds: float, resources: Mapping[str, Any], described: Mapping[str, Any]
) -> None:
    device = structure(described, Device)
    workload = Workload.parse(label)
    found = describe(registry.problem(name), [Timing(workload.label, (seconds,), Source.DEVICE_EVENT)], [workload])
    made = diagnose(outcome=Outcome.CORRECT, profile=found, resources=resources, device=device)
    assert made.bottleneck.right
    assert made.bottleneck is EXPECTED.get(name, made.bottleneck), made.sentence


def test_all_problems_with_an_expectation_were_looked_at() -> None:
    assert set(EXPECTED) <= {row.values[0] for row in measured_on_h100()}


# --- what limits a right kernel


def test_near_a_roof_it_is_that_roof_whatever_else_there_is(h100: Device) -> None:
    spilling = {"registers": 255, "spill_store_bytes": 8, "occupancy_percent": 12}
    assert of(profile(2500, 900), h100, entry=spilling).bottleneck is Bottleneck.MEMORY_BOUND
    typed = f"{WORKLOAD},x:float16"
    assert of(profile(100, 800_000, label=typed), h100, entry=spilling).bottleneck is Bottleneck.COMPUTE_BOUND


def test_the_peak_is_that_of_the_workload_s_type(h100: Device) -> None:
    """Half of what FP8 reaches for 16 bits, a quarter for 32."""
    shares = {}
    for name, label in {"8": "x:float8_e4m3fn", "16": "x:bfloat16", "32": "x:float32"}.items():
        shares[name] = of(profile(1, 214_000, label=f"rows=1,{label}"), h100).evidence["compute_share"]
    assert shares == {"8": pytest.approx(0.1), "16": pytest.approx(0.2), "32": pytest.approx(0.4)}
    unnamed = evolve(h100, peaks=Peaks(3.35e12, 2.14e15, "a guess"))
    assert of(profile(1, 214_000), unnamed).evidence["compute_share"] == pytest.approx(0.1)


@pytest.mark.parametrize("name", ["spill_store_bytes", "spill_load_bytes", "vgpr_spills", "sgpr_spills"])
def test_spills_are_named_with_their_entry(h100: Device, name: str) -> None:
    found = of(profile(500), h100, small={name: 0}, large={name: 24, "occupancy_percent": 12})
    assert found.bottleneck is Bottleneck.SPILLING
    assert f"large spill to memory ({name.replace('_', ' ')} 24)" in found.sentence
    assert found.evidence["spills"] == {"large": {name: 24}}


def test_what_is_shorter_than_a_launch_is_bound_by_it(h100: Device, cpu: Device) -> None:
    for device in (h100, cpu):
        assert of(profile(1, seconds=19e-6), device).bottleneck is Bottleneck.LAUNCH_BOUND
        assert of(profile(1, seconds=21e-6), device).bottleneck is Bottleneck.LATENCY_BOUND


def test_few_warps_are_what_limits_where_no_roof_is_near(h100: Device) -> None:
    used = {"registers": 182, "local_bytes": 106496, "threads": 256, "occupancy_percent": 12}
    found = of(profile(500), h100, many={"occupancy_percent": 100}, few=used)
    assert found.bottleneck is Bottleneck.OCCUPANCY_LIMITED
    assert "few fills 12 % of a unit's warps (182 registers, 106496 local bytes, 256 threads)" in found.sentence
    assert of(profile(500), h100, one={"occupancy_percent": 26}).bottleneck is Bottleneck.LATENCY_BOUND


def test_half_way_to_a_roof_names_the_side_to_work_on(h100: Device) -> None:
    assert of(profile(1500, 1), h100).bottleneck is Bottleneck.MEMORY_BOUND
    assert of(profile(1, 250_000), h100).bottleneck is Bottleneck.COMPUTE_BOUND
    assert of(profile(1000, 100_000), h100).bottleneck is Bottleneck.LATENCY_BOUND


def test_on_a_host_processor_memory_is_judged_per_thread(cpu: Device) -> None:
    assert of(profile(9.0, 5.0), cpu).bottleneck is Bottleneck.MEMORY_BOUND
    assert of(profile(7.9, 5.0), cpu).bottleneck is Bottleneck.LATENCY_BOUND
    assert of(profile(7.9, 5.0), evolve(cpu, host_threads=1)).bottleneck is Bottleneck.MEMORY_BOUND
    assert of(profile(20.0, 70.0), cpu).bottleneck is Bottleneck.COMPUTE_BOUND


def test_the_slowest_workload_is_the_one_that_counts(h100: Device) -> None:
    both = {"rates": {**profile(2500, seconds=1e-3)["rates"], **profile(1, seconds=2e-3, label="rows=2")["rates"]}}
    assert of(both, h100).evidence["workload"] == "rows=2"


def test_without_peaks_or_without_a_time_a_right_kernel_is_just_right(h100: Device) -> None:
    assert of(profile(1), evolve(h100, peaks=None)).bottleneck is Bottleneck.CORRECT
    assert of(profile(1), None).bottleneck is Bottleneck.CORRECT
    assert of({}, h100).bottleneck is Bottleneck.CORRECT
    assert diagnose(outcome=Outcome.UNMEASURED, device=h100).bottleneck is Bottleneck.CORRECT


# --- emulated times


def emulated(**fields: Any) -> dict[str, Any]:
    units = {"fabric in": 100, "fabric out": 100, "dot engine": 100, "SIMD engine": 100, **fields.pop("units", {})}
    return {
        "bottleneck": "waiting",
        "cycles": 1000,
        "units": {name: {"busy": busy, "stall": 1000 - busy} for name, busy in units.items()},
        "launch_cycles": 10,
        **fields,
    }


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"units": {"fabric in": 700}}, Bottleneck.MEMORY_BOUND),
        ({"units": {"dot engine": 700}}, Bottleneck.COMPUTE_BOUND),
        ({"bottleneck": "DRAM bandwidth is used up for 80% of the time"}, Bottleneck.MEMORY_BOUND),
        ({"launch_cycles": 600, "units": {"SIMD engine": 550}}, Bottleneck.LAUNCH_BOUND),
        ({"bottleneck": "DRAM bandwidth is used up for 7% of the time"}, Bottleneck.LATENCY_BOUND),
        ({"elements": {"busy": 4, "available": 64}, "units": {"dot engine": 700}}, Bottleneck.OCCUPANCY_LIMITED),
        ({"elements": {"busy": 33, "available": 64}, "units": {"dot engine": 700}}, Bottleneck.COMPUTE_BOUND),
        ({"bottleneck": "waiting: …; elements are idle for 30% of it"}, Bottleneck.OCCUPANCY_LIMITED),
        ({}, Bottleneck.LATENCY_BOUND),
    ],
)
@pytest.mark.parametrize("wrap", [lambda one: one, lambda one: {"device": {WORKLOAD: one}}])
def test_an_emulated_time_is_judged_by_its_units(fields: dict[str, Any], expected: Bottleneck, wrap: Any) -> None:
    found = diagnose(outcome=Outcome.CORRECT, profile=wrap(emulated(**dict(fields))))
    assert found.bottleneck is expected
    assert found.sentence.startswith("Emulated: ")


@pytest.mark.slow
def test_the_emulator_s_own_profile_is_understood() -> None:
    """Guards the words and fields that a diagnosis reads of a part that it cannot import."""
    from kernelevolve.backends.mtia.reporting import profile_record
    from kernelevolve.backends.mtia.session import MTIASession

    made = registry.accelerator("mtia")
    problem = registry.problem("softmax")
    kernel = parse_kernel(problem.seeds["triton"])
    device = made.devices()[0]
    with Evaluator(
        problem,
        made,
        device,
        workloads=[Workload.parse("rows=16,cols=64")],
        path=registry.worker_path("mtia"),
        settings=Settings(check_bytes=4096, check_seconds=1.0),
        secret=1,
    ) as evaluator:
        plan = evaluator.gate.plan(kernel, kernel.default, evaluator.workloads[0])
    assert callable(profile_record)
    artifact = made.compile(plan, device.target)
    with made.open(device) as session:
        assert isinstance(session, MTIASession)
        from kernelevolve.accelerator import BufferSpec

        buffers = {one.name: session.allocate(BufferSpec(one.nbytes, guard=64)) for one in plan.buffers}
        for buffer in buffers.values():
            session.fill(buffer, 0, guards=True)
        call = session.bind(session.load(artifact), plan.launches, buffers)
        session.launch(call)
        session.synchronize()
        found = session.profile(call)
    made_of_it = diagnose(outcome=Outcome.CORRECT, profile={"device": json.loads(json.dumps(found))}, device=device)
    assert made_of_it.bottleneck.right
    assert made_of_it.bottleneck is not Bottleneck.CORRECT
    assert made_of_it.evidence["cycles"] == found["cycles"]
    assert set(made_of_it.evidence["units"]) == set(found["units"])


@given(
    gigabytes=st.floats(1e-3, 1e5),
    gigaops=st.none() | st.floats(1e-3, 1e7),
    seconds=st.floats(1e-7, 10.0),
    occupancy=st.integers(0, 100),
    spills=st.integers(0, 64),
    realm=st.sampled_from(Realm),
)
def test_right_kernels_have_limits_of_right_kernels(
    h100: Device, gigabytes: float, gigaops: float | None, seconds: float, occupancy: int, spills: int, realm: Realm
) -> None:
    used = {"occupancy_percent": occupancy, "spill_store_bytes": spills}
    found = of(profile(gigabytes, gigaops, seconds=seconds), evolve(h100, realm=realm), entry=used)
    assert found.bottleneck.right
    if found.bottleneck is Bottleneck.SPILLING:
        assert spills
    if found.bottleneck is Bottleneck.OCCUPANCY_LIMITED:
        assert occupancy <= 25
    if found.bottleneck is Bottleneck.LAUNCH_BOUND:
        assert seconds < 20e-6


def test_what_is_near_a_host_s_memory_is_called_likely_and_estimated(cpu: Device) -> None:
    """Random gathers of short rows come to such rates, too, and wait rather than stream."""
    found = of(profile(13.2, 3.1), cpu)
    assert found.bottleneck is Bottleneck.MEMORY_BOUND
    assert found.sentence.startswith(f"Probably bound by memory on {WORKLOAD}: 13.2 GB/s, 6.6 GB/s per thread")
    assert "estimated from the bytes that must move at least once" in found.sentence
    assert "scattered" in found.sentence
    assert "Only" not in found.sentence
