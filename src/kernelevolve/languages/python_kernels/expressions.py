"""The gate's expressions: which operators there are, what may be called, and which names and attributes are reached."""

from __future__ import annotations

__all__ = ["MAX_DEPTH", "Expressions", "described"]

import ast
from collections.abc import Callable, Collection, Sequence
from typing import ClassVar, Final

from kernelevolve.errors import suggest
from kernelevolve.languages.python_kernels.constants import Constants, check_literal
from kernelevolve.languages.python_kernels.dialect import Dialect
from kernelevolve.languages.python_kernels.names import BUILTINS, REBINDABLE, Kind, Reachable, words
from kernelevolve.languages.python_kernels.source import refuse
from kernelevolve.languages.python_kernels.tracing import Tracing

#: Of statements and expressions in each other. Toolchains follow them by recursion as well.
MAX_DEPTH: Final = 100
#: A literal exponent or shift distance.
_MAX_POWER: Final = 64
#: Parameters by which Triton hands its compiler to a function of its own.
_INTERNAL: Final = words("_builder _generator _semantic")
_OPERATORS: Final = frozenset(
    (
        *(ast.Add, ast.Sub, ast.Mult, ast.Div, ast.FloorDiv, ast.Mod, ast.Pow),
        *(ast.LShift, ast.RShift, ast.BitAnd, ast.BitOr, ast.BitXor),
    )
)
_COMPARISONS: Final = frozenset((ast.Eq, ast.NotEq, ast.Lt, ast.LtE, ast.Gt, ast.GtE, ast.Is, ast.IsNot))


def described(node: ast.AST) -> str:
    """``a ListComp``: what a person can look up."""
    kind = type(node).__name__
    return f"{'an' if kind[0] in 'AEIOU' else 'a'} {kind}"


class Expressions:
    """Walks expressions of one source, and keeps the names that the function around them uses."""

    dialect: ClassVar[Dialect]

    def __init__(self) -> None:
        #: What this file's imports bound.
        self.imported: dict[str, Reachable] = {}
        self.functions: dict[str, ast.FunctionDef] = {}
        self.constants = Constants(reach=self.reached, free=self.dialect.free, taken=self._meaning)
        self.tracing = Tracing()
        self.depth = 0
        #: Of the function that is being walked: what it binds, and the uses to judge once that is known.
        self.local: set[str] = set()
        self.read: list[ast.Name] = []
        self.called: list[tuple[ast.Name, int]] = []
        self.passed: list[tuple[ast.Name, int]] = []
        self._handlers: dict[type[ast.expr], Callable[..., object]] = {
            ast.Name: self._name,
            ast.Constant: check_literal,
            ast.Attribute: self._value,
            ast.Call: self._call,
            ast.BinOp: self._operation,
            ast.Compare: self._comparison,
            ast.Subscript: self.subscript,
            ast.UnaryOp: self._unary,
            ast.BoolOp: self._connective,
            ast.IfExp: self._choice,
            ast.Tuple: self._elements,
        }
        if self.dialect.lists:
            self._handlers[ast.List] = self._elements

    def expression(self, node: ast.expr) -> None:
        """Raise `Rejected` unless everything in `node` is allowed."""
        if node.__class__ is ast.Name and node.id in self.local:  # half of all nodes
            return
        handler = self._handlers.get(node.__class__)
        if handler is None:
            what = f"{described(node)} in a kernel; there are names, numbers, operators, calls, attributes and indices"
            raise refuse(node.lineno, "expression", what)
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise refuse(node.lineno, "depth", f"code nests deeper than {MAX_DEPTH}; write it flatter")
        handler(node)
        self.depth -= 1

    # Names.

    def _meaning(self, name: str) -> Reachable | None:
        return Kind.FUNCTION if name in self.functions else self.imported.get(name)

    def bindable(self, name: str, node: ast.AST) -> None:
        """Raise `Rejected` where `name` may mean nothing but what it means already."""
        line = getattr(node, "lineno", 1)
        if name.startswith("__"):
            raise refuse(line, "dunder", f"{name} starts with two underscores; choose another name")
        if name in _INTERNAL:
            raise refuse(line, "internal", f"{name} is how the compiler passes itself on; choose another name")
        if name in self.dialect.reserved or name in self.imported:
            raise refuse(line, "shadowing", f"{name} is the name of a module or type; choose another name")
        if name in BUILTINS and name not in REBINDABLE:
            raise refuse(line, "shadowing", f"{name} is Python's own; choose another name, such as {name}_")

    def bind(self, name: str, node: ast.AST) -> None:
        """Give the function that is being walked a variable."""
        if name not in self.local:
            self.bindable(name, node)
            self.local.add(name)

    def judge_names(self) -> None:
        """Judge the names that a function used, now that all its variables are known. Raises `Rejected`."""
        for node, weight in self.called:
            self._judge_called(node, weight)
        for node, weight in self.passed:
            if node.id in self.functions and node.id not in self.local and self.dialect.passes:
                self.tracing.calls(node.id, weight)
            else:
                self._judge_read(node)
        for node in self.read:
            self._judge_read(node)

    def _judge_called(self, node: ast.Name, weight: int) -> None:
        name = node.id
        if name in self.local:
            what = f"{name} is a value here; only functions of this file and of the language can be called by name"
            raise refuse(node.lineno, "call", what)
        if name in self.functions:
            self.tracing.calls(name, weight)
        elif name not in self.dialect.builtins and self.imported.get(name) not in (Kind.TYPE, Kind.FUNCTION):
            line = self.dialect.import_of(name)
            hint = f" Write {line}." if line else self._hint(name, {*self.functions, *self.dialect.builtins})
            rule = "builtin" if name in BUILTINS else "call"
            raise refuse(node.lineno, rule, f"{name}(…) is no function that a kernel may call.{hint}")

    def _judge_read(self, node: ast.Name) -> None:
        name = node.id
        if name in self.local or name in self.constants.known or self.imported.get(name) in (Kind.TYPE, Kind.VALUE):
            return
        if name in self.functions or name in self.imported:
            what = f"the function {name} is no value; call it" + (", or pass it on" if self.dialect.passes else "")
            raise refuse(node.lineno, "function-value", what)
        if name in BUILTINS:
            listed = ", ".join(sorted(self.dialect.builtins))
            raise refuse(node.lineno, "builtin", f"Python's {name} is not allowed; of its functions there is {listed}")
        line = self.dialect.import_of(name)
        if line is not None or not self.dialect.free:
            what = f"nothing in this file defines {name}" + (f"; write {line}" if line else "")
            raise refuse(node.lineno, "name", f"{what}.{suggest(name, {*self.local, *self.constants.known})}")

    def _hint(self, name: str, known: Collection[str]) -> str:
        advice = self.dialect.advice.get(name)
        return f" {advice}" if advice else suggest(name, known)

    def _name(self, node: ast.Name) -> None:
        name = node.id
        if name in self.local:
            return
        if name.startswith("__"):
            raise refuse(node.lineno, "dunder", f"{name} starts with two underscores; no such name can be reached")
        if name in self.dialect.reserved:
            raise refuse(
                node.lineno, "module-value", f"the module {name} cannot be passed around; write {name}.… in full"
            )
        self.read.append(node)

    # Attributes.

    def attribute(self, node: ast.Attribute) -> Kind | None:
        """What a chain such as ``tl.math.exp2`` leads to; None for an attribute of a value. Raises `Rejected`."""
        names = [node.attr]
        base = node.value
        while isinstance(base, ast.Attribute):
            names.append(base.attr)
            base = base.value
        root = self._imported(base) if isinstance(base, ast.Name) else None
        if root is not None:
            found = self._reach(node, base.id if isinstance(base, ast.Name) else "", root, names)
            if not names:
                return found
            if found not in (Kind.VALUE, Kind.TYPE):
                raise refuse(node.lineno, "attribute", f"{ast.unparse(node)[:60]}: a function has no attributes")
        elif isinstance(base, ast.Constant):
            raise refuse(node.lineno, "attribute", "a literal has no attributes that a kernel may use")
        else:
            self.expression(base)
        for name in names:
            if name not in self.dialect.attributes:
                hint = self._hint(name, sorted(self.dialect.attributes))
                raise refuse(node.lineno, "attribute", f"a value has no {name!r} that a kernel may use.{hint}")
        return None

    def _imported(self, base: ast.Name) -> Reachable | None:
        found = self.imported.get(base.id)
        if found is None and base.id in self.dialect.reserved:
            line = self.dialect.import_of(base.id)
            raise refuse(base.lineno, "name", f"{base.id} is not imported; write {line}")
        return found

    def _reach(self, node: ast.Attribute, path: str, found: Reachable, names: list[str]) -> Kind:
        """Follow `names`, whose last comes first, taking off what has been followed."""
        while not isinstance(found, Kind):
            if not names:
                raise refuse(node.lineno, "module-value", f"the module {path} cannot be passed around")
            name = names.pop()
            inner = found.get(name)
            if inner is None:
                hint = self._hint(name, sorted(found))
                raise refuse(node.lineno, "attribute", f"{path}.{name} is nothing that a kernel may use.{hint}")
            found, path = inner, f"{path}.{name}"
        return found

    def reached(self, node: ast.Attribute) -> Kind:
        """What a chain that must start at a module leads to. Raises `Rejected`."""
        kind = self.attribute(node)
        if kind is None:
            raise refuse(node.lineno, "constant", f"{ast.unparse(node)[:60]} is not known before a launch")
        return kind

    def _value(self, node: ast.Attribute) -> None:
        if self.attribute(node) not in (None, Kind.VALUE, Kind.TYPE):
            raise refuse(node.lineno, "function-value", f"{ast.unparse(node)[:60]} is a function and no value; call it")

    # Calls.

    def _call(self, node: ast.Call) -> None:
        called = node.func
        arguments: Sequence[ast.expr] = node.args
        if isinstance(called, ast.Name):
            self.called.append((called, self.tracing.weight))
            if called.id.startswith("__"):
                self._name(called)
        elif isinstance(called, ast.Attribute):
            if self.attribute(called) not in (None, Kind.FUNCTION, Kind.TYPE):
                raise refuse(node.lineno, "call", f"{ast.unparse(called)[:60]}(…) is nothing that can be called here")
            if called.attr in self.dialect.messages and len(arguments) == 2 and isinstance(arguments[1], ast.Constant):
                arguments = arguments[:1]
        else:
            raise refuse(node.lineno, "call", f"{described(called)} is called; only functions and methods can be")
        self.arguments(arguments, node.keywords)

    def arguments(self, arguments: Sequence[ast.expr], keywords: Sequence[ast.keyword]) -> None:
        """The arguments of a call."""
        for value in arguments:
            self._argument(value)
        for keyword in keywords:
            if keyword.arg is None:
                raise refuse(keyword.value.lineno, "call", "** in a call; name each argument")
            if keyword.arg.startswith("_"):
                what = f"the argument {keyword.arg} is the compiler's own; leave it out"
                raise refuse(keyword.value.lineno, "internal", what)
            self._argument(keyword.value)

    def _argument(self, node: ast.expr) -> None:
        if isinstance(node, ast.Name) and node.id in self.functions:
            self.passed.append((node, self.tracing.weight))
        elif isinstance(node, ast.Starred):
            raise refuse(node.lineno, "call", "* in a call; write each argument")
        else:
            self.expression(node)

    # Operators.

    def operator(self, operator: ast.operator, left: ast.expr, right: ast.expr) -> None:
        """Raise `Rejected` for an operator, or operands of it, with which a few signs make a gigabyte."""
        line = right.lineno
        if operator.__class__ not in _OPERATORS:
            raise refuse(
                line, "expression", f"{described(operator)} is no operator of kernels; call the function for it"
            )
        for side in (left, right):
            text = isinstance(side, ast.Constant) and not isinstance(side.value, int | float)
            if text or isinstance(side, ast.Tuple | ast.List):
                raise refuse(
                    line, "operand", "a text, tuple or list in an operation; operators take numbers and tensors"
                )
        power = isinstance(operator, ast.Pow)
        if power or isinstance(operator, ast.LShift):
            exponent = right.operand if isinstance(right, ast.UnaryOp) else right
            literal = exponent.value if isinstance(exponent, ast.Constant) else None
            small = isinstance(literal, int | float) and literal <= _MAX_POWER
            again = power and isinstance(left, ast.BinOp) and isinstance(left.op, ast.Pow)
            if again or not (small or (literal is None and not power)):
                instead = "multiply it out, or call a function such as exp2" if power else "shift by less"
                raise refuse(line, "power", f"an exponent or distance that is no number up to {_MAX_POWER}; {instead}")

    def _operation(self, node: ast.BinOp) -> None:
        self.operator(node.op, node.left, node.right)
        self.expression(node.left)
        self.expression(node.right)

    def _comparison(self, node: ast.Compare) -> None:
        for operator in node.ops:
            if operator.__class__ not in _COMPARISONS:
                what = f"{described(operator)} is no comparison of kernels; write a == b or a == c"
                raise refuse(node.lineno, "expression", what)
        self.expression(node.left)
        for value in node.comparators:
            self.expression(value)

    def _unary(self, node: ast.UnaryOp) -> None:
        self.expression(node.operand)

    def _connective(self, node: ast.BoolOp) -> None:
        for value in node.values:
            self.expression(value)

    def _choice(self, node: ast.IfExp) -> None:
        self.expression(node.test)
        self.expression(node.body)
        self.expression(node.orelse)

    def _elements(self, node: ast.Tuple | ast.List) -> None:
        for value in node.elts:
            if isinstance(value, ast.Name) and value.id in self.functions:  # Gluon gives each group of warps its own
                self.passed.append((value, self.tracing.weight))
            else:
                self.expression(value)

    def subscript(self, node: ast.Subscript) -> None:
        """An element or a part: ``x[i]``, ``x[:, None]``, ``x[a:b]``."""
        self.expression(node.value)
        index = node.slice
        for part in index.elts if isinstance(index, ast.Tuple) else (index,):
            if isinstance(part, ast.Slice):
                for bound in (part.lower, part.upper, part.step):
                    if bound is not None:
                        self.expression(bound)
            else:
                self.expression(part)
