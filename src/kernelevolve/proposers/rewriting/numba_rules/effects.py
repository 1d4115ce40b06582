"""What statements of a Numba kernel do beyond computing: arrays read and written, barriers, atomics, jumps."""

from __future__ import annotations

__all__ = ["Effects", "call_name", "pure_functions"]

from collections.abc import Iterable
from typing import Final

import libcst as cst
from attrs import frozen

from kernelevolve.proposers.rewriting.python_edits import walk

#: Names of Python that compute.
_BUILTINS: Final = frozenset({"abs", "bool", "float", "int", "len", "max", "min", "pow", "range", "round"})
_TYPES: Final = frozenset(
    f"{kind}{bits}"
    for kind, sizes in (("int", (8, 16, 32, 64)), ("uint", (8, 16, 32, 64)), ("float", (16, 32, 64)))
    for bits in sizes
) | {"bfloat16"}
_PLACES: Final = frozenset({"cuda.grid", "cuda.gridsize"})
_ARRAYS: Final = frozenset({"cuda.shared.array", "cuda.local.array"})
_COMPUTING: Final = frozenset(f"cuda.{name}" for name in ("brev", "cbrt", "clz", "ffs", "fma", "popc", "selp"))
#: What threads of a block or warp do together.
_TOGETHER: Final = ("cuda.sync", "cuda.shfl_", "cuda.all_sync", "cuda.any_sync", "cuda.ballot_sync", "cuda.eq_sync")


def call_name(call: cst.CSTNode) -> str:
    """``cuda.shared.array`` for a call of it; nothing for what is no call of a name."""
    return cst.Module([]).code_for_node(call.func).strip() if isinstance(call, cst.Call) else ""


def _computes(name: str) -> bool:
    if name in _BUILTINS | _TYPES | _PLACES | _COMPUTING:
        return True
    start, _, last = name.rpartition(".")
    return start in ("math", "libdevice", "cuda.libdevice") or (start in ("cuda", "types") and last in _TYPES)


@frozen(eq=False)
class Effects:
    """What some statements do."""

    loads: tuple[cst.Subscript, ...]
    stores: tuple[cst.Subscript, ...]
    #: Barriers, shuffles and votes.
    together: tuple[cst.Call, ...]
    #: ``return``, ``break`` and ``continue``.
    jumps: tuple[cst.CSTNode, ...]
    #: Atomics, fences, and functions of the file that do more than compute.
    others: tuple[cst.CSTNode, ...]

    @classmethod
    def of(cls, nodes: Iterable[cst.CSTNode], functions: frozenset[str], pure: frozenset[str]) -> Effects:
        """Everything that `nodes` do. `functions` are the file's, `pure` those that only compute and read."""
        loads, stores, together = list[cst.Subscript](), list[cst.Subscript](), list[cst.Call]()
        jumps, others = list[cst.CSTNode](), list[cst.CSTNode]()
        targets: set[cst.CSTNode] = set()
        for node in walk(*nodes):
            match node:
                case cst.AssignTarget(target=cst.Subscript() as target):
                    targets.add(target)
                    stores.append(target)
                case cst.AugAssign(target=cst.Subscript() as target):
                    stores.append(target)  # and a load
                case cst.Subscript() if node not in targets:
                    loads.append(node)
                case cst.Return() | cst.Break() | cst.Continue():
                    jumps.append(node)
                case cst.Call():
                    name = call_name(node)
                    if name.startswith(_TOGETHER):
                        together.append(node)
                    elif not (_computes(name) or name in _ARRAYS or (name in functions and name in pure)):
                        others.append(node)
                case _:
                    pass
        return cls(tuple(loads), tuple(stores), tuple(together), tuple(jumps), tuple(others))

    @property
    def opaque(self) -> bool:
        """Whether something is done that is not understood."""
        return bool(self.others) or not all(isinstance(one.value, cst.Name) for one in (*self.loads, *self.stores))

    @property
    def stored(self) -> frozenset[str]:
        """Arrays that are written."""
        return frozenset(one.value.value for one in self.stores if isinstance(one.value, cst.Name))

    @property
    def loaded(self) -> frozenset[str]:
        """Arrays whose elements are read."""
        return frozenset(one.value.value for one in self.loads if isinstance(one.value, cst.Name))


def pure_functions(module: cst.Module) -> frozenset[str]:
    """The functions of a file that neither write, wait nor ask where their thread is."""
    functions = {one.name.value: one for one in module.body if isinstance(one, cst.FunctionDef)}
    found = frozenset(functions)
    while True:
        kept = frozenset(name for name in found if _is_pure(functions[name], frozenset(functions), found))
        if kept == found:
            return found
        found = kept


def _is_pure(function: cst.FunctionDef, functions: frozenset[str], pure: frozenset[str]) -> bool:
    done = Effects.of([function.body], functions, pure)
    places = any(
        isinstance(node, cst.Attribute) and node.attr.value in ("threadIdx", "blockIdx", "gridDim", "laneid")
        for node in walk(function.body)
    )
    calls = {call_name(node) for node in walk(function.body)}
    return not (done.stores or done.together or done.others or places or calls & (_PLACES | _ARRAYS))
