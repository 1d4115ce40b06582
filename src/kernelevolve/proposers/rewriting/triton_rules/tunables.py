"""What becomes tunable in a Triton kernel: sizes written as numbers, options, and sizes that launches share."""

from __future__ import annotations

__all__ = ["triton_tunable_changes"]

import ast
from collections.abc import Iterator, Mapping
from typing import Final

import libcst as cst
from attrs import evolve, frozen

from kernelevolve.expressions import Expression
from kernelevolve.expressions import parse as parse_expression
from kernelevolve.kernel import Kernel, Launch
from kernelevolve.problem import Problem
from kernelevolve.proposers.rewriting.changes import Change
from kernelevolve.proposers.rewriting.python_edits import Edit, names_in
from kernelevolve.proposers.rewriting.triton_rules import headers
from kernelevolve.proposers.rewriting.triton_rules.calls import literal
from kernelevolve.proposers.rewriting.triton_rules.roles import are_widths
from kernelevolve.proposers.rewriting.triton_rules.view import TritonView, triton_views

#: Sizes of blocks; smaller numbers are halves, squares and the like.
_SMALLEST: Final = 8
_LARGEST: Final = 65536
#: Options of ``tl.range`` that are numbers, with the name of a tunable for each.
_OPTIONS: Final = {"num_stages": "STAGES", "loop_unroll_factor": "UNROLL"}


def triton_tunable_changes(kernel: Kernel, problem: Problem) -> Iterator[Change]:
    """Every change that gives the tuner something more to choose, without changing what the kernel computes."""
    for view in triton_views(kernel, problem):
        for rule in (headers.warps, headers.stages, headers.follow_axis):
            for site in rule(view):
                yield Change(site.make(), site.note)
        yield from _numbers(view)
        yield from _bound_numbers(view)
        yield from _options(view)
        yield from _shared(view)


def _offered(number: int) -> tuple[int, ...]:
    near = (number, number * 2, number // 2, number * 4, number // 4)
    return tuple(value for value in dict.fromkeys(near) if value >= 1)


@frozen(eq=False)
class _Size:
    """A size of blocks: where the entry writes it, and the number."""

    number: int
    nodes: tuple[cst.BaseExpression, ...]
    #: The module's constant that holds it; empty for a literal.
    constant: str = ""


def _numbers(view: TritonView) -> Iterator[Change]:
    """A number that is nothing but the width of blocks becomes a tunable, in the launches as well."""
    for size in _sizes(view):
        name = size.constant or view.fresh(f"BLOCK_{size.number}")
        others = [one for one in triton_views(view.kernel, view.problem) if one.name != view.name]
        elsewhere = any(size.constant in {node.value for node in names_in(one.function)} for one in others)
        if size.constant and elsewhere:
            continue
        launches = [_with_name(launch, size.number, name) for launch in view.launches]
        if not all(_is_block(one, size.number) for launch in view.launches for one in launch.grid):
            continue
        if _is_elsewhere(view, size.number):
            continue
        made = iter(launches)
        edits = [Edit(node, text=name) for node in size.nodes if not size.constant]
        kernel = view.edited(
            edits,
            parameters=[f"{name}: tl.constexpr"],
            launches=lambda _, made=made: (next(made),),
            tunables={name: _offered(size.number)},
        )
        if size.constant:
            kernel = evolve(kernel, body=_without_constant(kernel.body, size.constant))
        yield Change(kernel, f"{size.number} becomes the tunable {name}")


def _sizes(view: TritonView) -> Iterator[_Size]:
    literals: dict[int, list[cst.BaseExpression]] = {}
    named: dict[str, list[cst.BaseExpression]] = {}
    for node in view.find(cst.Integer):
        literals.setdefault(int(node.value, 0), []).append(node)
    for use in names_in(*view.body):
        if use.value in view.constants and view.flow.of(use) is None:
            named.setdefault(use.value, []).append(use)
    for number, nodes in sorted(literals.items()):
        if _is_size(number) and are_widths(view, nodes):
            yield _Size(number, tuple(nodes))
    for name, nodes in sorted(named.items()):
        value = literal(view.constants[name])
        if value is not None and _is_size(value) and are_widths(view, nodes):
            yield _Size(value, tuple(nodes), name)


def _is_size(number: int) -> bool:
    return _SMALLEST <= number <= _LARGEST and number & (number - 1) == 0


def _is_elsewhere(view: TritonView, number: int) -> bool:
    """Whether the header holds the number in something that would have to follow it: a buffer, say, for each block."""
    kernel = view.kernel
    tied = [*kernel.constraints, *(size for one in kernel.scratch.values() for size in one.shape)]
    tied += [one for launch in kernel.launches for one in launch.args.values()]
    trees = [ast.parse(one.text, mode="eval") for one in tied if one.text != str(number)]
    return any(isinstance(node, ast.Constant) and node.value == number for tree in trees for node in ast.walk(tree))


def _is_block(size: Expression, number: int) -> bool:
    """Whether an expression of the grid holds the number as the divisor of ``cdiv`` alone, or not at all."""
    tree = ast.parse(size.text, mode="eval")
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    divisors = [node.args[1] for node in calls if isinstance(node.func, ast.Name) and node.func.id == "cdiv"]
    numbers = [node for node in ast.walk(tree) if isinstance(node, ast.Constant) and node.value == number]
    return all(any(one is divisor for divisor in divisors) for one in numbers)


def _with_name(launch: Launch, number: int, name: str) -> Launch:
    def changed(expression: Expression) -> Expression:
        tree = _Number(number, name).visit(ast.parse(expression.text, mode="eval"))
        text = ast.unparse(tree)
        return expression if text == ast.unparse(ast.parse(expression.text, mode="eval")) else parse_expression(text)

    return evolve(launch, grid=tuple(changed(one) for one in launch.grid))


class _Number(ast.NodeTransformer):
    def __init__(self, number: int, name: str) -> None:
        self.number, self.name = number, name

    def visit_Constant(self, node: ast.Constant) -> ast.expr:  # the name that ast looks for
        is_it = type(node.value) is int and node.value == self.number
        return ast.Name(self.name, ast.Load()) if is_it else node


def _without_constant(text: str, name: str) -> str:
    """The source without the module's constant."""
    module = cst.parse_module(text)

    def sets_it(line: cst.CSTNode) -> bool:
        for one in line.body if isinstance(line, cst.SimpleStatementLine) else ():
            match one:
                case cst.AnnAssign(target=cst.Name(value=target)):
                    return target == name
                case cst.Assign(targets=[cst.AssignTarget(target=cst.Name(value=target))]):
                    return target == name
        return False

    return module.with_changes(body=[line for line in module.body if not sets_it(line)]).code


def _bound_numbers(view: TritonView) -> Iterator[Change]:
    """A compile-time parameter that the header binds to a number becomes a tunable."""
    for parameter in sorted(view.constexprs):
        bound = view.binding(parameter)
        if not isinstance(bound, Expression) or not bound.text.isdigit() or len(view.launches) != 1:
            continue
        number = int(bound.text)
        uses = [one for one in names_in(*view.body) if one.value == parameter]
        if not _is_size(number) or not are_widths(view, uses):
            continue
        if not all(_is_block(one, number) for one in view.launch.grid) or parameter in view.kernel.tunables:
            continue
        if _is_elsewhere(view, number):
            continue
        made = _with_name(view.launch, number, parameter)
        launch = evolve(made, args={key: one for key, one in made.args.items() if key != parameter})
        kernel = evolve(
            view.kernel,
            launches=tuple(launch if one.entry == view.name else one for one in view.kernel.launches),
            tunables={**view.kernel.tunables, parameter: _offered(number)},
        )
        yield Change(kernel, f"{parameter} = {number} becomes a tunable")


def _options(view: TritonView) -> Iterator[Change]:
    """An option of one loop that is a number becomes a tunable."""
    for loop in view.loops:
        for option, wanted in _OPTIONS.items():
            text = loop.options.get(option, "")
            if not text.isdigit():
                continue
            name = view.fresh(wanted)
            node = next(one.value for one in loop.call.args if one.keyword is not None and one.keyword.value == option)
            values = tuple(dict.fromkeys((int(text), 2, 3, 4, 1)))
            kernel = view.edited([Edit(node, text=name)], parameters=[f"{name}: tl.constexpr"], tunables={name: values})
            yield Change(kernel, f"{option} of a loop becomes the tunable {name}")


def _shared(view: TritonView) -> Iterator[Change]:
    """A tunable that several launches share becomes one of its own for this launch."""
    kernel = view.kernel
    for tunable in sorted(set(kernel.tunables) & set(view.parameters)):
        elsewhere = [one for one in triton_views(kernel, view.problem) if one.name != view.name]
        used = any(tunable in one.parameters for one in elsewhere)
        tied = [*kernel.constraints, *(size for one in kernel.scratch.values() for size in one.shape)]
        tied += [one for launch in kernel.launches for one in launch.args.values()]
        if len(view.launches) != 1 or not used or any(tunable in one.names for one in tied):
            continue
        name = view.fresh(f"{tunable}_{view.name.upper()}")
        launch = view.with_args(_renamed(view.launch, {tunable: name}), {tunable: name})
        launches = tuple(launch if one.entry == view.name else one for one in kernel.launches)
        made = evolve(kernel, launches=launches, tunables={**kernel.tunables, name: kernel.tunables[tunable]})
        yield Change(made, f"{view.name} gets a {tunable} of its own")


def _renamed(launch: Launch, names: Mapping[str, str]) -> Launch:
    def changed(expression: Expression) -> Expression:
        if not expression.names & set(names):
            return expression
        tree = ast.parse(expression.text, mode="eval")
        for node in ast.walk(tree):
            if isinstance(node, ast.Name):
                node.id = names.get(node.id, node.id)
        return parse_expression(ast.unparse(tree))

    args = {key: changed(one) for key, one in launch.args.items()}
    return evolve(launch, grid=tuple(changed(one) for one in launch.grid), args=args)
