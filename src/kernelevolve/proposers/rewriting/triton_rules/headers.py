"""Changes of a kernel's header: launch options, and tunables that follow an axis."""

from __future__ import annotations

__all__ = ["fitted", "fitting", "follow_axis", "stages", "warps"]

import ast
from collections.abc import Iterator
from functools import partial
from typing import Final

from attrs import evolve, frozen

from kernelevolve.expressions import Expression
from kernelevolve.expressions import parse as parse_expression
from kernelevolve.kernel import Kernel, Launch, Scratch
from kernelevolve.proposers.rewriting.triton_rules.bounds import header_text
from kernelevolve.proposers.rewriting.triton_rules.forms import ZERO, Form
from kernelevolve.proposers.rewriting.triton_rules.loops import trips
from kernelevolve.proposers.rewriting.triton_rules.roles import is_width
from kernelevolve.proposers.rewriting.triton_rules.view import TritonView, tried, triton_views
from kernelevolve.proposers.rewriting.view import Site

#: Triton's own default stands first.
_WARPS: Final = (4, 8, 2, 16, 1)
_STAGES: Final = (3, 2, 4, 5, 1)
#: A block beyond this many elements does not fit the registers of any program.
_WIDEST: Final = 65536


def warps(view: TritonView) -> Iterator[Site]:
    """Let the tuner choose how many warps run a program."""
    if _is_first(view) and "num_warps" not in view.kernel.tunables:
        yield Site("offer num_warps", partial(_offered, view.kernel, "num_warps", _WARPS))


def stages(view: TritonView) -> Iterator[Site]:
    """Let the tuner choose how many turns ahead a loop loads."""
    loads = any(view.memory.effects(*loop.body).loads for one in _views(view) for loop in one.loops)
    if _is_first(view) and "num_stages" not in view.kernel.tunables and loads:
        yield Site("offer num_stages", partial(_offered, view.kernel, "num_stages", _STAGES))


def _is_first(view: TritonView) -> bool:
    """Whether the view is the one that speaks for the whole kernel."""
    return _views(view)[0].name == view.name


def _views(view: TritonView) -> tuple[TritonView, ...]:
    return triton_views(view.kernel, view.problem)


def _offered(kernel: Kernel, tunable: str, values: tuple[int, ...]) -> Kernel:
    return evolve(kernel, tunables={**kernel.tunables, tunable: values})


@frozen
class Fitting:
    """A tunable that is the width of a loop's blocks, and the size that the loop runs over."""

    tunable: str
    #: The size, as an expression of the header.
    size: str


def fitting(view: TritonView) -> Iterator[Fitting]:
    """Tunables that may take any power of two, with the axis that their loop or grid divides into blocks."""
    seen: set[Fitting] = set()
    for one in _views(view):
        for loop in one.loops:
            bounds = trips(one, loop)
            step = None if bounds is None else bounds[2].atom
            if bounds is None or step is None or step.kind != "name" or bounds[0] != ZERO:
                continue
            size = header_text(bounds[1])
            of_axes = all(leaf.args or leaf.label in view.problem.axes for leaf in bounds[1].leaves)
            if size is not None and of_axes and _is_free(view, step.label):
                seen.add(Fitting(step.label, size))
    yield from sorted(seen, key=lambda found: (found.tunable, found.size))


def _is_free(view: TritonView, tunable: str) -> bool:
    """Whether a tunable is the width of blocks everywhere, and no side of a product of matrices, which is not small."""
    values = view.kernel.tunables.get(tunable, ())
    powers = all(isinstance(value, int) and value > 0 and value & (value - 1) == 0 for value in values)
    own = all(is_width(one, tunable) and not _is_in_product(one, tunable) for one in _views(view))
    return bool(values) and powers and own and len(_views(view)) == len({one.entry for one in view.kernel.launches})


def _is_in_product(view: TritonView, tunable: str) -> bool:
    for call in view.called("tl.dot"):
        shapes = [view.types.of(one.value) for one in call.args[:2]]
        if any(value is None or any(_mentions(size, tunable) for size in value.shape) for value in shapes):
            return True
    return False


def _mentions(form: Form, tunable: str) -> bool:
    return form.mentions("name", tunable)


def follow_axis(view: TritonView) -> Iterator[Site]:
    """A block as wide as the axis, up to a limit that is tuned, in place of one width for every size."""
    if _is_first(view):
        for found in fitting(view):
            note = f"{found.tunable} follows {found.size}"
            yield from tried(note, partial(fitted, view, view.kernel, found))


def fitted(view: TritonView, kernel: Kernel, found: Fitting) -> Kernel:
    """`kernel` (the view's, or one made from it) with a tunable as the next power of two of a size, up to a limit."""
    limit = view.fresh(f"{found.tunable}_LIMIT")
    values = [int(value) for value in kernel.tunables[found.tunable] if isinstance(value, int)]
    most = max(values)
    wider = [value for value in (2 * most, 4 * most) if value <= _WIDEST]
    if any(found.tunable in one.names for one in kernel.constraints):
        offered = tuple(values)  # the default has to stay one that is allowed
    else:
        offered = tuple(dict.fromkeys([most, *wider, *sorted(values, reverse=True)]))
    expression = f"min(next_pow2({found.size}), {limit})"
    named = {one.name for one in triton_views(kernel, view.problem) if found.tunable in one.parameters}

    def changed(launch: Launch) -> Launch:
        made = _launch(launch, found.tunable, expression)
        return view.with_args(made, {found.tunable: expression}) if launch.entry in named else made

    tunables = {key: listed for key, listed in kernel.tunables.items() if key != found.tunable}
    return evolve(
        kernel,
        launches=tuple(changed(launch) for launch in kernel.launches),
        tunables={limit: offered, **tunables},
        constraints=tuple(_with(one, found.tunable, expression) for one in kernel.constraints),
        scratch={key: _scratch(one, found.tunable, expression) for key, one in kernel.scratch.items()},
    )


def _launch(launch: Launch, tunable: str, expression: str) -> Launch:
    return evolve(
        launch,
        grid=tuple(_with(one, tunable, expression) for one in launch.grid),
        args={key: _with(one, tunable, expression) for key, one in launch.args.items()},
    )


def _scratch(scratch: Scratch, tunable: str, expression: str) -> Scratch:
    return evolve(scratch, shape=tuple(_with(one, tunable, expression) for one in scratch.shape))


def _with(expression: Expression, tunable: str, text: str) -> Expression:
    """An expression of the header with a name replaced by another expression."""
    if tunable not in expression.names:
        return expression
    tree = ast.parse(expression.text, mode="eval")
    return parse_expression(ast.unparse(_Replace(tunable, text).visit(tree)))


class _Replace(ast.NodeTransformer):
    def __init__(self, label: str, text: str) -> None:
        self.label, self.text = label, text

    def visit_Name(self, node: ast.Name) -> ast.expr:  # the name that ast looks for
        return ast.parse(self.text, mode="eval").body if node.id == self.label else node
