"""Every rewrite is run in Triton's interpreter: what a kernel computed before it computes after, at odd sizes too."""

import random

import pytest

from kernelevolve.kernel import parse_kernel, render_kernel
from kernelevolve.languages.triton_lang import TritonLanguage
from kernelevolve.outcome import ConstraintViolated, OutOfBounds
from kernelevolve.proposers.rewriting.changes import accepted
from kernelevolve.proposers.rewriting.triton_rules import TRITON_FAMILIES, TRITON_REWRITES, sites

#: Rewrite, kernel, and at how many places it applies there.
CASES = [
    ("warps", "pffn", 1),
    ("stages", "matmul", 1),
    ("follow-axis", "softmax", 1),
    ("follow-axis", "rms_norm_backward", 1),
    ("follow-axis", "pffn", 2),
    ("single-pass", "softmax", 2),
    ("single-pass", "layer_norm", 2),
    ("single-pass", "rms_norm_backward", 2),
    ("single-pass", "softmax_scalar", 2),
    ("online-softmax", "softmax", 1),
    ("online-softmax", "cross_entropy", 1),
    ("online-softmax", "softmax_scalar", 1),
    ("online-moments", "layer_norm", 1),
    ("online-moments", "layer_norm_moments", 1),
    ("join", "two_sums_loops", 1),
    ("several-rows", "softmax_scalar", 1),
    ("several-rows", "cross_entropy", 1),
    ("several-rows", "rms_norm_block", 1),
    ("several-rows", "map_id", 1),
    ("several-rows", "batch_event_truncate", 1),
    ("several-turns", "embedding_bag", 1),
    ("several-turns", "mbdt", 1),
    ("several-turns", "column_sums_fixed", 1),
    ("flatten", "swiglu_grid", 1),
    ("flatten", "swiglu_loop", 1),
    ("grouped", "matmul", 2),
    ("grouped", "matmul_tutorial", 2),
    ("grouped", "factorization_machine", 4),
    ("grouped", "attention", 2),
    ("persistent", "softmax_scalar", 1),
    ("persistent", "matmul_tutorial", 1),
    ("persistent", "batch_event_truncate", 3),
    ("persistent", "attention", 1),
    ("split-reduction", "matmul", 1),
    ("split-reduction", "matmul_tutorial", 1),
    ("split-reduction", "conv1d", 1),
    ("split-reduction", "mbdt", 1),
    ("split-reduction", "rms_norm_backward", 1),
    ("fuse-epilogue", "swiglu_two", 1),
    ("fuse-epilogue", "matmul_epilogue", 1),
    ("peel", "softmax", 3),
    ("peel", "matmul_tutorial", 1),
    ("peel", "conv1d", 1),
    ("peel", "layer_norm_moments", 3),
    ("divisible", "matmul", 4),
    ("divisible", "attention", 3),
    ("divisible", "rope", 3),
    ("divisible", "layer_norm", 1),
    ("descriptors", "matmul", 1),
    ("descriptors", "attention", 1),
    ("descriptors", "factorization_machine", 2),
    ("walk-pointers", "matmul", 1),
    ("walk-pointers", "conv1d", 1),
    ("walk-pointers", "rms_norm_backward", 3),
    ("hoist", "column_sums_rows", 1),
    ("vector-accumulator", "softmax_scalar", 2),
    ("vector-accumulator", "rms_norm_block", 1),
    ("dot-accumulate", "matmul_tutorial", 1),
    ("interchange", "conv1d", 1),
    ("interchange", "column_sums_fixed", 0),
    ("exp2", "softmax", 1),
    ("exp2", "swiglu", 1),
    ("folded-exp2", "attention", 1),
    ("reciprocal", "softmax_fused", 1),
    ("reciprocal", "attention", 1),
    ("rsqrt", "layer_norm", 1),
    ("rsqrt", "rms_norm_block", 1),
    ("pipeline", "batch_event_truncate", 2),
    ("unroll", "two_sums_loops", 2),
    ("flatten-loops", "conv1d", 1),
    ("flatten-loops", "embedding_bag", 1),
    ("caching", "softmax", 6),
    ("caching", "embedding_bag", 12),
    ("contiguous", "matmul", 1),
    ("contiguous", "softmax_scalar", 1),
    ("narrow", "swiglu", 1),
    ("narrow", "softmax_scalar", 1),
]
#: Of the places of one rewrite in one kernel, so many are run.
MOST = 3


def check(interpreter, sample, kernel, number: int) -> None:
    """Three workloads, the one that blocks divide among them, with the default and two other configurations."""
    configurations = [*kernel.configurations()]
    chosen = random.Random(number)
    odd = chosen.sample(sample.workloads[:-1], 2)
    for turn, workload in enumerate((*odd, sample.workloads[-1])):
        configuration = kernel.default if turn == number % 3 else chosen.choice(configurations)
        try:
            interpreter.check(sample, kernel, workload, configuration, number + turn)
        except ConstraintViolated:
            interpreter.check(sample, kernel, workload, kernel.default, number + turn)


@pytest.mark.parametrize(("name", "kernel", "places"), CASES, ids=[f"{name} of {kernel}" for name, kernel, _ in CASES])
def test_a_rewrite_keeps_what_the_kernel_computes(interpreter, samples, name: str, kernel: str, places: int) -> None:
    sample = samples[kernel]
    found = sites(sample.kernel, sample.problem, next(rewrite for rewrite in TRITON_REWRITES if rewrite.name == name))
    assert len(found) == places
    for number, site in enumerate(found[:MOST]):
        changed = site.make()
        assert accepted(changed, TritonLanguage(), [sample.kernel]), str(changed)
        assert parse_kernel(render_kernel(changed)) == changed
        check(interpreter, sample, changed, number)


def test_every_rewrite_is_run() -> None:
    assert {rewrite.name for rewrite in TRITON_REWRITES} == {name for name, _, places in CASES if places}


def test_names_of_rewrites_are_unique_and_every_family_has_one() -> None:
    assert len({rewrite.name for rewrite in TRITON_REWRITES}) == len(TRITON_REWRITES)
    assert set(TRITON_FAMILIES) == {rewrite.family for rewrite in TRITON_REWRITES}
    assert len(TRITON_FAMILIES) < len(TRITON_REWRITES)


def test_a_mark_is_a_word_that_the_rewrite_brings(samples) -> None:
    for rewrite in TRITON_REWRITES:
        for name, kernel, places in CASES:
            if name == rewrite.name and places:
                sample = samples[kernel]
                changed = sites(sample.kernel, sample.problem, rewrite)[0].make()
                new = set(changed.body.replace("(", " ").replace(",", " ").replace(".", " ").split())
                new |= set(changed.tunables)
                assert not rewrite.marks or any(word.startswith(rewrite.marks) for word in new), name


def test_the_samples_solve_their_problems(interpreter, samples) -> None:
    for sample in samples.values():
        for number, workload in enumerate(sample.workloads[-3:]):
            interpreter.check(sample, sample.kernel, workload, sample.kernel.default, number)


def test_the_interpreter_notices_a_kernel_that_leaves_its_buffers(interpreter, samples) -> None:
    sample = samples["softmax"]
    load = "tl.load(x + row + col"
    body = sample.kernel.body.replace(f'{load}, mask=col < cols, other=float("-inf"))', f"{load})")
    assert body != sample.kernel.body
    with pytest.raises(OutOfBounds):
        interpreter.check(sample, sample.kernel.with_body(body), sample.workloads[0], sample.kernel.default)
