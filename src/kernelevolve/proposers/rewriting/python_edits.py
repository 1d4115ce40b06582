"""Trees of Python kernels and changes of them.

Trees are libcst's, so that what is not changed keeps its layout and comments.
"""

from __future__ import annotations

__all__ = [
    "Apply",
    "Edit",
    "Statement",
    "assigned",
    "atomic",
    "block_of",
    "children",
    "indented",
    "module_of",
    "names_in",
    "targets_of",
    "walk",
]

import dataclasses
import textwrap
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Any, Final

import libcst as cst
from attrs import field, frozen

from kernelevolve.outcome import Rejected

#: A statement of a block: a simple line, or a compound statement.
Statement = cst.SimpleStatementLine | cst.BaseCompoundStatement

#: Expressions that need parentheses where they become part of another one.
_LOOSE: Final = (cst.BinaryOperation, cst.BooleanOperation, cst.Comparison, cst.UnaryOperation, cst.IfExp, cst.Lambda)
#: What holds an expression that stands alone, so that it never needs them.
_OPEN: Final = (
    *(cst.AnnAssign, cst.Arg, cst.Assign, cst.AugAssign, cst.Expr, cst.For, cst.If),
    *(cst.Index, cst.Return, cst.While),
)


@frozen(eq=False)
class Edit:
    """A change at one node of a tree. Texts hold whole statements where the node is a statement, else an expression.

    A new text hides the edits of what stood inside the node.
    """

    node: cst.CSTNode = field(repr=False)
    #: What stands in the node's place: None keeps it; the empty text removes a statement.
    text: str | None = None
    #: Statements before and after a statement.
    before: str = ""
    after: str = ""
    #: An expression around the node, which stands for ``{}``; what is edited inside the node stays so.
    wrap: str | None = None
    #: Arguments that a call gets behind those it has, by name.
    arguments: Mapping[str, str] = field(factory=dict)
    #: A tree in place of text, for what is neither statement nor expression.
    becomes: cst.CSTNode | None = field(default=None, repr=False)


#: Fields of libcst's nodes that hold layout and punctuation, and no code.
_LAYOUT: Final = frozenset(
    (
        *("comma", "dot", "equal", "footer", "header", "indent", "leading_lines", "lines_after_decorators", "lpar"),
        *("newline", "operator", "rpar", "semicolon", "star", "trailing_whitespace"),
    )
)


@lru_cache(maxsize=256)
def _fields(kind: type[cst.CSTNode]) -> tuple[str, ...]:
    names = (one.name for one in dataclasses.fields(kind))
    return tuple(name for name in names if name not in _LAYOUT and "whitespace" not in name)


def children(node: cst.CSTNode) -> list[cst.CSTNode]:
    """The nodes of code right under `node`: layout and punctuation left out, which makes it quick."""
    found: list[cst.CSTNode] = []
    for name in _fields(type(node)):
        value = getattr(node, name)
        if isinstance(value, cst.CSTNode):
            found.append(value)
        elif isinstance(value, list | tuple):
            found += [one for one in value if isinstance(one, cst.CSTNode)]
    return found


def walk(*nodes: cst.CSTNode) -> Iterator[cst.CSTNode]:
    """Every node of code under `nodes` and they themselves, outer ones first."""
    stack = list(reversed(nodes))
    while stack:
        node = stack.pop()
        yield node
        stack.extend(reversed(children(node)))


def block_of(body: cst.BaseSuite) -> tuple[Statement, ...]:
    """The statements of a suite that `module_of` has read (every suite is an indented block there)."""
    assert isinstance(body, cst.IndentedBlock)
    return tuple(one for one in body.body if isinstance(one, Statement))


def names_in(*nodes: cst.CSTNode) -> Iterator[cst.Name]:
    """Every variable, function or constant that `nodes` name: not attributes, keywords and annotations."""
    stack = list(reversed(nodes))
    while stack:
        node = stack.pop()
        match node:
            case cst.Name():
                yield node
            case cst.Attribute(value=value) | cst.Arg(value=value):
                stack.append(value)
            case cst.Annotation():
                pass
            case _:
                stack.extend(reversed(children(node)))


def targets_of(target: cst.BaseExpression) -> Iterator[cst.Name]:
    """The names that an assignment to `target` sets."""
    match target:
        case cst.Name():
            yield target
        case cst.Tuple(elements=elements) | cst.List(elements=elements):
            for element in elements:
                yield from targets_of(element.value)
        case _:
            pass


def assigned(*nodes: cst.CSTNode) -> frozenset[str]:
    """Names that `nodes` assign, loop variables included."""
    found: set[str] = set()
    for node in walk(*nodes):
        match node:
            case cst.AssignTarget(target=target) | cst.For(target=target) | cst.NamedExpr(target=target):
                found.update(name.value for name in targets_of(target))
            case cst.AugAssign(target=target) | cst.AnnAssign(target=target):
                found.update(name.value for name in targets_of(target))
            case _:
                pass
    return frozenset(found)


def indented(text: str, levels: int = 1) -> str:
    """Statements, one or more levels deeper."""
    return textwrap.indent(text.rstrip("\n"), "    " * levels) + "\n"


class _Regular(cst.CSTTransformer):
    """One statement a line and no suite on the line of its head, so that every statement is a node of a block."""

    def on_leave(
        self, original_node: cst.CSTNodeT, updated_node: cst.CSTNodeT
    ) -> cst.CSTNodeT | cst.RemovalSentinel | cst.FlattenSentinel[cst.CSTNodeT]:
        del original_node
        made: Any = updated_node
        if isinstance(updated_node, cst.SimpleStatementSuite):
            made = cst.IndentedBlock([cst.SimpleStatementLine([one]) for one in _alone(updated_node.body)])
        elif isinstance(updated_node, cst.SimpleStatementLine) and len(updated_node.body) > 1:
            lines = [cst.SimpleStatementLine([one]) for one in _alone(updated_node.body)]
            made = cst.FlattenSentinel([lines[0].with_changes(leading_lines=updated_node.leading_lines), *lines[1:]])
        return made  # type: ignore[no-any-return]  # a node of the kind that the place takes


def _alone(body: Iterable[cst.BaseSmallStatement]) -> list[cst.BaseSmallStatement]:
    return [one.with_changes(semicolon=cst.MaybeSentinel.DEFAULT) for one in body]


def _is_regular(node: cst.CSTNode) -> bool:
    several = isinstance(node, cst.SimpleStatementLine) and len(node.body) > 1
    return not several and not isinstance(node, cst.SimpleStatementSuite)


def module_of(text: str) -> cst.Module:
    """The tree of a source. Raises `Rejected` where it is no Python."""
    try:
        made = cst.parse_module(text)
        if all(_is_regular(node) for node in walk(made)):
            return made
        # Parsed again, since nodes are told apart by identity and a changed tree may hold one twice.
        return cst.parse_module(made.visit(_Regular()).code)
    except (cst.ParserSyntaxError, RecursionError) as error:
        raise Rejected(f"the source is no Python: {error}", rule="syntax") from None


class Apply:
    """Makes edits. An edit of a node wins over those inside it. What holds no edited node is not copied."""

    def __init__(self, edits: Iterable[Edit], parents: Mapping[cst.CSTNode, cst.CSTNode]) -> None:
        self.parents = parents
        self.edits: dict[cst.CSTNode, list[Edit]] = {}
        self._above: set[cst.CSTNode] = set()
        for edit in edits:
            self.edits.setdefault(edit.node, []).append(edit)
            node: cst.CSTNode | None = parents.get(edit.node)
            while node is not None and node not in self._above:
                self._above.add(node)
                node = parents.get(node)

    def module(self, module: cst.Module) -> cst.Module:
        """The module with the edits made."""
        return module.with_changes(body=[new for one in module.body for new in self.statements(one)])

    def expression(self, node: cst.CSTNode) -> Any:
        """What stands in the place of a node that is no statement."""
        made: Any = self._inside(node)
        for edit in self.edits.get(node, ()):
            made = self._edited(node, made if edit.becomes is None else edit.becomes, edit)
        return made

    def statements(self, node: cst.CSTNode) -> list[Any]:
        """What stands in the place of a statement."""
        edits = self.edits.get(node, [])
        texts = [edit.text for edit in edits if edit.text is not None]
        kept = _led(_statements(texts[0]), node) if texts else [self._inside(node)]
        return [
            *(one for edit in edits for one in _statements(edit.before)),
            *kept,
            *(one for edit in edits for one in _statements(edit.after)),
        ]

    def _inside(self, node: cst.CSTNode) -> cst.CSTNode:
        if node not in self._above:
            return node
        changes: dict[str, Any] = {}
        for name in (*_fields(type(node)), *(("operator",) if hasattr(node, "operator") else ())):
            value = getattr(node, name)
            if isinstance(value, cst.CSTNode):
                changes[name] = self.expression(value)
            elif isinstance(value, list | tuple):
                changes[name] = [new for one in value for new in self._each(one)]
        return node.with_changes(**changes)

    def _each(self, node: Any) -> list[Any]:
        return self.statements(node) if isinstance(node, Statement) else [self.expression(node)]

    def _edited(self, node: cst.CSTNode, made: Any, edit: Edit) -> Any:
        text = edit.text
        if edit.arguments:
            made = made.with_changes(args=[*made.args, *(_keyword(*pair) for pair in edit.arguments.items())])
        if edit.wrap is not None:
            code = cst.Module([]).code_for_node(made)
            alone = "({})" in edit.wrap or "({}," in edit.wrap
            text = edit.wrap.format(code if alone else atomic(code))
        if text is None:
            return made
        new = cst.parse_expression(text)
        if isinstance(new, _LOOSE) and not new.lpar and not isinstance(self.parents.get(node), _OPEN):
            return new.with_changes(lpar=[cst.LeftParen()], rpar=[cst.RightParen()])
        return new


def _keyword(name: str, text: str) -> cst.Arg:
    tight = cst.AssignEqual(cst.SimpleWhitespace(""), cst.SimpleWhitespace(""))
    return cst.Arg(cst.parse_expression(text), keyword=cst.Name(name), equal=tight)


def _statements(text: str) -> list[Any]:
    return list(cst.parse_module(text).body) if text else []


def _led(made: list[Any], old: cst.CSTNode) -> list[Any]:
    """`made` with the blank lines and comments that stood before the statement it replaces."""
    lines = getattr(old, "leading_lines", ())
    return [made[0].with_changes(leading_lines=[*lines, *made[0].leading_lines]), *made[1:]] if made else []


def atomic(text: str) -> str:
    """An expression in parentheses, where it needs them to be part of another one."""
    made = cst.parse_expression(text)
    return f"({text})" if isinstance(made, _LOOSE) and not made.lpar else text
