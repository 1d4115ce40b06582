"""Kernels written by hand for MTIA: right at odd sizes, offered there only, faster than the seed as promised."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import pytest
from attrs import evolve

from kernelevolve import registry
from kernelevolve.accelerator import Target
from kernelevolve.evaluation.casebook import default_workload
from kernelevolve.evolution.proposal import ProposalRequest
from kernelevolve.kernel import parse_kernel
from kernelevolve.plan import serves
from kernelevolve.problem import Workload
from kernelevolve.proposers.recipes.written import chip_names, names, read_written
from kernelevolve.proposers.rewriting import RewritingProposer

if TYPE_CHECKING:
    from conftest import EmulatedChips

#: Rows that fill their tile and rows that do not, more blocks than elements, narrow types.
SIZES: Final = {
    "softmax": ("rows=37,cols=64", "rows=300,cols=33", "rows=5,cols=1021,x:bfloat16,y:bfloat16"),
    "rms_norm": ("rows=37,cols=64", "rows=300,cols=33", "rows=5,cols=1021,x:float16,weight:float16,y:float16"),
    "layer_norm": ("rows=37,cols=64", "rows=300,cols=33", "rows=1,cols=1"),
    "rms_norm_backward": ("rows=37,cols=8", "rows=9001,cols=5", "rows=3,cols=300", "rows=1,cols=1021"),
    "cross_entropy": ("rows=67,classes=300", "rows=1,classes=1021"),
    "mbdt": ("rows=33,cols=65,borders=10", "rows=1,cols=1,borders=1", "rows=600,cols=1021,borders=3"),
    "map_id": ("count=1500,size=700", "count=300,size=1", "count=37,size=3", "count=9001,size=1025"),
    "matmul": ("m=65,n=63,k=257", "m=1,n=129,k=33", "m=300,n=70,k=1", "m=17,n=19,k=1031"),
}
RECIPES: Final = [(problem, name) for problem in SIZES for name in chip_names("triton", problem)]
#: How many times as fast as the seed one of the problem's recipes is, with its first configuration or the one given:
#: on mtia2i and on mtia300. The issue with larger ones on mtia2i is DRAM: see the workloads' sizes over its bandwidth.
FASTER: Final[dict[str, tuple[float, float]]] = {"rms_norm_backward": (4, 4), "map_id": (2, 2), "matmul": (3, 3)}


@pytest.mark.parametrize(("problem_name", "name"), RECIPES)
def test_it_is_right_at_odd_sizes(emulated: EmulatedChips, problem_name: str, name: str) -> None:
    problem, kernel = registry.problem(problem_name), read_written("triton", problem_name, name).kernel
    for label in SIZES[problem_name]:
        for kind in problem.distributions:
            emulated.check(kernel, problem, Workload.parse(label), kind=kind)


@pytest.mark.parametrize(("problem_name", "name"), RECIPES)
def test_every_value_of_every_tunable_is_right(emulated: EmulatedChips, problem_name: str, name: str) -> None:
    problem, kernel = registry.problem(problem_name), read_written("triton", problem_name, name).kernel
    workload = Workload.parse(SIZES[problem_name][0])
    smallest = {key: min(values) for key, values in kernel.tunables.items() if all(type(v) is int for v in values)}
    for tunable, values in kernel.tunables.items():
        if tunable not in ("use_dual_core", "cb_multiplier", "num_stages"):  # these change no result
            for value in values:
                emulated.check(kernel, problem, workload, {**smallest, "cb_multiplier": 1, tunable: value})


@pytest.mark.parametrize(("problem_name", "name"), RECIPES)
def test_it_serves_what_is_timed_on_emulated_chips(problem_name: str, name: str, emulated: EmulatedChips) -> None:
    problem, written = registry.problem(problem_name), read_written("triton", problem_name, name)
    for chip in ("mtia2i", "mtia300"):
        assert serves(written.kernel, problem, default_workload(problem, emulated.device(chip)))


@pytest.mark.slow
@pytest.mark.parametrize("chip", ["mtia2i", "mtia300"])
@pytest.mark.parametrize("problem_name", FASTER)
def test_the_best_of_them_beats_the_seed_by_what_is_promised(
    emulated: EmulatedChips, problem_name: str, chip: str
) -> None:
    problem = registry.problem(problem_name)
    workload = default_workload(problem, emulated.device(chip))
    seed = emulated.check(parse_kernel(problem.seeds["triton"]), problem, workload, chip=chip)
    kernels = [read_written("triton", problem_name, name).kernel for name in chip_names("triton", problem_name)]

    best = min(emulated.check(kernel, problem, workload, chip=chip) for kernel in kernels)

    assert seed / best >= FASTER[problem_name][chip == "mtia300"]


def request(operator: str, problem_name: str, device: Any) -> ProposalRequest:
    problem = registry.problem(problem_name)
    return ProposalRequest(problem, device, "triton", problem.workloads[:1], (), operator, 3)


def test_they_are_offered_on_this_chip_only_and_first(emulated: EmulatedChips) -> None:
    proposer, chip = RewritingProposer(), emulated.device("mtia2i")
    gpu = evolve(chip, accelerator="triton-cuda", target=Target("cuda:sm_90"))
    for problem_name, name in RECIPES:
        operator = f"recipe:{name}"
        made = proposer.propose(request(operator, problem_name, chip))
        assert made is not None
        assert made.kernel == read_written("triton", problem_name, name).kernel
        assert proposer.propose(request(operator, problem_name, gpu)) is None
    operators = proposer.operators(registry.problem("matmul"), "triton")
    assert operators[:2] == ("recipe:mtia-three-parts", "recipe:mtia-two-scaled-parts")


def test_kernels_for_gpus_come_without_what_means_nothing_here(emulated: EmulatedChips) -> None:
    proposer, chip = RewritingProposer(), emulated.device("mtia300")
    gpu = evolve(chip, accelerator="triton-cuda", target=Target("cuda:sm_80"))
    for name in names("triton", "mbdt"):
        there = proposer.propose(request(f"recipe:{name}", "mbdt", gpu))
        here = proposer.propose(request(f"recipe:{name}", "mbdt", chip))
        assert there is not None
        assert here is not None
        assert "num_warps" in there.kernel.tunables
        assert {"use_dual_core", "cb_multiplier"} <= set(here.kernel.tunables)
        assert not any("num_warps" in one.names for one in here.kernel.constraints)
        assert "num_warps" not in here.kernel.tunables
        emulated.check(here.kernel, registry.problem("mbdt"), Workload.parse("rows=3,cols=77,borders=5"))
    assert proposer.propose(request("recipe:persistent", "matmul", chip)) is None  # for one GPU, by its target
