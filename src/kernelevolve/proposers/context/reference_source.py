"""A problem's reference as Python source, with the constants and helpers of its own file that it needs.

Never the generator of inputs, and nothing else of the declaration, where the hidden workloads stand.
"""

from __future__ import annotations

__all__ = ["reference_source"]

import ast
import inspect
import textwrap
from collections.abc import Callable, Iterator
from types import CodeType, FunctionType
from typing import Any, Final

from kernelevolve.problem import Problem

#: Helpers followed from the reference, in all.
_MOST: Final = 12
_PLAIN: Final = (bool, int, float, str)


def reference_source(problem: Problem) -> str | None:
    """The reference in PyTorch, constants and helpers before it; None where its source cannot be read."""
    function = inspect.unwrap(problem.reference)
    if not isinstance(function, FunctionType):
        return None
    kept: dict[str, str] = {}
    pending: list[FunctionType] = [function]
    seen: set[FunctionType] = {function}
    sources: list[str] = []
    while pending:
        current = pending.pop(0)
        source = _source(current)
        if source is None:
            return None
        sources.insert(0, source)
        for name in _names(current.__code__):
            value: Any = current.__globals__.get(name)
            if isinstance(value, _PLAIN):
                kept[name] = f"{name} = {value!r}"
            elif _helper(value, current, problem) and value not in seen and len(seen) < _MOST:
                seen.add(value)
                pending.append(value)
    constants = "\n".join(kept[name] for name in sorted(kept))
    return "\n\n\n".join([*([constants] if constants else []), *sources])


def _helper(value: Any, of: FunctionType, problem: Problem) -> bool:
    """Whether `value` is a function of the same file, and not the generator of inputs."""
    return isinstance(value, FunctionType) and value.__module__ == of.__module__ and value is not problem.generate


def _names(code: CodeType) -> Iterator[str]:
    """Global names that a function speaks of, nested functions included, in the order of the code."""
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _names(constant)


def _source(function: Callable[..., Any]) -> str | None:
    """The text of a function or lambda; None where it is not to be had."""
    try:
        lines, first = inspect.getsourcelines(function)
    except (OSError, TypeError):
        return None
    text = textwrap.dedent("".join(lines))
    if function.__name__ != "<lambda>":
        return text.strip("\n")
    return _lambda(function, first)


def _lambda(function: Callable[..., Any], first: int) -> str | None:
    """The expression of a lambda alone: on its line other arguments of the declaration may stand."""
    path = inspect.getsourcefile(function)
    module = inspect.getmodule(function)
    if path is None or module is None:
        return None
    text = inspect.getsource(module)
    found = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Lambda) and node.lineno == first]
    return f"reference = {ast.get_source_segment(text, found[0])}" if len(found) == 1 else None
