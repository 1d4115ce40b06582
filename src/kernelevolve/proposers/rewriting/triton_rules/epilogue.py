"""An element-wise launch after another one is done by the programs that computed what it reads."""

from __future__ import annotations

__all__ = ["fuse_epilogue"]

from collections.abc import Iterator, Mapping
from functools import partial

import libcst as cst
from attrs import evolve, field, frozen

from kernelevolve.expressions import Expression
from kernelevolve.kernel import Kernel, Launch
from kernelevolve.proposers.rewriting.python_edits import Edit, Statement, assigned, atomic, names_in
from kernelevolve.proposers.rewriting.python_flow import Kind
from kernelevolve.proposers.rewriting.triton_rules.accesses import Access
from kernelevolve.proposers.rewriting.triton_rules.bounds import grid_forms
from kernelevolve.proposers.rewriting.triton_rules.flatten import is_elementwise
from kernelevolve.proposers.rewriting.triton_rules.forms import ONE, Form, name
from kernelevolve.proposers.rewriting.triton_rules.header_forms import header_form
from kernelevolve.proposers.rewriting.triton_rules.types import NAMES
from kernelevolve.proposers.rewriting.triton_rules.view import TritonView, tried, triton_views
from kernelevolve.proposers.rewriting.view import Site


@frozen(eq=False)
class _Fusion:
    """A launch that stores a buffer, and the next one, which reads nothing but the same elements of it."""

    producer: TritonView = field(repr=False)
    consumer: TritonView = field(repr=False)
    buffer: str
    store: Access
    #: The places of the stored elements, as code of the producer.
    places: str
    #: The consumer's index over all elements.
    index: Form


def fuse_epilogue(view: TritonView) -> Iterator[Site]:
    """No launch of its own for what is done element by element to a result."""
    launches = view.kernel.launches
    place = next(index for index, one in enumerate(launches) if one.entry == view.name)
    if len(view.launches) != 1 or place + 1 == len(launches):
        return
    after = [one for one in triton_views(view.kernel, view.problem) if one.name == launches[place + 1].entry]
    if len(after) == 1 and len(after[0].launches) == 1:
        for buffer in sorted({str(one.root) for one in view.memory.whole.stores}):
            found = _fusion(view, after[0], buffer)
            if found is not None:
                yield from tried(f"{after[0].name} in the programs of {view.name}", partial(_fused, found))


def _fusion(producer: TritonView, consumer: TritonView, buffer: str) -> _Fusion | None:
    index = _index(consumer, buffer)
    stores = [one for one in producer.memory.whole.stores if one.root == buffer]
    if index is None or len(stores) != 1 or not _are_apart(producer, consumer, buffer):
        return None
    store = stores[0]
    statement = producer.statement(store.call)
    places = _places(producer, store.pointer, buffer, statement)
    literal = isinstance(store.value, cst.Integer | cst.Float | cst.UnaryOperation)
    if places is None or store.value is None or literal or not _parameters_agree(producer, consumer):
        return None
    return _Fusion(producer, consumer, buffer, store, places, index)


def _index(view: TritonView, buffer: str) -> Form | None:
    """The index of an element-wise entry over all elements of a buffer; None where it is anything else."""
    grid, whole = grid_forms(view), view.memory.whole
    atom = grid[0].atom if grid is not None and len(grid) == 1 else None
    sizes = [header_form(size) for size in view.extents.get(buffer, ())]
    known = [size for size in sizes if size is not None]
    if atom is None or atom.kind != "cdiv" or len(known) != len(sizes) or not known or whole.opaque or whole.jumps:
        return None
    total, block = atom.args
    product = ONE
    for size in known:
        product = product * size
    index = name("0", "pid") * block + name("", "arange", args=(block,), dimension=-1)
    masks = [list(view.indices.conditions(one.mask)) if one.mask else [] for one in (*whole.loads, *whole.stores)]
    shapes = [view.types.of(one.pointer) for one in (*whole.loads, *whole.stores)]
    masked = all(mask == [total - index] for mask in masks) and all(one is not None and one.shape for one in shapes)
    mine = [one for one in whole.loads if one.root == buffer]
    direct = all(one.address is not None and one.address.offset == index for one in (*mine, *whole.stores))
    plain = all(is_elementwise(view, one) for one in view.body) and _knows_only(view, index)
    return index if mine and masked and direct and plain and product == total else None


def _knows_only(view: TritonView, index: Form) -> bool:
    """Whether program ids and ranges are used for nothing but the index."""
    found = _nodes(view, index)
    calls = [*view.called("tl.arange"), *view.called("tl.program_id")]
    return bool(found) and all(any(one in found for one in view.around(call)) for call in calls)


def _nodes(view: TritonView, index: Form) -> list[cst.BaseExpression]:
    """Where the index is computed."""
    found: list[cst.BaseExpression] = []
    for node in view.find(cst.BinaryOperation):
        if view.indices.form(node) == index and not any(one in found for one in view.around(node)):
            found.append(node)
    return found


def _are_apart(producer: TritonView, consumer: TritonView, buffer: str) -> bool:
    """Whether the two launches share nothing but the buffer, which nothing but the consumer reads."""
    one, two = producer.memory.whole, consumer.memory.whole
    if one.opaque or None in one.stored | one.loaded | two.stored | two.loaded or buffer in one.loaded | two.stored:
        return False
    others = [view for view in triton_views(producer.kernel, producer.problem) if view.name != consumer.name]
    free = buffer in producer.kernel.scratch and all(buffer not in view.memory.whole.loaded for view in others)
    known = len(others) + 1 == len({launch.entry for launch in producer.kernel.launches})
    written = one.stored - {buffer}
    return free and known and not (written & (two.loaded | two.stored)) and not (one.loaded & two.stored)


def _places(view: TritonView, pointer: cst.BaseExpression, buffer: str, at: Statement) -> str | None:
    """The index part of ``buffer + index``."""
    if not view.flow.means_the_same(pointer, at):
        return None
    match pointer:
        case cst.Name():
            definition = view.flow.of(pointer)
            if definition is not None and definition.kind is Kind.VALUE and definition.value is not None:
                return _places(view, definition.value, buffer, at)
        case cst.BinaryOperation(left=left, operator=cst.Add(), right=right):
            if isinstance(left, cst.Name) and left.value == buffer and _is_parameter(view, left):
                return view.text(right)
            before = _places(view, left, buffer, at)
            return None if before is None else f"{atomic(before)} + {atomic(view.text(right))}"
    return None


def _is_parameter(view: TritonView, node: cst.Name) -> bool:
    definition = view.flow.of(node)
    return definition is not None and definition.kind is Kind.PARAMETER


def _parameters_agree(producer: TritonView, consumer: TritonView) -> bool:
    """Whether parameters of one name get the same in both launches."""
    for one in set(producer.parameters) & set(consumer.parameters):
        bounds = [_bound(view, one) for view in (producer, consumer)]
        if bounds[0] != bounds[1]:
            return False
    return not assigned(*producer.body) & set(consumer.parameters)


def _bound(view: TritonView, parameter: str) -> str | None:
    bound = view.binding(parameter)
    return bound.text if isinstance(bound, Expression) else bound


def _fused(found: _Fusion) -> Kernel:
    producer, consumer, store = found.producer, found.consumer, found.store
    assert store.value is not None
    renamed = {one: producer.fresh(one) for one in sorted(assigned(*consumer.body))}
    places, value = producer.fresh("places"), producer.fresh("result")
    scratch = producer.kernel.scratch[found.buffer]
    kind = NAMES.get(scratch.dtype, scratch.dtype)
    text = f"{places} = {found.places}\n"
    text += f"{value} = {atomic(producer.text(store.value))}.to(tl.{kind})\n"
    text += consumer.lines(consumer.body, _moved(found, renamed, places, value))
    missing = [one for one in consumer.parameters if one not in producer.parameters and _is_needed(found, one)]
    constant = consumer.constexprs
    launch = consumer.launch

    def launched(own: Launch) -> tuple[Launch, ...]:
        more = {one: launch.args[one] for one in missing if one in launch.args}
        return (evolve(own, args={**own.args, **more}),)

    made = producer.edited(
        [Edit(producer.statement(store.call), text=text)],
        parameters=[f"{one}: tl.constexpr" if one in constant else one for one in missing],
        dropped=[found.buffer],
        launches=launched,
    )
    return _without_launch(made, consumer.name, found.buffer)


def _moved(found: _Fusion, renamed: Mapping[str, str], places: str, value: str) -> list[Edit]:
    """The consumer's statements, for the producer's elements."""
    consumer, store = found.consumer, found.store
    edits = [Edit(node, text=renamed[node.value]) for node in names_in(*consumer.body) if node.value in renamed]
    edits += [Edit(node, text=places) for node in _nodes(consumer, found.index)]
    mask = None if store.mask is None else found.producer.text(store.mask)
    for access in (*consumer.memory.whole.loads, *consumer.memory.whole.stores):
        if access.root == found.buffer:
            edits.append(Edit(access.call, text=value))
        elif mask is not None and access.mask is not None:
            edits.append(Edit(access.mask, text=mask))
        else:
            kept = [one for one in access.call.args if one.value not in (access.mask, access.other)]
            plain = access.call.with_changes(args=[_spaced(one, last=one is kept[-1]) for one in kept])
            edits.append(Edit(access.call, becomes=plain))
    return edits


def _spaced(one: cst.Arg, *, last: bool) -> cst.Arg:
    return one.with_changes(comma=cst.MaybeSentinel.DEFAULT) if last else one


def _is_needed(found: _Fusion, parameter: str) -> bool:
    """Whether the consumer still uses a parameter when its index, masks and own loads are gone."""
    consumer = found.consumer
    whole = consumer.memory.whole
    gone: list[cst.CSTNode] = [*_nodes(consumer, found.index)]
    gone += [one.mask for one in (*whole.loads, *whole.stores) if one.mask is not None]
    gone += [one.call for one in whole.loads if one.root == found.buffer]
    uses = [use for use in names_in(*consumer.body) if use.value == parameter]
    masks = {id(inner) for node in gone for inner in names_in(node)}
    return any(id(use) not in masks and not _only_in_masks(consumer, use, gone) for use in uses)


def _only_in_masks(view: TritonView, use: cst.Name, gone: list[cst.CSTNode]) -> bool:
    """Whether a use only goes into a variable that is used for masks alone."""
    holder = next((one for one in view.around(use) if isinstance(one, cst.Assign)), None)
    made = [] if holder is None else view.flow.made.get(holder, [])
    uses = [each for one in made for each in one.uses]
    return bool(uses) and all(any(each is one or each in names_in(one) for one in gone) for each in uses)


def _without_launch(kernel: Kernel, entry: str, buffer: str) -> Kernel:
    """The kernel without the consumer: its launch, its function, the buffer between, and tunables of its own."""
    launches = tuple(one for one in kernel.launches if one.entry != entry)
    scratch = {key: one for key, one in kernel.scratch.items() if key != buffer}
    made = evolve(kernel, launches=launches, scratch=scratch)
    module = cst.parse_module(made.body)
    rest = [one for one in module.body if not (isinstance(one, cst.FunctionDef) and one.name.value == entry)]
    body = module.with_changes(body=rest).code
    expressions = [
        *(size for one in launches for size in (*one.grid, *one.args.values())),
        *(size for one in scratch.values() for size in one.shape),
    ]
    used = {label for one in expressions for label in one.names} | {
        node.value for node in names_in(cst.parse_module(body))
    }
    options = {"num_warps", "num_stages", "num_ctas", "maxnreg", "waves_per_eu", "matrix_instr_nonkdim", "kpack"}
    tunables = {key: values for key, values in kernel.tunables.items() if key in used | options}
    constraints = tuple(one for one in kernel.constraints if one.names & set(kernel.tunables) <= set(tunables))
    return evolve(made, body=body, tunables=tunables, constraints=constraints)
