"""Reader of T4 files: every configuration of a real kernel on a real device, with its recorded times.

T4 is the result format of the AutoTuningAssociation benchmark hub (`docs/reference/t4.md` describes it as read here).
"""

from __future__ import annotations

__all__ = ["Configuration", "T4Error", "T4File", "T4Outcome", "T4Record", "Value", "read_t4"]

import enum
import gzip
import json
import math
import statistics
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import attrs

#: A tunable's value as recorded; unlike `kernelevolve.kernel.Value` it may be a float.
Value = int | float | bool | str
Configuration = Mapping[str, Value]

#: Seconds per unit of time. The hub's files spell milliseconds "miliseconds".
_SECONDS: Final[Mapping[str, float]] = {
    "s": 1.0,
    "second": 1.0,
    "seconds": 1.0,
    "ms": 1e-3,
    "millisecond": 1e-3,
    "milliseconds": 1e-3,
    "milisecond": 1e-3,
    "miliseconds": 1e-3,
    "us": 1e-6,
    "microseconds": 1e-6,
    "ns": 1e-9,
    "nanoseconds": 1e-9,
}
_GZIP_MAGIC: Final = b"\x1f\x8b"


class T4Error(ValueError):
    """A T4 file that cannot be read: which file, where in it, what was wrong and what would be right."""

    def __init__(self, path: Path, where: str, problem: str) -> None:
        """Compose the sentence; the parts stay readable as attributes."""
        super().__init__(f"{path}: {where}: {problem}" if where else f"{path}: {problem}")
        self.path = path
        self.where = where
        self.problem = problem


class T4Outcome(enum.Enum):
    """What became of a configuration (the `invalidity` of a result)."""

    CORRECT = "correct"
    COMPILE = "compile"
    RUNTIME = "runtime"
    CORRECTNESS = "correctness"
    CONSTRAINTS = "constraints"
    TIMEOUT = "timeout"


@attrs.frozen(slots=True)
class T4Record:
    """One configuration: its outcome and, when correct, the median of its recorded run times."""

    configuration: Configuration
    outcome: T4Outcome
    samples: tuple[float, ...]  #: seconds, in recorded order; none unless CORRECT, as a failed run measures nothing
    compile_seconds: float | None

    @property
    def seconds(self) -> float | None:
        """The median sample; None unless the outcome is CORRECT."""
        return statistics.median(self.samples) if self.samples else None


@attrs.frozen(slots=True)
class T4File:
    """A T4 file as read: metadata, the values each tunable takes in it, and one record per configuration."""

    path: Path
    schema_version: str
    metadata: Mapping[str, Any]
    tunables: Mapping[str, tuple[Value, ...]]
    records: tuple[T4Record, ...] = attrs.field(repr=False)

    @property
    def best(self) -> T4Record:
        """The fastest correct record; ValueError when no configuration is correct."""
        timed = [record for record in self.records if record.seconds is not None]
        if not timed:
            message = f"{self.path}: no configuration is marked 'correct', so there is no best one"
            raise ValueError(message)
        return min(timed, key=lambda record: record.seconds or math.inf)


def read_t4(path: str | Path, *, timeunit: str | None = None) -> T4File:
    """Read a T4 file, gzipped or plain JSON.

    `timeunit` is the unit of the run times where the file names none. Raises T4Error for anything malformed and OSError
    when the file cannot be opened.
    """
    path = Path(path)
    document = _expect(path, "", _load(path), dict, "a JSON object with 'results'")
    results = _expect(path, "results", document.get("results"), list, "a list with one entry per configuration")
    if not results:
        raise T4Error(path, "results", "is empty; it needs one entry per configuration")
    metadata = _expect(path, "metadata", document.get("metadata", {}), dict, "an object")
    records = tuple(
        _record(path, f"results[{index}]", entry, metadata.get("timeunit"), timeunit)
        for index, entry in enumerate(results)
    )
    return T4File(path, str(document.get("schema_version", "")), metadata, _tunables(path, records), records)


def _load(path: Path) -> object:
    data = path.read_bytes()
    if data.startswith(_GZIP_MAGIC):
        try:
            data = gzip.decompress(data)
        except (OSError, EOFError, zlib.error) as error:
            raise T4Error(path, "", f"is a damaged gzip file ({error}); fetch it again") from error
    try:
        return json.loads(data)
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise T4Error(path, "", f"is not JSON ({error}); a T4 file is one JSON object, gzipped or not") from error


def _expect(path: Path, where: str, value: object, kind: type, wanted: str) -> Any:
    if not isinstance(value, kind):
        found = "is missing" if value is None else f"is a {type(value).__name__}"
        raise T4Error(path, where, f"{found}; it must be {wanted}")
    return value


def _record(path: Path, where: str, entry: object, timeunit: object, fallback: str | None) -> T4Record:
    fields = _expect(path, where, entry, dict, "an object with 'configuration', 'times' and 'invalidity'")
    configuration = _configuration(path, f"{where}.configuration", fields.get("configuration"))
    outcome = _outcome(path, f"{where}.invalidity", fields.get("invalidity"))
    times = _expect(path, f"{where}.times", fields.get("times", {}), dict, "an object")
    compilation = times.get("compilation")
    needs_unit = outcome is T4Outcome.CORRECT or compilation is not None
    scale = _scale(path, where, timeunit, fields.get("measurements"), fallback) if needs_unit else 1.0
    runtimes = _runtimes(path, f"{where}.times.runtimes", times.get("runtimes")) if outcome is T4Outcome.CORRECT else ()
    seconds = None if compilation is None else _duration(path, f"{where}.times.compilation", compilation) * scale
    return T4Record(configuration, outcome, tuple(runtime * scale for runtime in runtimes), seconds)


def _runtimes(path: Path, where: str, value: object) -> tuple[float, ...]:
    listed = _expect(path, where, value, list, "a list of numbers, as the result is marked 'correct'")
    runtimes = tuple(_duration(path, f"{where}[{index}]", runtime) for index, runtime in enumerate(listed))
    if not runtimes or statistics.median(runtimes) <= 0:
        found = "has a median that is not positive" if runtimes else "is empty"
        raise T4Error(path, where, f"{found}; a correct result lists the times of its runs")
    return runtimes


def _configuration(path: Path, where: str, value: object) -> Configuration:
    configuration: dict[str, Value] = _expect(path, where, value, dict, "an object from tunable to value")
    for name, setting in configuration.items():
        if not isinstance(setting, bool | int | float | str):
            raise T4Error(path, f"{where}.{name}", f"is {setting!r}; a tunable's value is a number, bool or string")
    return configuration


def _outcome(path: Path, where: str, value: object) -> T4Outcome:
    try:
        return T4Outcome(value)
    except ValueError as error:
        known = ", ".join(outcome.value for outcome in T4Outcome)
        raise T4Error(path, where, f"is {value!r}; it must be one of {known}") from error


def _duration(path: Path, where: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or value < 0:
        raise T4Error(path, where, f"is {value!r}; a time is a finite number, not negative")
    return float(value)


def _scale(path: Path, where: str, timeunit: object, measurements: object, fallback: str | None) -> float:
    """Seconds per unit: the file's `timeunit`, else the unit of the measurement `time`, else the caller's fallback."""
    unit = timeunit or _measured_unit(measurements) or fallback
    if not isinstance(unit, str) or unit.strip().lower() not in _SECONDS:
        place = "metadata.timeunit" if timeunit else where
        found = f"has the time unit {unit!r}" if unit else "gives no time unit"
        raise T4Error(path, place, f"{found}; metadata.timeunit must be one of {', '.join(_SECONDS)}")
    return _SECONDS[unit.strip().lower()]


def _measured_unit(measurements: object) -> object:
    if not isinstance(measurements, list):
        return None
    return next((m.get("unit") for m in measurements if isinstance(m, dict) and m.get("name") == "time"), None)


def _tunables(path: Path, records: tuple[T4Record, ...]) -> Mapping[str, tuple[Value, ...]]:
    """The values of each tunable in the order met; checks that every record has the same tunables, once each."""
    names = tuple(records[0].configuration)
    values: dict[str, dict[tuple[type, Value], Value]] = {name: {} for name in names}
    seen: dict[tuple[Value, ...], int] = {}
    for index, record in enumerate(records):
        where = f"results[{index}].configuration"
        if set(record.configuration) != set(names):
            raise T4Error(path, where, f"has {sorted(record.configuration)}; results[0] has {sorted(names)}")
        key = tuple(record.configuration[name] for name in names)
        if key in seen:
            raise T4Error(path, where, f"repeats results[{seen[key]}]; a configuration is listed once")
        seen[key] = index
        for name, value in zip(names, key, strict=True):
            values[name][type(value), value] = value
    return {name: tuple(distinct.values()) for name, distinct in values.items()}
