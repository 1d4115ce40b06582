"""Kernels to start from: the best of other shapes and other hardware, out of a real store."""

from __future__ import annotations

import math
from typing import Any

from attrs import evolve

from kernelevolve import registry
from kernelevolve.accelerator import Device, Source, Target
from kernelevolve.kernel import parse_kernel
from kernelevolve.knowledge import best_elsewhere
from kernelevolve.outcome import Outcome
from kernelevolve.store import Candidate, Evaluation, Run, Store, WorkloadTimes

SOFTMAX = registry.problem("softmax")
LABEL = "rows=4096,cols=1024"
RUN = Run("softmax", "f", "opencl", "cpu", "opencl", "map-elites", "rewriting", 0)

TEXT = SOFTMAX.seeds["opencl"]


def keep(
    store: Store,
    run: Run,
    number: int,
    fitness: float,
    *,
    label: str = LABEL,
    source: Source = Source.DEVICE_EVENT,
    outcome: Outcome = Outcome.CORRECT,
) -> None:
    times = {label: WorkloadTimes((1e-3,), source, "screen")}
    store.add_evaluation(Evaluation(run.id, number, "screen", outcome, {"B": number}, fitness=fitness, times=times))


def add_run(
    store: Store, *fitness: float, label: str = LABEL, source: Source = Source.DEVICE_EVENT, **more: Any
) -> Run:
    """A run whose candidates have these fitnesses; candidate 0 is its seed."""
    run = store.create_run(evolve(RUN, id="", **more))
    for number, value in enumerate(fitness):
        parents = (0,) if number else ()
        text = f"{TEXT}\n// {run.id} {number}\n"
        store.add_candidate(Candidate(run.id, "x", parents), text)
        keep(store, run, number, value, label=label, source=source)
    return run


def test_the_best_kernels_of_other_shapes_and_devices_come_nearest_first(store: Store, cpu: Device) -> None:
    rocm = add_run(store, 1.0, 9.0, accelerator="opencl-2", device="far")
    other = add_run(store, 1.0, 5.0, 7.0, device="other")
    shapes = add_run(store, 1.0, 2.0, label="rows=1,cols=8")
    add_run(store, 1.0, 3.0)  # this device and these shapes: no transfer
    found = best_elsewhere(store, "softmax", cpu, "opencl", workloads=(LABEL,))
    assert [(one.run.id, one.candidate, one.fitness) for one in found] == [
        (shapes.id, 1, 2.0),
        (other.id, 2, 7.0),
        (rocm.id, 1, 9.0),
    ]
    assert [one.same_device for one in found] == [True, False, False]
    assert found[1].configuration == {"B": 2}
    assert found[0].where == f"2.00× its seed on this device (rows=1,cols=8; device-event), run {shapes.id}"
    assert found[1].where.startswith("7.00× its seed on opencl: other (rows=4096,cols=1024; device-event)")
    for one in found:
        assert one.text == store.kernel_text(one.run.id, one.candidate)
        assert parse_kernel(one.text).language == "opencl"
    assert best_elsewhere(store, "softmax", cpu, "opencl", workloads=(LABEL,), limit=1) == found[:1]


def test_all_shapes_count_where_none_are_named(store: Store, cpu: Device) -> None:
    here = add_run(store, 1.0, 3.0)
    assert [one.run.id for one in best_elsewhere(store, "softmax", cpu, "opencl")] == [here.id]


def test_only_right_kernels_of_the_problem_and_the_language_are_offered(store: Store, cpu: Device) -> None:
    add_run(store, 1.0, 3.0, problem="rms_norm", device="other")
    add_run(store, 1.0, 3.0, language="triton", device="other")
    add_run(store, 1.0, 3.0, source=Source.ANALYTIC, device="other")
    add_run(store, 1.0, device="only its seed")
    failed = add_run(store, 1.0, device="other")
    number = store.add_candidate(Candidate(failed.id, "x", (0,)), TEXT)
    keep(store, failed, number, 9.0, outcome=Outcome.WRONG_RESULT)
    assert best_elsewhere(store, "softmax", cpu, "opencl") == ()


def test_a_kernel_that_several_runs_ended_with_is_offered_once(store: Store, cpu: Device) -> None:
    for name in ("one", "two"):
        run = store.create_run(evolve(RUN, id="", device=name))
        store.add_candidate(Candidate(run.id, "seed"), TEXT)
        number = store.add_candidate(Candidate(run.id, "x", (0,)), TEXT + "\n// better\n")
        keep(store, run, number, 2.0 if name == "one" else 4.0)
    (found,) = best_elsewhere(store, "softmax", cpu, "opencl")
    assert (found.run.device, found.fitness) == ("two", 4.0)


def test_an_emulator_s_kernels_are_offered_too(store: Store, h100: Device) -> None:
    mtia = evolve(h100, accelerator="mtia", target=Target("mtia:mtia2i"), name="mtia2i")
    run = add_run(
        store, 1.0, 3.0, source=Source.EMULATED_CYCLES, accelerator="mtia", device="mtia2i", language="triton"
    )
    assert [one.run.id for one in best_elsewhere(store, "softmax", mtia, "triton")] == [run.id]
    assert math.isclose(best_elsewhere(store, "softmax", h100, "triton")[0].fitness, 3.0)
