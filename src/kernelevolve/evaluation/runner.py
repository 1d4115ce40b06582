"""Runs kernels in the worker: compile through the cache, prepare on buffers, launch, read back, take samples in rounds.

Keeps account of what the present worker process holds, so that a fresh one after a kill is filled again without anybody
noticing.
"""

from __future__ import annotations

__all__ = ["Contestant", "Runner", "Staged"]

import hashlib
import json
import random
import time
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from attrs import field, frozen

from kernelevolve.accelerator import Artifact, Interprets, Realm, Sample, Target
from kernelevolve.evaluation.cache import CompileCache, compile_digest
from kernelevolve.evaluation.compilers import MAX_ARTIFACT, Compilers
from kernelevolve.evaluation.isolation import Worker
from kernelevolve.evaluation.measure import shuffled_rounds
from kernelevolve.evaluation.wire import WireError, finite_seconds, structure, unstructure
from kernelevolve.outcome import CandidateError, PluginBug
from kernelevolve.plan import LaunchPlan, Role

#: Bytes of guard on each side of every buffer: beyond the reach of an off-by-one tile of 32 x 32 float64.
GUARD: Final = 8192
#: Loaded programs the worker keeps; a tuner comes back to few of them.
_PROGRAMS: Final = 64
#: The poison of timed launches: NaN in every float type, -1 in integers.
POISON: Final = 0xFF


@frozen
class Staged:
    """Inputs as the worker gets them. The key is unique within a run."""

    key: str
    inputs: Mapping[str, bytes] = field(hash=False, repr=False)


@frozen
class Contestant:
    """A plan in the ring: what one side of a paired measurement runs, once per rotation of inputs."""

    name: str
    plan: LaunchPlan
    rotations: tuple[Staged, ...]

    def handle(self, rotation: int) -> str:
        """The worker's name for this plan on one set of inputs."""
        return f"{self.name}/{self.rotations[rotation].key}"


class Runner:
    """One worker, and what it holds. With `compilers`, the worker compiles nothing itself."""

    def __init__(self, worker: Worker, target: Target, cache: CompileCache, compilers: Compilers | None = None) -> None:
        self.worker, self.target, self.cache, self.compilers = worker, target, cache, compilers
        made = worker.accelerator
        realm = worker.device.realm if worker.device else None
        self._interprets = made if realm is Realm.INTERPRETED and isinstance(made, Interprets) else None
        self._generation = -1
        self._programs: OrderedDict[str, None] = OrderedDict()
        self._staged: set[str] = set()
        #: By handle, the name of its program.
        self._prepared: dict[str, str] = {}

    def _sync(self) -> None:
        """Forget what an earlier process held."""
        self.worker.start()
        if self.worker.generation != self._generation:
            self._generation = self.worker.generation
            self._programs.clear()
            self._staged.clear()
            self._prepared.clear()

    def compile(self, plan: LaunchPlan) -> Artifact:
        """What the compiler makes of the plan, from the cache or anew. Raises what the compile failed with, also when
        the failure is only remembered.
        """
        if self.compilers is not None:
            return self.compilers.compile(plan, self.target)
        return self.program(plan)[1]

    def prefetch(self, plans: Iterable[LaunchPlan], *, soon: bool = False) -> None:
        """Let the compilers begin with these, where there are any; what runs on the device is not disturbed.

        `soon`: before what is meant for later.
        """
        if self.compilers is not None:
            self.compilers.prefetch(plans, self.target, soon=soon)

    def program(self, plan: LaunchPlan) -> tuple[str, Artifact]:
        """Have the plan's program in the worker; the worker's name of it, and the artifact. Raises as `compile`."""
        self._sync()
        if self._interprets is not None:
            artifact = self._interprets.interpret(plan)
            digest = _identity(artifact)
            if digest not in self._programs:
                self._load(digest, artifact)
        else:
            digest, artifact = self._compiled(plan)
        self._programs[digest] = None
        self._use(digest)
        while len(self._programs) > _PROGRAMS:
            oldest, _ = self._programs.popitem(last=False)
            self.worker.request("drop", {"program": oldest})
        return digest, artifact

    def _use(self, digest: str) -> None:
        """Of the programs in the worker this is the last to be dropped."""
        if digest in self._programs:
            self._programs.move_to_end(digest)

    def _compiled(self, plan: LaunchPlan) -> tuple[str, Artifact]:
        digest = compile_digest(self.worker.accelerator, plan, self.target)
        if self.compilers is not None:
            known: Artifact | CandidateError | None = self.compilers.compile(plan, self.target, digest)
        else:
            known = self.cache.get(digest)
        if isinstance(known, CandidateError):
            raise known
        if known is None:
            return digest, self._compile(digest, plan)
        if digest not in self._programs:
            self._load(digest, known)
        return digest, known

    def _compile(self, digest: str, plan: LaunchPlan) -> Artifact:
        body = {"program": digest, "plan": unstructure(plan), "target": unstructure(self.target)}
        try:
            answer, blobs = self.worker.request("compile", body, expect=MAX_ARTIFACT)
            stages = {name: bytes(blob) for name, blob in zip(answer["stages"], blobs, strict=True)}
            artifact = Artifact(stages, answer["resources"], answer["toolchain"], answer["log"], answer["extra"])
        except CandidateError as error:
            self.cache.put(digest, error)
            raise
        self.cache.put(digest, artifact)
        return artifact

    def _load(self, digest: str, artifact: Artifact) -> None:
        body = {
            "program": digest,
            "stages": list(artifact.stages),
            "resources": artifact.resources,
            "toolchain": dict(artifact.toolchain),
            "log": artifact.log,
            "extra": artifact.extra,
        }
        seconds = self.worker.limits.compile_seconds
        self.worker.request("load", body, list(artifact.stages.values()), seconds=seconds)

    def prepare(self, handle: str, plan: LaunchPlan, staged: Staged) -> None:
        """Have the plan on buffers of its own with these inputs, poisoned and ready; a no-op where it already is."""
        self._sync()
        if handle in self._prepared:  # before anything is computed: every sample asks
            self._use(self._prepared[handle])
            return
        digest, _ = self.program(plan)
        if staged.key not in self._staged:
            names = list(staged.inputs)
            self.worker.request("stage", {"case": staged.key, "names": names}, [staged.inputs[name] for name in names])
            self._staged.add(staged.key)
        body = {"handle": handle, "program": digest, "plan": unstructure(plan), "case": staged.key, "guard": GUARD}
        self.worker.request("prepare", body)
        self._prepared[handle] = digest
        self.reset(handle, POISON)

    def reset(self, handle: str, pattern: int) -> None:
        """Poison all buffers and guard zones with `pattern`, and write the inputs anew."""
        self.worker.request("reset", {"handle": handle, "pattern": pattern})

    def launch(self, handle: str) -> None:
        """Run the plan once and wait. Raises `RunTimeout`, `DeviceFault` and the like."""
        self.worker.request("launch", {"handle": handle})

    def read(self, handle: str, plan: LaunchPlan, roles: Iterable[Role], *, guards: bool) -> dict[str, bytearray]:
        """The contents of the plan's buffers of these roles; with `guards`, front guard + payload + back guard."""
        wanted = set(roles)
        buffers = [buffer for buffer in plan.buffers if buffer.role in wanted]
        expect = sum(buffer.nbytes + (4 * GUARD + 65536 if guards else 0) for buffer in buffers)
        names = [buffer.name for buffer in buffers]
        _, data = self.worker.request("read", {"handle": handle, "names": names, "guards": guards}, expect=expect)
        return dict(zip(names, data, strict=True))

    def release(self, handles: Iterable[str]) -> None:
        """Give back buffers; unknown handles are ignored."""
        for handle in handles:
            if self.worker.generation == self._generation and self.worker.pid and handle in self._prepared:
                del self._prepared[handle]
                self.worker.request("release", {"handle": handle})

    def unstage(self, keys: Iterable[str]) -> None:
        """Let the worker forget inputs."""
        for key in keys:
            if self.worker.generation == self._generation and self.worker.pid and key in self._staged:
                self._staged.discard(key)
                self.worker.request("unstage", {"case": key})

    def enter(self, contestant: Contestant) -> None:
        """Prepare every rotation of a contestant and launch each once, so that nothing is compiled while timing."""
        for rotation, staged in enumerate(contestant.rotations):
            handle = contestant.handle(rotation)
            fresh = handle not in self._prepared or self.worker.generation != self._generation
            self.prepare(handle, contestant.plan, staged)
            if fresh:
                self.launch(handle)

    def leave(self, contestant: Contestant) -> None:
        """Release a contestant's buffers."""
        self.release([contestant.handle(rotation) for rotation in range(len(contestant.rotations))])

    def rounds(
        self,
        sides: Sequence[Contestant],
        rounds: int,
        rng: random.Random,
        *,
        flush: bool,
        launches: int = 1,
        first: int = 0,
    ) -> dict[str, list[Sample]]:
        """Sample every side once per round, in random order, each round on the next rotation of inputs.

        Returns the samples by contestant's name.
        """
        by_name = {side.name: side for side in sides}
        order = shuffled_rounds(list(by_name), rounds, rng)
        turns = [(by_name[name], first + index // len(sides)) for index, name in enumerate(order)]
        samples, _ = self.sample(turns, flush=flush, launches=launches)
        found: dict[str, list[Sample]] = {name: [] for name in by_name}
        for name, sample in zip(order, samples, strict=True):
            found[name].append(sample)
        return found

    def sample(
        self, turns: Sequence[tuple[Contestant, int]], *, flush: bool, launches: int = 1
    ) -> tuple[list[Sample], float]:
        """One sample per turn (who, and which round), in this order; and the wall seconds on the engine's own clock."""
        for contestant in {contestant.name: contestant for contestant, _ in turns}.values():
            self.enter(contestant)
        handles = [contestant.handle(turn % len(contestant.rotations)) for contestant, turn in turns]
        body = {"order": handles, "flush": flush, "launches": launches, "pattern": POISON}
        seconds = self.worker.limits.run_seconds * max(1, len(turns) // 8)
        begin = time.perf_counter()
        answer, _ = self.worker.request("sample", body, seconds=seconds)
        wall = time.perf_counter() - begin
        samples = [_sample(value) for value in answer.get("samples", [])]
        if len(samples) != len(turns):
            raise PluginBug(f"{len(turns)} samples were asked for and {len(samples)} came", traceback="")
        return samples, wall

    def profile(self, contestant: Contestant) -> dict[str, Any]:
        """Where the time goes on the contestant's first inputs, as the device tells; empty where it cannot."""
        self.enter(contestant)
        answer, _ = self.worker.request("profile", {"handle": contestant.handle(0), "pattern": POISON})
        found = answer.get("profile")
        if not isinstance(found, dict):
            raise PluginBug(f"a profile was asked for and {type(found).__name__} came", traceback="")
        return found


def _identity(artifact: Artifact) -> str:
    """A name for what an interpreter loads: everything that it runs by."""
    text = json.dumps([sorted(artifact.stages), artifact.extra], sort_keys=True, default=str)
    return hashlib.sha256(b"\0".join([text.encode(), *artifact.stages.values()])).hexdigest()


def _sample(value: Any) -> Sample:
    try:
        sample = structure(value, Sample)
        finite_seconds(sample.seconds)
        if sample.host_seconds is not None:
            finite_seconds(sample.host_seconds)
    except WireError as error:
        raise PluginBug(f"the worker's sample is none: {error}", traceback="") from None
    return sample
