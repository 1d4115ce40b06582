"""What a piece of an entry reads, writes and calls."""

from __future__ import annotations

__all__ = ["Access", "Effects", "Memory"]

from functools import cached_property
from typing import TYPE_CHECKING

import libcst as cst
from attrs import field, frozen

from kernelevolve.proposers.rewriting.python_edits import walk
from kernelevolve.proposers.rewriting.python_flow import Definition, Kind
from kernelevolve.proposers.rewriting.triton_rules.calls import argument, call_name, is_pure_call
from kernelevolve.proposers.rewriting.triton_rules.indices import Address

if TYPE_CHECKING:
    from kernelevolve.proposers.rewriting.triton_rules.view import TritonView


@frozen(eq=False)
class Access:
    """One ``tl.load`` or ``tl.store``; for a load through a descriptor only the buffer is known."""

    call: cst.Call = field(repr=False)
    pointer: cst.BaseExpression = field(repr=False)
    #: Where it reads or writes, as far as that is understood.
    address: Address | None
    mask: cst.BaseExpression | None = field(default=None, repr=False)
    #: What a masked load gives where the mask is false.
    other: cst.BaseExpression | None = field(default=None, repr=False)
    #: What is stored.
    value: cst.BaseExpression | None = field(default=None, repr=False)
    #: The buffer; None where it is not known.
    root: str | None = None


@frozen(eq=False)
class Effects:
    """What running some code does."""

    loads: tuple[Access, ...]
    stores: tuple[Access, ...]
    #: Calls whose effect is not understood: atomics, barriers, descriptors, functions that could not be written out.
    opaque: tuple[cst.Call, ...]
    #: Ways out: ``return`` and the like.
    jumps: tuple[cst.CSTNode, ...]

    @property
    def stored(self) -> frozenset[str | None]:
        """Buffers that are written; None among them: one that is not known."""
        return frozenset(access.root for access in self.stores)

    @property
    def loaded(self) -> frozenset[str | None]:
        """Buffers that are read; None as above."""
        return frozenset(access.root for access in self.loads)

    @property
    def is_plain(self) -> bool:
        """Whether all of it is understood, and runs to its end."""
        return not self.opaque and not self.jumps and None not in self.stored | self.loaded

    @property
    def is_pure(self) -> bool:
        """Whether it only computes: memory may be read."""
        return self.is_plain and not self.stores


class Memory:
    """The accesses of one entry."""

    def __init__(self, view: TritonView) -> None:
        self.view = view
        self._known: dict[cst.Call, Access] = {}

    @cached_property
    def whole(self) -> Effects:
        """The effects of the whole entry."""
        return self.effects(*self.view.body)

    def effects(self, *nodes: cst.CSTNode) -> Effects:
        """The effects of `nodes` together."""
        loads, stores, opaque, jumps = [], [], [], []
        for node in walk(*nodes):
            if isinstance(node, cst.Return | cst.Break | cst.Continue | cst.Raise | cst.Assert):
                jumps.append(node)
            if not isinstance(node, cst.Call):
                continue
            name = call_name(node)
            if name == "tl.load":
                loads.append(self.access(node))
            elif name == "tl.store":
                stores.append(self.access(node))
            elif (described := self._described(node)) is not None:
                loads.append(described)
            elif not is_pure_call(node):
                opaque.append(node)
        return Effects(tuple(loads), tuple(stores), tuple(opaque), tuple(jumps))

    def access(self, call: cst.Call) -> Access:
        """A load or store, taken apart."""
        if call not in self._known:
            self._known[call] = self._access(call)
        return self._known[call]

    def _access(self, call: cst.Call) -> Access:
        pointer = argument(call, 0, "pointer")
        store = call_name(call) == "tl.store"
        if pointer is None or any(one.star for one in call.args):
            return Access(call, call, None)
        address = self.view.indices.address(pointer)
        value = self.view.types.of(pointer)
        return Access(
            call,
            pointer,
            address,
            mask=_given(argument(call, 2 if store else 1, "mask")),
            other=None if store else _given(argument(call, 2, "other")),
            value=argument(call, 1, "value") if store else None,
            root=address.root if address is not None else None if value is None else value.root,
        )

    def _described(self, call: cst.Call) -> Access | None:
        """A load through a tensor descriptor that the entry made."""
        match call.func:
            case cst.Attribute(value=cst.Name() as holder, attr=cst.Name(value="load")):
                pass
            case _:
                return None
        if call not in self._known:
            made = _origin(self.view.flow.of(holder))
            described = isinstance(made, cst.Call) and call_name(made) == "tl.make_tensor_descriptor"
            base = argument(made, 0, "base") if isinstance(made, cst.Call) and described else None
            address = None if base is None else self.view.indices.address(base)
            if address is None:
                return None
            self._known[call] = Access(call, holder, None, root=address.root)
        return self._known[call]

    def is_read_only(self, root: str | None) -> bool:
        """Whether the entry reads a buffer and nothing in it writes that buffer."""
        whole = self.whole
        return root is not None and not whole.opaque and None not in whole.stored and root not in whole.stored


def _origin(definition: Definition | None) -> cst.BaseExpression | None:
    """What a variable was set to, where that is one call however a branch of the compiler's went."""
    while definition is not None and definition.kind in (Kind.MERGED, Kind.CARRIED):
        set_to = [one for one in definition.sources if one is not None]
        definition = set_to[0] if len(set_to) == 1 else None
    return None if definition is None or definition.kind is not Kind.VALUE else definition.value


def _given(node: cst.BaseExpression | None) -> cst.BaseExpression | None:
    return None if isinstance(node, cst.Name) and node.value == "None" else node
