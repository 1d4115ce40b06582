import time

import pytest
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st

from kernelevolve import registry
from kernelevolve.accelerator import Device, Realm, Target
from kernelevolve.evolution.proposal import Parent, ProposalRequest, Proposer
from kernelevolve.kernel import Kernel, parse_kernel, render_kernel
from kernelevolve.languages.opencl_c import OpenCLC
from kernelevolve.outcome import Outcome
from kernelevolve.plan import make_plan
from kernelevolve.proposers.rewriting import RewritingProposer
from kernelevolve.proposers.rewriting.changes import identity
from kernelevolve.proposers.rewriting.table import FAMILIES, REWRITES, sites

FACTS = {"num_units": 4, "warp_size": 8, "max_group_size": 4096}
DEVICE = Device("opencl", 0, "test", Target("opencl:test"), Realm.HARDWARE, FACTS)
PROPOSER = RewritingProposer()
LANGUAGE = OpenCLC()
NAMES = ("softmax", "rms_norm", "matmul", "map_id")
OPERATORS = (*(f"rewrite:{family}" for family in FAMILIES), "compose", "tunables", "recombine")


def parent(kernel: Kernel, candidate: int = 1, **extra) -> Parent:
    return Parent(candidate=candidate, kernel=kernel, outcome=Outcome.CORRECT, fitness=1.0, **extra)


def request(problem, parents, operator: str, seed: int = 0, language: str = "opencl") -> ProposalRequest:
    return ProposalRequest(
        problem=problem,
        device=DEVICE,
        language=language,
        workloads=problem.workloads,
        parents=tuple(parents),
        operator=operator,
        seed=seed,
    )


def rewritten(problem, kernel: Kernel, name: str, index: int = 0) -> Kernel:
    rewrite = next(rewrite for rewrite in REWRITES if rewrite.name == name)
    return sites(kernel, problem, rewrite)[index].make()


def seed_of(name: str):
    problem = registry.problem(name)
    return problem, parse_kernel(problem.seeds["opencl"])


def test_it_is_a_proposer_found_by_name() -> None:
    assert isinstance(PROPOSER, Proposer)
    assert registry.load("proposer", "rewriting") is RewritingProposer


def test_there_is_one_operator_for_each_family_and_each_recipe() -> None:
    operators = PROPOSER.operators(registry.problem("softmax"), "opencl")
    assert set(OPERATORS) <= set(operators)
    assert len(set(operators)) == len(operators)
    recipes = [operator for operator in operators if operator not in OPERATORS]
    assert recipes
    assert all(operator.startswith("recipe:") for operator in recipes)


def test_other_languages_have_the_operators_that_change_headers_only() -> None:
    operators = PROPOSER.operators(registry.problem("softmax"), "reference")
    assert {operator for operator in operators if not operator.startswith("recipe:")} == {"tunables", "recombine"}


@pytest.mark.parametrize("language", ["triton", "numba"])
def test_the_python_languages_have_rewrites_and_kernels_written_by_hand(language: str) -> None:
    problem = registry.problem("softmax")
    operators = PROPOSER.operators(problem, language)
    assert sum(operator.startswith("rewrite:") for operator in operators) >= 10
    kernel = parse_kernel(problem.seeds[language])
    made = [
        PROPOSER.propose(request(problem, [parent(kernel, 1)], operator, 5, language=language))
        for operator in operators
    ]
    assert sum(proposal is not None for proposal in made) >= 8


@settings(max_examples=60, deadline=None)
@given(name=st.sampled_from(NAMES), operator=st.sampled_from(OPERATORS), seed=st.integers(0, 10**6))
def test_proposals_are_deterministic_new_and_fit_the_problem(name: str, operator: str, seed: int) -> None:
    problem, kernel = seed_of(name)
    parents = [parent(kernel, 3), parent(rewritten(problem, kernel, "qualify"), 4)]
    asked = request(problem, parents, operator, seed)
    proposal = PROPOSER.propose(asked)
    assert PROPOSER.propose(asked) == proposal
    if proposal is None:
        return
    made = proposal.kernel
    assert proposal.operator == operator
    assert set(proposal.parents) <= {3, 4}
    assert proposal.note
    assert parse_kernel(render_kernel(made)) == made
    LANGUAGE.gate(made.body)
    assert identity(made, LANGUAGE) not in {identity(one.kernel, LANGUAGE) for one in parents}
    configuration = made.configuration(proposal.configuration)
    plan = make_plan(made, problem, problem.workloads[0], configuration, LANGUAGE.entries(made.body), FACTS)
    assert plan.launches


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_proposes_something_for_one_of_the_seeds_or_their_rewrites(family: str, samples) -> None:
    made = [
        PROPOSER.propose(request(sample.problem, [parent(sample.kernel)], f"rewrite:{family}"))
        for sample in samples.values()
    ]
    assert any(made)


def test_different_seeds_reach_different_sites() -> None:
    problem, kernel = seed_of("softmax")
    made = {PROPOSER.propose(request(problem, [parent(kernel)], "compose", seed)).kernel.body for seed in range(12)}
    assert len(made) > 6


def test_without_parents_the_seed_is_rewritten() -> None:
    problem, kernel = seed_of("matmul")
    proposal = PROPOSER.propose(request(problem, [], "rewrite:coarsen"))
    assert proposal is not None
    assert proposal.parents == ()
    assert proposal.kernel.body != kernel.body


def test_an_operator_that_does_not_apply_proposes_nothing() -> None:
    problem, kernel = seed_of("map_id")
    assert PROPOSER.propose(request(problem, [parent(kernel)], "rewrite:reorder")) is None
    assert PROPOSER.propose(request(problem, [parent(kernel)], "recombine")) is None


def test_a_parent_that_cannot_be_read_is_no_error() -> None:
    problem, kernel = seed_of("matmul")
    broken = kernel.with_body("__kernel void matmul( { é")
    for operator in OPERATORS:
        assert PROPOSER.propose(request(problem, [parent(broken), parent(broken)], operator)) is None


def test_the_parents_best_configuration_is_kept_and_the_new_tunable_starts_at_its_default() -> None:
    problem, kernel = seed_of("softmax")
    kernel = next(
        change for change in _tunables(problem, kernel) if "GROUP" in change.tunables and "GROUP 64" not in change.body
    )
    best = {"GROUP": kernel.tunables["GROUP"][-1]}
    proposal = PROPOSER.propose(request(problem, [parent(kernel, configuration=best)], "rewrite:vectorise"))
    assert proposal.configuration == {**best, "VEC": 8}


def _tunables(problem, kernel: Kernel) -> list[Kernel]:
    made = (PROPOSER.propose(request(problem, [parent(kernel)], "tunables", seed)) for seed in range(8))
    return [proposal.kernel for proposal in made if proposal is not None]


def test_a_macro_that_is_a_number_becomes_a_tunable_in_the_launch_too() -> None:
    problem, kernel = seed_of("softmax")
    made = _tunables(problem, kernel)
    assert any("GROUP" in one.tunables and one.launches[0].block[0].text == "GROUP" for one in made)
    assert all("#define GROUP" not in one.body for one in made if "GROUP" in one.tunables)


def test_a_literal_becomes_a_tunable_in_grid_and_block() -> None:
    problem, kernel = seed_of("map_id")
    made = _tunables(problem, kernel)[0]
    assert made.tunables == {"SIZE_64": (64, 128, 32, 256, 16)}
    assert [e.text for e in (*made.launches[0].grid, *made.launches[0].block)] == ["cdiv(count, SIZE_64)", "SIZE_64"]


def test_new_values_are_near_the_best_one_and_it_stays() -> None:
    problem, kernel = seed_of("matmul")
    kernel = rewritten(problem, kernel, "jam")
    best = parent(kernel, configuration={"WORK": 16})
    offered = {
        PROPOSER.propose(request(problem, [best], "tunables", seed)).kernel.tunables.get("WORK") for seed in range(12)
    }
    assert any(values and values[0] == 32 and 16 in values for values in offered)


def test_recombination_replays_what_the_other_parent_shows() -> None:
    problem, kernel = seed_of("softmax")
    one, other = rewritten(problem, kernel, "qualify"), rewritten(problem, kernel, "lanes")
    proposal = PROPOSER.propose(request(problem, [parent(one, 1), parent(other, 2)], "recombine"))
    assert proposal.parents == (1, 2)
    assert "LANES" in proposal.kernel.tunables
    assert "restrict" in proposal.kernel.body


def test_recombination_takes_a_function_of_the_other_parent() -> None:
    problem, kernel = seed_of("matmul")
    helper = "float twice(float v) { return v + v; }\n"
    one = kernel.with_body(helper + kernel.body)
    other = kernel.with_body(helper.replace("v + v", "2.0f * v") + kernel.body)
    proposal = PROPOSER.propose(request(problem, [parent(one, 1), parent(other, 2)], "recombine"))
    assert proposal is None  # replaced, it is the other parent itself
    other = other.with_body(other.body.replace("0.0f", "0.00f"))
    made = PROPOSER.propose(request(problem, [parent(one, 1), parent(other, 2)], "recombine")).kernel.body
    assert ("2.0f * v" in made) != ("0.00f" in made)


def test_recombination_takes_values_in_any_language() -> None:
    problem, kernel = seed_of("map_id")
    one = evolve(kernel, tunables={"N": (1, 2)})
    other = evolve(kernel, tunables={"N": (8, 2)}, body=kernel.body + "\n#define EXTRA 1\n")
    made = PROPOSER.propose(request(problem, [parent(one, 1), parent(other, 2, configuration={"N": 8})], "recombine"))
    assert made.kernel.tunables["N"] == (8, 1, 2)


def test_recipes_are_operators_too() -> None:
    problem, kernel = seed_of("softmax")
    recipes = [name for name in PROPOSER.operators(problem, "opencl") if name.startswith("recipe:")]
    made = [PROPOSER.propose(request(problem, [parent(kernel)], operator)) for operator in recipes]
    found = [proposal for proposal in made if proposal is not None]
    assert found
    for proposal in found:
        assert proposal.operator in recipes
        LANGUAGE.gate(proposal.kernel.body)


def test_values_of_a_group_stay_powers_of_two_and_within_what_the_device_allows() -> None:
    problem, kernel = seed_of("softmax")
    kernel = next(one for one in _tunables(problem, kernel) if "GROUP" in one.tunables)
    best = parent(kernel, configuration={"GROUP": kernel.tunables["GROUP"][-1]})
    small = evolve(DEVICE, facts={**FACTS, "max_group_size": 128})
    asked = [evolve(request(problem, [best], "tunables", seed), device=small) for seed in range(10)]
    found = {proposal.kernel.tunables["GROUP"] for one in asked if (proposal := PROPOSER.propose(one)) is not None}
    new = {values[0] for values in found if values != kernel.tunables["GROUP"]}
    assert new
    assert all(value <= 128 and value & (value - 1) == 0 for value in new)


def test_what_a_rewrite_relies_on_becomes_a_constraint(samples) -> None:
    sample = samples["softmax_items"]
    tree = rewritten(sample.problem, sample.kernel, "row-per-group", 0)
    one = rewritten(sample.problem, sample.kernel, "row-per-group", 1)
    assert [constraint.text for constraint in tree.constraints] == ["next_pow2(GROUP) == GROUP"]
    assert one.constraints == ()
    problem, kernel = seed_of("matmul")
    sized = rewritten(problem, kernel, "group-size", 0)
    assert [constraint.text for constraint in sized.constraints] == ["GROUP_X * 16 <= max_group_size"]


def test_a_proposal_takes_milliseconds() -> None:
    problem, kernel = seed_of("softmax")
    times = []
    for seed in range(20):
        started = time.perf_counter()
        assert PROPOSER.propose(request(problem, [parent(kernel)], "compose", seed)) is not None
        times.append(time.perf_counter() - started)
    assert sorted(times)[10] < 0.2
