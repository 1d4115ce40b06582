"""The worker process: opens one device and runs candidates on it, or opens none and only compiles them.

One request at a time. It holds no expected values, no seeds and no keys. Everything it answers is checked by the
engine. Run as ``python -m kernelevolve.evaluation.worker``; talks over two inherited pipes.
"""

from __future__ import annotations

__all__ = ["main"]

import argparse
import ctypes
import os
import resource
import signal
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from statistics import fmean
from typing import Any, Final

from attrs import define, frozen

from kernelevolve.accelerator import (
    Accelerator,
    Artifact,
    Buffer,
    BufferSpec,
    FlushesCache,
    Profiles,
    Sample,
    Session,
    Source,
    Target,
)
from kernelevolve.evaluation.wire import (
    HEADER,
    MAX_JSON,
    READY,
    Frame,
    encode,
    header,
    sizes_of,
    structure,
    unstructure,
)
from kernelevolve.outcome import CandidateError, OutOfMemory, PluginBug
from kernelevolve.plan import LaunchPlan, Role
from kernelevolve.registry import accelerator, load_path

#: The engine decides what it sends; this only stops a broken engine.
_MAX_ATTACHMENTS: Final = 64 << 30
#: Files a toolchain writes (caches, temporary objects), each.
_MAX_FILE: Final = 1 << 30
_MAX_FILES: Final = 1024
#: Of processes that only compile, so that as many of them as there are cores never hold up what is being timed.
_COMPILING_NICENESS: Final = 10


@define(eq=False)
class _Prepared:
    """A plan on buffers of its own."""

    plan: LaunchPlan
    case: str
    buffers: dict[str, Buffer]
    call: Any


@frozen
class _Answer:
    body: dict[str, Any]
    attachments: tuple[bytes, ...] = ()


class _Compiler:
    """Answers requests to compile; nothing is loaded."""

    def __init__(self, made: Accelerator) -> None:
        self.accelerator = made

    def answer(self, body: dict[str, Any], _: Sequence[bytes | bytearray]) -> _Answer:
        return _safely(body, lambda: _described(_compile(self.accelerator, body)))


class _Host:
    """Answers requests on one open session."""

    def __init__(self, made: Accelerator, session: Session) -> None:
        self.accelerator, self.session = made, session
        self.programs: dict[str, Any] = {}
        self.prepared: dict[str, _Prepared] = {}
        self.cases: dict[str, dict[str, bytes | bytearray]] = {}
        self.operations: dict[str, Callable[[dict[str, Any], Sequence[bytes | bytearray]], _Answer]] = {
            "compile": self.compile,
            "load": self.load,
            "stage": self.stage,
            "unstage": self.unstage,
            "prepare": self.prepare,
            "reset": self.reset,
            "launch": self.launch,
            "read": self.read,
            "sample": self.sample,
            "profile": self.profile,
            "release": self.release,
            "drop": self.drop,
        }

    def compile(self, body: dict[str, Any], _: Sequence[bytes | bytearray]) -> _Answer:
        artifact = _compile(self.accelerator, body)
        self.programs[body["program"]] = self.session.load(artifact)
        return _described(artifact)

    def load(self, body: dict[str, Any], attachments: Sequence[bytes | bytearray]) -> _Answer:
        artifact = Artifact(
            stages={name: bytes(blob) for name, blob in zip(body["stages"], attachments, strict=True)},
            resources=body["resources"],
            toolchain=body["toolchain"],
            log=body["log"],
            extra=body["extra"],
        )
        self.programs[body["program"]] = self.session.load(artifact)
        return _Answer({})

    def stage(self, body: dict[str, Any], attachments: Sequence[bytes | bytearray]) -> _Answer:
        self.cases[body["case"]] = dict(zip(body["names"], attachments, strict=True))
        return _Answer({})

    def unstage(self, body: dict[str, Any], _: Sequence[bytes | bytearray]) -> _Answer:
        self.cases.pop(body["case"], None)
        return _Answer({})

    def prepare(self, body: dict[str, Any], _: Sequence[bytes | bytearray]) -> _Answer:
        plan = structure(body["plan"], LaunchPlan)
        buffers: dict[str, Buffer] = {}
        try:
            for planned in plan.buffers:
                buffers[planned.name] = self.session.allocate(BufferSpec(planned.nbytes, body["guard"]))
            call = self.session.bind(self.programs[body["program"]], plan.launches, buffers)
        except BaseException:
            for buffer in buffers.values():
                self.session.free(buffer)
            raise
        self.prepared[body["handle"]] = _Prepared(plan, body["case"], buffers, call)
        return _Answer({})

    def reset(self, body: dict[str, Any], _: Sequence[bytes | bytearray]) -> _Answer:
        """Poison everything, guard zones included, then write the inputs anew."""
        prepared = self.prepared[body["handle"]]
        inputs = self.cases[prepared.case]
        for planned in prepared.plan.buffers:
            buffer = prepared.buffers[planned.name]
            self.session.fill(buffer, body["pattern"], guards=True)
            if planned.role is Role.INPUT:
                self.session.upload(buffer, memoryview(inputs[planned.name]))
        return _Answer({})

    def launch(self, body: dict[str, Any], _: Sequence[bytes | bytearray]) -> _Answer:
        self.session.launch(self.prepared[body["handle"]].call)
        self.session.synchronize()
        return _Answer({})

    def read(self, body: dict[str, Any], _: Sequence[bytes | bytearray]) -> _Answer:
        """Every buffer asked for, guards first and last; how large the guards came out is the session's business."""
        prepared = self.prepared[body["handle"]]
        names = body["names"]
        data = tuple(self.session.download(prepared.buffers[name], guards=body["guards"]) for name in names)
        return _Answer({}, data)

    def sample(self, body: dict[str, Any], _: Sequence[bytes | bytearray]) -> _Answer:
        """Timed samples in the order asked for; caches flushed before each, untimed."""
        flushes = body["flush"] and isinstance(self.session, FlushesCache)
        samples = []
        for handle in body["order"]:
            prepared = self.prepared[handle]
            parts = []
            for index in range(body["launches"]):
                self._poison(prepared, body["pattern"])
                if index == 0 and flushes and isinstance(self.session, FlushesCache):
                    self.session.flush()
                parts.append(self.session.time(prepared.call))
            samples.append(unstructure(_mean(parts)))
        return _Answer({"samples": samples, "flushed": flushes})

    def profile(self, body: dict[str, Any], _: Sequence[bytes | bytearray]) -> _Answer:
        """Where a call's time goes, from cold caches; nothing where the session cannot tell."""
        if not isinstance(self.session, Profiles):
            return _Answer({"profile": {}})
        prepared = self.prepared[body["handle"]]
        self._poison(prepared, body["pattern"])
        if isinstance(self.session, FlushesCache):
            self.session.flush()
        return _Answer({"profile": dict(self.session.profile(prepared.call))})

    def _poison(self, prepared: _Prepared, pattern: int) -> None:
        """Wipe outputs and scratch before *every* timed launch: one that finds a result there could leave its work."""
        for planned in prepared.plan.buffers:
            if planned.role is not Role.INPUT:
                self.session.fill(prepared.buffers[planned.name], pattern, guards=False)

    def release(self, body: dict[str, Any], _: Sequence[bytes | bytearray]) -> _Answer:
        prepared = self.prepared.pop(body["handle"], None)
        for buffer in prepared.buffers.values() if prepared else ():
            self.session.free(buffer)
        return _Answer({})

    def drop(self, body: dict[str, Any], _: Sequence[bytes | bytearray]) -> _Answer:
        self.programs.pop(body["program"], None)
        return _Answer({})

    def answer(self, body: dict[str, Any], attachments: Sequence[bytes | bytearray]) -> _Answer:
        return _safely(body, lambda: self.operations[body["op"]](body, attachments))


def _safely(body: Mapping[str, Any], work: Callable[[], _Answer]) -> _Answer:
    try:
        return work()
    except CandidateError as error:
        return _Answer({"error": error.to_record()})
    except MemoryError:
        return _Answer({"error": OutOfMemory("the worker ran out of memory", needed=None, limit=None).to_record()})
    except Exception as error:  # a plugin may raise anything; the engine must learn of it, not lose its worker
        trace = traceback.format_exc()[-4000:]
        bug = PluginBug(f"{type(error).__name__} in {body.get('op')}: {error}", traceback=trace)
        return _Answer({"error": bug.to_record()})


def _compile(made: Accelerator, body: Mapping[str, Any]) -> Artifact:
    return made.compile(structure(body["plan"], LaunchPlan), structure(body["target"], Target))


def _described(artifact: Artifact) -> _Answer:
    described = {
        "stages": list(artifact.stages),
        "resources": artifact.resources,
        "toolchain": dict(artifact.toolchain),
        "log": artifact.log[-16384:],
        "extra": artifact.extra,
    }
    return _Answer(described, tuple(artifact.stages.values()))


def _mean(parts: Sequence[Sample]) -> Sample:
    """One sample of several timed launches; the host clock where the parts do not agree on a better one."""
    if len(parts) == 1:
        return parts[0]
    agreed = len({part.source for part in parts}) == 1
    host = [part.seconds if part.host_seconds is None else part.host_seconds for part in parts]
    cycles = [part.cycles for part in parts if part.cycles is not None]
    return Sample(
        seconds=fmean(part.seconds for part in parts) if agreed else fmean(host),
        source=parts[0].source if agreed else Source.HOST_WALL,
        launches=len(parts),
        host_seconds=None if parts[0].host_seconds is None else fmean(host),
        cycles=round(fmean(cycles)) if len(cycles) == len(parts) else None,
    )


def _read_exactly(descriptor: int, size: int) -> bytearray:
    data = bytearray(size)
    view, got = memoryview(data), 0
    while got < size:
        count = os.readv(descriptor, [view[got : got + (1 << 20)]])
        if count == 0:
            raise EOFError
        got += count
    return data


def _write(descriptor: int, frame: Frame) -> None:
    for view in encode(frame):
        sent = 0
        while sent < view.nbytes:
            sent += os.write(descriptor, view[sent:])


def _serve(source: int, sink: int, answer: Callable[[dict[str, Any], Sequence[bytes | bytearray]], _Answer]) -> None:
    while True:
        try:
            length = HEADER.unpack(_read_exactly(source, HEADER.size))[0]
        except EOFError:  # the engine closed its end: done
            return
        document = header(_read_exactly(source, min(length, MAX_JSON)))
        attachments = [_read_exactly(source, size) for size in sizes_of(document, _MAX_ATTACHMENTS)]
        answered = answer(document["body"], attachments)
        _write(sink, Frame(answered.body, answered.attachments, document["nonce"]))


def _limit_resources() -> None:
    for what, limit in (
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_FSIZE, _MAX_FILE),
        (resource.RLIMIT_NOFILE, _MAX_FILES),
    ):
        hard = resource.getrlimit(what)[1]
        bound = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
        resource.setrlimit(what, (bound, bound))


def _die_with_parent(parent: int) -> None:
    """Ask Linux for SIGKILL when the engine goes away: a kernel that loops would outlive a closed pipe."""
    if sys.platform.startswith("linux"):
        pr_set_pdeathsig = 1
        ctypes.CDLL(None, use_errno=True).prctl(pr_set_pdeathsig, signal.SIGKILL)
    if os.getppid() != parent:
        sys.exit(0)


def main() -> None:
    """Open the device, if one is given, and serve until the engine closes its pipe."""
    parser = argparse.ArgumentParser(prog="kernelevolve-worker")
    parser.add_argument("--accelerator", required=True, help="a registered name, or module:attribute")
    parser.add_argument("--device", type=int, help="left out: open none, only compile")
    parser.add_argument("--source", type=int, required=True)
    parser.add_argument("--sink", type=int, required=True)
    parser.add_argument("--parent", type=int, required=True)
    options = parser.parse_args()
    _die_with_parent(options.parent)
    _limit_resources()
    value = load_path(options.accelerator, "accelerator") if ":" in options.accelerator else None
    made: Accelerator = (value() if isinstance(value, type) else value) if value else accelerator(options.accelerator)
    if options.device is None:
        os.nice(_COMPILING_NICENESS)
        _write(options.sink, Frame({}, nonce=READY))
        _serve(options.source, options.sink, _Compiler(made).answer)
        return
    device = next(device for device in made.devices() if device.index == options.device)
    with made.open(device) as session:
        _write(options.sink, Frame({}, nonce=READY))
        _serve(options.source, options.sink, _Host(made, session).answer)


if __name__ == "__main__":
    main()
