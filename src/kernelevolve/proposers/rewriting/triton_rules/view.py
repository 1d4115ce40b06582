"""One Triton entry as the rewrites see it: its values, indices, memory accesses and loops beside the header."""

from __future__ import annotations

__all__ = ["Loop", "TritonView", "is_static", "tried", "triton_views", "tuple_text"]

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cached_property, lru_cache
from typing import Any, Final

import libcst as cst
from attrs import define, evolve, field, frozen

from kernelevolve.expressions import Expression, ExpressionError
from kernelevolve.expressions import parse as parse_expression
from kernelevolve.kernel import Kernel, Launch
from kernelevolve.problem import Problem
from kernelevolve.proposers.rewriting.python_edits import Apply, Edit, Statement, block_of, module_of, names_in, walk
from kernelevolve.proposers.rewriting.python_flow import Flow, Kind
from kernelevolve.proposers.rewriting.python_view import PythonView
from kernelevolve.proposers.rewriting.triton_rules.accesses import Memory
from kernelevolve.proposers.rewriting.triton_rules.calls import argument, call_name, literal
from kernelevolve.proposers.rewriting.triton_rules.forms import Atom, Form
from kernelevolve.proposers.rewriting.triton_rules.indices import Indices
from kernelevolve.proposers.rewriting.triton_rules.inference import Inference
from kernelevolve.proposers.rewriting.triton_rules.inline import inlined
from kernelevolve.proposers.rewriting.triton_rules.tidy import tidied
from kernelevolve.proposers.rewriting.view import Site

_IMPORT: Final = "import triton.language as tl"
_RANGES: Final = ("range", "tl.range", "tl.static_range")


@frozen(eq=False)
class Loop:
    """A counted loop: ``for i in range(start, stop, step)``, or over ``tl.range`` or ``tl.static_range``."""

    node: cst.For = field(repr=False)
    variable: str
    call: cst.Call = field(repr=False)
    start: cst.BaseExpression | None = field(repr=False)
    stop: cst.BaseExpression = field(repr=False)
    step: cst.BaseExpression | None = field(repr=False)
    #: The call's other arguments, as written: ``num_stages=2``.
    options: Mapping[str, str]

    @property
    def body(self) -> tuple[Statement, ...]:
        """The loop's statements."""
        return block_of(self.node.body)

    def head(self, start: str, stop: str, step: str = "") -> str:
        """The loop's first line with other bounds."""
        bounds = [start, stop] if start not in ("", "0") or step else [stop]
        bounds = ["0", stop] if step and start == "" else bounds
        parts = [*bounds, *([step] if step else []), *(f"{key}={value}" for key, value in self.options.items())]
        return f"for {self.variable} in {call_name(self.call)}({', '.join(parts)}):\n"


@define(eq=False, slots=False)
class TritonView(PythonView):
    """One entry of one Triton kernel, with the functions it calls written out."""

    problem: Problem = field(kw_only=True)

    @cached_property
    def flow(self) -> Flow:
        """Which assignment each use of a variable sees."""
        return Flow(self.function)

    @cached_property
    def indices(self) -> Indices:
        """Forms of whole-number expressions, addresses and comparisons."""
        return Indices(self)

    @cached_property
    def types(self) -> Inference:
        """Shapes and element types."""
        return Inference(self)

    @cached_property
    def memory(self) -> Memory:
        """Loads, stores and other effects."""
        return Memory(self)

    @cached_property
    def calls(self) -> tuple[cst.Call, ...]:
        """Every call of the entry."""
        return tuple(self.find(cst.Call))

    def called(self, name: str, *under: cst.CSTNode) -> Iterator[cst.Call]:
        """Every call of `name`."""
        return (call for call in self.find(cst.Call, *under) if call_name(call) == name)

    @cached_property
    def launch(self) -> Launch:
        """The first launch of this entry."""
        return self.launches[0]

    @cached_property
    def constexprs(self) -> frozenset[str]:
        """Parameters that are compile-time constants."""
        found = self.function.params.params
        return frozenset(
            one.name.value
            for one in found
            if one.annotation is not None and "constexpr" in self.text(one.annotation.annotation)
        )

    @cached_property
    def constants(self) -> dict[str, cst.BaseExpression]:
        """Constants of the module by name."""
        found: dict[str, cst.BaseExpression] = {}
        for line in self.module.body:
            for one in line.body if isinstance(line, cst.SimpleStatementLine) else ():
                match one:
                    case cst.AnnAssign(target=cst.Name(value=name), value=cst.BaseExpression() as value):
                        found[name] = value
                    case cst.Assign(targets=[cst.AssignTarget(target=cst.Name(value=name))], value=value):
                        inner = argument(value, 0, "value") if isinstance(value, cst.Call) else value
                        found[name] = inner or value
                    case _:
                        pass
        return found

    @cached_property
    def buffers(self) -> dict[str, tuple[str, ...]]:
        """Buffers by name: the element types they may have."""
        found: dict[str, set[str]] = {spec.name: {spec.dtype} for spec in self.problem.tensors}
        for workload in (*self.problem.workloads, *self.problem.hidden):
            for name, dtype in workload.dtypes.items():
                found[name].add(dtype)
        made = {name: tuple(sorted(types)) for name, types in found.items()}
        return {**made, **{name: (scratch.dtype,) for name, scratch in self.kernel.scratch.items()}}

    @cached_property
    def extents(self) -> dict[str, tuple[Expression, ...]]:
        """Buffers by name: their shapes."""
        made = {spec.name: spec.shape for spec in self.problem.tensors}
        return {**made, **{name: scratch.shape for name, scratch in self.kernel.scratch.items()}}

    def binding(self, parameter: str) -> str | Expression | None:
        """What a parameter gets: the name of a buffer, axis, scalar or tunable, or an expression; None: it varies."""
        given = {launch.args.get(parameter) for launch in self.launches}
        if len(given) > 1:
            return None
        expression = given.pop()
        return parameter if expression is None else expression

    @cached_property
    def loops(self) -> tuple[Loop, ...]:
        """Every counted loop whose bounds are taken before it starts, outer ones first."""
        return tuple(made for node in self.find(cst.For) if (made := _loop(node)) is not None)

    def loop(self, node: cst.CSTNode) -> Loop | None:
        """`node` as a counted loop."""
        return next((loop for loop in self.loops if loop.node is node), None)

    def programs(self, *under: cst.CSTNode) -> dict[cst.Call, int] | None:
        """Calls of ``tl.program_id`` and the dimension of each; None where one is no literal."""
        return self._ids("tl.program_id", *under)

    def counts(self) -> dict[cst.Call, int] | None:
        """The same of ``tl.num_programs``."""
        return self._ids("tl.num_programs")

    def _ids(self, name: str, *under: cst.CSTNode) -> dict[cst.Call, int] | None:
        found = {call: literal(argument(call, 0, "axis")) for call in self.called(name, *under)}
        known = {call: axis for call, axis in found.items() if axis is not None}
        return known if len(known) == len(found) else None

    def size_text(self, size: Form) -> str | None:
        """How the entry writes a size that is known when it is compiled."""
        if size.constant is not None:
            return str(size.constant)
        for one in self.flow.definitions:
            if one.kind is Kind.PARAMETER and one.name in self.constexprs and self.indices.parameter(one) == size:
                return one.name
        return None

    def form_text(self, form: Form) -> str | None:
        """A number of the header as the entry's own code; None where it has no parameter for it."""
        terms = []
        for atoms, factor in form.terms:
            texts = [self._atom_text(atom) for atom in atoms]
            known = [text for text in texts if text is not None]
            if len(known) != len(texts):
                return None
            terms.append(" * ".join([*([str(factor)] if factor != 1 or not known else []), *known]))
        return " + ".join(terms) or "0"

    def _atom_text(self, atom: Atom) -> str | None:
        wanted = Form((((atom,), 1),))
        for one in self.flow.definitions:
            if one.kind is Kind.PARAMETER and self.indices.parameter(one) == wanted and one.into == []:
                return one.name
        return None

    def edited(self, edits: Iterable[Edit], **changes: Any) -> Kernel:
        """See `PythonView.edited`; what nothing reads afterwards is taken out."""
        made = super().edited(edits, **changes)
        return evolve(made, body=tidied(made.body, {launch.entry for launch in made.launches}))

    def with_args(self, launch: Launch, args: Mapping[str, str]) -> Launch:
        """A launch that binds more parameters, to expressions of the header."""
        return evolve(launch, args={**launch.args, **{name: parse_expression(text) for name, text in args.items()}})

    def function_text(self, name: str, body: str, parameters: Iterable[str] = ()) -> str:
        """Another entry with the same parameters, `parameters` behind them."""
        own = [self.text(one.with_changes(comma=cst.MaybeSentinel.DEFAULT)) for one in self.function.params.params]
        lines = [self.text(one) for one in self.function.decorators]
        indented = "".join(f"    {line}\n" if line else "\n" for line in body.rstrip("\n").split("\n"))
        return "\n".join([*lines, f"def {name}({', '.join([*own, *parameters])}):"]) + "\n" + indented


def tried(note: str, make: Callable[[], Kernel]) -> Iterator[Site]:
    """A site whose kernel is made at once; none where an expression of the header would become too long."""
    try:
        kernel = make()
    except ExpressionError:
        return
    yield Site(note, lambda: kernel)


def tuple_text(parts: Iterable[str]) -> str:
    """A tuple of expressions, as code."""
    listed = list(parts)
    return f"({listed[0]},)" if len(listed) == 1 else f"({', '.join(listed)})"


def _loop(node: cst.For) -> Loop | None:
    call, target = node.iter, node.target
    if not isinstance(call, cst.Call) or call_name(call) not in _RANGES or not isinstance(target, cst.Name):
        return None
    bounds = [one.value for one in call.args if one.keyword is None and not one.star]
    options = {one.keyword.value: cst.Module([]).code_for_node(one.value) for one in call.args if one.keyword}
    if not 1 <= len(bounds) <= 3 or len(bounds) + len(options) != len(call.args) or node.orelse is not None:
        return None
    named = {"start", "stop", "step", "arg1", "arg2"} & set(options)
    if named:
        return None
    first = bounds[0] if len(bounds) > 1 else None
    step = bounds[2] if len(bounds) > 2 else None
    return Loop(node, target.value, call, first, bounds[min(1, len(bounds) - 1)], step, options)


@lru_cache(maxsize=64)
def triton_views(kernel: Kernel, problem: Problem) -> tuple[TritonView, ...]:
    """One view for each entry that the header launches and the source defines. Raises `Rejected` for no Python."""
    module = module_of(kernel.body)
    if _IMPORT not in module.code:
        return ()
    names = [*problem.axes, *(spec.name for spec in problem.tensors), *(spec.name for spec in problem.scalars)]
    known: dict[str, Any] = {"taken": frozenset((*names, "tl", "triton", "math", "libdevice")), "problem": problem}
    functions = {one.name.value: one for one in module.body if isinstance(one, cst.FunctionDef)}
    made = []
    for name in dict.fromkeys(launch.entry for launch in kernel.launches):
        if name not in functions:
            continue
        first = PythonView(kernel, module, functions[name], known["taken"])
        if any(one.default is not None for one in first.function.params.params):
            first = _without_defaults(first)
        whole = inlined(first)
        function = next(one for one in whole.body if isinstance(one, cst.FunctionDef) and one.name.value == name)
        made.append(TritonView(kernel, whole, function, **known))
    return tuple(view for view in made if _is_simple(view))


def is_static(view: TritonView, node: cst.CSTNode) -> bool:
    """Whether an `if`, or a choice of values, is decided when the kernel is compiled."""
    if not isinstance(node, cst.If | cst.IfExp):
        return False
    return all(name.value in view.constexprs and _is_given(view, name) for name in names_in(node.test))


def _is_given(view: TritonView, name: cst.Name) -> bool:
    """Whether a use sees the parameter, and not what a statement has set a variable of its name to."""
    definition = view.flow.of(name)
    return definition is None or definition.kind is Kind.PARAMETER


def _without_defaults(view: PythonView) -> PythonView:
    """The entry without default values: the header binds every parameter."""
    old = view.function.params
    plain = [one.with_changes(default=None, equal=cst.MaybeSentinel.DEFAULT) for one in old.params]
    made = Apply([Edit(old, becomes=old.with_changes(params=plain))], view.parents).module(view.module)
    module = module_of(made.code)
    functions = {one.name.value: one for one in module.body if isinstance(one, cst.FunctionDef)}
    return PythonView(view.kernel, module, functions[view.name], view.taken)


def _is_simple(view: TritonView) -> bool:
    """Whether the entry has plain parameters, is called by nobody, and holds nothing but what the flow understands."""
    params = view.function.params
    plain = not (params.star_kwarg or params.kwonly_params or params.posonly_params)
    called = any(call_name(node) == view.name for node in walk(view.module))
    return plain and isinstance(params.star_arg, cst.MaybeSentinel) and not (called or view.flow.opaque)
