"""The gate of kernels written in Python: an allow-list on the syntax tree, walked once.

A source is executed by Python when a worker imports it, then traced or compiled by a toolchain, and on machines without
a device run by an interpreter. So whatever it may say is listed: its imports, the names that can be reached through
them, the attributes of values, the statements and the operators. Everything else is refused by its line.
"""

from __future__ import annotations

__all__ = ["Gate", "plain_arguments"]

import ast
from collections.abc import Callable, Sequence

from kernelevolve.errors import suggest
from kernelevolve.languages.python_kernels.constants import Constant, whole
from kernelevolve.languages.python_kernels.expressions import MAX_DEPTH, Expressions, described
from kernelevolve.languages.python_kernels.names import Kind
from kernelevolve.languages.python_kernels.source import Source, refuse, too_deep


class Gate(Expressions):
    """Walks one source; subclasses say what is particular to their language."""

    def __init__(self, source: Source) -> None:
        super().__init__()
        self.source = source
        #: Variables of the function that is being walked that are one whole number throughout.
        self.fixed: dict[str, int] = {}
        self._statements: dict[type[ast.stmt], Callable[..., None]] = {
            ast.Assign: self._assign,
            ast.AugAssign: self._augmented,
            ast.AnnAssign: self.annotated,
            ast.Expr: self._bare,
            ast.If: self._branch,
            ast.For: self._loop,
            ast.While: self._repeat,
            ast.Return: self._return,
            ast.Pass: _nothing,
            ast.Break: _nothing,
            ast.Continue: _nothing,
        }

    # What a language adds.

    def decorated(self, node: ast.FunctionDef) -> None:
        """Raise `Rejected` unless `node` is decorated as a kernel function is."""
        raise NotImplementedError

    def annotation(self, node: ast.expr, where: str) -> None:
        """Raise `Rejected` unless the annotation may stand at `where`."""
        raise NotImplementedError

    def annotated(self, node: ast.AnnAssign) -> None:
        """``x: T = v`` inside a function."""
        raise NotImplementedError

    def module_constant(self, name: str, value: ast.expr) -> Constant:
        """Read the value of a module constant. Raises `Rejected` where it is none."""
        raise NotImplementedError

    def option(self, kind: Kind, keyword: ast.keyword) -> None:
        """Raise `Rejected` unless a loop may have the option, as in ``num_stages=3``."""
        raise NotImplementedError

    #: How a module constant is written.
    example: str

    # The module.

    def check(self) -> None:
        """Return if the source may be executed. Raises `Rejected` with rule and line."""
        try:
            for node in self.source.tree.body:
                self._module_statement(node)
            for function in self.functions.values():
                self._function(function)
            self.tracing.check()
        except RecursionError:
            raise too_deep() from None

    def _module_statement(self, node: ast.stmt) -> None:
        match node:
            case ast.Import() | ast.ImportFrom():
                self._import(node)
            case ast.Expr(value=ast.Constant(value=str())):
                return
            case ast.Assign(targets=[ast.Name(id=name)], value=value):
                self._define(name, node)
                self.constants.known[name] = self.module_constant(name, value)
            case ast.FunctionDef(name=name):
                self._define(name, node)
                self.functions[name] = node
            case ast.AnnAssign():
                what = f"an annotated constant, which no toolchain reads as one; write {self.example}"
                raise refuse(node.lineno, "constant", what)
            case ast.Assign():
                raise refuse(node.lineno, "constant", f"a constant has one plain name; write {self.example}")
            case _:
                what = f"{described(node)} at the top level; a file has imports, constants and functions"
                raise refuse(node.lineno, "module", what)

    def _define(self, name: str, node: ast.stmt) -> None:
        self.bindable(name, node)
        if name in self.functions or name in self.constants.known:
            raise refuse(node.lineno, "redefined", f"{name} is defined twice; give one of them another name")

    def _import(self, node: ast.Import | ast.ImportFrom) -> None:
        imports, members = self.dialect.imports, self.dialect.members
        written = ast.unparse(node)
        if isinstance(node, ast.Import):
            if known := imports.get(written.removeprefix("import ")):
                self.imported[known[0]] = known[1]
                return
        elif not node.level and (taken := members.get(node.module or "")) is not None:
            for alias in node.names:
                if alias.asname is not None:
                    what = f"'{written[:60]}' gives {alias.name} another name; leave it the one it has"
                    raise refuse(node.lineno, "import", what)
                if alias.name not in taken:
                    hint = suggest(alias.name, sorted(taken)) or f" There is {', '.join(sorted(taken))}."
                    what = f"'{written[:60]}': {node.module} has no {alias.name[:40]} for kernels.{hint}"
                    raise refuse(node.lineno, "import", what)
                self.imported[alias.name] = taken[alias.name]
            return
        allowed = [*(f"import {text}" for text in imports), *(f"from {name} import …" for name in members)]
        raise refuse(node.lineno, "import", f"'{written[:60]}' is not allowed; there is {'; '.join(allowed)}")

    # Functions.

    def _function(self, node: ast.FunctionDef) -> None:
        self.local, self.read, self.called, self.passed, self.fixed = set(), [], [], [], {}
        self.tracing.enter(node)
        self.decorated(node)
        if getattr(node, "type_params", None):
            raise refuse(node.lineno, "parameter", f"{node.name} has type parameters; remove them")
        self._parameters(node)
        if node.returns is not None:
            self.annotation(node.returns, f"the result of {node.name}")
        self.block(node.body)
        self.judge_names()

    def _parameters(self, node: ast.FunctionDef) -> None:
        for argument in plain_arguments(node):
            if argument.arg in self.local:
                raise refuse(argument.lineno, "parameter", f"{node.name} has two parameters {argument.arg}")
            self.bind(argument.arg, argument)
            if argument.annotation is not None:
                self.annotation(argument.annotation, f"parameter {argument.arg}")
        for default in node.args.defaults:
            self.constants.read(default)

    # Statements.

    def block(self, body: Sequence[ast.stmt]) -> None:
        """The statements of a block."""
        self.depth += 1
        for node in body:
            handler = self._statements.get(node.__class__)
            if handler is None:
                what = f"{described(node)} in a kernel; there are assignments, if, for, while, return and pass"
                raise refuse(node.lineno, "statement", what)
            if self.depth > MAX_DEPTH:
                raise refuse(node.lineno, "depth", f"code nests deeper than {MAX_DEPTH}; write it flatter")
            self.tracing.statement(node)
            handler(node)
        self.depth -= 1

    def _bare(self, node: ast.Expr) -> None:
        value = node.value
        if not (isinstance(value, ast.Constant) and isinstance(value.value, str)):  # a text explains something
            self.expression(value)

    def _assign(self, node: ast.Assign) -> None:
        for target in node.targets:
            self._target(target)
        self.expression(node.value)

    def _augmented(self, node: ast.AugAssign) -> None:
        self._target(node.target)
        self.operator(node.op, node.target, node.value)
        self.expression(node.value)

    def _target(self, node: ast.expr) -> None:
        if isinstance(node, ast.Name):
            self.bind(node.id, node)
        elif isinstance(node, ast.Tuple):
            for element in node.elts:
                self._target(element)
        elif not isinstance(node, ast.Subscript):
            raise refuse(node.lineno, "assignment", f"{described(node)} is assigned to; assign to names")
        elif not self.dialect.stores:
            what = "an element is assigned to, and tensors have none; write tl.store(pointer, value)"
            raise refuse(node.lineno, "assignment", what)
        else:
            array = node.value
            while isinstance(array, ast.Subscript):
                array = array.value
            if not isinstance(array, ast.Name):
                raise refuse(node.lineno, "assignment", "elements are assigned to by the name of their array: x[i] = v")
            self.subscript(node)

    def _branch(self, node: ast.If) -> None:
        self.expression(node.test)
        self.block(node.body)
        self.block(node.orelse)

    def _repeat(self, node: ast.While) -> None:
        _no_else(node)
        self.expression(node.test)
        self.block(node.body)

    def _return(self, node: ast.Return) -> None:
        if node.value is not None:
            self.expression(node.value)

    def _loop(self, node: ast.For) -> None:
        _no_else(node)
        if not isinstance(node.target, ast.Name):
            raise refuse(node.lineno, "loop", "a loop has one variable; write for i in range(…)")
        self.bind(node.target.id, node.target)
        weight = self.tracing.weight
        self.tracing.weight *= self._times(node.iter)
        self.block(node.body)
        self.tracing.weight = weight

    def _times(self, node: ast.expr) -> int:
        """Check what a loop runs over; how often the compiler writes its body out."""
        kind: Kind | None = None
        if isinstance(node, ast.Call):
            if isinstance(node.func, ast.Attribute):
                kind = self.attribute(node.func)
            elif isinstance(node.func, ast.Name) and node.func.id == "range":
                kind = Kind.LOOP
        if not isinstance(node, ast.Call) or kind not in (Kind.LOOP, Kind.UNROLLED):
            raise refuse(node.lineno, "loop", "a loop runs over range(…) or its like in the language, and nothing else")
        self.arguments(node.args, node.keywords)
        for keyword in node.keywords:
            self.option(kind, keyword)
        return self._trips(node.args) if kind is Kind.UNROLLED else 1

    def whole_numbers(self) -> dict[str, int]:
        """The names that are one whole number for certain, where the walk is."""
        known = self.constants.known.items()
        return {n: c.value for n, c in known if c.value is not None and n not in self.local} | self.fixed

    def _trips(self, bounds: Sequence[ast.expr]) -> int:
        found = [whole(bound, self.whole_numbers()) for bound in bounds]
        start, stop = (0, *found) if len(found) == 1 else found[:2] or (None, None)
        step = found[2] if len(found) > 2 else 1
        return 1 if start is None or stop is None else max(1, (stop - start) // (step or 1))


def plain_arguments(node: ast.FunctionDef) -> list[ast.arg]:
    """The parameters of a function that has plain ones only. Raises `Rejected` (rule ``parameter``)."""
    given = node.args
    if given.vararg or given.kwarg or given.posonlyargs or given.kwonlyargs:
        what = f"{node.name} takes plain parameters only: no *, ** or /; arguments bind by name"
        raise refuse(node.lineno, "parameter", what)
    return given.args


def _nothing(node: ast.stmt) -> None:
    """``pass``, ``break`` and ``continue`` hold nothing to look at."""


def _no_else(node: ast.For | ast.While) -> None:
    if node.orelse:
        raise refuse(node.orelse[0].lineno, "loop", "a loop with an else; write the else after the loop")
