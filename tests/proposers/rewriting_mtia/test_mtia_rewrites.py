"""Rewrites for MTIA: where they apply, that results stay right on the emulated chip, and where they are offered."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import pytest
from attrs import evolve

from kernelevolve import registry
from kernelevolve.accelerator import Target
from kernelevolve.evolution.proposal import Parent, ProposalRequest
from kernelevolve.kernel import Kernel, parse_kernel, render_kernel
from kernelevolve.languages.triton_lang import TritonLanguage
from kernelevolve.outcome import Outcome
from kernelevolve.problem import Workload
from kernelevolve.proposers.rewriting import RewritingProposer
from kernelevolve.proposers.rewriting.catalog import rules
from kernelevolve.proposers.rewriting.changes import accepted
from kernelevolve.proposers.rewriting.mtia_rules import MTIA_FOREIGN, MTIA_REWRITES
from kernelevolve.proposers.rewriting.triton_rules import TRITON_REWRITES, sites
from kernelevolve.proposers.rewriting.view import Site

if TYPE_CHECKING:
    from conftest import EmulatedChips

#: Rewrite, problem whose seed it changes, at how many places.
CASES: Final = [
    ("dual-core", "softmax", 1),
    ("dual-core", "pffn", 1),
    ("circular-buffers", "matmul", 1),
    ("circular-buffers", "pffn", 1),
    ("circular-buffers", "swiglu", 0),
    ("split-products", "matmul", 1),
    ("split-products", "attention", 1),
    ("split-products", "conv1d", 1),
    ("split-products", "factorization_machine", 2),
    ("split-products", "softmax", 0),
    ("lookup", "softmax", 1),
    ("lookup", "cross_entropy", 2),
    ("lookup", "swiglu", 1),
    ("lookup", "matmul", 0),
    ("float-counter", "mbdt", 1),
    ("float-counter", "map_id", 0),
]
SIZES: Final = {
    "attention": ("batch=1,heads=2,length=33,dim=16", "batch=1,heads=1,length=64,dim=32"),
    "conv1d": ("batch=2,cin=8,cout=8,length=50,taps=3", "batch=1,cin=3,cout=5,length=7,taps=5"),
    "cross_entropy": ("rows=5,classes=40", "rows=3,classes=1021"),
    "factorization_machine": ("batch=4,n=8,d=16,k=32", "batch=1,n=3,d=5,k=7"),
    "matmul": ("m=65,n=63,k=257", "m=33,n=17,k=70,a:float16,b:float16,c:float16", "m=1,n=1,k=1"),
    "mbdt": ("rows=5,cols=33,borders=10", "rows=1,cols=1,borders=1"),
    "pffn": ("batch=2,tokens=8,width=16,hidden=16",),
    "softmax": ("rows=9,cols=300", "rows=3,cols=2000"),
    "swiglu": ("rows=67,cols=101", "rows=3,cols=77,gate:float16,up:float16,y:float16"),
}
DOT: Final = 'total = tl.dot(left, right, total, input_precision="ieee")'


def seed(name: str) -> Kernel:
    return parse_kernel(registry.problem(name).seeds["triton"])


def found(rewrite: str, problem: str, kernel: Kernel) -> list[Site]:
    return sites(kernel, registry.problem(problem), next(one for one in MTIA_REWRITES if one.name == rewrite))


@pytest.mark.parametrize(("rewrite", "name", "count"), CASES)
def test_it_keeps_what_the_kernel_computes(emulated: EmulatedChips, rewrite: str, name: str, count: int) -> None:
    problem, kernel = registry.problem(name), seed(name)
    places = found(rewrite, name, kernel)
    assert len(places) == count
    for place in places:
        made = place.make()
        assert accepted(made, TritonLanguage(), [kernel]), render_kernel(made)
        assert len(found(rewrite, name, made)) == count - 1, "it applies to its own result"
        for label in SIZES[name]:
            for kind in problem.distributions:
                emulated.check(made, problem, Workload.parse(label), kind=kind)


@pytest.mark.parametrize("option", ["use_dual_core", "cb_multiplier"])
def test_what_is_offered_already_is_not_offered_again(option: str) -> None:
    kernel = evolve(seed("matmul"), tunables={**seed("matmul").tunables, option: (1,)})
    rewrite = {"use_dual_core": "dual-core", "cb_multiplier": "circular-buffers"}[option]
    assert found(rewrite, "matmul", kernel) == []
    assert found(rewrite, "matmul", seed("matmul"))[0].make().tunables[option]


@pytest.mark.parametrize(
    ("old", "new", "applies"),
    [
        (DOT, DOT.replace("total, input", "acc=total, input"), True),
        (DOT, DOT.replace("total = ", "total += ").replace(", total,", ","), True),
        (DOT, DOT.replace("ieee", "tf32"), False),
        (DOT, DOT.replace(', input_precision="ieee"', ""), False),
        (DOT, DOT.replace("total,", "total, out_dtype=tl.float32,"), False),
        (DOT, DOT.replace("left, right", "left.to(tl.float16), right.to(tl.float16)"), False),
    ],
)
def test_only_exact_products_of_float32_are_split(emulated: EmulatedChips, old: str, new: str, applies: bool) -> None:
    kernel = seed("matmul")
    kernel = kernel.with_body(kernel.body.replace(old, new))
    assert kernel.body.count(new) == 1
    places = found("split-products", "matmul", kernel)
    assert len(places) == applies
    for place in places:
        emulated.check(place.make(), registry.problem("matmul"), Workload.parse("m=33,n=17,k=70"))


@pytest.mark.parametrize(
    "change",
    [
        ("tl.int32)\n    for", "tl.int64)\n    for"),  # may hold more than float32 does
        (
            "below += (tl.load(border + i) < value)",
            "below += (tl.load(border + i) < value + below)",
        ),  # read in the loop
        ("range(borders)", "range(1, borders)"),
        (".to(tl.int32)\n", ".to(tl.int32) * 3\n"),
        ("(tl.load(border + i) < value)", "(tl.load(border + i) - value)"),  # no comparison
        ("tl.zeros((BLOCK,), tl.int32)", "tl.full((BLOCK,), 5, tl.int32)"),
    ],
)
def test_a_count_stays_whole_where_float32_might_not_hold_it(change: tuple[str, str]) -> None:
    kernel = seed("mbdt")
    changed = kernel.with_body(kernel.body.replace(*change))
    assert changed.body != kernel.body
    assert len(found("float-counter", "mbdt", kernel)) == 1
    assert found("float-counter", "mbdt", changed) == []


def test_a_float_counter_says_how_many_turns_it_stands() -> None:
    (place,) = found("float-counter", "mbdt", seed("mbdt"))
    assert "borders <= 16777216" in [one.text for one in place.make().constraints]


def request(operator: str, name: str, device: Any, seed_: int, kernel: Kernel | None = None) -> ProposalRequest:
    problem = registry.problem(name)
    parent = Parent(0, kernel or seed(name), Outcome.CORRECT, 1.0)
    return ProposalRequest(problem, device, "triton", problem.workloads[:1], (parent,), operator, seed_)


def test_they_are_offered_on_this_chip_only(emulated: EmulatedChips) -> None:
    proposer, chip = RewritingProposer(), emulated.device("mtia2i")
    gpu = evolve(chip, accelerator="triton-cuda", target=Target("cuda:sm_90"))
    operators = proposer.operators(registry.problem("matmul"), "triton")
    assert {"rewrite:mtia-options", "rewrite:mtia-engines"} <= set(operators)
    for operator in ("rewrite:mtia-options", "rewrite:mtia-engines"):
        assert proposer.propose(request(operator, "matmul", gpu, 1)) is None
        assert proposer.propose(request(operator, "matmul", chip, 1)) is not None


@pytest.mark.parametrize("operator", ["tunables", "compose", "rewrite:options", "rewrite:caching", "rewrite:indices"])
def test_what_means_nothing_here_is_not_tried(emulated: EmulatedChips, operator: str) -> None:
    proposer, chip = RewritingProposer(), emulated.device("mtia300")
    foreign = {one.name for one in TRITON_REWRITES} & MTIA_FOREIGN
    assert foreign == MTIA_FOREIGN
    kernel = evolve(seed("softmax"), tunables={**seed("softmax").tunables, "num_warps": (4, 8)})
    for number in range(8):
        made = proposer.propose(request(operator, "softmax", chip, number, kernel))
        if made is not None:
            assert made.kernel.tunables["num_warps"] == (4, 8)
            assert not {note.partition(":")[0] for note in made.note.split("; ")} & foreign


def test_a_flag_is_offered_no_third_value(emulated: EmulatedChips) -> None:
    kernel = evolve(seed("swiglu"), tunables={"use_dual_core": (1, 0), "BLOCK": (1024,)})
    for number in range(8):
        made = RewritingProposer().propose(request("tunables", "swiglu", emulated.device("mtia2i"), number, kernel))
        assert made is not None
        assert made.kernel.tunables["use_dual_core"] == (1, 0)


def test_every_rewrite_has_a_name_of_its_own() -> None:
    known = rules("triton")
    assert known is not None
    every = [one.name for one in (*known.rewrites, *MTIA_REWRITES)]
    assert len(set(every)) == len(every)
    assert set(known.on("mtia")) == {one for one in known.rewrites if one.name not in MTIA_FOREIGN} | {*MTIA_REWRITES}
    assert known.on("triton-cuda") == known.rewrites
