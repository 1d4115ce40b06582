"""Rewrites that give each work-item more to do."""

from __future__ import annotations

__all__ = ["coarsen", "jam"]

import textwrap
from collections.abc import Iterator
from functools import partial
from typing import Final

from tree_sitter import Node

from kernelevolve.kernel import Kernel, Launch
from kernelevolve.proposers.rewriting.analysis import effects, identifiers, squeeze
from kernelevolve.proposers.rewriting.grids import as_c, covered, divided, names, with_dimension
from kernelevolve.proposers.rewriting.reductions import renamed
from kernelevolve.proposers.rewriting.rules.mapping import Place, guard, places
from kernelevolve.proposers.rewriting.view import Edit, Site, View, apply

WORK: Final = (4, 2, 1, 8, 16)


def coarsen(view: View) -> Iterator[Site]:
    """Several outputs for each item: next to each other, or as far apart as there are items."""
    if view.grouped():
        return
    for place in places(view):
        count = covered(view.launch, place.dimension)
        outside = guard(view, place) is None
        if (outside and (count is None or as_c(count) is None)) or not _can_repeat(view):
            continue
        for strided in (False, True):
            how = "strided" if strided else "consecutive"
            note = f"{how} work over {place.variable}"
            yield Site(note, partial(_coarsened, view, place, strided=strided))


def _can_repeat(view: View) -> bool:
    """Whether every ``return`` can become a ``continue``: none stands inside a loop or a switch."""
    for node in view.find("return_statement"):
        parent = node.parent
        while parent is not None and parent != view.body:
            if parent.type in ("for_statement", "while_statement", "do_statement", "switch_statement"):
                return False
            parent = parent.parent
    return True


def _coarsened(view: View, place: Place, *, strided: bool) -> Kernel:
    name, step = view.fresh("WORK"), view.fresh("work")
    dimension = place.dimension
    index = f"get_global_id({dimension})"
    where = f"({index} + {step} * get_global_size({dimension}))" if strided else f"({index} * {name} + {step})"
    start, end = view.body.start_byte + 1, view.body.end_byte - 1
    edits = [Edit(place.call.start_byte, place.call.end_byte, where)]
    edits += [Edit(node.start_byte, node.end_byte, "continue;") for node in view.find("return_statement")]
    if guard(view, place) is None:
        count = covered(view.launch, dimension)
        assert count is not None
        edits.append(
            Edit(
                place.declaration.end_byte,
                place.declaration.end_byte,
                f"\n  if ({place.variable} >= {as_c(count)}) continue;",
            )
        )
    shifted = [Edit(edit.start - start, edit.end - start, edit.text) for edit in edits]
    body = textwrap.indent(apply(view.source.text[start:end], shifted), "  ")
    whole = Edit(start, end, f"\n  for (size_t {step} = 0; {step} < {name}; ++{step}) {{{body}\n  }}\n")
    missing = [] if guard(view, place) is not None else _missing(view, dimension)

    def change(launch: Launch) -> Launch:
        return with_dimension(launch, dimension, grid=divided(launch.grid[dimension].text, name))

    return view.edited([*missing, whole], tunables={name: WORK}, launch=change)


def _missing(view: View, dimension: int) -> list[Edit]:
    count = covered(view.launch, dimension)
    return [] if count is None else view.with_parameters(sorted(names(count)))


def jam(view: View) -> Iterator[Site]:
    """Several neighbouring outputs for each item, side by side in the inner loop: what one of them loads serves all.

    Surplus items repeat the last output instead of leaving, so nothing diverges.
    """
    if view.grouped() or view.effects.opaque:
        return
    for place in places(view):
        lines = _both_paths(view, place)
        if lines is not None:
            yield Site(
                f"several outputs over {place.variable} in one loop",
                partial(_jammed, view, place, lines),
            )


class _Jam:
    """Expands what depends on one index into arrays, statement by statement.

    `whole` is the path on which every output exists, so that neighbouring loads stay recognisable as such.
    """

    def __init__(self, view: View, place: Place, *, whole: bool) -> None:
        self.view, self.place, self.whole = view, place, whole
        self.work, self.item = view.fresh("WORK"), view.fresh("w")
        self.arrays: dict[str, str] = {}
        self.each = f"for (int {self.item} = 0; {self.item} < {self.work}; ++{self.item})"

    def lines(self, limit: str) -> list[str] | None:
        """The new body, or None where a statement has no such form."""
        view, place = self.view, self.place
        guarded = guard(view, place)
        if guarded is not None and not self._leaves(guarded):
            return None
        if view.read_back or not self._declare():
            return None
        lines: list[str] = []
        for node in view.statements():
            if node == place.declaration:
                lines += self._index(limit)
            elif node == guarded:
                lines += self._other_guards(node)
            else:
                found = self._statement(node)
                if found is None:
                    return None
                lines += found
        return lines

    def _leaves(self, node: Node) -> bool:
        body = node.child_by_field_name("consequence")
        return body is not None and [line.type for line in self.view.lines(body)] == ["return_statement"]

    def _declare(self) -> bool:
        """Decide which variables need one value for each output: all that depend on the index."""
        self.arrays = {self.place.variable: self.view.fresh(f"{self.place.variable}s")}
        grew = True
        while grew:
            grew = False
            for node in self.view.statements():
                if node == self.place.declaration or not self._mentions(node):
                    continue
                for name in effects(self.view.source, node).written | self._declared(node):
                    if name not in self.arrays:
                        self.arrays[name] = self.view.fresh(f"{name}s")
                        grew = True
        return all(self.view.names.types.get(name, "*").count("*") == 0 for name in self.arrays)

    def _declared(self, node: Node) -> frozenset[str]:
        return effects(self.view.source, node).declared if node.type == "declaration" else frozenset()

    def _mentions(self, node: Node) -> bool:
        return bool(set(self.arrays) & set(identifiers(self.view.source, node)))

    def _text(self, node: Node) -> str:
        values = {name: f"{array}[{self.item}]" for name, array in self.arrays.items()}
        if self.whole:
            values[self.place.variable] = f"({self.place.variable} + {self.item})"
        return renamed(self.view, node, values)

    def _index(self, limit: str) -> list[str]:
        if self.whole:
            return []
        place = self.place
        kind, array = self.view.names.types[place.variable], self.arrays[place.variable]
        value = f"min(({kind})({place.variable} + {self.item}), ({kind})({limit} - 1))"
        return [f"{kind} {array}[{self.work}];", f"{self.each} {array}[{self.item}] = {value};"]

    def _other_guards(self, node: Node) -> list[str]:
        """What a shared guard says of the other dimensions; what it says of this one, the first index does."""
        condition = node.child_by_field_name("condition")
        assert condition is not None
        tests = self._alternatives(condition.named_children[0])
        kept = [self.view.of(test) for test in tests if not self._mentions(test)]
        return [f"if ({' || '.join(kept)}) return;"] if kept else []

    def _alternatives(self, node: Node) -> list[Node]:
        operator = node.child_by_field_name("operator")
        if node.type == "binary_expression" and operator is not None and self.view.of(operator) == "||":
            sides = (node.child_by_field_name("left"), node.child_by_field_name("right"))
            return [test for side in sides if side is not None for test in self._alternatives(side)]
        return [node]

    def _statement(self, node: Node) -> list[str] | None:
        view = self.view
        found = effects(view.source, node)
        if found.jumps or found.opaque or node.type.startswith("preproc_"):
            return None
        if node.type == "declaration":
            return self._declaration(node)
        if not self._mentions(node):
            return [view.of(node)]
        loop = view.loop(node)
        if loop is None:
            return [f"{self.each} {{", textwrap.indent(self._text(node), "  "), "}"]
        bounds = {name for part in (loop.start, loop.stop, loop.step) for name in self.arrays if name in squeeze(part)}
        if bounds:
            return [f"{self.each} {{", textwrap.indent(self._text(node), "  "), "}"]
        inner = textwrap.indent(self._text(loop.body), "    ")
        return [f"{loop.header} {{", f"#pragma unroll {self.work}", f"  {self.each} {{", inner, "  }", "}"]

    def _declaration(self, node: Node) -> list[str] | None:
        view = self.view
        if not set(self._declared(node)) & set(self.arrays):
            return [view.of(node)]
        lines = []
        for declarator in node.children_by_field_name("declarator"):
            inner = declarator.child_by_field_name("declarator") or declarator
            name, value = view.of(inner), declarator.child_by_field_name("value")
            if inner.type != "identifier" or name not in self.arrays:
                return None
            lines.append(f"{view.names.types[name]} {self.arrays[name]}[{self.work}];")
            if value is not None:
                lines.append(f"{self.each} {self.arrays[name]}[{self.item}] = {self._text(value)};")
        return lines


def _both_paths(view: View, place: Place) -> list[str] | None:
    """The new body: one path where all outputs exist, one for the end of the range."""
    count = covered(view.launch, place.dimension)
    limit = as_c(count) if count is not None else None
    if limit is None:
        return None
    name, kind, whole = place.variable, view.names.types[place.variable], _Jam(view, place, whole=True)
    paths = (whole.lines(limit), _Jam(view, place, whole=False).lines(limit))
    if paths[0] is None or paths[1] is None:
        return None
    return [
        f"const {kind} {name} = get_global_id({place.dimension}) * {whole.work};",
        f"if ({name} >= {limit}) return;",
        f"if ({name} + {whole.work} <= {limit}) {{",
        *(textwrap.indent(line, "  ") for line in paths[0]),
        "} else {",
        *(textwrap.indent(line, "  ") for line in paths[1]),
        "}",
    ]


def _jammed(view: View, place: Place, lines: list[str]) -> Kernel:
    name = view.fresh("WORK")
    body = textwrap.indent("\n".join(lines), "  ")
    whole = Edit(view.body.start_byte + 1, view.body.end_byte - 1, f"\n{body}\n")

    def change(launch: Launch) -> Launch:
        grid = divided(launch.grid[place.dimension].text, name)
        return with_dimension(launch, place.dimension, grid=grid)

    return view.edited([*_missing(view, place.dimension), whole], tunables={name: WORK}, launch=change)
