"""From a kernel's source to a Python module, without a file: locations in a binary name the kernel and no machine."""

from __future__ import annotations

__all__ = ["innermost_line", "load_source", "may_synchronise", "source_name"]

import ast
import hashlib
import linecache
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType

from kernelevolve.outcome import CompileError


def source_name(source: str) -> str:
    """The name that stands for the source's file in locations and tracebacks; the same source has the same name."""
    return f"kernel_{hashlib.sha256(source.encode()).hexdigest()[:12]}.py"


def may_synchronise(source: str) -> bool:
    """Whether programs of one launch may wait for each other: whether anything in the source is atomic or volatile."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Attribute) and node.attr.startswith("atomic_"):
            return True
        if isinstance(node, ast.keyword) and node.arg == "volatile":
            return True
    return False


@contextmanager
def load_source(source: str) -> Iterator[ModuleType]:
    """Execute `source` as a fresh module, whose functions can be inspected while the context lasts.

    Raises `CompileError` where Python refuses it.
    """
    name = source_name(source)
    module = ModuleType(name.removesuffix(".py"))
    module.__file__ = name
    linecache.cache[name] = (len(source), None, source.splitlines(keepends=True), name)
    sys.modules[module.__name__] = module
    try:
        try:
            exec(compile(source, name, "exec"), module.__dict__)  # noqa: S102  # admitted by the language's gate
        except SyntaxError as error:
            message = f"line {error.lineno}: {error.msg}"
            raise CompileError(message, stage="parse", log=str(error), line=error.lineno) from None
        except Exception as error:
            line = innermost_line(error, name)
            message = f"line {line}: {type(error).__name__}: {error}" if line else f"{type(error).__name__}: {error}"
            raise CompileError(message, stage="import", log=message, line=line) from None
        yield module
    finally:
        sys.modules.pop(module.__name__, None)
        linecache.cache.pop(name, None)


def innermost_line(error: BaseException, name: str) -> int | None:
    """The innermost line of the kernel's file in a traceback."""
    found, trace = None, error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == name:
            found = trace.tb_lineno
        trace = trace.tb_next
    return found
