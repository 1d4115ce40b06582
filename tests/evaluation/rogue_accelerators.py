"""Accelerators that misbehave, for tests of isolation: imported by real workers as ``rogue_accelerators:Rogue``.

`Rogue` is the reference accelerator with one bad habit, told to the worker through its environment. The folder of this
file must be on PYTHONPATH.
"""

from __future__ import annotations

import atexit
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from attrs import evolve

from kernelevolve.accelerator import Artifact, Device, Realm, Sample, Source, Target
from kernelevolve.outcome import DeviceFault
from kernelevolve.testing.accelerator import ReferenceAccelerator
from kernelevolve.testing.session import ReferenceSession

HABIT = "ROGUE_HABIT"
SLEEPER = (
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); "
    "signal.signal(signal.SIGHUP, signal.SIG_IGN); time.sleep(600)"
)


def sink() -> int:
    return int(sys.argv[sys.argv.index("--sink") + 1])


class RogueSession(ReferenceSession):
    habit = ""
    loads = 0

    def load(self, artifact: Any) -> Any:
        self.loads += 1
        if self.habit == "corrupted-by-the-first" and self.loads > 1:
            os.abort()  # what a heap does that an earlier kernel wrote to
        return super().load(artifact)

    def launch(self, call: Any) -> None:
        kind, _, value = self.habit.partition(":")
        if kind == "write":
            os.write(sink(), bytes.fromhex(value))
        elif kind == "close":
            os.close(sink())
            time.sleep(600)
        elif kind == "exit":
            os._exit(int(value))
        elif kind == "kill":
            os.kill(os.getpid(), int(value))
        elif kind == "hang":
            time.sleep(600)
        elif kind == "fault":
            raise DeviceFault("illegal address", signal=None)
        elif kind == "eat":
            self.eaten = b"x" * int(value)
            time.sleep(600)
        super().launch(call)

    def download(self, buffer: Any, *, guards: bool = False) -> bytes:
        data = super().download(buffer, guards=guards)
        if self.habit == "short-download":
            return data[:-4]
        if self.habit == "long-download":
            return data + bytes(1 << 20)
        return data

    def time(self, call: Any, *, launches: int = 1) -> Sample:
        kind, _, value = self.habit.partition(":")
        sample = super().time(call, launches=launches)
        if kind == "sample":
            return evolve(sample, seconds=eval(value))
        if kind == "clock":  # so many seconds of work, of which a thousandth is admitted
            time.sleep(float(value))
            return Sample(float(value) / 1000, Source.DEVICE_EVENT, launches, float(value) / 1000)
        if kind == "honest-clock":
            time.sleep(float(value))
            return Sample(float(value), Source.DEVICE_EVENT, launches, float(value))
        if kind == "two-clocks":
            self.turns = getattr(self, "turns", 0) + 1
            return evolve(sample, source=(Source.HOST_WALL, Source.DEVICE_EVENT)[self.turns % 2])
        return sample


class Rogue(ReferenceAccelerator):
    """The reference accelerator with the habit that it is made with, or that the environment names."""

    def __init__(self, habit: str | None = None) -> None:
        self.habit = os.environ.get(HABIT, "") if habit is None else habit

    def environment(self) -> Mapping[str, str]:
        return {HABIT: self.habit}

    @contextmanager
    def open(self, device: Device) -> Iterator[RogueSession]:
        match self.habit:
            case "no-device":
                raise OSError("the chip does not answer on bus 7")
            case "silent":
                time.sleep(600)
            case "deaf":
                signal.signal(signal.SIGTERM, signal.SIG_IGN)
            case "child":
                subprocess.Popen([sys.executable, "-c", SLEEPER])
            case "child-of-its-own-session":
                subprocess.Popen([sys.executable, "-c", SLEEPER], start_new_session=True)
            case "exit-hook":
                atexit.register(lambda: os.write(sink(), b"forged"))
        session = RogueSession(device)
        session.habit = self.habit
        try:
            yield session
        finally:
            session.close()


class HostCompiled(Rogue):
    """Compiles in processes that open no device; the habit is the compiler's."""

    compiles_on_host = True

    def compile(self, plan: Any, target: Target) -> Artifact:
        kind, _, value = self.habit.partition(":")
        if kind == "slow-compiler":
            time.sleep(float(value))
        elif kind == "crashing-compiler" and value in plan.source:
            os.abort()
        artifact = super().compile(plan, target)
        return evolve(artifact, extra={**artifact.extra, "compiled by": os.getpid()})


class Interpreted(HostCompiled):
    """No clock: sources are run as they are, and compiled beside that."""

    def devices(self) -> tuple[Device, ...]:
        return tuple(evolve(device, realm=Realm.INTERPRETED) for device in super().devices())

    def interpret(self, plan: Any) -> Artifact:
        return ReferenceAccelerator.compile(self, plan, self.targets()[0])

    def stand_in(self, target: Target) -> Device:
        return evolve(self.devices()[0], target=target)
