"""The ``reference`` language: a small, closed subset of Python with NumPy, read and gated on its syntax tree.

A source is a module of top-level functions and literal constants. Each function without a leading underscore is an
entry, called once per group of the grid. `kernelevolve.testing.accelerator` says what runs it.
"""

from __future__ import annotations

__all__ = [
    "ARRAY_ATTRIBUTES",
    "BUILTINS",
    "MARKERS",
    "MATH",
    "NUMPY",
    "PRIMITIVES",
    "ReferenceLanguage",
    "parse_source",
]

import ast
import builtins
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Final

from attrs import frozen

from kernelevolve.errors import suggest
from kernelevolve.kernel import Value
from kernelevolve.language import Language, Parameter, ParameterKind
from kernelevolve.outcome import Rejected


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


#: Python's own functions that a kernel may call.
BUILTINS: Final = _words("abs bool float int len max min range round sum")
#: What the device adds: geometry and unchecked pointers, and then the ways to misbehave.
PRIMITIVES: Final = _words(
    """program_id num_programs load store
    unstable crash fault lose_device hog spin say break_plugin"""
)
#: Module constants that steer the made-up compiler and clock (`kernelevolve.testing.compiler`).
MARKERS: Final = _words("COST WARM NOISE REGISTERS COMPILE_SECONDS COMPILER")
#: ``np.…`` names that compute on arrays and reach nothing else (no files, no pickles, no memory maps, no callbacks).
NUMPY: Final = _words(
    """abs add all any arange argmax argmin array ascontiguousarray bool_ broadcast_to ceil clip concatenate cos cumsum
    divide dot e empty empty_like equal exp exp2 expm1 eye float16 float32 float64 floor full full_like greater inf
    int16 int32 int64 int8 isfinite isinf isnan less log log1p log2 logical_and logical_not logical_or matmul max
    maximum mean min minimum mod multiply nan nonzero ones ones_like outer pi power prod repeat rint searchsorted sign
    sin sort sqrt square stack subtract sum take tanh tile transpose uint8 where zeros zeros_like"""
)
#: ``math.…`` names.
MATH: Final = _words("ceil cos e erf exp floor inf isfinite isinf isnan log log2 nan pi pow sin sqrt tanh")
#: Attributes and methods of arrays.
ARRAY_ATTRIBUTES: Final = _words(
    """T all any argmax argmin astype clip copy cumsum dot dtype fill flatten item max mean min ndim prod ravel reshape
    round shape size sort sum transpose view"""
)
#: A longer source is a reply that repeats itself.
MAX_CHARACTERS: Final = 64 * 1024

_MODULES: Final[Mapping[str, frozenset[str]]] = {"np": NUMPY, "math": MATH}
_PROTECTED: Final = frozenset({*BUILTINS, *PRIMITIVES, *_MODULES})
_STATEMENTS: Final = (
    *(ast.Assign, ast.AugAssign, ast.For, ast.While, ast.If, ast.Expr),
    *(ast.Pass, ast.Break, ast.Continue, ast.Return, ast.Assert),
)
_EXPRESSIONS: Final = (
    *(ast.Name, ast.Constant, ast.BinOp, ast.UnaryOp, ast.BoolOp, ast.Compare, ast.IfExp, ast.Call),
    *(ast.Attribute, ast.Subscript, ast.Slice, ast.Tuple, ast.List),
)


def parse_source(body: str) -> ast.Module:
    """The syntax tree of `body`. Raises `Rejected` (rule ``syntax``) where Python cannot read it."""
    if len(body) > MAX_CHARACTERS:
        message = f"{len(body)} characters; a kernel's source has at most {MAX_CHARACTERS}"
        raise Rejected(message, rule="size", line=1)
    try:
        return ast.parse(body)
    except SyntaxError as error:
        message = f"line {error.lineno or 1}: {error.msg}; the source must be Python"
        raise Rejected(message, rule="syntax", line=error.lineno or 1) from None
    except (ValueError, RecursionError, MemoryError) as error:
        message = f"the source cannot be read: {error or type(error).__name__}"
        raise Rejected(message, rule="syntax", line=1) from None


class ReferenceLanguage:
    """Reads ``reference`` sources; satisfies `kernelevolve.language.Language`."""

    name = "reference"
    comment = "#"
    suffix = ".py"

    def entries(self, body: str) -> Mapping[str, tuple[Parameter, ...]]:
        return {
            node.name: tuple(Parameter(argument.arg, ParameterKind.ANY) for argument in node.args.args)
            for node in parse_source(body).body
            if isinstance(node, ast.FunctionDef) and not node.name.startswith("_")
        }

    def check_tunable(self, name: str, value: Value) -> None:
        """A tunable becomes a module constant: any value of a header will do."""

    def gate(self, body: str) -> None:
        tree = parse_source(body)
        try:
            gate = _Gate(frozenset(_bound_names(tree)))
            for node in tree.body:
                gate.module_statement(node)
        except RecursionError:
            raise Rejected("the source is nested too deeply; write flatter code", rule="syntax", line=1) from None

    def normalize(self, body: str) -> str:
        try:
            return ast.unparse(parse_source(body))
        except RecursionError:
            raise Rejected("the source is nested too deeply; write flatter code", rule="syntax", line=1) from None


if TYPE_CHECKING:
    _conforms: Language = ReferenceLanguage()


def _bound_names(tree: ast.Module) -> Iterator[str]:
    """Every name the source itself gives a meaning; the run-time namespace holds no other, so scopes need no care."""
    for node in ast.walk(tree):
        match node:
            case ast.FunctionDef(name=name) | ast.arg(arg=name) | ast.Name(id=name, ctx=ast.Store()):
                yield name


def _refuse(node: ast.AST, rule: str, what: str) -> Rejected:
    line = getattr(node, "lineno", 1)
    return Rejected(f"line {line}: {what}", rule=rule, line=line)


@frozen
class _Gate:
    """Walks a source and lets through what it knows; everything else is refused by its line."""

    bound: frozenset[str]

    def module_statement(self, node: ast.stmt) -> None:
        match node:
            case ast.Import(names=[ast.alias(name="numpy", asname="np")]):
                return
            case ast.Import(names=[ast.alias(name="math", asname=None)]):
                return
            case ast.Import() | ast.ImportFrom():
                message = f"'{ast.unparse(node)}' is not allowed; write 'import numpy as np' or 'import math'"
                raise _refuse(node, "import", message)
            case ast.Expr(value=ast.Constant(value=str())):
                return
            case ast.Assign(targets=[ast.Name(id=name)], value=value):
                self.bindable(name, node)
                self.literal(name, value)
            case ast.FunctionDef():
                self.function(node)
            case _:
                kind = type(node).__name__
                message = f"a {kind} at the top level; a source has imports, literal constants and functions"
                raise _refuse(node, "module", message)

    def literal(self, name: str, node: ast.expr) -> None:
        """Constants cannot be changed, so that no launch can leave anything for the next one."""
        try:
            value = ast.literal_eval(node)
        except (ValueError, TypeError, SyntaxError, MemoryError):
            value = ast
        if not isinstance(value, bool | int | float | str | tuple) and not (
            name in MARKERS and isinstance(value, dict)
        ):
            raise _refuse(
                node, "constant", f"the constant {name!r} is no literal number, text or tuple; write {name} = 4"
            )

    def function(self, node: ast.FunctionDef) -> None:
        arguments = node.args
        odd = [arguments.vararg, arguments.kwarg, *arguments.posonlyargs, *arguments.kwonlyargs, *arguments.defaults]
        if any(odd) or any(argument.annotation for argument in arguments.args):
            message = f"{node.name} takes plain parameters only: no defaults, stars or annotations"
            raise _refuse(node, "function", message)
        if node.decorator_list or node.returns or getattr(node, "type_params", None):
            raise _refuse(node, "function", f"{node.name} has a decorator or annotation; write a plain function")
        for name in (node.name, *(argument.arg for argument in arguments.args)):
            self.bindable(name, node)
        for statement in node.body:
            self.statement(statement)

    def bindable(self, name: str, node: ast.AST) -> None:
        if name in _PROTECTED:
            raise _refuse(node, "shadowing", f"{name!r} is the language's own; choose another name")
        self.readable(name, node)

    def readable(self, name: str, node: ast.AST) -> None:
        if name.startswith("__"):
            raise _refuse(node, "dunder", f"{name!r} starts with two underscores; no such name can be reached")
        if hasattr(builtins, name) and name not in BUILTINS | self.bound:
            listed = ", ".join(sorted(BUILTINS))
            raise _refuse(node, "builtin", f"Python's {name!r} is not allowed; of the built-ins there is {listed}")

    def statement(self, node: ast.stmt) -> None:
        if not isinstance(node, _STATEMENTS):
            kind = type(node).__name__
            message = f"a {kind} in a kernel; there are assignments, for, while, if, return and assert"
            raise _refuse(node, "import" if kind.startswith("Import") else "statement", message)
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.stmt):
                self.statement(child)
            elif isinstance(child, ast.expr):
                self.expression(child)

    def expression(self, node: ast.expr) -> None:
        if not isinstance(node, _EXPRESSIONS):
            message = f"a {type(node).__name__} in a kernel; use names, numbers, operators, calls and indices"
            raise _refuse(node, "expression", message)
        match node:
            case ast.Name(id=name):
                self.name(name, node)
            case ast.Attribute():
                self.attribute(node)
            case ast.Call():
                self.call(node)
            case _:
                for child in ast.iter_child_nodes(node):
                    if isinstance(child, ast.expr):
                        self.expression(child)

    def name(self, name: str, node: ast.Name) -> None:
        if not isinstance(node.ctx, ast.Load):
            self.bindable(name, node)
        elif name in _MODULES:
            raise _refuse(node, "module value", f"the module {name!r} cannot be passed around; call {name}.sqrt(…)")
        else:
            self.readable(name, node)

    def attribute(self, node: ast.Attribute) -> None:
        if not isinstance(node.ctx, ast.Load):
            message = f"attribute {node.attr!r} is assigned to; write to elements instead: y[i] = …"
            raise _refuse(node, "attribute", message)
        if isinstance(node.value, ast.Name) and node.value.id in _MODULES:
            known, owner = _MODULES[node.value.id], node.value.id
        else:
            known, owner = ARRAY_ATTRIBUTES, "an array"
            self.expression(node.value)
        if node.attr not in known:
            message = f"{owner} has no {node.attr!r} that a kernel may use.{suggest(node.attr, sorted(known))}"
            raise _refuse(node, "attribute", message)

    def call(self, node: ast.Call) -> None:
        if not isinstance(node.func, ast.Name | ast.Attribute):
            message = "only a function's name, np.…, math.… or an array's method can be called"
            raise _refuse(node, "call", message)
        if any(keyword.arg is None for keyword in node.keywords):
            raise _refuse(node, "call", "** is not allowed in a call; name each argument")
        self.expression(node.func)
        for child in (*node.args, *(keyword.value for keyword in node.keywords)):
            self.expression(child)
