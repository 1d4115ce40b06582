"""Header expressions as the rewrites change them: what a grid covers, and the grid for other group sizes."""

from __future__ import annotations

__all__ = ["as_c", "covered", "divided", "in_groups_of", "names", "with_dimension"]

import ast

from attrs import evolve

from kernelevolve.expressions import Expression
from kernelevolve.expressions import parse as parse_expression
from kernelevolve.kernel import Launch
from kernelevolve.proposers.rewriting.analysis import squeeze


def _quotient(text: str) -> tuple[str, str] | None:
    """``cdiv(a, b)`` as (a, b)."""
    tree = ast.parse(text.strip(), mode="eval").body
    if isinstance(tree, ast.Call) and isinstance(tree.func, ast.Name) and tree.func.id == "cdiv":
        return ast.unparse(tree.args[0]), ast.unparse(tree.args[1])
    return None


def _atom(text: str) -> str:
    simple = isinstance(ast.parse(text.strip(), mode="eval").body, ast.Name | ast.Constant | ast.Call)
    return text if simple else f"({text})"


def _times(left: str, right: str) -> str:
    if left == "1":
        return right
    return left if right == "1" else f"{_atom(left)} * {_atom(right)}"


def covered(launch: Launch, dimension: int) -> str | None:
    """How many items a dimension is meant for: ``rows`` where the grid is ``cdiv(rows, BLOCK)`` groups of ``BLOCK``.

    None where grid and block do not have that form. Work that items already take on together counts:
    ``cdiv(rows, BLOCK * WORK)`` is meant for ``cdiv(rows, WORK)`` items, of which nothing is said here.
    """
    grid = launch.grid[dimension].text
    block = launch.block[dimension].text if launch.block else "1"
    parts = _quotient(grid)
    if parts is None:
        return grid if block == "1" else None
    return parts[0] if squeeze(parts[1]) == squeeze(block) else None


def in_groups_of(count: str, size: str) -> str:
    """The number of groups of `size` that `count` items need."""
    return count if size == "1" else f"cdiv({count}, {size})"


def divided(grid: str, by: str) -> str:
    """A grid for items that each do the work of `by`: ``cdiv(rows, 64)`` becomes ``cdiv(rows, 64 * WORK)``."""
    parts = _quotient(grid)
    return f"cdiv({grid}, {by})" if parts is None else f"cdiv({parts[0]}, {_times(parts[1], by)})"


def as_c(text: str) -> str | None:
    """The expression as C, or None where C has no such form."""
    tree = ast.parse(text.strip(), mode="eval").body
    allowed = (ast.Name, ast.Constant, ast.BinOp, ast.Add, ast.Sub, ast.Mult, ast.Load)
    return text if all(isinstance(node, allowed) for node in ast.walk(tree)) else None


def names(text: str) -> frozenset[str]:
    """The names that an expression looks up."""
    return parse_expression(text).names


def with_dimension(launch: Launch, dimension: int, *, grid: str | None = None, block: str | None = None) -> Launch:
    """`launch` with one dimension's grid or block replaced."""
    grids: list[Expression] = list(launch.grid)
    blocks = list(launch.block) or [parse_expression("1")] * len(grids)
    if grid is not None:
        grids[dimension] = parse_expression(grid)
    if block is not None:
        blocks[dimension] = parse_expression(block)
    return evolve(launch, grid=tuple(grids), block=tuple(blocks))
