"""Changes of what the tuner may choose from: other values, and literals that become tunables."""

from __future__ import annotations

__all__ = ["promotions", "tunable_changes"]

import ast
import re
from collections.abc import Iterator
from functools import partial
from typing import Final

from attrs import evolve

from kernelevolve.expressions import parse as parse_expression
from kernelevolve.kernel import Configuration, Kernel, Launch, Value
from kernelevolve.problem import Problem
from kernelevolve.proposers.rewriting.changes import Change
from kernelevolve.proposers.rewriting.view import Edit, View, views

MAX_VALUES: Final = 8
#: Literals in this range are sizes; smaller ones are halves, squares and the like.
SMALLEST: Final = 4
LARGEST: Final = 4096
_FACTORS: Final = (2.0, 0.5, 4.0, 0.25, 1.5, 0.75)
#: The vector widths of the language: other values of such a tunable do not compile.
_FIXED: Final = "VEC"


def tunable_changes(kernel: Kernel, best: Configuration, largest: int = LARGEST) -> Iterator[Change]:
    """Other values for the tunables; `best` is the configuration to search around, `largest` the largest group."""
    for name, values in kernel.tunables.items():
        yield from _around(kernel, name, values, best.get(name, values[0]), largest)


def promotions(kernel: Kernel, problem: Problem) -> Iterator[Change]:
    """Literals of an OpenCL C kernel that become tunables. Raises `Rejected` where the source cannot be read."""
    for view in views(kernel, (*problem.axes, *(spec.name for spec in problem.tensors)), problem.axes):
        yield from _promotions(view)


def _around(kernel: Kernel, name: str, values: tuple[Value, ...], best: Value, largest: int) -> Iterator[Change]:
    is_flag = 0 in values and set(values) <= {0, 1}
    if isinstance(best, bool | str) or name.startswith(_FIXED) or is_flag:
        return
    whole = all(_is_power_of_two(value) for value in values)  # halving a group, say, may rely on it
    near = [int(best * factor) for factor in _FACTORS]
    limit = largest if any(name in size.names for launch in kernel.launches for size in launch.block) else LARGEST
    fitting = [value for value in dict.fromkeys(near) if 1 <= value <= limit and value not in values]
    new = [value for value in fitting if not whole or _is_power_of_two(value)]
    for value in new[:4]:
        kept = [other for other in values if other != best][: MAX_VALUES - 2]
        offered = (value, best, *kept)
        yield Change(evolve(kernel, tunables={**kernel.tunables, name: offered}), f"offer {name} = {value}")


def _is_power_of_two(value: Value) -> bool:
    return isinstance(value, int) and value > 0 and value & (value - 1) == 0


def _promotions(view: View) -> Iterator[Change]:
    """A whole number of the entry becomes a tunable, wherever it stands in the entry and in its launches."""
    yield from _named(view)
    found: dict[int, list[Edit]] = {}
    for node in view.find("number_literal", under=view.body):
        text = view.of(node)
        if text.isdigit() and SMALLEST <= int(text) <= LARGEST:
            found.setdefault(int(text), []).append(Edit(node.start_byte, node.end_byte, ""))
    for size in _launch_numbers(view):
        found.setdefault(size, [])
    named = set(view.constants.values())  # such a number has a name that must go on meaning it
    for number, edits in sorted(found.items()):
        if str(number) in named:
            continue
        name = view.fresh(f"SIZE_{number}")
        near = [number, *(int(number * factor) for factor in _FACTORS[:4])]
        values = tuple(value for value in dict.fromkeys(near) if value >= 1)
        replaced = [Edit(edit.start, edit.end, name) for edit in edits]
        changed = view.edited(replaced, tunables={name: values}, launch=partial(_with_name, number=number, name=name))
        yield Change(changed, f"{number} becomes the tunable {name}")


def _named(view: View) -> Iterator[Change]:
    """A macro that is a whole number becomes a tunable of that name, in the launches as well."""
    for token in view.source.tokens:
        name = next((name for name in view.constants if re.match(rf"#\s*define\s+{name}\b", token.text)), None)
        if token.kind != "directive" or name is None:
            continue
        number = int(view.constants[name])
        near = [number, *(int(number * factor) for factor in _FACTORS[:4]), 1]
        values = tuple(value for value in dict.fromkeys(near) if value >= 1)
        launch = partial(_with_name, number=number, name=name) if number > 1 else None
        changed = view.edited([Edit(token.start, token.end, "")], tunables={name: values}, launch=launch)
        yield Change(changed, f"macro {name} becomes a tunable")


def _launch_numbers(view: View) -> Iterator[int]:
    for expression in (*view.launch.grid, *view.launch.block):
        for node in ast.walk(ast.parse(expression.text, mode="eval")):
            if isinstance(node, ast.Constant) and isinstance(node.value, int) and SMALLEST <= node.value <= LARGEST:
                yield node.value


def _with_name(launch: Launch, number: int, name: str) -> Launch:
    def replaced(text: str) -> str:
        tree = ast.parse(text, mode="eval")
        return ast.unparse(_Replace(number, name).visit(tree))

    grid = tuple(parse_expression(replaced(one.text)) for one in launch.grid)
    block = tuple(parse_expression(replaced(one.text)) for one in launch.block)
    return evolve(launch, grid=grid, block=block)


class _Replace(ast.NodeTransformer):
    def __init__(self, number: int, name: str) -> None:
        self.number, self.name = number, name

    def visit_Constant(self, node: ast.Constant) -> ast.expr:  # the name that ast looks for
        is_it = isinstance(node.value, int) and node.value == self.number
        return ast.Name(self.name, ast.Load()) if is_it else node
