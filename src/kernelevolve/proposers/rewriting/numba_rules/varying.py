"""Which values may differ between the threads of a block."""

from __future__ import annotations

__all__ = ["is_uniform", "runs_uniformly"]

from typing import Final

import libcst as cst

from kernelevolve.proposers.rewriting.numba_rules.effects import call_name
from kernelevolve.proposers.rewriting.numba_rules.view import NumbaView
from kernelevolve.proposers.rewriting.python_edits import walk
from kernelevolve.proposers.rewriting.python_flow import Definition, Kind

_OWN: Final = ("threadIdx", "laneid")
#: What gives each thread its own answer, or is not worth following.
_CALLS: Final = ("cuda.grid", "cuda.shfl", "cuda.lanemask", "cuda.atomic", "cuda.activemask")


def is_uniform(view: NumbaView, node: cst.CSTNode) -> bool:
    """Whether an expression certainly has the same value for all threads of a block that come to it together."""
    return _Uniform(view).of(node)


def runs_uniformly(view: NumbaView, node: cst.CSTNode) -> bool:
    """Whether all threads of a block run a statement as often: nothing around it depends on the thread, none leaves."""
    leaves = any(isinstance(one, cst.Return) for one in view.whole.jumps)
    return not leaves and all(_condition(view, one) for one in view.around(node))


def _condition(view: NumbaView, node: cst.CSTNode) -> bool:
    match node:
        case cst.If(test=test) | cst.While(test=test):
            return is_uniform(view, test)
        case cst.For(iter=over):
            return is_uniform(view, over)
    return True


class _Uniform:
    def __init__(self, view: NumbaView) -> None:
        self.view = view
        #: Definitions being looked at: what runs in a circle is decided by what comes in.
        self.open: set[Definition] = set()

    def of(self, node: cst.CSTNode) -> bool:
        """Whether nothing in an expression differs between threads."""
        for inner in walk(node):
            match inner:
                case cst.Attribute(attr=cst.Name(value=name)) if name in _OWN:
                    return False
                case cst.Call() if call_name(inner).startswith(_CALLS) or call_name(inner) in self.view.functions:
                    return False
                case cst.Subscript(value=value):
                    array = value.value if isinstance(value, cst.Name) else ""
                    declared = self.view.arrays.get(array)
                    if array not in self.view.buffers and (declared is None or not declared.is_shared):
                        return False
                case cst.Name():
                    seen = self.view.flow.of(inner)
                    if seen is not None and not self._definition(seen):
                        return False
                case _:
                    pass
        return True

    def _definition(self, one: Definition) -> bool:
        if one in self.open:
            return True
        self.open.add(one)
        try:
            match one.kind:
                case Kind.PARAMETER:
                    return True
                case Kind.VALUE:
                    return one.value is not None and self.of(one.value)
                case Kind.AUGMENTED:
                    before = one.previous is not None and self._definition(one.previous)
                    return before and one.value is not None and self.of(one.value)
                case Kind.INDEX:
                    return isinstance(one.node, cst.For) and self.of(one.node.iter)
                case Kind.CARRIED | Kind.MERGED:
                    sources = all(source is None or self._definition(source) for source in one.sources)
                    return sources and self._decides(one.node)
                case _:
                    return False
        finally:
            self.open.discard(one)

    def _decides(self, node: cst.CSTNode) -> bool:
        """Whether all threads go the same way at a loop or an ``if``."""
        match node:
            case cst.If(test=test) | cst.While(test=test):
                return self.of(test)
            case cst.For(iter=over):
                return self.of(over)
        return False
