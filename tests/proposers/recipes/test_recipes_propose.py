"""What the built-in proposer sees of recipes: names that fit, deterministic proposals, None where nothing fits."""

from __future__ import annotations

import attrs
import pytest

from kernelevolve.accelerator import Device, Realm, Target
from kernelevolve.errors import KernelFileError, UnknownNameError
from kernelevolve.evolution.proposal import Parent, ProposalRequest
from kernelevolve.kernel import parse_kernel
from kernelevolve.outcome import Outcome
from kernelevolve.proposers.recipes import names, propose
from kernelevolve.proposers.recipes.skeleton import fill, read_skeleton

DEVICE = Device(
    "opencl",
    0,
    "a processor",
    Target("opencl:any"),
    Realm.HARDWARE,
    {"num_units": 2, "warp_size": 1, "max_group_size": 4096},
)


def request(problem, kernel=None, language="opencl"):
    kernel = kernel or parse_kernel(problem.seeds["opencl"])
    parents = (Parent(3, kernel, Outcome.CORRECT, 1.0),)
    return ProposalRequest(problem, DEVICE, language, problem.workloads, parents, "recipe", seed=1)


def test_the_same_request_gets_the_same_proposal(problems):
    asked = request(problems["softmax"])

    assert propose(asked, "rows-reuse") == propose(asked, "rows-reuse")


def test_a_proposal_names_its_parent_its_operator_and_what_it_did(problems):
    made = propose(request(problems["matmul"]), "tile")

    assert (made.parents, made.operator) == ((3,), "recipe")
    assert made.note.startswith("tile from the parent: a tile of TM x (TN x LANES) results")


def test_a_recipe_starts_from_the_parents_own_arithmetic(problems):
    text = problems["rms_norm"].seeds["opencl"].replace("value * value", "fabs(value * value * value)")

    made = propose(request(problems["rms_norm"], parse_kernel(text)), "rows-lanes")

    assert "fabs(value * value * value)" in made.kernel.body


def test_a_parent_that_cannot_be_read_gives_way_to_the_seed(problems):
    first = propose(request(problems["softmax"]), "rows-lanes")

    second = propose(request(problems["softmax"], first.kernel), "rows-reuse")

    assert second.note.startswith("rows-reuse from the seed")
    assert second.kernel == propose(request(problems["softmax"]), "rows-reuse").kernel


def test_a_recipe_does_not_propose_its_own_parent_again(problems):
    first = propose(request(problems["softmax"]), "rows-lanes")

    assert propose(request(problems["softmax"], first.kernel), "rows-lanes") is None


def test_a_recipe_of_another_pattern_proposes_nothing(problems):
    assert propose(request(problems["softmax"]), "search-batch") is None


def test_sharing_a_row_among_items_is_proposed_to_discrete_devices_only(problems):
    asked = request(problems["rms_norm"])
    on_host = attrs.evolve(asked, device=attrs.evolve(DEVICE, host_threads=2))

    assert propose(asked, "rows-group").kernel.launches[0].grid[0].text == "rows"
    assert propose(on_host, "rows-group") is None


def test_languages_without_recipes_get_none(problems):
    assert names(problems["softmax"], "reference") == ()
    assert propose(request(problems["softmax"], language="reference"), "rows-lanes") is None


def test_without_a_seed_every_recipe_is_worth_an_attempt(problems):
    bare = attrs.evolve(problems["softmax"], seeds={})

    assert set(names(problems["softmax"], "opencl")) < set(names(bare, "opencl"))


def test_renaming_a_problem_and_its_tensors_changes_no_recipe(problems):
    text = problems["row_sum"].seeds["opencl"]
    renamed = attrs.evolve(problems["row_sum"], name="anything", pattern="generic", seeds={"opencl": text})

    assert names(renamed, "opencl") == names(problems["row_sum"], "opencl")


def test_an_unknown_recipe_is_an_error_that_lists_the_known_ones(problems):
    with pytest.raises(UnknownNameError, match=r"unknown recipe 'row-lanes'.*rows-lanes.*Did you mean 'rows-lanes'"):
        propose(request(problems["softmax"]), "row-lanes")


def test_vectors_of_the_parents_types_serve_only_workloads_of_these_types(problems):
    made = propose(request(problems["row_sum"]), "rows-lanes")

    assert made.kernel.when.text == "dtype(x) == 'float32' and dtype(y) == 'float32'"


def test_a_slot_that_no_analysis_fills_is_named():
    with pytest.raises(KernelFileError, match="unknown slot 'speed'; there is row"):
        fill("int {{speed}} = 1;", {"row": "i"}, "mine")


def test_a_block_that_a_skeleton_lacks_is_named():
    with pytest.raises(KernelFileError, match="no block 'prologue'"):
        read_skeleton("rows-lanes").block("prologue", {})
