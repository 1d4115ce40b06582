"""The canonical form of a kernel that recipes start from: which items there are, and what one item does, serially.

A kernel file says what *one work-item* (or one work-group that shares a row) computes. `read_entry` takes the ids, the
guards (``if (row >= rows) return;``) and any sharing among the items of a group out of the code; what remains is plain
serial C for one item, over the ids as variables.
"""

from __future__ import annotations

__all__ = ["Entry", "ItemId", "host_expression", "read_entry"]

import re
from collections.abc import Iterator, Mapping

from attrs import evolve, frozen
from attrs import field as attribute
from tree_sitter import Node

from kernelevolve.expressions import ExpressionError, parse
from kernelevolve.kernel import Kernel
from kernelevolve.languages.opencl_c import OpenCLC
from kernelevolve.languages.opencl_c.lexing import lex
from kernelevolve.languages.opencl_c.source import Source
from kernelevolve.languages.opencl_c.source import parse as parse_source
from kernelevolve.outcome import Rejected
from kernelevolve.problem import Problem
from kernelevolve.proposers.recipes.serial import serialise
from kernelevolve.proposers.recipes.tree import (
    NotAnalysableError,
    block,
    calls,
    canonical,
    field,
    fresh,
    literal,
    rewrite,
    strip,
)


@frozen
class ItemId:
    """One dimension of the items: the variable that counts them, and how many there are."""

    name: str
    type: str
    dimension: int
    #: The number of items as the kernel's code has it.
    extent: str
    #: The same number as an expression of a kernel header.
    host: str


@frozen
class Entry:
    """One kernel function, without its ids and guards."""

    name: str
    #: The function, as canonical source; `statements` are nodes of it.
    source: Source
    statements: tuple[Node, ...]
    #: Macros, types and functions that stand beside it.
    prelude: str
    #: Parameters as declared, in order.
    parameters: tuple[str, ...]
    #: Element type of each pointer parameter.
    pointers: Mapping[str, str]
    ids: tuple[ItemId, ...]
    #: What the header binds beside names.
    args: Mapping[str, str]

    def item(self, dimension: int) -> ItemId:
        """The id of `dimension`. Raises `NotAnalysableError` where the kernel has none."""
        found = next((item for item in self.ids if item.dimension == dimension), None)
        if found is None:
            raise NotAnalysableError(f"no item id in dimension {dimension}")
        return found

    def with_body(self, body: str) -> Entry:
        """The same entry with other statements."""
        source = parse_source(f"void {self.name}({', '.join(self.parameters)}) {{\n{body}\n}}\n")
        return evolve(self, source=source, statements=block(field(next(source.functions()), "body")))

    def text(self, nodes: tuple[Node, ...]) -> str:
        """The statements as written, one per line."""
        return "\n".join(self.source.of(node) for node in nodes)


def read_entry(kernel: Kernel, problem: Problem) -> Entry:
    """The canonical form of a kernel with one launch. Raises `NotAnalysableError`."""
    if len(kernel.launches) != 1:
        raise NotAnalysableError(f"{len(kernel.launches)} launches; one can be read")
    try:
        source = parse_source(_without_comments(kernel.body))
        OpenCLC().gate(source.text)
    except Rejected as error:
        raise NotAnalysableError(error.message) from None
    return _Reader(kernel, problem, source).read()


def _without_comments(text: str) -> str:
    parts: list[str] = []
    at = 0
    for token in lex(text):
        if token.kind == "comment":
            parts += (text[at : token.start], " ")
            at = token.end
    return re.sub(r"\n\s*\n+", "\n", "".join([*parts, text[at:]]))


def _used_prelude(before: str, after: str, function: str) -> str:
    """What stands beside the function, without the macros that only the parts taken out of it used."""
    lines = (before.strip() + "\n" + after.strip()).strip().split("\n")
    kept = list(lines)
    for line in lines:
        match = re.match(r"\s*#\s*define\s+(\w+)[^\\]*$", line)
        others = "\n".join([*(one for one in kept if one != line), function])
        if match and not re.search(rf"\b{match[1]}\b", others):
            kept.remove(line)
    return "\n".join(kept)


@frozen
class _Reader:
    kernel: Kernel
    problem: Problem
    source: Source
    #: Ids found so far: name, type, by dimension.
    found: dict[int, tuple[str, str]] = attribute(factory=dict)
    #: Dimensions whose ids count groups, and those whose ids count items.
    groups: set[int] = attribute(factory=set)
    items: set[int] = attribute(factory=set)
    #: Extents that guards state, by name of the id.
    guards: dict[str, str] = attribute(factory=dict)

    def read(self) -> Entry:
        launch = self.kernel.launches[0]
        function = self._function(launch.entry)
        self._reject_tunables(function)
        kept = list(self._kept(block(field(function, "body"))))
        shares = "get_local_id" in calls(self.source, function)
        texts = serialise(self.source, kept) if shares else [self.source.of(node) for node in kept]
        texts = [self._named(text) for text in texts]
        if any(re.search(r"\breturn\b", text) for text in texts):
            raise NotAnalysableError("an item returns in the middle of its work")
        declared = self._parameters(function)
        parameters = [text for text, is_local, _, _ in declared if not is_local]
        args = {name: value.text for name, value in launch.args.items()}
        ids = tuple(self._item(dimension, parameters, args) for dimension in sorted(self.found))
        body = "\n".join(texts)
        before, after = self.source.text[: function.start_byte], self.source.text[function.end_byte :]
        return Entry(
            name=launch.entry,
            source=self.source,
            statements=(),
            prelude=_used_prelude(before, after, f"{parameters} {body}"),
            parameters=tuple(parameters),
            pointers={name: kind for _, is_local, name, kind in declared if kind and not is_local},
            ids=ids,
            args=args,
        ).with_body(body)

    def _function(self, name: str) -> Node:
        for node in self.source.functions():
            declarator = field(node, "declarator")
            if self.source.of(field(declarator, "declarator")) == name:
                return node
        raise NotAnalysableError(f"no function {name}")

    def _reject_tunables(self, function: Node) -> None:
        words = set(re.findall(r"\w+", self.source.text))
        used = words & (set(self.kernel.tunables) | set(self.kernel.scratch))
        if used:
            raise NotAnalysableError(f"{self.source.of(function)[:20]} already depends on {sorted(used)[0]}")

    def _kept(self, statements: tuple[Node, ...]) -> Iterator[Node]:
        """The statements that are neither ids nor guards."""
        for index, node in enumerate(statements):
            if node.type == "declaration" and self._is_id(node):
                continue
            if node.type == "if_statement" and node.child_by_field_name("alternative") is None:
                consequence = block(field(node, "consequence"))
                leaves = len(consequence) == 1 and consequence[0].type == "return_statement"
                if leaves and self._guard(field(node, "condition"), "||", ">="):
                    continue
                last = index == len(statements) - 1
                if last and not leaves and self._guard(field(node, "condition"), "&&", "<"):
                    yield from consequence
                    continue
            yield node

    def _is_id(self, node: Node) -> bool:
        """Whether every variable of the declaration is an id; then they are noted."""
        declarators = node.children_by_field_name("declarator")
        found: list[tuple[int, str]] = []
        for declarator in declarators:
            value = declarator.child_by_field_name("value")
            dimension = None if value is None else self._dimension(value)
            if dimension is None or dimension in self.found:
                return False
            found.append((dimension, self.source.of(field(declarator, "declarator"))))
        for dimension, name in found:
            self.found[dimension] = (name, self.source.of(field(node, "type")))
        return True

    def _dimension(self, value: Node) -> int | None:
        node = strip(value)
        if node.type == "cast_expression":
            node = strip(field(node, "value"))
        text = canonical(self.source.of(node))
        for pattern, counted in (
            (r"get_global_id\((\d)\)", self.items),
            (r"get_group_id\((\d)\)\*get_local_size\(\1\)\+get_local_id\(\1\)", self.items),
            (r"get_group_id\((\d)\)", self.groups),
        ):
            match = re.fullmatch(pattern, text)
            if match:
                counted.add(int(match[1]))
                return int(match[1])
        return None

    def _guard(self, condition: Node, joint: str, comparison: str) -> bool:
        """Note what ``a >= A || b >= B`` says about extents; whether it says nothing else."""
        names = {name for name, _ in self.found.values()}
        node = strip(condition)
        if node.type != "binary_expression":
            return False
        operator = self.source.of(field(node, "operator"))
        left, right = field(node, "left"), field(node, "right")
        if operator == joint:
            return self._guard(left, joint, comparison) and self._guard(right, joint, comparison)
        name = self.source.of(strip(left))
        if operator != comparison or name not in names:
            return False
        self.guards[name] = self.source.of(strip(right))
        return True

    def _named(self, text: str) -> str:
        """The statement with ids that stand in expressions given a name."""

        def name(match: re.Match[str]) -> str:
            dimension = int(match[2])
            (self.groups if match[1] == "group" else self.items).add(dimension)
            if dimension not in self.found:
                self.found[dimension] = (fresh(f"item{dimension}", self.source.text), "size_t")
            return self.found[dimension][0]

        text = re.sub(r"\bget_(global|group)_id\(\s*(\d)\s*\)", name, text)
        if re.search(r"\bget_\w+\(|\bbarrier\(|\b(?:__)?local\b", text):
            raise NotAnalysableError(f"items depend on each other in {text[:60]!r}")
        return text

    def _parameters(self, function: Node) -> list[tuple[str, bool, str, str]]:
        """Each parameter's text, whether it is local memory, its name, and the element type where it is a pointer."""
        listed = field(field(function, "declarator"), "parameters")
        entry = OpenCLC().entries(self.source.text)[self.kernel.launches[0].entry]
        found = []
        for node, parameter in zip(listed.named_children, entry, strict=True):
            pointer = field(node, "declarator").type == "pointer_declarator"
            text = " ".join(self.source.of(node).split())
            pointer = pointer and "global" in text
            kind = self.source.of(field(node, "type")) if pointer else ""
            found.append((text, parameter.kind.value == "local", parameter.name, kind))
        return found

    def _item(self, dimension: int, parameters: list[str], args: dict[str, str]) -> ItemId:
        name, kind = self.found[dimension]
        launch = self.kernel.launches[0]
        if dimension >= len(launch.grid):
            raise NotAnalysableError(f"an id in dimension {dimension} of a smaller grid")
        guard = self.guards.get(name)
        if guard is not None:
            return ItemId(name, kind, dimension, guard, self._host(guard))
        if dimension in self.groups & self.items:
            raise NotAnalysableError(f"both groups and items count in dimension {dimension}")
        size = "1" if dimension in self.groups or not launch.block else launch.block[dimension].text
        grid = launch.grid[dimension].text
        host = self._host(grid if size == "1" else f"({grid}) * ({size})")
        known = {re.findall(r"\w+", text)[-1] for text in parameters}
        if host in self.problem.axes and host not in args:
            if host not in known:
                parameters.append(f"int {fresh(host, self.source.text)}")
            return ItemId(name, kind, dimension, host, host)
        extent = fresh(f"items{dimension}", self.source.text)
        parameters.append(f"int {extent}")
        args[extent] = host
        return ItemId(name, kind, dimension, extent, host)

    def _host(self, text: str) -> str:
        """An extent of the kernel's code as an expression over the axes."""
        bound = {name: f"({value.text})" for name, value in self.kernel.launches[0].args.items()}
        host = re.sub(r"[A-Za-z_]\w*", lambda match: bound.get(match[0], match[0]), text)
        try:
            unknown = parse(host).names - set(self.problem.axes)
        except ExpressionError as error:
            raise NotAnalysableError(str(error)) from None
        if unknown:
            raise NotAnalysableError(f"the number of items depends on {sorted(unknown)[0]}")
        return host


def host_expression(entry: Entry, problem: Problem, node: Node) -> str:
    """A size in the kernel's code (a loop's bound) as an expression of a kernel header. Raises `NotAnalysableError`."""

    def outside(one: Node) -> str | None:
        if one.type == "cast_expression":
            return f"({rewrite(entry.source, field(one, 'value'), outside)})"
        if one.type != "identifier":
            return None
        name = entry.source.of(one)
        return f"({entry.args[name]})" if name in entry.args else name

    if literal(entry.source, node) is not None:
        return str(literal(entry.source, node))
    text = rewrite(entry.source, node, outside)
    try:
        unknown = parse(text).names - set(problem.axes)
    except ExpressionError as error:
        raise NotAnalysableError(str(error)) from None
    if unknown:
        raise NotAnalysableError(f"the size {text} depends on {sorted(unknown)[0]}")
    return text
