"""Kernels written in Python as the rewrites see them: the tree of one entry beside the header, and ways to change both.

Nothing here knows a language beyond Python itself; the languages add what their functions mean.
"""

from __future__ import annotations

__all__ = ["PythonView", "Rewrite"]

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cached_property
from typing import Generic, TypeVar

import libcst as cst
from attrs import define, evolve, frozen

from kernelevolve.expressions import parse as parse_expression
from kernelevolve.kernel import Kernel, Launch, Scratch, Value
from kernelevolve.proposers.rewriting.python_edits import Apply, Edit, Statement, block_of, children, walk
from kernelevolve.proposers.rewriting.view import Site

V = TypeVar("V")
N = TypeVar("N", bound=cst.CSTNode)


@frozen
class Rewrite(Generic[V]):
    """One change of a kernel that keeps what it computes, up to rounding."""

    name: str
    family: str
    #: Where it applies; this is its precondition.
    find: Callable[[V], Iterator[Site]]
    #: Words (or starts of words) of a kernel that has been rewritten so; empty where nothing tells.
    marks: tuple[str, ...] = ()


@define(eq=False, slots=False)
class PythonView:
    """One entry of one kernel."""

    kernel: Kernel
    module: cst.Module
    function: cst.FunctionDef
    #: Names that mean something outside the file: axes, tensors, scalars.
    taken: frozenset[str] = frozenset()

    @property
    def name(self) -> str:
        """The entry's name."""
        return self.function.name.value

    @cached_property
    def body(self) -> tuple[Statement, ...]:
        """The entry's statements, its docstring left out."""
        found = block_of(self.function.body)
        return found[1:] if self.function.get_docstring() is not None else found

    @cached_property
    def parents(self) -> dict[cst.CSTNode, cst.CSTNode]:
        """Every node's parent."""
        found = {child: node for node in walk(self.module) for child in children(node)}
        operations = (node for node in walk(self.module) if isinstance(node, cst.BinaryOperation))
        return {**found, **{node.operator: node for node in operations}}

    @cached_property
    def parameters(self) -> tuple[str, ...]:
        """Names of the entry's parameters."""
        return tuple(one.name.value for one in self.function.params.params)

    @cached_property
    def launches(self) -> tuple[Launch, ...]:
        """The launches of this entry."""
        return tuple(one for one in self.kernel.launches if one.entry == self.name)

    @cached_property
    def words(self) -> frozenset[str]:
        """Every name of the source, attributes and keywords included."""
        return frozenset(node.value for node in walk(self.module) if isinstance(node, cst.Name))

    def text(self, node: cst.CSTNode) -> str:
        """The node's code."""
        return self.module.code_for_node(node).strip()

    def flat(self, node: cst.CSTNode) -> str:
        """The node's code without white space, so that equal expressions compare equal."""
        return "".join(self.text(node).split())

    def lines(self, statements: Iterable[Statement], edits: Iterable[Edit] = ()) -> str:
        """The code of `statements` with `edits` made, at no indentation."""
        made = Apply(edits, self.parents).module(cst.Module(body=list(statements)))
        return made.code.lstrip("\n")

    def changed(self, node: cst.BaseExpression, edits: Iterable[Edit]) -> str:
        """The code of an expression with `edits` made inside it."""
        made = Apply(edits, self.parents).expression(node)
        return self.module.code_for_node(made).strip()

    def find(self, kind: type[N], *under: cst.CSTNode) -> Iterator[N]:
        """Every node of one kind, outer ones first."""
        return (node for node in walk(*(under or self.body)) if isinstance(node, kind))

    def around(self, node: cst.CSTNode) -> Iterator[cst.CSTNode]:
        """What holds `node`, the nearest first, the entry last."""
        while node is not self.function:
            node = self.parents[node]
            yield node

    def statement(self, node: cst.CSTNode) -> Statement:
        """The statement that `node` is part of, itself included."""
        return next(one for one in (node, *self.around(node)) if isinstance(one, Statement))

    def siblings(self, statement: cst.CSTNode) -> tuple[Statement, ...]:
        """The list of statements that a statement is in."""
        block = self.parents[statement]
        assert isinstance(block, cst.BaseSuite)
        return block_of(block)

    def fresh(self, wanted: str) -> str:
        """`wanted`, or with a number behind it where the name is taken."""
        used = self.words | self.taken | set(self.kernel.tunables) | set(self.kernel.scratch)
        numbered = (wanted if n == 1 else f"{wanted}_{n}" for n in range(1, 1000))
        return next(name for name in numbered if name not in used)

    def with_parameters(self, added: Iterable[str], dropped: Iterable[str] = ()) -> list[Edit]:
        """An edit that adds parameters, as written (``tiles``, ``EVEN: tl.constexpr``), to the end of the list."""
        more, less = list(added), set(dropped)
        if not more and not less:
            return []
        old = self.function.params
        given = cst.parse_statement(f"def f({', '.join(more)}): pass")
        assert isinstance(given, cst.FunctionDef)
        kept = [one for one in old.params if one.name.value not in less]
        none = cst.SimpleWhitespace("")
        comma = cst.Comma(none, _gap(old))
        params = [one.with_changes(comma=comma, whitespace_after_param=none) for one in (*kept, *given.params.params)]
        end = old.params[-1].whitespace_after_param if old.params else none
        params[-1] = params[-1].with_changes(comma=cst.MaybeSentinel.DEFAULT, whitespace_after_param=end)
        return [Edit(old, becomes=old.with_changes(params=params))]

    def edited(
        self,
        edits: Iterable[Edit],
        *,
        functions: str = "",
        parameters: Iterable[str] = (),
        dropped: Iterable[str] = (),
        launches: Callable[[Launch], Iterable[Launch]] | None = None,
        tunables: Mapping[str, tuple[Value, ...]] | None = None,
        scratch: Mapping[str, Scratch] | None = None,
        constraints: Iterable[str] = (),
    ) -> Kernel:
        """The kernel with `edits` made in its body and `functions` behind it.

        `parameters` are added to the entry, `dropped` ones go; `launches` says what stands in place of each launch.
        """
        made = Apply([*edits, *self.with_parameters(parameters, dropped)], self.parents).module(self.module)
        text = made.code.rstrip("\n") + "\n" + (f"\n\n{functions.strip()}\n" if functions else "")
        text = re.sub(r"[ \t]+\n", "\n", text)
        old = self.kernel.launches
        if launches is not None:
            old = tuple(new for one in old for new in (launches(one) if one.entry == self.name else (one,)))
        return evolve(
            self.kernel,
            body=text,
            launches=old,
            tunables={**self.kernel.tunables, **(tunables or {})},
            scratch={**self.kernel.scratch, **(scratch or {})},
            constraints=(*self.kernel.constraints, *(parse_expression(text) for text in constraints)),
        )


def _gap(old: cst.Parameters) -> cst.BaseParenthesizableWhitespace:
    """What stands between parameters: a new line each, or a space."""
    for one in old.params[:-1]:
        if isinstance(one.comma, cst.Comma):
            return one.comma.whitespace_after
    return cst.SimpleWhitespace(" ")
