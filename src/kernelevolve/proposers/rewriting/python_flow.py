"""Which assignment each use of a variable sees, in one function of a Python kernel.

Every use is bound to one definition: a parameter, an assignment, the counter of a loop, or the place where several
meet: the head of a loop (*carried*: what came in, or what the last turn left) or the end of an `if` (*merged*).
"""

from __future__ import annotations

__all__ = ["Definition", "Flow", "Kind"]

import enum
from collections.abc import Iterable, Iterator

import libcst as cst
from attrs import define, field

from kernelevolve.proposers.rewriting.python_edits import Statement, assigned, block_of, children, names_in, targets_of


class Kind(enum.Enum):
    """What gives a variable its value."""

    PARAMETER = "parameter"
    VALUE = "value"
    """An assignment of one expression."""
    AUGMENTED = "augmented"
    """``name += value``."""
    ELEMENT = "element"
    """One name of a tuple that is assigned."""
    INDEX = "index"
    """The counter of a loop."""
    CARRIED = "carried"
    """Before each turn of a loop, and after the last."""
    MERGED = "merged"
    """After an `if`."""


@define(eq=False)
class Definition:
    """One value of a variable."""

    name: str
    kind: Kind
    #: The assignment, loop or `if`; the function for a parameter.
    node: cst.CSTNode = field(repr=False)
    #: What is assigned.
    value: cst.BaseExpression | None = field(default=None, repr=False)
    #: What is there before an augmented assignment.
    previous: Definition | None = field(default=None, repr=False)
    #: What meets here; for a loop what comes in (None: nothing) and what a turn leaves.
    sources: list[Definition | None] = field(factory=list, repr=False)
    #: The loops around, the outermost first.
    loops: tuple[cst.For | cst.While, ...] = field(default=(), repr=False)
    #: Where the value is read.
    uses: list[cst.Name] = field(factory=list, repr=False)
    #: Definitions whose value passes through here: of merges and loops that this one flows into.
    into: list[Definition] = field(factory=list, repr=False)

    @property
    def entry(self) -> Definition | None:
        """What comes into a loop."""
        return self.sources[0] if self.kind is Kind.CARRIED else None

    @property
    def is_read(self) -> bool:
        """Whether anything reads the value, after a merge or in another turn included."""
        seen: set[Definition] = set()
        stack = [self]
        while stack:
            one = stack.pop()
            if one.uses:
                return True
            if one not in seen:
                seen.add(one)
                stack += one.into
        return False


Environment = dict[str, Definition]


class Flow:
    """The definitions of a function and the uses of each."""

    def __init__(self, function: cst.FunctionDef) -> None:
        #: What each name that is read sees; constants of the module and functions are not in it.
        self.reaching: dict[cst.Name, Definition] = {}
        self.definitions: list[Definition] = []
        #: By the statement, loop or `if` that makes them.
        self.made: dict[cst.CSTNode, list[Definition]] = {}
        #: What every name holds before a statement.
        self.before: dict[cst.CSTNode, Environment] = {}
        #: What is read in a way that is not understood (a lambda, a comprehension).
        self.opaque: list[cst.CSTNode] = []
        self._loops: tuple[cst.For | cst.While, ...] = ()
        environment: Environment = {}
        for one in function.params.params:
            environment[one.name.value] = self._define(one.name.value, Kind.PARAMETER, function)
        self._block(block_of(function.body), environment)

    def of(self, node: cst.BaseExpression) -> Definition | None:
        """The definition that a name sees."""
        return self.reaching.get(node) if isinstance(node, cst.Name) else None

    def means_the_same(self, node: cst.BaseExpression, statement: cst.CSTNode) -> bool:
        """Whether every name in `node` has the value that it has there before `statement` too."""
        there = self.before.get(statement)
        return there is not None and all(
            self.reaching.get(name) is there.get(name.value) for name in names_in(node) if name in self.reaching
        )

    def _define(
        self,
        name: str,
        kind: Kind,
        node: cst.CSTNode,
        value: cst.BaseExpression | None = None,
        previous: Definition | None = None,
        sources: Iterable[Definition | None] = (),
    ) -> Definition:
        made = Definition(name, kind, node, value, previous, list(sources), self._loops)
        for one in made.sources:
            if one is not None:
                one.into.append(made)
        self.definitions.append(made)
        self.made.setdefault(node, []).append(made)
        return made

    def _block(self, statements: Iterable[Statement], environment: Environment) -> None:
        for statement in statements:
            self.before[statement] = dict(environment)
            match statement:
                case cst.SimpleStatementLine(body=body):
                    for one in body:
                        self._simple(one, environment)
                case cst.If():
                    self._if(statement, environment)
                case cst.For():
                    self._read(statement.iter, environment)
                    self._loop(statement, environment)
                case cst.While():
                    self._loop(statement, environment)
                case _:
                    self.opaque.append(statement)
                    self._read(statement, environment)

    def _simple(self, node: cst.BaseSmallStatement, environment: Environment) -> None:
        match node:
            case cst.Assign(targets=targets, value=value):
                self._read(value, environment)
                for target in targets:
                    self._assign(target.target, node, value, environment)
            case cst.AnnAssign(target=target, value=cst.BaseExpression() as value):
                self._read(value, environment)
                self._assign(target, node, value, environment)
            case cst.AugAssign(target=cst.Name(value=name) as target, value=value):
                self._read(value, environment)
                previous = environment.get(name)
                if previous is not None:
                    previous.uses.append(target)
                    self.reaching[target] = previous
                environment[name] = self._define(name, Kind.AUGMENTED, node, value, previous)
            case _:
                self._read(node, environment)

    def _assign(
        self, target: cst.BaseExpression, node: cst.CSTNode, value: cst.BaseExpression, environment: Environment
    ) -> None:
        if isinstance(target, cst.Name):
            environment[target.value] = self._define(target.value, Kind.VALUE, node, value)
            return
        if not isinstance(target, cst.Tuple | cst.List):
            self.opaque.append(target)
            self._read(target, environment)
        for name in targets_of(target):
            environment[name.value] = self._define(name.value, Kind.ELEMENT, node, value)

    def _if(self, node: cst.If, environment: Environment) -> None:
        self._read(node.test, environment)
        yes, no = dict(environment), dict(environment)
        self._block(block_of(node.body), yes)
        match node.orelse:
            case cst.If() as other:
                self._if(other, no)
            case cst.Else(body=body):
                self._block(block_of(body), no)
            case None:
                pass
        if _leaves(node.body):
            yes = no
        elif isinstance(node.orelse, cst.Else) and _leaves(node.orelse.body):
            no = yes
        for name in dict.fromkeys((*yes, *no)):
            one, other_one = yes.get(name), no.get(name)
            if one is other_one and one is not None:
                environment[name] = one
            else:
                environment[name] = self._define(name, Kind.MERGED, node, sources=(one, other_one))

    def _loop(self, node: cst.For | cst.While, environment: Environment) -> None:
        carried: list[Definition] = []
        outer = self._loops
        counters = [name.value for name in targets_of(node.target)] if isinstance(node, cst.For) else []
        for name in sorted(assigned(node) - set(counters)):
            carried.append(self._define(name, Kind.CARRIED, node, sources=(environment.get(name),)))
            environment[name] = carried[-1]
        inside = dict(environment)
        self._loops = (*outer, node)
        if isinstance(node, cst.While):
            self._read(node.test, inside)
        for name in counters:
            inside[name] = environment[name] = self._define(name, Kind.INDEX, node)
        self._block(block_of(node.body), inside)
        self._loops = outer
        for one in carried:
            left = inside.get(one.name)
            one.sources.append(left)
            if left is not None:
                left.into.append(one)
        if node.orelse is not None:
            self.opaque.append(node)

    def _read(self, node: cst.CSTNode, environment: Environment) -> None:
        for inner in _evaluated(node):
            if isinstance(inner, cst.Name):
                seen = environment.get(inner.value)
                if seen is not None:
                    seen.uses.append(inner)
                    self.reaching[inner] = seen
            elif isinstance(inner, cst.NamedExpr) and isinstance(inner.target, cst.Name):
                environment[inner.target.value] = self._define(inner.target.value, Kind.VALUE, inner, inner.value)
            else:
                self.opaque.append(inner)


def _leaves(body: cst.BaseSuite) -> bool:
    """Whether a suite ends by leaving the function."""
    last = block_of(body)[-1:]
    return bool(last) and isinstance(last[0], cst.SimpleStatementLine) and isinstance(last[0].body[-1], cst.Return)


def _evaluated(node: cst.CSTNode) -> Iterator[cst.CSTNode]:
    """Names that are read, ``name := value`` after its value, and what is not understood, in order of evaluation."""
    match node:
        case cst.Name():
            yield node
        case cst.Attribute(value=value) | cst.Arg(value=value):
            yield from _evaluated(value)
        case cst.NamedExpr(value=value):
            yield from _evaluated(value)
            yield node
        case cst.Annotation():
            pass
        case cst.Lambda() | cst.BaseComp() | cst.FunctionDef() | cst.With() | cst.Try() | cst.ClassDef():
            yield node
        case _:
            for child in children(node):
                yield from _evaluated(child)
