"""An open emulated chip: runs launches in the executor, and takes their time from the machine model."""

from __future__ import annotations

__all__ = ["MTIASession"]

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from kernelevolve.accelerator import Artifact, Buffer, BufferSpec, Call, Device, Program, Sample, Source
from kernelevolve.backends.mtia.buffers import EmulatedBuffer
from kernelevolve.backends.mtia.executor import prepare
from kernelevolve.backends.mtia.launching import EmulatedCall, EmulatedProgram, Launch, Run
from kernelevolve.backends.mtia.model import ChipParameters, ModelOptions
from kernelevolve.backends.mtia.program import from_json
from kernelevolve.backends.mtia.reporting import profile_record
from kernelevolve.outcome import OutOfMemory
from kernelevolve.plan import PlannedLaunch


class MTIASession:
    """Satisfies `kernelevolve.accelerator.Session`, `FlushesCache` and `Profiles`. Launches run when somebody waits."""

    def __init__(self, device: Device, chip: ChipParameters) -> None:
        self.device = device
        self._chip = chip
        self._queue: list[EmulatedCall] = []
        self._allocated = 0
        #: The call whose data the chip's cache holds.
        self._cached: EmulatedCall | None = None

    def close(self) -> None:
        """Drop what is queued."""
        self._queue.clear()

    def load(self, artifact: Artifact) -> Program:
        """Read the entries' programs and choose a function for each operation."""
        extra = artifact.extra
        if extra["chip"] != self._chip.name:
            raise ValueError(f"load: compiled for {extra['chip']}, this device is {self._chip.name}")
        stages = {name: artifact.stages[f"mtia:{name}"] for name in extra["entries"]}
        parts = [json.dumps([extra["options"], sorted(stages)], sort_keys=True).encode(), *stages.values()]
        return EmulatedProgram(
            chip=self._chip,
            entries={name: prepare(from_json(data)) for name, data in stages.items()},
            options=ModelOptions(**extra["options"]),
            strict=bool(extra["strict"]),
            digest=hashlib.sha256(b"\0".join(parts)).hexdigest(),
        )

    def allocate(self, spec: BufferSpec) -> Buffer:
        """One array for guards and payload."""
        needed, limit = spec.nbytes + 2 * spec.guard, self.device.memory["global"]
        if self._allocated + needed > limit:
            message = f"{needed} bytes more than the {self._allocated} in use; the device has {limit}"
            raise OutOfMemory(message, needed=self._allocated + needed, limit=limit)
        buffer = EmulatedBuffer(spec)
        self._allocated += needed
        return buffer

    def free(self, buffer: Buffer) -> None:
        """Give memory back, after what was launched."""
        self.synchronize()
        own = _own(buffer)
        own.alive = False
        self._allocated -= own.spec.nbytes + 2 * own.spec.guard

    def fill(self, buffer: Buffer, pattern: int, *, guards: bool) -> None:
        """Set bytes, after what was launched."""
        self.synchronize()
        _own(buffer).fill(pattern, guards=guards)

    def upload(self, buffer: Buffer, data: memoryview) -> None:
        """Copy to the payload, after what was launched."""
        self.synchronize()
        _own(buffer).upload(data)

    def download(self, buffer: Buffer, *, guards: bool = False) -> bytes:
        """Copy, after what was launched."""
        self.synchronize()
        own = _own(buffer)
        return bytes((own.whole if guards else own.payload).data)

    def bind(self, program: Program, launches: Sequence[PlannedLaunch], buffers: Mapping[str, Buffer]) -> Call:
        """Put names and numbers in the places of the kernels' parameters."""
        if not isinstance(program, EmulatedProgram):
            raise TypeError(f"a {type(program).__name__} is no program of this session")
        own = {name: _own(buffer) for name, buffer in buffers.items()}
        return EmulatedCall(self, program, [Launch.of(program, launch) for launch in launches], own)

    def launch(self, call: Call) -> None:
        """Queue the plan's launches."""
        self._queue.append(self._checked(call))

    def synchronize(self) -> None:
        """Run what is queued, in order. A failure drops the rest."""
        queue, self._queue = self._queue, []
        for call in queue:
            call.run()
            self._cached = call

    def flush(self) -> None:
        """Leave nothing in the chip's cache."""
        self.synchronize()
        self._cached = None

    def time(self, call: Call, *, launches: int = 1) -> Sample:
        """Cycles of the machine model. The caches are warm where the last thing that ran is this call, else cold."""
        self.synchronize()
        own = self._checked(call)
        cycles = 0
        for _ in range(launches):
            cycles += self._timed(own)[0]
            self._cached = own
        mean = cycles / launches
        return Sample(mean * self._chip.cycle_seconds, Source.EMULATED_CYCLES, launches, cycles=round(mean))

    def _timed(self, call: EmulatedCall) -> tuple[int, Run]:
        run = call.run()
        return run.estimate(call.program, cold=self._cached is not call).cycles, run

    def profile(self, call: Call) -> Mapping[str, Any]:
        """Where one run of the plan from cold caches spends its time; JSON values. Runs it."""
        self.synchronize()
        own = self._checked(call)
        run = own.run()
        self._cached = own
        return profile_record(run.estimate(own.program, cold=True), run, self._chip)

    def _checked(self, call: Call) -> EmulatedCall:
        if not isinstance(call, EmulatedCall) or call.owner is not self:
            raise TypeError("the call was bound by another session")
        freed = [name for name, buffer in call.buffers.items() if not buffer.alive]
        if freed:
            raise ValueError(f"{freed[0]} was freed after it was bound")
        return call


def _own(buffer: Buffer) -> EmulatedBuffer:
    if not isinstance(buffer, EmulatedBuffer):
        raise TypeError(f"a {type(buffer).__name__} is no buffer of this session")
    return buffer
