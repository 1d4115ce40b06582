"""Rewritten kernels through the real compilers, for an NVIDIA and an AMD target, at sizes that GPUs are timed with."""

import random

import pytest

from kernelevolve.accelerator import Target
from kernelevolve.kernel import Kernel
from kernelevolve.languages.triton_lang import TritonLanguage
from kernelevolve.outcome import ConstraintViolated
from kernelevolve.plan import make_plan
from kernelevolve.proposers.rewriting.triton_rules import TRITON_REWRITES, sites, triton_tunable_changes

pytest.importorskip("triton", reason="needs Triton; pip install triton")
#: What a device that is compiled for would say of itself.
FACTS = {"num_units": 132, "warp_size": 32, "max_group_size": 1024}
#: One kernel for each rewrite.
CASES = {
    "warps": "swiglu",
    "stages": "matmul",
    "follow-axis": "softmax",
    "single-pass": "rms_norm",
    "online-softmax": "cross_entropy",
    "online-moments": "layer_norm",
    "join": "two_sums_loops",
    "several-rows": "softmax_scalar",
    "several-turns": "embedding_bag",
    "flatten": "swiglu_grid",
    "grouped": "matmul",
    "persistent": "softmax_scalar",
    "split-reduction": "matmul_tutorial",
    "fuse-epilogue": "matmul_epilogue",
    "peel": "matmul",
    "divisible": "matmul",
    "descriptors": "matmul",
    "walk-pointers": "matmul",
    "hoist": "column_sums_rows",
    "vector-accumulator": "rms_norm_block",
    "dot-accumulate": "matmul_tutorial",
    "interchange": "conv1d",
    "exp2": "softmax",
    "folded-exp2": "attention",
    "reciprocal": "softmax",
    "rsqrt": "rms_norm",
    "pipeline": "rms_norm",
    "unroll": "mbdt",
    "flatten-loops": "embedding_bag",
    "caching": "swiglu",
    "contiguous": "softmax",
    "narrow": "swiglu",
}
#: What runs without ``slow``: new syntax, and what the compilers differ in.
QUICK = (
    "single-pass",
    "several-rows",
    "several-turns",
    "persistent",
    "split-reduction",
    "online-moments",
    "descriptors",
)


@pytest.fixture(scope="module")
def compilers():
    from kernelevolve.backends.triton_cuda import TritonCUDA
    from kernelevolve.backends.triton_rocm import TritonROCm

    return {"cuda:sm_90": TritonCUDA(), "hip:gfx942": TritonROCm()}


def compiled(compilers, sample, kernel: Kernel, target: str, number: int = 0) -> None:
    problem = sample.problem
    workload = (problem.tagged("gpu") or problem.workloads)[0]
    entries = TritonLanguage().entries(kernel.body)
    configuration = kernel.default if number == 0 else random.Random(number).choice([*kernel.configurations()])
    try:
        plan = make_plan(kernel, problem, workload, configuration, entries, FACTS)
    except ConstraintViolated:
        assert number
        return
    artifact = compilers[target].compile(plan, Target(target))
    assert artifact.stages


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[] if name in QUICK else [pytest.mark.exhaustive]) for name in CASES]
)
@pytest.mark.parametrize("target", ["cuda:sm_90", "hip:gfx942"])
def test_rewritten_kernels_compile(compilers, samples, name: str, target: str) -> None:
    sample = samples[CASES[name]]
    rewrite = next(rewrite for rewrite in TRITON_REWRITES if rewrite.name == name)
    compiled(compilers, sample, sites(sample.kernel, sample.problem, rewrite)[-1].make(), target)


def test_every_rewrite_is_compiled() -> None:
    assert {rewrite.name for rewrite in TRITON_REWRITES} == set(CASES)


@pytest.mark.exhaustive
@pytest.mark.parametrize("policy", ["evict_first", "evict_last", ".cg", ".cs"])
@pytest.mark.parametrize("target", ["cuda:sm_90", "hip:gfx942"])
def test_every_cache_policy_compiles(compilers, samples, policy: str, target: str) -> None:
    sample = samples["swiglu"]
    rewrite = next(rewrite for rewrite in TRITON_REWRITES if rewrite.name == "caching")
    for site in sites(sample.kernel, sample.problem, rewrite):
        if site.note.startswith(policy):
            compiled(compilers, sample, site.make(), target)


@pytest.mark.exhaustive
@pytest.mark.parametrize("name", ["softmax", "matmul", "swiglu_two", "two_sums_loops", "column_sums_rows"])
def test_changes_of_tunables_compile(compilers, samples, name: str) -> None:
    sample = samples[name]
    for change in triton_tunable_changes(sample.kernel, sample.problem):
        compiled(compilers, sample, change.kernel, "cuda:sm_90")


@pytest.mark.exhaustive
@pytest.mark.parametrize("seed", range(24))
def test_compositions_compile(compilers, samples, seed: int) -> None:
    rng = random.Random(seed)
    names = [name for name in sorted(samples) if samples[name].problem.name != "pffn"]
    sample = samples[names[seed % len(names)]]
    kernel = sample.kernel
    for _ in range(3):
        for rewrite in rng.sample(TRITON_REWRITES, len(TRITON_REWRITES)):
            found = sites(kernel, sample.problem, rewrite)
            if found:
                kernel = rng.choice(found).make()
                break
    compiled(compilers, sample, kernel, ("cuda:sm_90", "hip:gfx942")[seed % 2])
