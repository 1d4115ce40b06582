"""Every rewrite is run in the interpreter and compiled: what the kernel computed before, it computes after."""

from __future__ import annotations

import random
from typing import Final

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kernelevolve import registry
from kernelevolve.kernel import Kernel, parse_kernel
from kernelevolve.outcome import ConstraintViolated, ResourceExceeded
from kernelevolve.proposers.rewriting.changes import accepted
from kernelevolve.proposers.rewriting.numba_rules import FAMILIES, REWRITES, promotions, sites

from .running import LANGUAGE, fewest_threads, found, seed, spills, wrong

pytest.importorskip("numba_cuda")

#: Tiny and odd; the second has rows longer than what 64 threads hold in a strip.
WORKLOADS: Final = {
    "softmax": ("rows=3,cols=37", "rows=1,cols=301,x:float16,y:float16"),
    "rms_norm": ("rows=3,cols=37", "rows=1,cols=301"),
    "layer_norm": ("rows=3,cols=37", "rows=1,cols=301"),
    "rms_norm_backward": ("rows=11,cols=37", "rows=2,cols=150"),
    "cross_entropy": ("rows=3,classes=37", "rows=1,classes=301"),
    "swiglu": ("rows=3,cols=37", "rows=1,cols=601"),
    "rope": ("batch=2,heads=2,length=3,half=5",),
    "matmul": ("m=19,n=5,k=33",),
    "conv1d": ("batch=2,cin=3,cout=5,length=9,taps=3",),
    "factorization_machine": ("batch=2,n=3,d=5,k=7",),
    "pffn": ("batch=2,tokens=3,width=9,hidden=11",),
    "embedding_bag": ("entries=11,dim=7,bags=5,count=17",),
    "batch_event_truncate": ("rows=7,limit=3,total=31",),
    "map_id": ("count=300,size=41",),
    "mbdt": ("rows=3,cols=37,borders=5",),
}
#: Rewrite, kernel, and at how many places it applies there.
CASES: Final = [
    ("unroll", "softmax", 3),
    ("unroll", "matmul", 1),
    ("unroll", "embedding_bag", 2),
    ("batch-loads", "softmax", 3),
    ("batch-loads", "swiglu", 1),
    ("batch-loads", "rope", 1),
    ("accumulators", "softmax", 2),
    ("accumulators", "rms_norm", 1),
    ("accumulators", "conv1d", 1),
    ("accumulators", "mbdt", 1),
    ("consecutive", "softmax", 3),
    ("consecutive", "mbdt", 1),
    ("pad", "matmul", 2),
    ("keep-registers", "softmax", 1),
    ("keep-registers", "layer_norm", 1),
    ("keep-shared", "rms_norm", 1),
    ("keep-shared", "layer_norm", 1),
    ("shuffle", "softmax", 2),
    ("shuffle", "rms_norm_backward", 1),
    ("online-softmax", "softmax", 1),
    ("online-softmax", "cross_entropy", 1),
    ("rows-per-block", "softmax", 1),
    ("rows-per-block", "rope", 1),
    ("rows-per-block", "batch_event_truncate", 1),
    ("persistent", "softmax", 1),
    ("persistent", "map_id", 1),
    ("persistent", "pffn", 4),
    ("coarsen", "rms_norm", 1),
    ("coarsen", "factorization_machine", 2),
    ("jam", "conv1d", 2),
    ("jam", "map_id", 2),
    ("jam", "factorization_machine", 4),
    ("swap-dimensions", "matmul", 1),
    ("group-blocks", "matmul", 1),
    ("group-blocks", "pffn", 2),
    ("hoist", "rms_norm_backward", 1),
    ("reciprocal", "softmax", 1),
    ("reciprocal", "layer_norm", 1),
    ("unsigned-indices", "softmax", 1),
    ("unsigned-indices", "conv1d", 1),
    ("fast-math", "swiglu", 1),
    ("registers", "softmax", 1),
    ("threads", "matmul", 1),
]


def check(kernel: Kernel, name: str) -> None:
    problem = registry.problem(name)
    for label in WORKLOADS[name]:
        assert wrong(kernel, problem, label, fewest_threads(kernel)) == [], f"{label}\n{kernel}"


@pytest.mark.parametrize(("rewrite", "name", "places"), CASES, ids=[f"{one} of {name}" for one, name, _ in CASES])
def test_a_rewrite_keeps_what_the_kernel_computes_and_compiles_without_spills(
    rewrite: str, name: str, places: int
) -> None:
    problem = registry.problem(name)
    kernel = seed(problem)
    made = [site.make() for site in found(kernel, problem, rewrite)]
    assert len(made) == places
    for changed in made:
        assert accepted(changed, LANGUAGE, [kernel]), str(changed)
        check(changed, name)
    if made:
        assert set(spills(made[0], problem).values()) == {0}


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from(sorted(WORKLOADS)), st.integers(0, 10**6))
def test_two_rewrites_in_a_row_keep_what_the_kernel_computes(name: str, number: int) -> None:
    rng, problem = random.Random(number), registry.problem(name)
    kernel = seed(problem)
    for _ in range(2):
        places = [site for rewrite in REWRITES for site in sites(kernel, problem, rewrite)]
        kernel = rng.choice(places).make() if places else kernel
    assert accepted(kernel, LANGUAGE, [seed(problem)]), str(kernel)
    chosen = {key: rng.choice(values) for key, values in kernel.tunables.items()}
    for configuration in (fewest_threads(kernel), {**chosen, **fewest_threads(kernel)}):
        try:
            assert wrong(kernel, problem, WORKLOADS[name][0], configuration) == [], f"{configuration}\n{kernel}"
        except (ConstraintViolated, ResourceExceeded):
            assert configuration != fewest_threads(kernel)


def test_every_rewrite_is_run_and_every_family_has_one() -> None:
    assert {rewrite.name for rewrite in REWRITES} == {name for name, _, places in CASES if places}
    assert len({rewrite.name for rewrite in REWRITES}) == len(REWRITES)
    assert set(FAMILIES) == {rewrite.family for rewrite in REWRITES}


def test_a_constant_that_is_the_side_of_a_block_becomes_a_tunable() -> None:
    problem = registry.problem("matmul")
    (change,) = promotions(seed(problem), problem)
    assert change.kernel.tunables["TILE"] == (16, 32, 8, 4)
    assert [one.text for one in change.kernel.launches[0].block] == ["TILE", "TILE"]
    for size in (4, 8):
        assert wrong(change.kernel, problem, "m=19,n=5,k=33", {"TILE": size}) == []


@pytest.mark.parametrize("rewrite", [one.name for one in REWRITES])
def test_a_rewritten_kernel_has_the_words_that_mark_it(rewrite: str) -> None:
    known = next(one for one in REWRITES if one.name == rewrite)
    name = next(name for one, name, places in CASES if one == rewrite and places)
    problem = registry.problem(name)
    made = found(seed(problem), problem, rewrite)[0].make()
    new = str(made).replace(str(seed(problem)), "")
    assert all(mark in new for mark in known.marks)


def test_rows_fit_the_threads_that_a_block_has() -> None:
    problem = registry.problem("softmax")
    text = problem.seeds["numba"]
    wide = parse_kernel(text.replace("[128, 64, 256, 512]", "[512, 64]"))
    (site,) = found(wide, problem, "rows-per-block")
    assert site.make().default == {"THREADS": 512, "ROWS": 2}
    assert found(parse_kernel(text.replace("[128, 64, 256, 512]", "[1024, 64]")), problem, "rows-per-block") == []
