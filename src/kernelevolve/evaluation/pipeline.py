"""The pipeline: gate, compile, check, screen; cheapest question first, and a candidate stops at its first failure.

`Evaluator` is one problem on one device. It owns the worker, the secret cases and the incumbent that candidates are
paired with. `kernelevolve.evaluation.confirm` is the last stage, for the few best.
"""

from __future__ import annotations

__all__ = ["Anchor", "Evaluator", "Settings"]

import contextlib
import itertools
import random
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, Self

from attrs import evolve, frozen

from kernelevolve.accelerator import Accelerator, Artifact, CompilesOnHost, Device, Realm
from kernelevolve.evaluation.cache import CompileCache
from kernelevolve.evaluation.casebook import CaseBook, PreparedCase
from kernelevolve.evaluation.check import check_case, verify
from kernelevolve.evaluation.compilers import Compilers
from kernelevolve.evaluation.gate import Gate
from kernelevolve.evaluation.isolation import Limits, Worker
from kernelevolve.evaluation.measure import Protocol
from kernelevolve.evaluation.profile import describe
from kernelevolve.evaluation.records import CheckSummary, Evaluation, Stage, Timing
from kernelevolve.evaluation.runner import Contestant, Runner, Staged
from kernelevolve.evaluation.screen import Anchor, Screen
from kernelevolve.kernel import Configuration, Kernel, configuration_label
from kernelevolve.outcome import CandidateError, ConstraintViolated, Outcome
from kernelevolve.plan import LaunchPlan
from kernelevolve.problem import Problem, Workload

#: How many sets of inputs timed launches rotate over: every sample finds other contents than the one before.
ROTATIONS = 2
#: Check cases up to this size run twice: large ones cost most of a check and show nothing that these do not.
REPEATED_BYTES = 1 << 20
#: A kernel that serves fewer of the hidden cases is checked on sizes that it does serve as well.
FEWEST_SERVED = 4
#: Timed workloads up to this size are verified on every set of inputs after each screen, larger ones on one of them.
VERIFIED_BYTES = 64 << 20


#: What a candidate may suffer from memory that an earlier one corrupted or kept in the same process: such a failure
#: counts only when it is repeated in a fresh one.
_PERHAPS_INHERITED = frozenset({Outcome.DEVICE_FAULT, Outcome.OUT_OF_MEMORY, Outcome.PLUGIN_BUG})


@frozen
class Settings:
    """How candidates are evaluated."""

    limits: Limits = Limits()
    protocol: Protocol = Protocol()
    #: Bytes of inputs and outputs of one check case, at most.
    check_bytes: int = 16 << 20
    #: The same on an emulated device: what takes a chip microseconds takes its emulator seconds.
    emulated_check_bytes: int = 640 << 10
    #: After so many seconds of checking no further case is begun, and the summary says how many were left out; None:
    #: every case is checked. For interpreters, which take seconds for what a device does in microseconds.
    check_seconds: float | None = None
    #: A further configuration of a kernel that has passed every case is checked on so many, drawn for it, and on the
    #: others only if it is faster than the anchor; 0: always on all. Where compiling takes the time, on real devices.
    brief_cases: int = 2


class Evaluator:
    """Evaluates kernels for one problem on one device. A context manager: leaving it stops the worker.

    `secret` seeds the inputs of this run and is shown to nobody; `path` is how a worker imports the accelerator.
    """

    def __init__(
        self,
        problem: Problem,
        made: Accelerator,
        device: Device,
        *,
        workloads: Sequence[Workload],
        path: str,
        settings: Settings | None = None,
        cache: CompileCache | None = None,
        secret: int,
        alone: Callable[[], AbstractContextManager[None]] = nullcontext,
    ) -> None:
        self.problem, self.device, self.workloads = problem, device, tuple(workloads)
        #: Entered while the device is used: keeps what else would time on it away.
        self.alone = alone
        self.settings = settings or Settings()
        self.worker = Worker(made, device, path=path, limits=self.settings.limits)
        kept = cache or CompileCache()
        self.compilers = (
            Compilers(made, path=path, limits=self.settings.limits, cache=kept)
            if isinstance(made, CompilesOnHost) and made.compiles_on_host
            else None
        )
        self.runner = Runner(self.worker, device.target, kept, self.compilers)
        emulated = device.realm is Realm.EMULATED
        limit = self.settings.emulated_check_bytes if emulated else self.settings.check_bytes
        # An emulated search repeats itself if it times the same inputs; checks and the confirmation keep their secrets.
        timed = 0 if emulated else None
        self.book = CaseBook(problem, secret, limit_bytes=limit, dtypes=device.dtypes, timed=timed)
        self.gate = Gate(problem, device.facts, memory=device.memory.get("global"))
        #: Orders timed launches.
        self.rng = random.Random(secret)
        self._anchored: OrderedDict[str, dict[str, Contestant]] = OrderedDict()
        #: The worker process in which the last candidate ran.
        self._used = -1
        self._secret = secret
        #: Of kernels, by digest, the configurations that passed every case.
        self._passed: dict[str, set[str]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.worker.stop()
        if self.compilers is not None:
            self.compilers.stop()

    def prefetch(self, kernel: Kernel, configurations: Sequence[Configuration], *, soon: bool = False) -> None:
        """Begin to compile these configurations beside whatever runs, for all that their evaluation will need.

        `soon`: before what was asked for earlier without it. Does nothing where the accelerator compiles on the device.
        What fails here fails again when it is evaluated.
        """
        if self.compilers is None:
            return
        for configuration in configurations:
            self.runner.prefetch(self._plans(kernel, configuration), soon=soon)

    def _plans(self, kernel: Kernel, configuration: Configuration) -> list[LaunchPlan]:
        """What is compiled to time and check a kernel; nothing of what the gate refuses."""
        first = [] if self.device.realm is Realm.INTERPRETED else self.cases(kernel, configuration)[0]
        return self._admitted(kernel, configuration, [*self.workloads, *(case.workload for case in first)])

    def _admitted(
        self, kernel: Kernel, configuration: Configuration, workloads: Iterable[Workload]
    ) -> list[LaunchPlan]:
        plans = []
        for workload in workloads:
            with contextlib.suppress(CandidateError):
                plans.append(self.gate.plan(kernel, configuration, workload))
        return plans

    @property
    def is_brief(self) -> bool:
        """Whether further configurations of a kernel that is known to be right are checked on few cases at first."""
        compiles = self.compilers is not None and self.device.realm is Realm.HARDWARE
        return compiles and self.settings.brief_cases > 0

    def cases(self, kernel: Kernel, configuration: Configuration) -> tuple[list[PreparedCase], list[PreparedCase]]:
        """What a configuration is checked on before it is timed, and what it is checked on if it turns out faster.

        The second part is empty unless the kernel has passed every case in another configuration.
        """
        known = list(self.book.checks())
        if not self.is_brief or kernel.digest not in self._passed:
            return known, []
        draw = random.Random(f"{self._secret} {kernel.digest} {configuration_label(configuration)}")
        served = (case for case in draw.sample(known, len(known)) if self._serves(kernel, configuration, case))
        first = list(itertools.islice(served, self.settings.brief_cases))
        if len(first) < self.settings.brief_cases:
            return known, []
        return first, [case for case in known if case not in first]

    def prefetch_cases(self, kernel: Kernel, configuration: Configuration, cases: Iterable[PreparedCase]) -> None:
        """Begin to compile what these cases need, before what is meant for other kernels."""
        self.runner.prefetch(self._admitted(kernel, configuration, [case.workload for case in cases]), soon=True)

    def _serves(self, kernel: Kernel, configuration: Configuration, case: PreparedCase) -> bool:
        try:
            self.gate.plan(kernel, configuration, case.workload)
        except ConstraintViolated:
            return False
        return True

    def note_passed(self, kernel: Kernel, configuration: Configuration) -> None:
        """Remember that a configuration has passed every case."""
        self._passed.setdefault(kernel.digest, set()).add(configuration_label(configuration))

    def check(self, kernel: Kernel, configuration: Configuration) -> None:
        """Check a configuration on every case, in a fresh process, unless it has passed them all here already.

        Raises the `CandidateError` that it fails with.
        """
        if configuration_label(configuration) in self._passed.get(kernel.digest, ()):
            return
        self.worker.stop()  # what ran in it may have left something behind
        with self.alone():
            _Evaluation(self, kernel, dict(configuration), None, None).check_everything()
        self._used = self.worker.generation

    def warm_up(self) -> None:
        """Start the worker and compute the oracle before the first candidate, so that neither counts as its time."""
        self.worker.start()
        if not self.computes:
            return
        for case in self.book.checks():
            case.expected  # noqa: B018  # computed on first use
        for workload in self.workloads:
            self.book.rotations(workload, ROTATIONS)

    def evaluate(
        self,
        kernel: Kernel,
        configuration: Configuration | None = None,
        anchor: Anchor | None = None,
        baseline: Anchor | None = None,
    ) -> Evaluation:
        """Judge one kernel in one configuration. Never raises for what a candidate does.

        Paired with `anchor` where there is one; without, the candidate is the baseline itself and its fitness is 1. One
        that beats the anchor is measured against `baseline` too (default: the anchor).
        """
        chosen = dict(configuration) if configuration is not None else kernel.default
        used = self.worker.pid is not None and self._used == self.worker.generation
        with self.alone():
            found = _Evaluation(self, kernel, chosen, anchor, baseline or anchor).run()
            if used and found.outcome in _PERHAPS_INHERITED:
                self.worker.stop()
                found = _Evaluation(self, kernel, chosen, anchor, baseline or anchor).run()
        self._used = self.worker.generation
        return found

    @property
    def computes(self) -> bool:
        """Whether the device computes results at all; a recording has times, and its word on correctness."""
        return self.device.realm is not Realm.REPLAY

    def contestant(self, kernel: Kernel, configuration: Configuration, workload: Workload) -> Contestant:
        """`kernel` ready to be timed on `workload`."""
        plan = self.gate.plan(kernel, configuration, workload)
        name = f"{kernel.digest}/{configuration_label(configuration)}/{workload.label}"
        cases = self.book.rotations(workload, ROTATIONS) if self.computes else ()
        return Contestant(name, plan, tuple(case.staged for case in cases) or (Staged("recorded", {}),))

    def anchored(self, anchor: Anchor) -> Mapping[str, Contestant]:
        """An anchor's contestants by workload, kept prepared while it is one of the last two that were asked for."""
        key = f"{anchor.kernel.digest}/{configuration_label(anchor.configuration)}"
        if key not in self._anchored:
            while len(self._anchored) > 1:
                self._leave(self._anchored.popitem(last=False)[1])
            ring = {w.label: self.contestant(anchor.kernel, anchor.configuration, w) for w in self.workloads}
            self._anchored[key] = ring
        self._anchored.move_to_end(key)
        return self._anchored[key]

    def is_anchored(self, contestant: Contestant) -> bool:
        """Whether some anchor is this very contestant, whose buffers must stay."""
        return any(contestant.name == one.name for ring in self._anchored.values() for one in ring.values())

    def release_anchors(self) -> None:
        """Give back the anchors' buffers."""
        while self._anchored:
            self._leave(self._anchored.popitem()[1])

    def _leave(self, ring: Mapping[str, Contestant]) -> None:
        for contestant in ring.values():
            self.runner.leave(contestant)

    def verify(self, contestant: Contestant, workload: Workload) -> None:
        """Judge what the last timed launches left. Raises `WrongResult`, `InputModified` or `OutOfBounds`.

        Of large workloads one set of inputs is judged, and which one nobody knows before; the confirmation judges all.
        """
        cases = list(enumerate(self.book.rotations(workload, ROTATIONS) if self.computes else ()))
        if cases and cases[0][1].nbytes > VERIFIED_BYTES:
            cases = [self.rng.choice(cases)]
        for rotation, case in cases:
            verify(self.runner, contestant.plan, case, contestant.handle(rotation))


class _Evaluation:
    """One pass through the pipeline: the state that its stages share."""

    def __init__(
        self,
        owner: Evaluator,
        kernel: Kernel,
        configuration: Configuration,
        anchor: Anchor | None,
        baseline: Anchor | None,
    ) -> None:
        self.owner, self.kernel, self.configuration = owner, kernel, configuration
        self.anchor, self.baseline = anchor, baseline
        self.stage = Stage.GATE
        self.spent: dict[str, float] = {}
        self.checks = CheckSummary()
        self.timings: tuple[Timing, ...] = ()
        self.fitness = 0.0
        self.profile: dict[str, Any] = {}
        self.plans: dict[str, LaunchPlan] = {}
        self.artifact: Artifact | None = None
        #: Cases that it is checked on if it turns out faster.
        self.left: list[PreparedCase] = []

    def run(self) -> Evaluation:
        try:
            for stage, work in self._stages():
                with self._within(stage):
                    work()
        except CandidateError as error:
            return self._result(error.outcome, error.message, error.details)
        if not self.owner.device.realm.has_clock:
            return self._result(Outcome.UNMEASURED, "right; this device has no clock", {})
        return self._result(Outcome.CORRECT, str(self.profile.get("bottleneck", "")), {})

    def _stages(self) -> Iterator[tuple[Stage, Callable[[], None]]]:
        yield Stage.GATE, self._gate
        yield Stage.COMPILE, self._compile
        if self.owner.computes:
            yield Stage.CHECK, self._check
        if self.owner.device.realm.has_clock:
            yield Stage.SCREEN, self._screen
        if self.left and self._promising():
            yield Stage.CHECK, self._check_rest
            self.stage = Stage.SCREEN  # the last rung of the ladder is what the evaluation has reached

    @contextmanager
    def _within(self, stage: Stage) -> Iterator[None]:
        self.stage = stage
        begin = time.perf_counter()
        try:
            yield
        finally:
            self.spent[stage] = self.spent.get(stage, 0.0) + time.perf_counter() - begin

    def _result(self, outcome: Outcome, message: str, details: Mapping[str, Any]) -> Evaluation:
        return Evaluation(
            outcome=outcome,
            stage=self.stage,
            message=message,
            details=dict(details),
            configuration=dict(self.configuration),
            checks=self.checks,
            timings=self.timings,
            fitness=self.fitness if outcome is Outcome.CORRECT else 0.0,
            resources=self.artifact.resources if self.artifact else {},
            profile=self.profile,
            stages=self.artifact.stages if self.artifact else {},
            spent=dict(self.spent),
        )

    def _gate(self) -> None:
        self.owner.gate.admit(self.kernel)
        for workload in self.owner.workloads:
            self.plans[workload.label] = self.owner.gate.plan(self.kernel, self.configuration, workload)

    def _compile(self) -> None:
        self.owner.prefetch(self.kernel, [self.configuration], soon=True)
        for plan in self.plans.values():
            self.artifact = self.owner.runner.compile(plan)

    def _check(self) -> None:
        cases, self.left = self.owner.cases(self.kernel, self.configuration)
        self.checks = CheckSummary(planned=len(cases) + len(self.left))
        if self._check_cases(cases):
            self.checks = evolve(self.checks, skipped=len(self.left))
            if not self.left:
                self._pass()

    def _check_cases(self, cases: Sequence[PreparedCase]) -> bool:
        """Check these; False where there was no time for all of them."""
        limit = self.owner.settings.check_seconds
        begin = time.monotonic()
        for index, case in enumerate(cases):
            if limit is not None and time.monotonic() - begin > limit and self.checks.passed:
                self.checks = evolve(self.checks, skipped=len(cases) - index)
                return False
            try:
                plan = self.owner.gate.plan(self.kernel, self.configuration, case.workload)
            except ConstraintViolated:  # a specialised kernel: it says itself that it does not serve this size
                self.checks = evolve(self.checks, unserved=self.checks.unserved + 1)
                continue
            self._check_case(plan, case, repeat=self._repeats(index, case))
        return True

    def _promising(self) -> bool:
        """Whether this may become what others are measured against, or what a run ends with."""
        return self.anchor is None or self.fitness > self.anchor.fitness

    def _check_rest(self) -> None:
        """The cases that were left out until it was known to be worth them."""
        self.checks = evolve(self.checks, skipped=0)
        try:
            self._check_all(self.left)
        except CandidateError:
            self.timings, self.profile = (), {}  # no time of a wrong kernel is kept
            raise

    def check_everything(self) -> None:
        """Every case, whatever is known of the kernel. Raises what it fails with."""
        self._gate()
        self._check_all(self.owner.book.checks())

    def _check_all(self, cases: Sequence[PreparedCase]) -> None:
        """The last of all cases, which are being compiled meanwhile."""
        self.owner.prefetch_cases(self.kernel, self.configuration, cases)
        if self._check_cases(cases):
            self._pass()

    def _pass(self) -> None:
        """Every case is passed or not served."""
        if self.checks.passed < FEWEST_SERVED:
            self._check_served_sizes()
        self.owner.note_passed(self.kernel, self.configuration)

    def _check_case(self, plan: LaunchPlan, case: PreparedCase, *, repeat: bool) -> None:
        same = check_case(self.owner.runner, plan, case, repeat=repeat)
        deterministic = self.checks.deterministic and same
        self.checks = evolve(self.checks, passed=self.checks.passed + 1, deterministic=deterministic)

    def _check_served_sizes(self) -> None:
        """A kernel that serves hardly any of the hidden sizes is checked where it does serve, on every kind of inputs.

        The last resort are the timed sizes themselves, so that nothing is ever called right unchecked.
        """
        book, before = self.owner.book, self.checks.passed
        for workload in self.owner.workloads:
            for case in book.like(workload):
                with contextlib.suppress(ConstraintViolated):
                    self._check_further(self.owner.gate.plan(self.kernel, self.configuration, case.workload), case)
        if self.checks.passed == before:
            for workload in self.owner.workloads:
                for case in book.rotations(workload, ROTATIONS):
                    self._check_further(self.plans[workload.label], case)

    def _check_further(self, plan: LaunchPlan, case: PreparedCase) -> None:
        self.checks = evolve(self.checks, planned=self.checks.planned + 1)
        self._check_case(plan, case, repeat=case.nbytes <= REPEATED_BYTES)

    def _repeats(self, index: int, case: PreparedCase) -> bool:
        """Run twice: the first case, and every small one with odd sizes (where remainders live)."""
        odd = any(size % 2 for size in case.workload.axes.values())
        return index == 0 or (odd and case.nbytes <= REPEATED_BYTES)

    def _screen(self) -> None:
        screen = Screen(self.owner, self.kernel, self.configuration, self.anchor, self.baseline)
        self.timings, self.fitness = screen.run()
        self.profile = describe(self.owner.problem, self.timings, self.owner.workloads, screen.profiles)
