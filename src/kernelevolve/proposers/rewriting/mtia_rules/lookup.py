"""Functions from the SIMD engine's lookup tables: fast, and less exact. The checks say whether exact enough."""

from __future__ import annotations

__all__ = ["lookup"]

from collections.abc import Iterator
from functools import partial
from typing import Final

from kernelevolve.proposers.rewriting.python_edits import Edit
from kernelevolve.proposers.rewriting.triton_rules.view import TritonView
from kernelevolve.proposers.rewriting.view import Site

#: Functions of ``tl`` that have a table; ``gelu`` and ``tanh`` are in ``libdevice`` alone, where they are tables.
_TABLES: Final = ("exp", "log", "sigmoid")


def lookup(view: TritonView) -> Iterator[Site]:
    """A function of floating-point tiles from its table, wherever the entry calls it."""
    for name in _TABLES:
        calls = [call for call in view.called(f"tl.{name}") if len(call.args) == 1]
        floats = [call for call in calls if (one := view.types.of(call.args[0].value)) is not None and one.is_float]
        if floats:
            edits = [Edit(call.func, text=f"tl.extra.libdevice.{name}") for call in floats]
            yield Site(f"{name} from a lookup table, {len(floats)} times", partial(view.edited, edits))
