"""Each sample does what its name says, on the reference device itself."""

from __future__ import annotations

import signal
import subprocess
import sys
import textwrap

import numpy as np
import pytest

from kernelevolve.outcome import CandidateError, ConstraintViolated, Outcome, OutOfMemory, Rejected
from kernelevolve.testing import samples
from kernelevolve.testing.primitives import PluginBrokenError

RIGHT = {"good": samples.GOOD, "slow": samples.SLOW, "tuned": samples.TUNED, "two launches": samples.TWO_LAUNCHES}


@pytest.mark.parametrize("workload", ["rows=4,cols=8", "rows=3,cols=5", "rows=1,cols=1"])
@pytest.mark.parametrize("name", RIGHT)
def test_right_samples_compute_the_problem_run_after_run(bench, name, workload):
    made = bench(RIGHT[name], workload=workload)
    for _ in range(3):
        np.testing.assert_array_equal(made.run(), made.want)
    assert made.guards("y") == (b"\xab" * 64, b"\xab" * 64)


def test_the_reference_of_the_problem_is_what_the_kernels_compute():
    import torch

    assert samples.problem().reference(x=torch.tensor([0.0, 1.5])).tolist() == [1.0, 4.0]


@pytest.mark.parametrize(
    "outcome",
    [
        Outcome.CONSTRAINT,
        Outcome.REJECTED,
        Outcome.COMPILE_ERROR,
        Outcome.TOOLCHAIN_ERROR,
        Outcome.RESOURCE_EXCEEDED,
        Outcome.LAUNCH_ERROR,
        Outcome.OUT_OF_MEMORY,
        Outcome.DEVICE_LOST,
    ],
)
def test_samples_that_fail_with_a_typed_failure_fail_with_theirs(bench, outcome):
    with pytest.raises(CandidateError) as caught:
        bench(samples.FAILING[outcome]).run()
    assert caught.value.outcome is outcome


def test_the_rejected_sample_is_refused_for_its_import_and_the_constraint_one_for_its_rows(bench):
    with pytest.raises(Rejected) as rejected:
        bench(samples.FAILING[Outcome.REJECTED])
    assert rejected.value.details["rule"] == "import"
    with pytest.raises(ConstraintViolated) as violated:
        bench(samples.FAILING[Outcome.CONSTRAINT])
    assert violated.value.details["constraint"] == "rows < 0"


def test_wrong_result_is_off_by_one_in_the_first_element_of_each_row(bench):
    made = bench(samples.FAILING[Outcome.WRONG_RESULT])
    assert np.flatnonzero(made.run() - made.want).tolist() == [0, 8, 16, 24]


def test_out_of_bounds_computes_right_and_writes_just_behind_the_payload(bench):
    made = bench(samples.FAILING[Outcome.OUT_OF_BOUNDS])
    np.testing.assert_array_equal(made.run(), made.want)
    front, back = made.guards("y")
    assert front == b"\xab" * 64
    assert back == bytes(4) + b"\xab" * 60


def test_nondeterministic_is_right_once_and_then_different_in_every_run(bench):
    made = bench(samples.FAILING[Outcome.NONDETERMINISTIC])
    assert [float(made.run()[0] - made.want[0]) for _ in range(4)] == [0.0, 1.0, 2.0, 3.0]


def test_input_modified_computes_right_from_an_input_that_it_then_zeroes(bench):
    made = bench(samples.FAILING[Outcome.INPUT_MODIFIED])
    np.testing.assert_array_equal(made.run(), made.want)
    after = np.frombuffer(made.session.download(made.buffers["x"]), np.float32)
    assert np.flatnonzero(after != made.x).tolist() == [8, 16, 24]  # x[0] was zero before


def test_implausible_takes_one_cycle_whatever_it_moves(bench):
    made = bench(samples.FAILING[Outcome.IMPLAUSIBLE], workload="rows=16,cols=32")
    peak = made.session.device.peaks.bytes_per_second
    assert made.session.time(made.call).seconds < 2 * 16 * 32 * 4 / peak


def test_unstable_spreads_over_most_of_its_declared_range(bench):
    made = bench(samples.FAILING[Outcome.UNSTABLE])
    cycles = [made.session.time(made.call).cycles for _ in range(50)]
    assert all(0.05 * 32_000 <= one <= 1.95 * 32_000 for one in cycles)
    assert max(cycles) > 3 * min(cycles)


def test_plugin_bug_lets_out_what_no_contract_allows(bench):
    with pytest.raises(PluginBrokenError, match="break_plugin"):
        bench(samples.FAILING[Outcome.PLUGIN_BUG]).run()


def test_the_host_stays_usable_after_a_hog(bench):
    made = bench(samples.FAILING[Outcome.OUT_OF_MEMORY])
    with pytest.raises(OutOfMemory):
        made.run()
    assert len(made.session.download(made.buffers["y"])) == 4 * 8 * 4


def _process(outcome: str) -> subprocess.Popen[bytes]:
    program = f"""
        from kernelevolve.accelerator import BufferSpec
        from kernelevolve.kernel import parse_kernel
        from kernelevolve.outcome import Outcome
        from kernelevolve.plan import make_plan
        from kernelevolve.problem import Workload
        from kernelevolve.testing import samples
        from kernelevolve.testing.accelerator import ReferenceAccelerator
        from kernelevolve.testing.language import ReferenceLanguage

        accelerator, kernel = ReferenceAccelerator(), parse_kernel(samples.FAILING[Outcome.{outcome}])
        device = accelerator.devices()[0]
        workload, entries = Workload.parse("rows=4,cols=8"), ReferenceLanguage().entries(kernel.body)
        plan = make_plan(kernel, samples.problem(), workload, {{}}, entries, device.facts)
        print("compiling", flush=True)
        artifact = accelerator.compile(plan, device.target)
        with accelerator.open(device) as session:
            buffers = {{one.name: session.allocate(BufferSpec(one.nbytes)) for one in plan.buffers}}
            session.launch(session.bind(session.load(artifact), plan.launches, buffers))
            print("launched", flush=True)
            session.synchronize()
            print("survived", flush=True)
    """
    command = [sys.executable, "-c", textwrap.dedent(program)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)


def test_device_fault_kills_its_process_with_a_segmentation_fault_after_the_launch_returned():
    with _process("DEVICE_FAULT") as process:
        assert process.stdout.read() == b"compiling\nlaunched\n"
    assert process.returncode == -signal.SIGSEGV


@pytest.mark.parametrize(
    ("outcome", "reached"), [("RUN_TIMEOUT", [b"compiling\n", b"launched\n"]), ("COMPILE_TIMEOUT", [b"compiling\n"])]
)
def test_endless_samples_get_stuck_where_they_say(outcome, reached):
    with _process(outcome) as process:
        assert [process.stdout.readline() for _ in reached] == reached
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(timeout=0.5)
        process.kill()
        assert process.stdout.read() == b""


def test_there_is_a_sample_for_every_failure_that_a_kernel_can_cause():
    not_by_a_kernel = {Outcome.CORRECT, Outcome.UNMEASURED}
    assert set(samples.FAILING) == set(Outcome) - not_by_a_kernel
