"""Changes of what the tuner may choose from, and of how the compiler is asked: sizes, registers, fast math."""

from __future__ import annotations

__all__ = ["fast_math", "promotions", "registers", "threads"]

import ast
from collections.abc import Iterator
from functools import partial
from typing import Final

import libcst as cst
from attrs import evolve

from kernelevolve.expressions import Expression
from kernelevolve.expressions import parse as parse_expression
from kernelevolve.kernel import Kernel, Launch
from kernelevolve.problem import Problem
from kernelevolve.proposers.rewriting.changes import Change
from kernelevolve.proposers.rewriting.numba_rules.view import NumbaView, numba_views
from kernelevolve.proposers.rewriting.python_edits import Edit, walk
from kernelevolve.proposers.rewriting.view import Site

#: From the 65 536 registers of a multiprocessor: for full, half and quarter occupancy, and the most there is.
_REGISTERS: Final = (64, 32, 40, 128, 255)
_FACTORS: Final = (2, 0.5, 4, 0.25)
_MOST_THREADS: Final = 1024
#: Literals below are halves, warps' shares and the like, not sizes.
_SMALLEST: Final = 8


def threads(view: NumbaView) -> Iterator[Site]:
    """A constant of the module that is the side of a block becomes a tunable, in the launches as well."""
    for name, value in view.constants.items():
        if _is_side(view, name, value):
            yield Site(f"{name} becomes a tunable", partial(_tuned, view, name, value))


def _is_side(view: NumbaView, name: str, value: int) -> bool:
    """Whether every launch has blocks of that side, and no other constant may count on it."""
    if value < _SMALLEST or value & (value - 1):
        return False
    sides = [size.text for launch in view.kernel.launches for size in launch.block]
    related = [other for key, other in view.constants.items() if key != name and other % value == 0]
    return all(side in (str(value), "1") for side in sides) and str(value) in sides and not related


def _tuned(view: NumbaView, name: str, value: int) -> Kernel:
    line = next(
        line
        for line in view.module.body
        if isinstance(line, cst.SimpleStatementLine)
        and isinstance(line.body[0], cst.Assign)
        and view.flat(line.body[0].targets[0].target) == name
    )
    sides = max(sum(size.text == str(value) for size in launch.block) for launch in view.kernel.launches)
    near = [value, *(int(value * factor) for factor in _FACTORS)]
    offered = tuple(size for size in dict.fromkeys(near) if size > 1 and size**sides <= _MOST_THREADS)
    made = view.edited([Edit(line, text="")], tunables={name: offered})
    return evolve(made, launches=tuple(_with_name(launch, value, name) for launch in made.launches))


def _with_name(launch: Launch, number: int, name: str) -> Launch:
    def replaced(expression: Expression) -> Expression:
        tree = ast.parse(expression.text, mode="eval")
        return parse_expression(ast.unparse(_Replace(number, name).visit(tree)))

    args = {key: replaced(value) for key, value in launch.args.items()}
    return evolve(launch, grid=tuple(map(replaced, launch.grid)), block=tuple(map(replaced, launch.block)), args=args)


class _Replace(ast.NodeTransformer):
    def __init__(self, number: int, name: str) -> None:
        self.number, self.name = number, name

    def visit_Constant(self, node: ast.Constant) -> ast.expr:  # the name that ast looks for
        return ast.Name(self.name, ast.Load()) if node.value == self.number else node


def promotions(kernel: Kernel, problem: Problem) -> Iterator[Change]:
    """Constants of the module that become tunables, as changes of what the tuner chooses from. Raises `Rejected`."""
    for view in numba_views(kernel, problem)[:1]:
        for site in threads(view):
            yield Change(site.make(), site.note)


def _mark(view: NumbaView) -> cst.BaseExpression | None:
    """The entry's one decorator."""
    found = view.function.decorators
    return found[0].decorator if len(found) == 1 else None


def _options(mark: cst.BaseExpression) -> dict[str, str]:
    given = mark.args if isinstance(mark, cst.Call) else ()
    code = cst.Module([]).code_for_node
    return {one.keyword.value: code(one.value) for one in given if one.keyword is not None}


def _marked(view: NumbaView, option: str, value: str) -> list[Edit]:
    mark = _mark(view)
    assert mark is not None
    options = {**_options(mark), option: value}
    return [Edit(mark, text=f"cuda.jit({', '.join(f'{key}={text}' for key, text in options.items())})")]


def fast_math(view: NumbaView) -> Iterator[Site]:
    """Approximate divisions, roots and exponentials; the check decides whether the results are good enough."""
    mark = _mark(view)
    if mark is not None and "fastmath" not in _options(mark) and _computes_floats(view):
        yield Site(f"fast math in {view.name}", partial(_fast, view))


def _computes_floats(view: NumbaView) -> bool:
    return any(isinstance(node, cst.Divide | cst.DivideAssign) for node in walk(view.function)) or any(
        name in view.module.code for name in ("math.exp", "math.log", "math.sqrt", "math.tanh", "math.erf")
    )


def _fast(view: NumbaView) -> Kernel:
    return view.edited(_marked(view, "fastmath", "True"))


def registers(view: NumbaView) -> Iterator[Site]:
    """Let the tuner choose the most registers of a thread."""
    mark = _mark(view)
    if mark is not None and not {"max_registers", "launch_bounds"} & set(_options(mark)):
        yield Site(f"offer the most registers of {view.name}", partial(_registers, view))


def _registers(view: NumbaView) -> Kernel:
    name = view.fresh("REGISTERS")
    return view.edited(_marked(view, "max_registers", name), tunables={name: _REGISTERS})
