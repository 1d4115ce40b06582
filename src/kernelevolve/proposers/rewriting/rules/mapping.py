"""Rewrites of the launch: group sizes, the order of dimensions, and what is promised to the compiler about them."""

from __future__ import annotations

__all__ = ["Place", "group_size", "guard", "places", "qualify", "required_size", "swap_dimensions"]

import re
from collections.abc import Iterator
from functools import partial
from typing import Final

from attrs import evolve, field, frozen
from tree_sitter import Node

from kernelevolve.kernel import Kernel, Launch
from kernelevolve.languages.opencl_c import OpenCLC
from kernelevolve.proposers.rewriting.analysis import identifiers, squeeze
from kernelevolve.proposers.rewriting.grids import as_c, covered, in_groups_of, names, with_dimension
from kernelevolve.proposers.rewriting.view import Edit, Site, View

SIZES: Final = (64, 1, 16, 32, 128, 256)
#: For one of several dimensions.
SIDES: Final = (8, 1, 4, 16, 32, 64)
_BY_DIMENSION: Final = frozenset(
    f"get_{what}"
    for what in ("global_id", "global_size", "local_id", "local_size", "group_id", "num_groups", "global_offset")
)


@frozen
class Place:
    """Where an item learns its place in one dimension: ``int row = get_global_id(0);``."""

    declaration: Node = field(eq=False, repr=False)
    #: The call of ``get_global_id``.
    call: Node = field(eq=False, repr=False)
    variable: str
    type: str
    dimension: int


def places(view: View) -> Iterator[Place]:
    """Declarations at the top of the entry that hold a global id and are never changed."""
    for node in view.statements():
        declarators = node.children_by_field_name("declarator") if node.type == "declaration" else []
        if len(declarators) != 1 or declarators[0].type != "init_declarator":
            continue
        name, value = (declarators[0].child_by_field_name(part) for part in ("declarator", "value"))
        assert name is not None and value is not None  # noqa: PT018
        calls = [
            call for call in view.find("call_expression", under=value) if view.of(call).startswith("get_global_id")
        ]
        bare = re.fullmatch(r"(\(\w+\))?\(*get_global_id\(([012])\)\)*", squeeze(view.of(value)))
        changed = view.of(name) in _assigned_after(view, node)
        if name.type == "identifier" and len(calls) == 1 and bare and not changed:
            kind = view.source.text[node.start_byte : name.start_byte].strip()
            yield Place(node, calls[0], view.of(name), kind, int(bare[2]))


def _assigned_after(view: View, declaration: Node) -> set[str]:
    targets = set()
    for node in view.find("assignment_expression", "update_expression"):
        if node.start_byte > declaration.end_byte:
            target = node.child_by_field_name("left") or node.child_by_field_name("argument")
            assert target is not None
            targets.add(view.of(target))
    return targets


def guard(view: View, place: Place) -> Node | None:
    """The ``if (row >= rows) return;`` or ``if (row < rows) {…}`` that keeps surplus items from working."""
    for node in view.statements():
        if node.type != "if_statement":
            continue
        condition = node.child_by_field_name("condition")
        assert condition is not None
        text = squeeze(view.of(condition))
        if place.variable in identifiers(view.source, condition) and ("<" in text or ">" in text):
            return node
    return None


def group_size(view: View) -> Iterator[Site]:
    """Make the number of items in a group a tunable, where the kernel does not depend on it."""
    if view.grouped() or not view.launch.block:
        return
    for dimension, block in enumerate(view.launch.block):
        count = covered(view.launch, dimension)
        if block.text.isdigit() and count is not None and as_c(count) is not None:
            yield Site(
                f"group size of dimension {dimension} as a tunable",
                partial(_with_group, view, dimension, count),
            )


def _with_group(view: View, dimension: int, count: str) -> Kernel:
    several = len(view.launch.grid) > 1
    name = view.fresh("GROUP" if not several else f"GROUP_{'XYZ'[dimension]}")
    offered = SIDES if several else SIZES
    now = int(view.launch.block[dimension].text)
    others = tuple(size for size in offered if size != now)
    edits = _missing_guard(view, dimension, count)

    def change(launch: Launch) -> Launch:
        return with_dimension(launch, dimension, grid=in_groups_of(count, name), block=name)

    blocks = [name if i == dimension else block.text for i, block in enumerate(view.launch.block)]
    fits = [f"{' * '.join(blocks)} <= max_group_size"] if several else []
    return view.edited(edits, tunables={name: (*others, now)}, launch=change, constraints=fits)


def _missing_guard(view: View, dimension: int, count: str) -> list[Edit]:
    if any(place.dimension == dimension and guard(view, place) for place in places(view)):
        return []
    start = view.body.start_byte + 1
    text = f"\n  if (get_global_id({dimension}) >= (size_t)({as_c(count)})) return;"
    return [Edit(start, start, text), *view.with_parameters(sorted(names(count)))]


def swap_dimensions(view: View) -> Iterator[Site]:
    """Exchange two dimensions of the launch, so that neighbouring items touch other memory."""
    for one, other in ((0, 1), (1, 2), (0, 2)):
        if other < len(view.launch.grid) and not _has_required_size(view):
            note = f"swap dimensions {one} and {other}"
            yield Site(note, partial(_swapped, view, one, other))


def _swapped(view: View, one: int, other: int) -> Kernel:
    swap = {str(one): str(other), str(other): str(one)}
    edits = []
    for node in view.find("call_expression"):
        function, arguments = (node.child_by_field_name(part) for part in ("function", "arguments"))
        if function is None or arguments is None or view.of(function) not in _BY_DIMENSION:
            continue
        argument = arguments.named_children[0]
        if view.of(argument) in swap:
            edits.append(Edit(argument.start_byte, argument.end_byte, swap[view.of(argument)]))

    def change(launch: Launch) -> Launch:
        grid, block = list(launch.grid), list(launch.block)
        for sizes in (grid, block):
            if sizes:
                sizes[one], sizes[other] = sizes[other], sizes[one]
        return evolve(launch, grid=tuple(grid), block=tuple(block))

    return view.edited(edits, launch=change)


def _has_required_size(view: View) -> bool:
    text = view.source.text[view.source.start(view.function) : view.body.start_byte]
    return "reqd_work_group_size" in text


def required_size(view: View) -> Iterator[Site]:
    """Promise the group size to the compiler, which may then unroll loops over it and drop barriers."""
    blocks = {launch.block for launch in view.kernel.launches if launch.entry == view.name}
    if _has_required_size(view) or len(blocks) != 1:
        return
    sizes = [size.text for size in view.launch.block]
    known = [text for text in sizes if text.isdigit() or text in view.kernel.tunables]
    if sizes and len(known) == len(sizes):
        listed = ", ".join([*sizes, "1", "1"][:3])
        text = f"__attribute__((reqd_work_group_size({listed})))\n"
        start = view.source.start(view.function)
        yield Site(f"reqd_work_group_size({listed})", partial(view.edited, [Edit(start, start, text)]))


def qualify(view: View) -> Iterator[Site]:
    """``restrict`` on every pointer, and ``const`` on those that are only read: the compiler may then keep values."""
    edits = list(_qualifications(view))
    if edits:
        yield Site("restrict and const on pointers", partial(view.edited, edits))


def _qualifications(view: View) -> Iterator[Edit]:
    kinds = {parameter.name: parameter.type for parameter in OpenCLC().entries(view.source.text)[view.name]}
    for node in view.parameter_list.named_children:
        declarator = node.child_by_field_name("declarator")
        base = node.child_by_field_name("type")
        if declarator is None or base is None or declarator.type != "pointer_declarator":
            continue
        name = declarator.child_by_field_name("declarator")
        assert name is not None
        kind = kinds.get(view.of(name), "")
        if "restrict" not in kind:
            yield Edit(name.start_byte, name.start_byte, "restrict ")
        if "const" not in kind.replace("constant", "") and "local" not in kind and _only_read(view, view.of(name)):
            yield Edit(base.start_byte, base.start_byte, "const ")


def _only_read(view: View, name: str) -> bool:
    """Whether every mention of the pointer is an element that is read."""
    mentions = list(identifiers(view.source, view.body)).count(name)
    reads = sum(access.array == name for access in view.effects.loads)
    return name not in view.effects.stored and mentions == reads
