"""PyTorch in a process of its own: who takes part, whether they are right, and what their clock counts."""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from kernelevolve import Problem, registry
from kernelevolve.accelerator import Device, Realm, Source, Target
from kernelevolve.errors import UnknownNameError
from kernelevolve.evaluation.casebook import CaseBook, PreparedCase
from kernelevolve.evaluation.torch_baseline import TorchBaseline, torch_device
from kernelevolve.evaluation.torch_process import PyTorch, implementation_names
from kernelevolve.evaluation.torch_session import FIRST_SPIN, LONGEST_SPIN, DeviceClock, failure
from kernelevolve.outcome import Outcome, Unstable, from_record

#: A problem with a right alternative, a wrong one, one that raises, one of another shape, and one that grows TF32 back.
FILE = """
import torch
from kernelevolve import Problem, ScalarSpec, TensorSpec

def reference(x, w, scale, cols):
    assert cols == x.shape[-1]
    return x * w * scale

def broken(x, w, scale):
    raise NotImplementedError("no kernel for this")

def tf32(x, w, scale):
    torch.backends.cudnn.allow_tf32 = True
    return x * w * scale

problem = Problem(
    name="scaled", axes=("rows", "cols"), scalars=(ScalarSpec("scale", 2.5),),
    inputs=(TensorSpec("x", "rows, cols"), TensorSpec("w", "cols")), outputs=(TensorSpec("y", "rows, cols"),),
    reference=reference, workloads=("rows=33,cols=65", "rows=7,cols=5"),
    baselines={
        "twin": lambda w, x, scale: scale * (w * x),
        "off": lambda x, w, scale: x * w * (scale * 1.01),
        "broken": broken,
        "narrow": lambda x, w, scale: (x * w * scale)[:, :1],
        "tf32": tf32,
    },
)
"""


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("problem") / "scaled.py"
    path.write_text(FILE)
    return f"{path}:problem"


@pytest.fixture(scope="module")
def problem(reference: str) -> Problem:
    return registry.problem(reference)


@pytest.fixture(scope="module")
def eager(reference: str, problem: Problem) -> Iterator[TorchBaseline]:
    """Every eager implementation, entered on two cases."""
    with TorchBaseline(threads=1) as made:
        made.enter(reference, problem, _cases(problem, 2), implementation_names(problem, ["eager"]))
        yield made


def _cases(problem: Problem, count: int, secret: int = 5, workload: int = 0) -> tuple[PreparedCase, ...]:
    book = CaseBook(problem, secret, limit_bytes=0, dtypes=["float32"])
    return book.rotations(problem.workloads[workload], count)


def test_an_implementation_that_fails_takes_no_part_and_the_others_do(eager: TorchBaseline) -> None:
    assert set(eager.implementations) == {"eager", "eager:twin", "eager:off"}
    assert set(eager.failures) == {"eager:broken", "eager:narrow", "eager:tf32"}
    assert "NotImplementedError: no kernel for this" in eager.failures["eager:broken"]
    assert "shape (33, 1); the problem declares (33, 65)" in eager.failures["eager:narrow"]


def test_settings_are_stated_and_a_change_of_precision_is_refused(eager: TorchBaseline) -> None:
    assert eager.failures["eager:tf32"].startswith("TOOLCHAIN_ERROR: float32 would not be computed as float32")
    assert eager.settings["float32 matmul precision"] == "highest"
    assert (eager.settings["TF32 in matmul"], eager.settings["TF32 in cuDNN"]) == ("False", "False")
    assert eager.settings["threads"] == "1"
    assert eager.settings["torch"] == torch.__version__


def test_a_baseline_that_computes_something_else_is_reported(eager: TorchBaseline) -> None:
    for turn in range(2):
        for name in eager.implementations:
            eager.sample(name, turn, flush=False)
    differences = eager.verify()
    assert set(differences) == {"eager:off"}
    assert differences["eager:off"].startswith("WRONG_RESULT: output 'y'")


def test_a_sample_is_one_call_on_the_hosts_clock(eager: TorchBaseline) -> None:
    samples = [eager.sample("eager", turn, flush=True) for turn in range(5)]
    assert {sample.source for sample in samples} == {Source.HOST_WALL}
    assert all(0 < sample.seconds < 0.1 for sample in samples)
    assert eager.sample("eager", 0, flush=False, launches=7).launches == 7


def test_one_process_serves_one_workload_after_another(reference: str, problem: Problem) -> None:
    with TorchBaseline() as made:
        made.enter(reference, problem, _cases(problem, 1), ["eager", "eager:broken"])
        for cases in (_cases(problem, 3, secret=6), _cases(problem, 2, workload=1)):
            made.enter(reference, problem, cases, ["eager", "eager:off"])
            made.enter(reference, problem, cases, ["eager", "eager:off"])  # the same again costs nothing
            assert set(made.failures) == set()
            for turn in range(len(cases)):
                made.sample("eager", turn, flush=False)
            assert set(made.verify()) == {"eager:off"}


@pytest.mark.slow  # torch.compile's first use builds its C++ headers: twenty seconds
def test_compiled_implementations_are_right_and_one_that_cannot_be_compiled_is_out(
    tmp_path: Path,
) -> None:
    path = tmp_path / "compiled.py"
    text = FILE.replace("def tf32", "@torch._dynamo.disable\ndef tf32").replace("torch.backends.cudnn.allow", "allow")
    path.write_text(text)
    reference = f"{path}:problem"
    problem = registry.problem(reference)
    names = ["eager", "compile", "compile:twin", "compile:broken", "compile:tf32", "compile-max-autotune"]
    with TorchBaseline(threads=1) as made:
        made.enter(reference, problem, _cases(problem, 2), names)
        assert made.implementations == ("eager", "compile", "compile:twin", "compile-max-autotune")
        assert made.failures["compile:broken"].startswith("COMPILE_ERROR")
        assert "made no graph" in made.failures["compile:tf32"]
        assert [made.built[name]["graphs"] for name in made.implementations] == [0, 1, 1, 1]
        assert made.built["compile"]["compile_seconds"] > 0.1
        times = [made.sample("compile", turn, flush=False).seconds for turn in range(9)]
        assert statistics.median(times) < 0.1  # nothing is compiled in a sample
        assert made.verify() == {}


def test_a_gpu_that_is_not_there_is_named_with_what_there_is() -> None:
    with pytest.raises(UnknownNameError, match="0: cpu"):
        TorchBaseline("cuda:99")


@pytest.mark.parametrize(
    ("target", "index", "threads", "name"),
    [
        ("cuda:sm_90", 1, None, "cuda:1"),
        ("hip:gfx942", 0, None, "cuda:0"),
        ("opencl:nvidia-cuda-h100:2", 2, None, "cuda:0"),
        ("opencl:pocl", 0, 4, "cpu"),
    ],
)
def test_pytorchs_name_of_a_device(target: str, index: int, threads: int | None, name: str) -> None:
    device = Device("any", index, "any", Target(target), Realm.HARDWARE, facts={}, host_threads=threads)
    assert torch_device(device) == name


def test_every_mode_runs_the_reference_and_each_baseline(problem: Problem) -> None:
    assert implementation_names(problem, ["eager", "compile"])[:3] == ("eager", "eager:twin", "eager:off")
    assert len(implementation_names(problem)) == 3 * (1 + len(problem.baselines))


def test_the_process_gets_compilers_and_drivers_and_no_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", "/kept")
    monkeypatch.setenv("SECRET_API_KEY", "no")
    environment = PyTorch().environment()
    assert environment["TORCHINDUCTOR_CACHE_DIR"] == "/kept"
    assert "SECRET_API_KEY" not in environment


@pytest.mark.parametrize(
    ("error", "compiling", "outcome"),
    [
        (torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 9 GiB"), False, Outcome.OUT_OF_MEMORY),
        (MemoryError(), False, Outcome.OUT_OF_MEMORY),
        (RuntimeError("CUDA error: an illegal memory access was encountered"), False, Outcome.DEVICE_FAULT),
        (RuntimeError("CUDA error: an illegal memory access was encountered"), True, Outcome.DEVICE_FAULT),
        (ValueError("no lowering"), True, Outcome.COMPILE_ERROR),
        (ValueError("bad value"), False, Outcome.LAUNCH_ERROR),
        (Unstable("as it is", spread=None), True, Outcome.UNSTABLE),
    ],
)
def test_what_pytorch_raises_becomes_an_outcome(error: Exception, compiling: bool, outcome: Outcome) -> None:
    found = failure(error, "compile", compiling=compiling)
    assert found.outcome is outcome
    assert from_record(found.to_record()).message == found.message


class _FakeCuda:
    """A stream and a host on one simulated clock, in seconds: what an event sees is what a GPU's would."""

    def __init__(self) -> None:
        self.now = self.free = 0.0
        self.spins: list[float] = []

    def synchronize(self) -> None:
        self.now = max(self.now, self.free)

    def _sleep(self, cycles: int) -> None:
        self.spins.append(cycles / 2.5e9)
        self.work(cycles / 2.5e9)

    def work(self, seconds: float) -> None:
        self.free = max(self.free, self.now) + seconds

    def call(self, *, enqueue: float, work: float, waits: bool = False) -> tuple[Any, ...]:
        """One call of a user's function: Python first, then a kernel; perhaps wait for it."""
        self.now += enqueue
        self.work(work)
        if waits:
            self.synchronize()
        return ()

    def Event(self, *, enable_timing: bool) -> Any:
        assert enable_timing
        return _FakeEvent(self)


#: What asking costs, so that a host which polls gets ahead.
_QUERY = 1e-6


class _FakeEvent:
    def __init__(self, cuda: _FakeCuda) -> None:
        self._cuda, self.at = cuda, 0.0

    def record(self) -> None:
        self.at = max(self._cuda.now, self._cuda.free)

    def query(self) -> bool:
        reached = self._cuda.now >= self.at
        self._cuda.now += _QUERY
        return reached

    def synchronize(self) -> None:
        self._cuda.now = max(self._cuda.now, self.at)

    def elapsed_time(self, other: _FakeEvent) -> float:
        return (other.at - self.at) * 1e3


class _FakeDeviceClock(DeviceClock):
    """Counts flushes instead of writing to a GPU."""

    flushes = 0

    def __init__(self, cuda: _FakeCuda) -> None:
        super().__init__(cuda, 0, lambda: cuda.now)

    def flush(self, nbytes: int) -> None:
        self.flushes += 1
        self._flushed = nbytes


@given(enqueue=st.floats(1e-6, 40e-3), work=st.floats(1e-6, 1.0))
def test_the_devices_time_is_counted_and_the_hosts_is_not(enqueue: float, work: float) -> None:
    cuda = _FakeCuda()
    clock = _FakeDeviceClock(cuda)
    clock.flush(0)
    sample, _ = clock.take(lambda: cuda.call(enqueue=enqueue, work=work), synchronises=False)
    assert sample.seconds == pytest.approx(work, rel=1e-6)
    assert sample.host_seconds == pytest.approx(work, abs=3 * _QUERY)  # a second witness, on another clock
    assert sample.source is Source.DEVICE_EVENT
    assert cuda.spins[-1] >= enqueue
    assert clock.flushes == len(cuda.spins)  # a sample that is taken again is as cold as the first try


def test_a_spin_that_was_long_enough_stays_and_a_short_host_is_never_waited_for_longer() -> None:
    cuda = _FakeCuda()
    clock = _FakeDeviceClock(cuda)
    for _ in range(3):
        clock.take(lambda: cuda.call(enqueue=10e-6, work=1e-3), synchronises=False)
    assert cuda.spins == pytest.approx([FIRST_SPIN] * 3)


def test_a_host_that_cannot_be_hidden_makes_no_sample() -> None:
    cuda = _FakeCuda()
    with pytest.raises(Unstable, match="enqueue one call"):
        _FakeDeviceClock(cuda).take(lambda: cuda.call(enqueue=2 * LONGEST_SPIN, work=1e-3), synchronises=False)


def test_a_call_that_waits_for_the_device_is_told_apart_and_counts_its_waiting() -> None:
    cuda = _FakeCuda()
    clock = _FakeDeviceClock(cuda)
    assert clock.hides(lambda: cuda.call(enqueue=1e-3, work=1e-3))
    assert not clock.hides(lambda: cuda.call(enqueue=1e-3, work=1e-3, waits=True))

    def call() -> tuple[Any, ...]:
        cuda.call(enqueue=0.0, work=2e-3, waits=True)
        return cuda.call(enqueue=5e-3, work=1e-3)

    sample, _ = clock.take(call, synchronises=True)
    assert sample.seconds == pytest.approx(8e-3, rel=1e-2)  # the device was idle while the host worked
