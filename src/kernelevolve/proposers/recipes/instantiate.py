"""From a problem's or parent's kernel and a recipe to a new kernel."""

from __future__ import annotations

__all__ = ["instantiate", "names", "propose"]

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Final

from kernelevolve.accelerator import Realm
from kernelevolve.errors import KernelFileError
from kernelevolve.evolution.proposal import Proposal, ProposalRequest
from kernelevolve.kernel import Kernel, parse_kernel
from kernelevolve.problem import Problem, Workload
from kernelevolve.proposers.recipes import skeleton as skeletons
from kernelevolve.proposers.recipes import written
from kernelevolve.proposers.recipes.contraction import contraction_slots
from kernelevolve.proposers.recipes.elementwise import elementwise_slots
from kernelevolve.proposers.recipes.entry import Entry, read_entry
from kernelevolve.proposers.recipes.flattened import unflatten
from kernelevolve.proposers.recipes.reuse import reuse
from kernelevolve.proposers.recipes.rows import rows_slots
from kernelevolve.proposers.recipes.search import search_slots
from kernelevolve.proposers.recipes.skeleton import Skeleton, fill, read_skeleton, vector_types
from kernelevolve.proposers.recipes.tree import NotAnalysableError
from kernelevolve.proposers.recipes.types import TypeNames, type_names

#: The languages that recipes are written in.
LANGUAGES: Final = ("opencl",)
_Slots = Callable[[Entry, Skeleton, TypeNames, Problem], tuple[dict[str, str], set[str]]]
_FORMS: Final[Mapping[str, _Slots]] = {
    "rows": lambda entry, skeleton, types, _: rows_slots(entry, skeleton, types),
    "elementwise": lambda entry, skeleton, types, _: elementwise_slots(entry, skeleton, types),
    "search": lambda entry, skeleton, types, _: search_slots(entry, skeleton, types),
    "contraction": contraction_slots,
}
_TRANSFORMS: Final[Mapping[str, Callable[[Entry], Entry]]] = {"reuse": reuse}


def names(problem: Problem, language: str) -> tuple[str, ...]:
    """The recipes that fit the problem's seed in `language`; all of them where there is no seed to ask.

    In the Python languages: the kernels written by hand for the built-in problem of that name, those for one chip only
    first (`propose` declines them elsewhere).
    """
    if language in written.LANGUAGES:
        return (*written.chip_names(language, problem.name), *written.names(language, problem.name))
    if language not in LANGUAGES:
        return ()
    if language not in problem.seeds:
        return skeletons.names()
    kernel = parse_kernel(problem.seeds[language], name=f"{problem.name}.seed")
    return tuple(name for name in skeletons.names() if _attempt(kernel, problem, problem.workloads, name) is not None)


def propose(request: ProposalRequest, name: str) -> Proposal | None:
    """The recipe called `name`, filled from the first parent or, where that cannot be read, from the problem's seed.

    None where the recipe fits neither, or where it does not pay on the device. Raises `UnknownNameError` for a name
    that `names` never gives.
    """
    if request.language in written.LANGUAGES:
        return _written(request, name)
    if request.language not in LANGUAGES:
        return None
    skeleton = read_skeleton(name)
    if skeleton.discrete_only and request.device.host_threads is not None:
        return None
    for kernel, origin in _origins(request):
        made = _attempt(kernel, request.problem, request.workloads, name)
        if made is not None and all(made.digest != parent.kernel.digest for parent in request.parents[:1]):
            parents = tuple(parent.candidate for parent in request.parents[:1])
            return Proposal(made, request.operator, parents, note=f"{name} from {origin}: {skeleton.note}")
    return None


def _written(request: ProposalRequest, name: str) -> Proposal | None:
    found = written.read_written(request.language, request.problem.name, name)
    target = request.device.target.name
    if not found.suits(target, interpreted=request.device.realm is Realm.INTERPRETED):
        return None
    return Proposal(found.adapted(target), request.operator, (), note=f"{name}, written by hand: {found.note}")


def _origins(request: ProposalRequest) -> Iterable[tuple[Kernel, str]]:
    for parent in request.parents[:1]:
        if parent.kernel.language == request.language:
            yield parent.kernel, "the parent"
    seed = request.problem.seeds.get(request.language)
    if seed is not None:
        yield parse_kernel(seed, name=f"{request.problem.name}.seed"), "the seed"


def _attempt(kernel: Kernel, problem: Problem, workloads: Iterable[Workload], name: str) -> Kernel | None:
    try:
        return instantiate(kernel, problem, workloads, name)
    except NotAnalysableError:
        return None


def instantiate(kernel: Kernel, problem: Problem, workloads: Iterable[Workload], name: str) -> Kernel:
    """The recipe called `name`, filled from `kernel`. Raises `NotAnalysableError` where the kernel has another form."""
    skeleton = read_skeleton(name)
    entry = unflatten(read_entry(kernel, problem), problem)
    for transform in skeleton.transforms:
        entry = _TRANSFORMS[transform](entry)
    types = type_names(problem, workloads)
    slots, kinds = _FORMS[skeleton.form](entry, skeleton, types, problem)
    args = ", ".join(f'{name} = "{value}"' for name, value in entry.args.items())
    common = {
        "entry": entry.name,
        "prelude": entry.prelude,
        "parameters": ", ".join(entry.parameters),
        "args": f"args = {{ {args} }}" if args else "",
        "types": "{{types}}",
        "reciprocal": "{{reciprocal}}",
        "when": _when(kernel, types.condition(entry.source.text) if kinds else ""),
    }
    text = fill(skeleton.template, {**common, **slots}, name)
    divides = "RECIPROCAL = [0, 1]" if "DIVIDE(" in text else ""
    text = layout(fill(text, {"types": vector_types(kinds, text), "reciprocal": divides}, name))
    try:
        made = parse_kernel(text.strip() + "\n", name=f"recipe {name}")
    except KernelFileError as error:
        raise NotAnalysableError(str(error)) from None
    _check_names(made, entry, problem)
    return made


def _when(kernel: Kernel, types: str) -> str:
    """The header's ``when``: the kernel's own, and the element types that the vectors are made for."""
    found = [text for text in (kernel.when.text if kernel.when else "", types) if text]
    return f'when = "{" and ".join(found)}"' if found else ""


def _check_names(made: Kernel, entry: Entry, problem: Problem) -> None:
    """The skeleton's own names must mean nothing else in the kernel's code or in the problem."""
    theirs = set(re.findall(r"\w+", f"{entry.prelude} {entry.source.text}")) | set(problem.axes)
    macros = set(re.findall(r"#define (\w+)", made.body)) - set(re.findall(r"#\s*define\s+(\w+)", entry.prelude))
    clash = theirs & (set(made.tunables) | set(made.scratch) | macros)
    if clash:
        raise NotAnalysableError(f"the kernel has a name of the skeleton's: {sorted(clash)[0]}")


def layout(text: str) -> str:
    """`text` indented by its braces, four spaces each; the header and directives stay."""
    lines, depth = [], 0
    for line in text.split("\n"):
        bare = line.strip()
        if bare.startswith(("//", "#")) or not bare:
            lines.append(bare)
            continue
        here = depth - (len(bare) - len(bare.lstrip("}")))
        lines.append("    " * max(here, 0) + bare)
        depth += bare.count("{") - bare.count("}")
    return "\n".join(lines)
