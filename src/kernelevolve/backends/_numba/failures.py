"""From Numba's and NVIDIA's errors to outcomes: the kernel's own line, and a message without the machine's paths."""

from __future__ import annotations

__all__ = ["FILENAME", "compile_failure", "link_failure", "own_line", "without_paths"]

import re
from collections.abc import Iterator
from types import TracebackType
from typing import Any, Final

from kernelevolve.outcome import CandidateError, CompileError, ResourceExceeded, ToolchainError

#: What a kernel's source is called in tracebacks and in Numba's messages. No file has this name.
FILENAME: Final = "<kernel>"
_OWN_LINE: Final = re.compile(re.escape(f'File "{FILENAME}", line ') + r"(\d+)|" + re.escape(FILENAME) + r" \((\d+)\)")
#: A path with at least two folders, up to its last part.
_PATH: Final = re.compile(r"(?<![\w.])/(?:[^\s/:'\"]+/)+(?=[^\s/:'\"]+)")
_ADDRESS: Final = re.compile(r" at 0x[0-9a-f]+")
#: Lines of Numba's messages that say how Numba works rather than what is wrong.
_NOISE: Final = re.compile(
    r"Failed in \w+ mode pipeline.*|During: .*|This error may have been caused by.*|For more information.*|https?://\S+"
    r"|There (?:is|are) \d+ candidate.*|- Of which .*|(?:Overload|Intrinsic|Type Restricted Function) (?:of|in) .*"
    r"|With argument\(s\).*|No match.*|raised from .*|Rejected as the implementation raised a specific error:|\* \(.*"
)
_NO_IMPLEMENTATION: Final = re.compile(r"No implementation of function \w+\(<.*?>\) found for signature: (?:>>> )?")
_SHARED: Final = re.compile(r"uses too much shared data \((0x[0-9a-f]+) bytes, (0x[0-9a-f]+) max\)")
_LOG_LIMIT: Final = 8000


def without_paths(text: str) -> str:
    """The same text with every path cut down to its last part, and without addresses."""
    return _ADDRESS.sub("", _PATH.sub("", text))


def compile_failure(error: BaseException) -> CandidateError:
    """What an exception that left Numba means: a `CompileError` with the line, or a `ToolchainError`."""
    log = without_paths(str(error))[-_LOG_LIMIT:]
    kind = type(error).__name__
    unknown = isinstance(error, AttributeError) and str(error).startswith("module ")  # a name that no module has
    if unknown or _is_numba_error(error) or isinstance(error, NameError | TypeError | NotImplementedError):
        reason = _reason(log) or kind
        line = _line_in(str(error)) or own_line(error.__traceback__)
        where = "" if line is None else f"line {line}: "
        return CompileError(where + reason, stage="numba", log=log, line=line)
    return ToolchainError(f"numba-cuda failed with {kind}: {(_reason(log) or 'no reason given')}", log=log)


def _is_numba_error(error: BaseException) -> bool:
    """Numba's own, and numba-cuda's copies of them, which derive from another `NumbaError`."""
    return any(base.__name__ == "NumbaError" for base in type(error).__mro__)


def _reason(text: str) -> str:
    """The sentences that say what is wrong, each once. Paragraphs that quote the kernel are left out."""
    quoted = f'File "{FILENAME}"'
    paragraphs = [one.strip() for one in re.split(r"\n\s*\n", text)]
    lines = [line.strip() for one in paragraphs if not one.startswith(quoted) for line in one.splitlines()]
    kept = dict.fromkeys(line for line in lines if line and not _NOISE.fullmatch(line))
    return _NO_IMPLEMENTATION.sub("no implementation of ", " ".join(kept))[:400].strip()


def _line_in(text: str) -> int | None:
    """The first mention is the innermost."""
    match = _OWN_LINE.search(text)
    return int(match[1] or match[2]) if match else None


def own_line(trace: TracebackType | None) -> int | None:
    """The innermost line of the kernel's source that a traceback went through, or that Numba was working on.

    Numba's passes keep a location (`loc`) on whatever they look at; some of their errors do not mention it.
    """
    found = None
    for frame, line in _frames(trace):
        if frame.f_code.co_filename == FILENAME:
            found = line
            continue
        for value in (frame.f_locals.get("loc"), *(_location(frame.f_locals.get(name)) for name in ("self", "inst"))):
            if getattr(value, "filename", None) == FILENAME:
                found = int(value.line)
    return found


def _location(value: Any) -> Any:
    try:
        return getattr(value, "loc", None)
    except Exception:  # a property of something half made
        return None


def _frames(trace: TracebackType | None) -> Iterator[tuple[Any, int]]:
    while trace is not None:
        yield trace.tb_frame, trace.tb_lineno
        trace = trace.tb_next


def link_failure(entry: str, log: str) -> CandidateError:
    """What nvJitLink's error log says about the kernel `entry`."""
    text = without_paths(log).strip()
    if match := _SHARED.search(text):
        needed, limit = int(match[1], 16), int(match[2], 16)
        message = f"{entry} declares {needed} bytes of static shared memory; at most {limit} are possible"
        return ResourceExceeded(message, resource="static shared memory", needed=needed, limit=limit)
    first = next((line for line in text.splitlines() if line.strip()), "no reason given")
    return ToolchainError(f"nvJitLink does not link {entry}: {first[:300]}", log=text[-_LOG_LIMIT:])
