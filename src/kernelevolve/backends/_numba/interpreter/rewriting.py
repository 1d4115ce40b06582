"""A kernel's source as the interpreter runs it: the same lines, with numbers typed and barriers as points to wait at.

- Literals become the numbers the compiler would have (`scalars`); one that is an index by itself stays as it is, which
  is how `arrays` knows ``x[-1]`` from a computed -1.
- Imports go: names of ``numba`` and ``math`` are bound to what stands for them here.
- A call that waits for other threads (``cuda.syncthreads()``, shuffles, votes) becomes a ``yield`` of what it asks for;
  functions that contain one become generators, and so do those that call them.
- Shared and local arrays learn the name and the place of their declaration.
- Comparisons that are computed with become Python's ``bool``: NumPy's would add up to "or".
"""

from __future__ import annotations

__all__ = ["WAITING", "Rewritten", "rewrite"]

import ast
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from attrs import frozen

from kernelevolve.backends._numba.failures import FILENAME
from kernelevolve.backends._numba.interpreter.scalars import integer, unsigned
from kernelevolve.outcome import ToolchainError

#: What waits for other threads: barriers of the block, and operations of a warp.
WAITING: Final = frozenset(
    {
        "syncthreads",
        "syncthreads_count",
        "syncthreads_and",
        "syncthreads_or",
        "syncwarp",
        "shfl_sync",
        "shfl_up_sync",
        "shfl_down_sync",
        "shfl_xor_sync",
        "ballot_sync",
        "all_sync",
        "any_sync",
        "eq_sync",
        "match_any_sync",
        "match_all_sync",
        "activemask",
    }
)
#: What a group of cooperative threads is asked to do: the only method kernels may call. All blocks wait.
_GRID_BARRIER: Final = "sync"
#: Atomics that other threads may be waited for with, in a loop: a chance for them to run.
_POLLING: Final = frozenset({"cas", "compare_and_swap", "exch", "add"})
#: Modules by the path their members have here.
_PATHS: Final = {
    "numba": "",
    "numba.types": "types",
    "numba.cuda": "cuda",
    "numba.cuda.types": "types",
    "numba.cuda.bf16": "cuda.bf16",
}
#: Names that the rewriting adds.
_TRUTH, _INVERT, _LITERAL = "__truth__", "__invert__", "__literal_{}__"


@frozen
class Rewritten:
    """A source that can be executed, and the names it needs beside its own."""

    code: Any
    literals: Mapping[str, Any]
    #: From a name that the source imports to its path: ``cuda``, ``cuda.libdevice``, ``float32``, ``math``.
    imports: Mapping[str, str]
    #: Functions that are generators now.
    waiting: frozenset[str]
    #: Whether the source orders what different blocks do in memory.
    fenced: bool
    #: Whether threads may wait for each other by atomics in a loop.
    polls: bool
    #: By function and parameter: see `reads`.
    _reads: Mapping[str, Mapping[str, int]]

    def reads(self, function: str, parameter: str) -> int | None:
        """With how many indices a parameter is only ever read, 0 for no reads at all; None where it may be written."""
        return self._reads[function].get(parameter)


def rewrite(source: str) -> Rewritten:
    """Rewrite a source that the gate let pass. Raises `ToolchainError` for what cannot be interpreted."""
    tree = ast.parse(source, FILENAME)
    names = _Names(tree)
    waiting = names.waiting()
    rewriter = _Rewriter(names, waiting)
    fenced = any(isinstance(node, ast.Attribute) and node.attr.startswith("threadfence") for node in ast.walk(tree))
    polls = any(map(names.polls, names.functions.values()))
    reads = {name: _reads(function) for name, function in names.functions.items()}
    rewritten = ast.fix_missing_locations(rewriter.visit(tree))
    code = compile(rewritten, FILENAME, "exec", dont_inherit=True)
    literals = dict(rewriter.literals.values())
    return Rewritten(code, {**literals, _TRUTH: bool, _INVERT: _invert}, names.meaning, waiting, fenced, polls, reads)


def _invert(value: Any) -> Any:
    return not value if isinstance(value, bool | np.bool_) else ~value


def _reads(function: ast.FunctionDef) -> dict[str, int]:
    """Parameters of which nothing but elements and attributes are read: their numbers of indices."""
    counts: dict[str, set[int | None]] = {argument.arg: set() for argument in function.args.args}
    read: set[int] = set()
    for node in ast.walk(function):
        match node:
            case ast.Subscript(value=ast.Name(id=name) as array, slice=index, ctx=ast.Load()) if name in counts:
                indices = index.elts if isinstance(index, ast.Tuple) else [index]
                counts[name].add(None if any(isinstance(one, ast.Slice) for one in indices) else len(indices))
                read.add(id(array))
            case ast.Attribute(value=ast.Name(id=name) as array) if name in counts:
                read.add(id(array))
    for node in ast.walk(function):
        if isinstance(node, ast.Name) and node.id in counts and id(node) not in read:
            counts[node.id].add(None)  # written, passed on, or given another name
    plain = {name: found for name, found in counts.items() if None not in found and len(found) <= 1}
    return {name: next(iter(found), 0) or 0 for name, found in plain.items()}


class _Names:
    """What a source calls the module ``cuda`` and its members, and which of its functions wait."""

    def __init__(self, tree: ast.Module) -> None:
        #: From a name to what it stands for: ``cuda``, ``cuda.syncthreads``.
        self.meaning: dict[str, str] = {}
        self.functions = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}
        for node in tree.body:
            if isinstance(node, ast.Import):
                self.meaning |= {alias.asname or alias.name: _PATHS.get(alias.name, alias.name) for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                start = _PATHS.get(node.module or "", node.module or "")
                self.meaning |= {alias.asname or alias.name: f"{start}.{alias.name}".strip(".") for alias in node.names}

    def path(self, node: ast.expr) -> str | None:
        """``cuda.shared.array`` for an expression that names it; None for what is no name of ``cuda``'s."""
        match node:
            case ast.Name(id=name):
                return self.meaning.get(name)
            case ast.Attribute(value=value, attr=attribute):
                start = self.path(value)
                return None if start is None else f"{start}.{attribute}"
        return None

    def waits(self, node: ast.Call) -> str | None:
        """Which of `WAITING` a call is, or ``grid``."""
        path = self.path(node.func) or ""
        start, _, name = path.partition(".")
        if start == "cuda" and name in WAITING:
            return name
        return "grid" if isinstance(node.func, ast.Attribute) and node.func.attr == _GRID_BARRIER else None

    def polls(self, function: ast.FunctionDef) -> set[int]:
        """The calls of atomics inside ``while``, by identity."""
        loops = [node for node in ast.walk(function) if isinstance(node, ast.While)]
        calls = [node for loop in loops for node in ast.walk(loop) if isinstance(node, ast.Call)]
        return {
            id(node) for node in calls if (self.path(node.func) or "") in {f"cuda.atomic.{name}" for name in _POLLING}
        }

    def waiting(self) -> frozenset[str]:
        """Functions that wait, by themselves or in what they call."""
        calls = {
            name: [node for node in ast.walk(function) if isinstance(node, ast.Call)]
            for name, function in self.functions.items()
        }
        found = {
            name
            for name, function in self.functions.items()
            if any(map(self.waits, calls[name])) or self.polls(function)
        }
        while True:
            more = {
                name
                for name in calls
                if name not in found and any(getattr(node.func, "id", None) in found for node in calls[name])
            }
            if not more:
                return frozenset(found)
            found |= more


class _Rewriter(ast.NodeTransformer):
    def __init__(self, names: _Names, waiting: frozenset[str]) -> None:
        self._names, self._waiting = names, waiting
        self._polls: set[int] = set()
        #: By type and value: the name that stands for it, and the number of the compiler's type.
        self.literals: dict[tuple[type, Any], tuple[str, Any]] = {}
        #: Nodes whose value is only asked whether it is true.
        self._tests: set[int] = set()

    def visit_Import(self, node: ast.Import) -> None:
        """Gone."""

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        """Gone."""

    # Functions.

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        """Without decorator; a generator wherever its callers expect one."""
        node.decorator_list = []
        self._polls = self._names.polls(node)
        self.generic_visit(node)
        return node

    def visit_Call(self, node: ast.Call) -> ast.AST:
        asked, path = self._names.waits(node), self._names.path(node.func) or ""
        polls = id(node) in self._polls
        self.generic_visit(node)
        if asked is not None:
            if node.keywords:
                raise ToolchainError(
                    f"line {node.lineno}: cuda.{asked} is interpreted with plain arguments only", log=""
                )
            request = ast.Tuple([ast.Constant(asked), *node.args], ast.Load())
            return ast.copy_location(ast.Yield(request), node)
        if getattr(node.func, "id", None) in self._waiting:
            return ast.copy_location(ast.YieldFrom(node), node)
        if path in {"cuda.shared.array", "cuda.local.array"}:
            node.keywords.append(ast.keyword("site", ast.Constant(f"{node.lineno}:{node.col_offset}")))
        if polls:  # a pair of which the first lets others run: (yield, call)[1]
            turn = ast.Yield(ast.Tuple([ast.Constant("turn")], ast.Load()))
            pair = ast.Tuple([turn, node], ast.Load())
            return ast.copy_location(ast.Subscript(pair, ast.Constant(1), ast.Load()), node)
        return node

    def visit_Assign(self, node: ast.Assign) -> ast.AST:
        """``tile = cuda.shared.array(…)``: the array is called tile."""
        match node:
            case ast.Assign(targets=[ast.Name(id=name)], value=ast.Call(func=function) as call):
                if self._names.path(function) in {"cuda.shared.array", "cuda.local.array"}:
                    call.keywords.append(ast.keyword("name", ast.Constant(name)))
        self.generic_visit(node)
        return node

    # Numbers.

    def visit_Constant(self, node: ast.Constant) -> ast.AST:
        value: Any
        match node.value:
            case bool() | str() | None:
                return node
            case int():
                value = integer(node.value) if node.value < 1 << 63 else unsigned(node.value)
            case float():
                value = np.float64(node.value)
            case _:
                return node
        name, _ = self.literals.setdefault((type(value), node.value), (_LITERAL.format(len(self.literals)), value))
        return ast.copy_location(ast.Name(name, ast.Load()), node)

    def visit_Subscript(self, node: ast.Subscript) -> ast.AST:
        node.value = self.visit(node.value)
        if isinstance(node.slice, ast.Tuple):
            node.slice.elts = [one if _is_literal(one) else self.visit(one) for one in node.slice.elts]
        elif not _is_literal(node.slice):
            node.slice = self.visit(node.slice)
        return node

    def visit_UnaryOp(self, node: ast.UnaryOp) -> ast.AST:
        if isinstance(node.op, ast.Not):
            self._tests.add(id(node.operand))
        self.generic_visit(node)
        if isinstance(node.op, ast.Invert):
            return ast.copy_location(ast.Call(ast.Name(_INVERT, ast.Load()), [node.operand], []), node)
        return node

    # Truth.

    def visit_If(self, node: ast.If) -> ast.AST:
        return self._tested(node)

    def visit_While(self, node: ast.While) -> ast.AST:
        return self._tested(node)

    def visit_IfExp(self, node: ast.IfExp) -> ast.AST:
        return self._tested(node)

    def _tested(self, node: Any) -> ast.AST:
        self._tests.add(id(node.test))
        self.generic_visit(node)
        return node  # type: ignore[no-any-return]

    def visit_BoolOp(self, node: ast.BoolOp) -> ast.AST:
        if id(node) in self._tests:
            self._tests |= {id(value) for value in node.values}
        self.generic_visit(node)
        return node

    def visit_Compare(self, node: ast.Compare) -> ast.AST:
        tested = id(node) in self._tests
        self.generic_visit(node)
        if tested:
            return node
        return ast.copy_location(ast.Call(ast.Name(_TRUTH, ast.Load()), [node], []), node)


def _is_literal(node: ast.expr) -> bool:
    match node:
        case ast.Constant(value=int()) | ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int())):
            return True
    return False
