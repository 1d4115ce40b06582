"""From what Triton raises to an outcome: which stage, which line of the kernel, what was wrong."""

from __future__ import annotations

__all__ = ["explain", "printed_error"]

import ast
import re
import traceback
from collections.abc import Iterator
from typing import Any, Final

from kernelevolve.backends._triton.capture import without_paths
from kernelevolve.backends._triton.sources import source_name
from kernelevolve.outcome import CandidateError, CompileError, ResourceExceeded, ToolchainError

_MOST: Final = 8000
#: ``ValueError('…')``: Triton wraps errors of its own functions as their text.
_WRAPPED: Final = re.compile(r"\w+\((?P<quote>['\"])(?P<text>.*)(?P=quote)\)", re.DOTALL)
_STAGE: Final = re.compile(r"make_(ttir|ttgir|llir|ptx|cubin|amdgcn|hsaco)")
_ERROR: Final = re.compile(r"(?:^|\s)error\s*:\s*(?P<text>.+)")
#: How a compiler that broke, rather than refused, says so.
_CRASH: Final = re.compile(r"LLVM ERROR.*|Assertion `.+' failed.*|UNREACHABLE executed.*")
_SHARED: Final = re.compile(r"too much shared data \((0x[0-9a-f]+) bytes, (0x[0-9a-f]+) max\)")
#: In a source that brings assembly of its own, which may be what an assembler refuses.
_ASSEMBLY: Final = "inline_asm"
#: Where Triton judges launch options.
_OPTIONS: Final = ("parse_options", "__post_init__")


def explain(error: Exception, source: str, log: str) -> CandidateError:
    """The outcome of a compile of `source` that ended with `error` and printed `log`."""
    if isinstance(error, CandidateError):
        return error
    frames = [frame.name for frame in traceback.extract_tb(error.__traceback__)]
    stages = [match[1] for match in map(_STAGE.fullmatch, frames) if match]
    stage = stages[-1] if stages else "ttir"
    if any(hasattr(one, "node") for one in _chain(error)):
        return _frontend(error, source, log)
    text = without_paths(str(error)).strip() or type(error).__name__
    match type(error).__name__:
        case "OutOfResources":
            needed, limit, name = (getattr(error, field, None) for field in ("required", "limit", "name"))
            return ResourceExceeded(text, resource=str(name), needed=needed, limit=limit)
        case "PTXASError":
            return _assembler(text, source)
    if any(name in _OPTIONS for name in frames):
        return CompileError(f"launch options: {text}", stage="options", log=text[:_MOST], line=None)
    full = f"{log}\n{text}".strip()[:_MOST]
    crash = _CRASH.search(log)
    if crash:
        return ToolchainError(f"Triton breaks while making {stage}: {crash[0][:300]}", log=full)
    line, reason = _printed(log, source)
    if line is not None:
        return CompileError(f"line {line}: {reason} (while making {stage})", stage=stage, log=full, line=line)
    what = (reason or text).splitlines()[0][:300]
    if _ASSEMBLY in source and stage in ("ptx", "cubin", "amdgcn", "hsaco"):
        return CompileError(f"{what} (while making {stage})", stage=stage, log=full, line=None)
    return ToolchainError(f"Triton fails while making {stage}: {what}", log=full)


def printed_error(log: str, source: str, stage: str) -> CompileError | None:
    """The error that a stage printed and went on from, or None: LLVM's code generators do that, and emit nonsense."""
    line, reason = _printed(log, source)
    if reason is None:
        return None
    where = f"line {line}: " if line else ""
    return CompileError(f"{where}{reason} (printed while making {stage})", stage=stage, log=log[:_MOST], line=line)


def _printed(log: str, source: str) -> tuple[int | None, str | None]:
    """Line and text of the first error in what was printed."""
    location = re.compile(re.escape(source_name(source)) + r"\"?:(\d+)")
    for printed in log.splitlines():
        match = _ERROR.search(printed)
        if match:
            where = location.search(printed) or location.search(log)
            return int(where[1]) if where else None, match["text"].strip()
    return None, None


def _chain(error: BaseException) -> Iterator[Any]:
    """An error and what it was raised from, outermost first."""
    current: BaseException | None = error
    while current is not None:
        yield current
        current = current.__cause__


def _frontend(error: Exception, source: str, log: str) -> CompileError:
    """An error of Triton's front end, which has the node it was visiting; nested calls give one for each level."""
    line: int | None = None
    reason = ""
    kind = type(error).__name__
    for one in _chain(error):
        if hasattr(one, "node"):
            line = _line(one, source) or line
            reason, kind = str(one.error_message or reason), type(one).__name__
        elif not reason:
            reason = str(one)
    match = _WRAPPED.fullmatch(reason.strip())
    if match:
        reason = match["text"].replace("\\n", "\n").replace("\\'", "'").replace('\\"', '"')
    if kind == "CompileTimeAssertionFailure":
        reason = f"static_assert does not hold: {reason}" if reason else "static_assert does not hold"
    where = f"line {line}: " if line else ""
    full = without_paths(f"{error}\n{log}".strip())[:_MOST]
    return CompileError(f"{where}{without_paths(reason)[:1000]}", stage="ttir", log=full, line=line)


def _line(error: Any, source: str) -> int | None:
    """The line in the kernel's own file; None for an error inside Triton's library of functions."""
    number, text = getattr(error.node, "lineno", None), error.src
    if number is None or not text:
        return None
    head = text.splitlines()[0].strip()
    for node in ast.parse(source).body:
        if isinstance(node, ast.FunctionDef) and source.splitlines()[node.lineno - 1].strip() == head:
            return int(node.lineno + number - 1)
    return None


def _assembler(text: str, source: str) -> CandidateError:
    """Where ptxas refused what Triton made: the kernel's doing if it is too large, or brings its own assembly."""
    shared = _SHARED.search(text)
    if shared:
        needed, limit = int(shared[1], 16), int(shared[2], 16)
        message = f"{needed} bytes of static shared memory; a block has {limit}"
        return ResourceExceeded(message, resource="shared memory", needed=needed, limit=limit)
    match = _ERROR.search(text)
    reason = match["text"].strip() if match else text.splitlines()[0]
    if _ASSEMBLY in source:
        return CompileError(f"ptxas: {reason}", stage="cubin", log=text[:_MOST], line=None)
    return ToolchainError(f"ptxas refuses Triton's PTX: {reason}"[:400], log=text[:_MOST])
