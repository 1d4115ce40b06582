"""One kernel as the rewrites see it: the tree of one entry beside the header, and the ways to change both."""

from __future__ import annotations

__all__ = ["Edit", "Loop", "Site", "View", "views"]

import re
import textwrap
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cached_property
from typing import Any

from attrs import define, evolve, field, frozen
from tree_sitter import Node

from kernelevolve.expressions import parse as parse_expression
from kernelevolve.kernel import Kernel, Launch, Scratch, Value
from kernelevolve.languages.opencl_c import OpenCLC
from kernelevolve.languages.opencl_c.gate import function_name
from kernelevolve.languages.opencl_c.source import Source, parse
from kernelevolve.proposers.rewriting.analysis import Effects, Names, effects, squeeze

_LANGUAGE = OpenCLC()


@frozen
class Edit:
    """Replace the characters from `start` to `end` by `text`."""

    start: int
    end: int
    text: str


@frozen
class Site:
    """One place where a rewrite applies."""

    #: What would change, in a few words.
    note: str
    #: The changed kernel.
    make: Callable[[], Kernel] = field(repr=False, eq=False)


@frozen
class Loop:
    """A counted loop: ``for (int i = start; i < stop; i += step)`` whose bounds do not change inside."""

    node: Node = field(repr=False)
    body: Node = field(repr=False)
    type: str
    variable: str
    start: str
    stop: str
    step: str
    effects: Effects = field(repr=False)

    @property
    def plain(self) -> bool:
        """Whether it runs every iteration and does nothing that is not understood."""
        return not self.effects.jumps and not self.effects.opaque

    @property
    def header(self) -> str:
        """The loop without its body, as text."""
        return self.head(self.start, self.stop, self.step)

    def head(self, start: str, stop: str, step: str = "1") -> str:
        """A loop over the same variable with other bounds."""
        update = f"++{self.variable}" if step == "1" else f"{self.variable} += {step}"
        return f"for ({self.type} {self.variable} = {start}; {self.variable} < {stop}; {update})"


@define(eq=False, slots=False)
class View:
    """One entry of one kernel."""

    kernel: Kernel
    source: Source
    function: Node
    name: str
    #: Names that mean something outside the file: axes, tensors, scalars.
    taken: frozenset[str] = frozenset()
    axes: tuple[str, ...] = ()

    @cached_property
    def body(self) -> Node:
        """The function's compound statement."""
        found = self.function.child_by_field_name("body")
        assert found is not None
        return found

    @cached_property
    def parameter_list(self) -> Node:
        """The parenthesised parameters."""
        node = self.function
        while node.type != "parameter_list":
            inner = node.child_by_field_name("parameters") or node.child_by_field_name("declarator")
            assert inner is not None
            node = inner
        return node

    @cached_property
    def names(self) -> Names:
        """Types of the entry's variables."""
        return Names.of(self.source, self.function)

    @cached_property
    def launch(self) -> Launch:
        """The first launch of this entry."""
        return next(launch for launch in self.kernel.launches if launch.entry == self.name)

    @cached_property
    def parameters(self) -> tuple[str, ...]:
        """Names of the entry's parameters."""
        return tuple(parameter.name for parameter in _LANGUAGE.entries(self.source.text)[self.name])

    @cached_property
    def words(self) -> frozenset[str]:
        """Every word of the source."""
        return frozenset(token.text for token in self.source.tokens if token.kind == "word")

    @cached_property
    def constants(self) -> dict[str, str]:
        """The file's macros that are whole numbers: ``#define GROUP 64``."""
        directives = (token.text for token in self.source.tokens if token.kind == "directive")
        found = (re.fullmatch(r"#\s*define\s+(\w+)\s+(\d+)\s*", text) for text in directives)
        return {match[1]: match[2] for match in found if match}

    @cached_property
    def local_ids(self) -> frozenset[str]:
        """Expressions for the place of an item in its group: the call itself, and variables that hold it."""
        found = {"get_local_id(0)", "(int)get_local_id(0)"}
        for node in self.find("init_declarator"):
            name, value = node.child_by_field_name("declarator"), node.child_by_field_name("value")
            if name is not None and value is not None and squeeze(self.of(value)) in found:
                found.add(self.of(name))
        return frozenset(found)

    def shared_out(self, loop: Loop) -> bool:
        """Whether the items of a group take turns in `loop`: from the local id, in steps of the group's size."""
        if len(self.launch.block) != 1 or squeeze(loop.start) not in self.local_ids:
            return False
        step = squeeze(loop.step)
        sizes = {squeeze(self.launch.block[0].text), "get_local_size(0)", "(int)get_local_size(0)"}
        return step in sizes or self.constants.get(step) in sizes

    @cached_property
    def effects(self) -> Effects:
        """What the whole entry does."""
        return effects(self.source, self.body)

    def of(self, node: Node) -> str:
        """The node's text."""
        return self.source.of(node)

    @cached_property
    def roots(self) -> dict[str, str]:
        """Pointer variables by what they point into: ``y_row = y + start`` points into ``y``."""
        found: dict[str, str] = {}
        for node in self.find("init_declarator"):
            declarator, value = node.child_by_field_name("declarator"), node.child_by_field_name("value")
            if declarator is None or value is None or declarator.type != "pointer_declarator":
                continue
            inside = (self.of(inner) for inner in self.find("identifier", under=value))
            base = next((name for name in inside if "*" in self.names.types.get(name, "")), None)
            for name in self.find("identifier", under=declarator):
                found[self.of(name)] = found.get(base or "?", base or "?")
        return found

    @cached_property
    def read_back(self) -> frozenset[str]:
        """Buffers that the entry both writes and reads, under whichever name."""
        stored, loaded = (
            {self.roots.get(name, name) for name in names} for names in (self.effects.stored, self.effects.loaded)
        )
        return frozenset(stored & loaded & set(self.parameters))

    def aliased(self, *parts: Effects) -> bool:
        """Whether `parts` together write a buffer that they also touch under another name."""
        stored = {name for part in parts for name in part.stored}
        touched = stored | {name for part in parts for name in part.loaded}
        return any(
            one != other and self.roots.get(one, one) == self.roots.get(other, other)
            for one in stored
            for other in touched
        )

    def statements(self) -> list[Node]:
        """The statements of the entry's body."""
        return list(self.body.named_children)

    def find(self, *kinds: str, under: Node | None = None) -> Iterator[Node]:
        """Every node of one of `kinds`, outer ones first."""
        return (node for node in self.source.walk(under or self.body) if node.type in kinds)

    def loops(self, under: Node | None = None) -> Iterator[Loop]:
        """Every counted loop, outer ones first."""
        for node in self.find("for_statement", under=under):
            loop = _counted(self, node)
            if loop is not None:
                yield loop

    def long_loops(self) -> Iterator[Loop]:
        """The counted loops that do the work: not those over a strip, nor those over what strips left."""
        for loop in self.loops():
            leftover = "_base" in loop.start or "%" in loop.start
            if not leftover and loop.stop not in self.kernel.tunables:
                yield loop

    def loop(self, node: Node) -> Loop | None:
        """`node` as a counted loop, or None where it is none."""
        return _counted(self, node) if node.type == "for_statement" else None

    def inside(self, node: Node) -> str:
        """The text of a statement, without the braces of a compound one, at no indentation."""
        if node.type != "compound_statement":
            return self.of(node).strip()
        return textwrap.dedent(self.source.text[node.start_byte + 1 : node.end_byte - 1].strip("\n")).strip()

    def lines(self, node: Node) -> list[Node]:
        """The statements of a loop's body."""
        return list(node.named_children) if node.type == "compound_statement" else [node]

    def fresh(self, wanted: str) -> str:
        """`wanted`, or with a number behind it where the name is taken."""
        used = self.words | self.taken | set(self.kernel.tunables) | set(self.kernel.scratch)
        numbered = (wanted if n == 1 else f"{wanted}{'_' if wanted.islower() else ''}{n}" for n in range(1, 1000))
        return next(name for name in numbered if name not in used)

    def indented(self, node: Node, text: str) -> str:
        """`text` (at no indentation) to stand in place of `node`."""
        before = self.source.text[: self.source.start(node)].rpartition("\n")[2]
        return textwrap.indent(text, before[: len(before) - len(before.lstrip())]).lstrip()

    def replace(self, node: Node, text: str) -> Edit:
        """Put `text` in place of `node` and of the pragma that belongs to it."""
        return Edit(self.source.start(node), node.end_byte, self.indented(node, text))

    def before(self, node: Node, text: str) -> Edit:
        """Put `text` on the line before `node`."""
        start = self.source.start(node)
        return Edit(start, start, self.indented(node, text + "\n.").removesuffix("."))

    def edited(
        self,
        edits: Iterable[Edit],
        *,
        tunables: Mapping[str, tuple[Value, ...]] | None = None,
        launch: Callable[[Launch], Launch] | None = None,
        constraints: Iterable[str] = (),
    ) -> Kernel:
        """The kernel with `edits` in its body; `launch` is applied to every launch of this entry."""
        text = apply(self.source.text, edits)
        launches = self.kernel.launches
        if launch is not None:
            launches = tuple(launch(one) if one.entry == self.name else one for one in launches)
        return evolve(
            self.kernel,
            body=text,
            tunables={**self.kernel.tunables, **(tunables or {})},
            launches=launches,
            constraints=(*self.kernel.constraints, *(parse_expression(text) for text in constraints)),
        )

    def with_parameters(self, names: Iterable[str]) -> list[Edit]:
        """Edits that add those of `names` that are axes and no parameter yet, as ``int``."""
        missing = [name for name in names if name not in self.parameters and name not in self.kernel.tunables]
        if not missing:
            return []
        end = self.parameter_list.end_byte - 1
        added = ", ".join(f"int {name}" for name in missing)
        return [Edit(end, end, f", {added}" if self.parameters else added)]

    def grouped(self) -> bool:
        """Whether the entry depends on how items are grouped: local memory, barriers, local or group ids."""
        words = {"barrier", "work_group_barrier", "__local", "local", "get_local_id", "get_group_id", "get_local_size"}
        words |= {"get_num_groups", "get_local_linear_id", "reqd_work_group_size"}
        start, end = self.source.start(self.function), self.function.end_byte
        used = {token.text for token in self.source.tokens if start <= token.start < end}
        return bool(used & words) or any(word.startswith(("work_group_", "sub_group_")) for word in used)


def apply(text: str, edits: Iterable[Edit]) -> str:
    """`text` with `edits` made. They must not overlap; several at one place are kept in their order."""
    ordered = sorted(edits, key=lambda edit: (edit.start, edit.end))
    parts: list[str] = []
    at = 0
    for edit in ordered:
        if edit.start < at:
            raise ValueError(f"edits overlap at character {edit.start}")
        parts += (text[at : edit.start], edit.text)
        at = edit.end
    return "".join([*parts, text[at:]])


def views(kernel: Kernel, taken: Iterable[str] = (), axes: Iterable[str] = ()) -> tuple[View, ...]:
    """One view for each entry that the header launches and the source defines."""
    source = parse(kernel.body)
    launched = {launch.entry for launch in kernel.launches}
    known: dict[str, Any] = {"taken": frozenset(taken), "axes": tuple(axes)}
    named = ((function_name(source, node), node) for node in source.functions())
    return tuple(View(kernel, source, node, name, **known) for name, node in named if name in launched)


def _counted(view: View, node: Node) -> Loop | None:
    first, condition = node.child_by_field_name("initializer"), node.child_by_field_name("condition")
    update, body = node.child_by_field_name("update"), node.child_by_field_name("body")
    if first is None or condition is None or update is None or body is None or first.type != "declaration":
        return None
    declarators = first.children_by_field_name("declarator")
    if len(declarators) != 1 or declarators[0].type != "init_declarator" or condition.type != "binary_expression":
        return None
    name, value = declarators[0].child_by_field_name("declarator"), declarators[0].child_by_field_name("value")
    assert name is not None
    assert value is not None
    variable = view.of(name)
    left, operator, stop = (condition.child_by_field_name(part) for part in ("left", "operator", "right"))
    step = _step(view, update, variable)
    if step is None or left is None or operator is None or stop is None:
        return None
    if name.type != "identifier" or view.of(left) != variable or view.of(operator) != "<":
        return None
    found = effects(view.source, body)
    bounds = {view.of(inner) for part in (stop, update) for inner in view.find("identifier", under=part)} - {variable}
    if found.assigned & (bounds | {variable}) or effects(view.source, stop).loads:
        return None
    kind = view.source.text[first.start_byte : name.start_byte].strip()
    return Loop(node, body, kind, variable, view.of(value), view.of(stop), step, found)


def _step(view: View, update: Node, variable: str) -> str | None:
    text = squeeze(view.of(update))
    if text in (f"++{variable}", f"{variable}++"):
        return "1"
    if update.type != "assignment_expression" or not text.startswith(f"{variable}+="):
        return None
    right = update.child_by_field_name("right")
    return None if right is None else view.of(right)


def local_scratch(shape: Iterable[str], dtype: str = "float32") -> Scratch:
    """A local-memory parameter of the header."""
    return Scratch(tuple(parse_expression(text) for text in shape), dtype)
