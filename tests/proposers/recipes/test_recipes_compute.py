"""Every recipe that fits a problem computes what its reference does, on a real device and at awkward sizes."""

from __future__ import annotations

import random

import pytest

from kernelevolve.kernel import Kernel, parse_kernel, render_kernel
from kernelevolve.languages.opencl_c import OpenCLC
from kernelevolve.proposers.recipes import names
from kernelevolve.proposers.recipes.instantiate import instantiate

#: Which recipes each problem's seed admits.
FITS = {
    "softmax": ("rows-reuse", "rows-lanes", "rows-group"),
    "rms_norm": ("rows-lanes", "rows-group"),
    "layer_norm": ("rows-lanes", "rows-group"),
    "row_sum": ("rows-lanes", "rows-group"),
    "peak": ("rows-lanes", "rows-group"),
    "log_softmax": ("rows-lanes", "rows-group"),
    "sigmoid": ("lanes",),
    "bias": ("lanes",),
    "column_sum": ("lanes",),
    "matmul": ("tile", "tile-packed", "lanes"),
    "linear": ("tile-packed",),
    "distance": ("tile", "tile-packed"),
    "flat": ("tile", "tile-packed", "lanes"),
    "map_id": ("search-batch",),
    "upper_bound": ("search-batch",),
}
ROWS = [
    "rows=1,cols=1",
    "rows=7,cols=13",
    "rows=13,cols=97",
    "rows=97,cols=129",
    "rows=3,cols=1025",
    "rows=64,cols=256",
]
PRODUCTS = ["m=1,n=1,k=1", "m=7,n=13,k=97", "m=13,n=129,k=7", "m=97,n=65,k=33", "m=64,n=64,k=64", "m=5,n=257,k=2"]
SIZES = {
    "sigmoid": ["n=1", "n=7", "n=129", "n=4099"],
    "map_id": ["count=1,size=1", "count=7,size=2", "count=129,size=1", "count=4099,size=1023", "count=97,size=4097"],
    "upper_bound": ["n=1,m=1", "n=7,m=2", "n=129,m=3", "n=4099,m=1023", "n=97,m=4097"],
    **dict.fromkeys(("matmul", "linear", "distance", "flat"), PRODUCTS),
}
#: Float32 sums of at most 1025 terms, relative to the largest output; counts and positions are exact.
TOLERANCE = 2e-5
EXACT = ("map_id", "upper_bound")
PAIRS = [(problem, recipe) for problem, recipes in FITS.items() for recipe in recipes]


#: One problem for each recipe is run with more configurations than the default.
TUNED = {recipe: problem for problem, recipe in reversed(PAIRS)}


def configurations(kernel: Kernel, count: int) -> list[dict[str, object]]:
    """The default, and others far from it, the same in every run."""
    every = list(kernel.configurations())
    return [every[0], *random.Random(5).sample(every[1:], count - 1)]


@pytest.mark.parametrize("problem", FITS)
def test_a_problem_is_offered_the_recipes_that_fit_its_seed(problems, problem):
    assert names(problems[problem], "opencl") == FITS[problem]


@pytest.mark.parametrize(("problem", "recipe"), PAIRS)
def test_a_filled_recipe_passes_the_gate_and_survives_a_round_trip(problems, problem, recipe):
    asked = problems[problem]
    kernel = instantiate(parse_kernel(asked.seeds["opencl"]), asked, asked.workloads, recipe)

    OpenCLC().gate(kernel.body)
    assert parse_kernel(render_kernel(kernel)) == kernel
    assert len(list(kernel.configurations())) <= 300


@pytest.mark.opencl
@pytest.mark.parametrize(("problem", "recipe"), PAIRS)
def test_a_filled_recipe_computes_the_reference(problems, run, problem, recipe):
    asked = problems[problem]
    kernel = instantiate(parse_kernel(asked.seeds["opencl"]), asked, asked.workloads, recipe)
    sizes = SIZES.get(problem, ROWS)

    for configuration in configurations(kernel, 3 if TUNED[recipe] == problem else 1):
        found = dict(zip(sizes, run(kernel, asked, configuration, sizes), strict=True))
        wrong = {size: error for size, error in found.items() if error > (0 if problem in EXACT else TOLERANCE)}
        assert not wrong, configuration
