"""The replay accelerator: answers with the times that somebody else recorded, and computes nothing.

It reads tuning spaces in the T4 format (`kernelevolve.t4`): every configuration of one kernel on one device. Each file
in the folder that ``KERNELEVOLVE_SPACES`` names is one device. Constraints are replaced by membership: a configuration
that was not recorded breaks one. Buffers exist and are never written by a launch, so a result cannot be checked; the
realm says so.
"""

from __future__ import annotations

__all__ = ["FOLDER_VARIABLE", "Replay", "recorded_kernel", "recorded_problem"]

import hashlib
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NoReturn, cast

from attrs import frozen

from kernelevolve.accelerator import (
    API,
    Accelerator,
    Artifact,
    Availability,
    Buffer,
    BufferSpec,
    Call,
    Device,
    Program,
    Realm,
    Sample,
    Source,
    Status,
    Target,
)
from kernelevolve.errors import KernelEvolveError
from kernelevolve.expressions import parse
from kernelevolve.kernel import Configuration, Kernel, Launch, Value, configuration_label
from kernelevolve.languages.replay import ENTRY
from kernelevolve.outcome import (
    CandidateError,
    CompileError,
    ConstraintViolated,
    LaunchError,
    PluginBug,
    RunTimeout,
    ToolchainError,
    WrongResult,
)
from kernelevolve.plan import LaunchPlan, PlannedLaunch
from kernelevolve.problem import Problem, TensorSpec
from kernelevolve.t4 import T4Error, T4File, T4Outcome, T4Record, read_t4

#: The environment variable with the folder of T4 files.
FOLDER_VARIABLE: Final = "KERNELEVOLVE_SPACES"
_SUFFIXES: Final = (".json", ".json.gz")
#: How the hub names its files: convolution_A100_T4.json.gz, pnpoly_RTX_3090_T4.json.gz.
_HUB_NAME: Final = re.compile(r"(?P<kernel>[^_]+)_(?P<device>.+)_T4")
_IDENTIFIER: Final = re.compile(r"[A-Za-z_]\w*", re.ASCII)


@frozen
class _Recording:
    """A T4 file with its configurations in the values that a kernel header can hold."""

    file: T4File
    #: By tunable, the values in the order met.
    tunables: Mapping[str, tuple[Value, ...]]
    records: Mapping[frozenset[tuple[str, Value]], T4Record]

    def record(self, configuration: Configuration) -> T4Record | None:
        """What was recorded for `configuration`, or None."""
        return self.records.get(_key(configuration))


def _key(configuration: Configuration) -> frozenset[tuple[str, Value]]:
    return frozenset(configuration.items())


def _stem(path: Path) -> str:
    return path.name.removesuffix(".gz").removesuffix(".json")


def _title(path: Path) -> str:
    match = _HUB_NAME.fullmatch(_stem(path))
    return f"{match['kernel']} on {match['device'].replace('_', ' ')}" if match else _stem(path)


def _recording(path: Path) -> _Recording:
    try:
        status = path.stat()
        return _read(path, status.st_mtime_ns, status.st_size)
    except (T4Error, OSError) as error:
        raise KernelEvolveError(f"{error}") from None


@lru_cache(maxsize=8)
def _read(path: Path, _modified: int, _size: int) -> _Recording:
    """Read a file once for as long as it does not change."""
    file = read_t4(path)
    for name in file.tunables:
        if not _IDENTIFIER.fullmatch(name):
            raise KernelEvolveError(f"{path}: tunable {name!r} is no name; use letters, digits and _")
    settings = {name: _settings(values) for name, values in file.tunables.items()}
    records = {
        frozenset((name, settings[name][type(value), value]) for name, value in record.configuration.items()): record
        for record in file.records
    }
    if len(records) != len(file.records):
        raise KernelEvolveError(f"{path}: two configurations differ in the type of a value only; drop one of them")
    tunables = {name: tuple(dict.fromkeys(values.values())) for name, values in settings.items()}
    return _Recording(file, tunables, records)


def _settings(values: Sequence[int | float | bool | str]) -> dict[tuple[type, Any], Value]:
    """From a recorded value to one of a kernel header: whole numbers, truth values, or text for anything else."""
    made: list[Value]
    if all(isinstance(value, bool) for value in values):
        made = [bool(value) for value in values]
    elif all(not isinstance(value, bool | str) and float(value).is_integer() for value in values):
        made = [int(value) for value in values]
    else:
        made = [str(value) for value in values]
    return {(type(value), value): one for value, one in zip(values, made, strict=True)}


def recorded_kernel(path: Path) -> Kernel:
    """The kernel of a T4 file: a header whose tunables are the recorded ones; the default is one that ran right.

    Raises `KernelEvolveError` where the file cannot be read, or where a tunable's name cannot stand in a header.
    """
    recording = _recording(path)
    right = (key for key, record in recording.records.items() if record.outcome is T4Outcome.CORRECT)
    first: dict[str, Value] = dict(next(right, next(iter(recording.records))))
    return Kernel(
        language="replay",
        body=f"# {_title(path)}: a recording holds times, not the source that was timed.\n",
        launches=(Launch(entry=ENTRY, grid=(parse("1"),)),),
        tunables={
            name: (first[name], *(value for value in values if value != first[name]))
            for name, values in recording.tunables.items()
        },
        comment="#",
    )


def recorded_problem(path: Path) -> Problem:
    """The problem of a T4 file. It has one workload, the one that was recorded, and no data: nothing can be checked."""
    return Problem(
        name=_stem(path),
        axes=("recording",),
        inputs=(),
        outputs=(TensorSpec("recorded_output", "recording"),),
        reference=_no_reference,
        workloads=("recording=1",),
        hidden=("recording=1",),
        requires="recording == 1",
        seeds={"replay": str(recorded_kernel(path))},
        description=f"recorded times of {_title(path)}",
    )


def _no_reference() -> NoReturn:
    raise KernelEvolveError("a recording has times and no data: its results cannot be computed or checked")


class _Buffer:
    """Host memory that no launch touches."""

    def __init__(self, spec: BufferSpec) -> None:
        self.spec = spec
        self.bytes = bytearray(spec.nbytes + 2 * spec.guard)

    @property
    def payload(self) -> memoryview:
        return memoryview(self.bytes)[self.spec.guard : self.spec.guard + self.spec.nbytes]


@frozen(eq=False)
class _Program:
    record: T4Record


class _Session:
    """Satisfies `kernelevolve.accelerator.Session`."""

    def __init__(self, device: Device, path: Path) -> None:
        self.device = device
        self._path = path

    def load(self, artifact: Artifact) -> Program:
        record = _recording(self._path).record(artifact.extra["configuration"])
        if record is None:
            raise PluginBug(f"{self._path} no longer holds the configuration that was compiled")
        return _Program(record)

    def allocate(self, spec: BufferSpec) -> Buffer:
        return _Buffer(spec)

    def free(self, buffer: Buffer) -> None:
        cast("_Buffer", buffer).bytes.clear()

    def fill(self, buffer: Buffer, pattern: int, *, guards: bool) -> None:
        own = cast("_Buffer", buffer)
        where = memoryview(own.bytes) if guards else own.payload
        where[:] = bytes([pattern]) * len(where)

    def upload(self, buffer: Buffer, data: memoryview) -> None:
        cast("_Buffer", buffer).payload[:] = data.cast("B")

    def download(self, buffer: Buffer, *, guards: bool = False) -> bytes:
        own = cast("_Buffer", buffer)
        return bytes(own.bytes if guards else own.payload)

    def bind(self, program: Program, launches: Sequence[PlannedLaunch], buffers: Mapping[str, Buffer]) -> Call:
        del launches, buffers  # nothing runs
        return program

    def launch(self, call: Call) -> None:
        record = cast("_Program", call).record
        if record.outcome is not T4Outcome.CORRECT:
            raise _run_failure(record)

    def synchronize(self) -> None:
        """Nothing is ever under way."""

    def time(self, call: Call, *, launches: int = 1) -> Sample:
        self.launch(call)
        seconds = cast("_Program", call).record.seconds
        assert seconds is not None  # a correct record has samples
        return Sample(seconds, Source.RECORDED, launches)


def _run_failure(record: T4Record) -> CandidateError:
    label = configuration_label({name: str(value) for name, value in record.configuration.items()})
    if record.outcome is T4Outcome.TIMEOUT:
        return RunTimeout(f"recorded: {label} did not finish")
    if record.outcome is T4Outcome.CORRECTNESS:
        return WrongResult(f"recorded: {label} gave a wrong result", kind="recorded")
    return LaunchError(f"recorded: {label} failed at run time", code="recorded")


class Replay:
    """Satisfies `kernelevolve.accelerator.Accelerator`; reads `folder`, or the one that the environment names."""

    name = "replay"
    api = API
    languages = frozenset({"replay"})

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder

    def _named(self) -> Path | str | None:
        return self._folder or os.environ.get(FOLDER_VARIABLE)

    def _files(self) -> tuple[Path, ...]:
        named = self._named()
        if not named or not Path(named).is_dir():
            return ()
        return tuple(sorted(path for path in Path(named).iterdir() if path.name.endswith(_SUFFIXES)))

    def environment(self) -> Mapping[str, str]:
        """What a worker process must inherit: the folder, absolute, because a worker has its own working directory."""
        named = self._named()
        return {FOLDER_VARIABLE: str(Path(named).resolve())} if named else {}

    def probe(self) -> Availability:
        files = self._files()
        if not files:
            named = self._named()
            found = f"{named} has no *.json or *.json.gz" if named else f"{FOLDER_VARIABLE} is not set"
            return Availability(Status.MISSING, f"{found}; set {FOLDER_VARIABLE} to a folder of T4 files")
        return Availability(Status.OK, f"{len(files)} recorded tuning spaces; nothing is run")

    def targets(self) -> Sequence[Target]:
        return tuple(_target(path) for path in self._files())

    def devices(self) -> Sequence[Device]:
        return tuple(
            Device(
                accelerator=self.name,
                index=index,
                name=f"recorded: {_title(path)}",
                target=_target(path),
                realm=Realm.REPLAY,
                facts={},
                description={"file": path.name, "times": "medians of somebody else's recorded runs"},
            )
            for index, path in enumerate(self._files())
        )

    def compile_key(self, plan: LaunchPlan) -> Mapping[str, Any]:
        return {"configuration": dict(plan.configuration)}

    def toolchain(self) -> Mapping[str, str]:
        digests = {_target(path).name: hashlib.sha256(path.read_bytes()).hexdigest()[:16] for path in self._files()}
        return {"replay": "1", **{f"recording of {target}": digest for target, digest in digests.items()}}

    def compile(self, plan: LaunchPlan, target: Target) -> Artifact:
        """Look the configuration up.

        Raises `CompileError` or `ConstraintViolated` as recorded, and the latter for what was not recorded at all.
        """
        path = self._path(target)
        try:
            record = _recording(path).record(plan.configuration)
        except KernelEvolveError as error:
            raise ToolchainError(str(error), log="") from None
        label = configuration_label(plan.configuration)
        if record is None or record.outcome is T4Outcome.CONSTRAINTS:
            what = "was not recorded" if record is None else "was recorded as breaking a constraint"
            raise ConstraintViolated(f"{label} {what} in {path.name}", constraint="recorded")
        if record.outcome is T4Outcome.COMPILE:
            raise CompileError(f"recorded: {label} did not compile", stage="recorded", log="", line=None)
        return Artifact(
            stages={}, toolchain={"replay": "1", "file": path.name}, extra={"configuration": dict(plan.configuration)}
        )

    @contextmanager
    def open(self, device: Device) -> Iterator[_Session]:
        yield _Session(device, self._path(device.target))

    def _path(self, target: Target) -> Path:
        for path in self._files():
            if _target(path) == target:
                return path
        listed = ", ".join(one.name for one in self.targets()) or "none"
        raise KernelEvolveError(f"no recording for target {target.name!r}; there is {listed}")


def _target(path: Path) -> Target:
    return Target(f"replay:{path.name}")


if TYPE_CHECKING:
    _conforms: Accelerator = Replay()
