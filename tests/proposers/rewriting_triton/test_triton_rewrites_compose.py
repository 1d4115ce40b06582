"""Several rewrites in a row, of any kernel, in any order: the last kernel computes what the first one did."""

import random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kernelevolve.kernel import parse_kernel
from kernelevolve.languages.triton_lang import TritonLanguage
from kernelevolve.outcome import ConstraintViolated
from kernelevolve.proposers.rewriting.changes import accepted
from kernelevolve.proposers.rewriting.triton_rules import TRITON_REWRITES, sites, triton_tunable_changes


def composed(sample, seed: int, length: int):
    """A kernel after `length` rewrites, and what they were."""
    rng = random.Random(seed)
    kernel, notes = sample.kernel, []
    for _ in range(length):
        for rewrite in rng.sample(TRITON_REWRITES, len(TRITON_REWRITES)):
            found = sites(kernel, sample.problem, rewrite)
            if found:
                site = rng.choice(found)
                kernel = site.make()
                notes.append(f"{rewrite.name}: {site.note}")
                break
    return kernel, notes


def check(interpreter, sample, kernel, seed: int) -> None:
    rng = random.Random(seed)
    others = [{name: rng.choice(values) for name, values in kernel.tunables.items()}]
    for workload in (rng.choice(sample.workloads), sample.workloads[-1]):
        for configuration in (kernel.default, *others):
            try:
                interpreter.check(sample, kernel, workload, configuration, rng.randrange(12))
            except ConstraintViolated:
                assert configuration != kernel.default


def run(interpreter, samples, name: str, seed: int, length: int) -> None:
    sample = samples[name]
    kernel, notes = composed(sample, seed, length)
    assert notes
    assert accepted(kernel, TritonLanguage(), [sample.kernel]), f"{notes}\n{kernel}"
    try:
        check(interpreter, sample, kernel, seed)
    except Exception as error:
        raise AssertionError(f"{notes}") from error


NAMES = (
    *("softmax", "rms_norm", "layer_norm", "cross_entropy", "swiglu", "matmul", "conv1d", "factorization_machine"),
    *("attention", "rope", "rms_norm_backward", "embedding_bag", "mbdt", "map_id", "softmax_scalar", "softmax_fused"),
    *("matmul_tutorial", "matmul_epilogue", "swiglu_grid", "swiglu_two", "rms_norm_block", "layer_norm_moments"),
    *("column_sums_rows", "column_sums_fixed", "two_sums_loops"),
)
SETTINGS = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], derandomize=True)


@settings(SETTINGS, max_examples=30)
@given(name=st.sampled_from(NAMES), seed=st.integers(0, 10**6), length=st.integers(2, 3))
def test_compositions_keep_what_the_kernel_computes(interpreter, samples, name: str, seed: int, length: int) -> None:
    run(interpreter, samples, name, seed, length)


@pytest.mark.slow
@settings(SETTINGS, max_examples=250)
@given(
    name=st.sampled_from((*NAMES, "pffn", "batch_event_truncate")), seed=st.integers(0, 10**6), length=st.integers(3, 5)
)
def test_long_compositions_keep_what_the_kernel_computes(
    interpreter, samples, name: str, seed: int, length: int
) -> None:
    run(interpreter, samples, name, seed, length)


@pytest.mark.parametrize("name", ["two_sums_loops", "column_sums_fixed", "column_sums_rows", "swiglu_two", "softmax"])
def test_changes_of_tunables_keep_what_the_kernel_computes(interpreter, samples, name: str) -> None:
    sample = samples[name]
    changes = list(triton_tunable_changes(sample.kernel, sample.problem))
    assert len(changes) >= 2
    for number, change in enumerate(changes):
        assert accepted(change.kernel, TritonLanguage(), [sample.kernel]), str(change.kernel)
        assert set(change.kernel.tunables) != set(sample.kernel.tunables), change.note
        check(interpreter, sample, change.kernel, number)


#: What experts do to these kernels, as steps: a rewrite, and which of its places.
CHAINS = {
    "rms_norm": (
        *(("single-pass", 1), ("rsqrt", 0), ("several-rows", 0), ("divisible", 0), ("persistent", 0), ("hoist", 0)),
        ("caching", 0),
    ),
    "softmax": (("online-softmax", 0), ("single-pass", 1), ("several-rows", 0), ("exp2", 0), ("persistent", 0)),
    "matmul": (
        *(("divisible", 0), ("grouped", 0), ("descriptors", 0), ("persistent", 0), ("pipeline", -1)),
        ("flatten-loops", 0),
    ),
    "attention": (("folded-exp2", 0), ("reciprocal", 0), ("descriptors", 0), ("divisible", 0), ("persistent", 0)),
    "conv1d": (("interchange", 0), ("grouped", 0), ("peel", 0), ("walk-pointers", 0)),
    "embedding_bag": (("several-turns", 0), ("follow-axis", 0), ("persistent", 0), ("caching", 0)),
    "matmul_epilogue": (("dot-accumulate", 0), ("fuse-epilogue", 0), ("grouped", 0), ("split-reduction", 0)),
    "layer_norm": (("narrow", 0), ("online-moments", 0), ("single-pass", 1), ("several-rows", 0)),
}


@pytest.mark.parametrize("name", CHAINS)
def test_what_experts_do_is_within_reach(interpreter, samples, name: str) -> None:
    sample = samples[name]
    kernel = sample.kernel
    for step, place in CHAINS[name]:
        rewrite = next(rewrite for rewrite in TRITON_REWRITES if rewrite.name == step)
        found = sites(kernel, sample.problem, rewrite)
        assert found, f"{step} does not apply to\n{kernel}"
        kernel = found[place].make()
    assert accepted(kernel, TritonLanguage(), [sample.kernel]), str(kernel)
    for seed in range(3):
        check(interpreter, sample, kernel, seed)


def notes_of(sample, text: str) -> list[str]:
    return [change.note for change in triton_tunable_changes(parse_kernel(text), sample.problem)]


@pytest.mark.parametrize(
    ("what", "old", "new"),
    [
        ("a stride", "row * cols + col", "row * 32 + col"),
        ("no mask", "mask=inside, other=0.0).to(tl.float32)\n", "other=0.0).to(tl.float32)\n"),
        ("a buffer for each block", "# [[launch]]", '# [scratch.parts]\n# shape = ["cdiv(cols, 32)"]\n# [[launch]]'),
        ("a grid that is no rounding up", '"cdiv(cols, 32)"', '"cols // 32 + 1"'),
    ],
)
def test_a_number_that_is_not_only_a_width_stays(samples, what: str, old: str, new: str) -> None:
    sample = samples["column_sums_fixed"]
    text = str(sample.kernel)
    assert "32 becomes the tunable BLOCK_32" in notes_of(sample, text)
    assert old in text
    changed = notes_of(sample, text.replace(old, new))
    assert not any("32 becomes" in note for note in changed), what


def test_a_tunable_is_shared_out_only_where_nothing_ties_the_launches(samples) -> None:
    sample = samples["swiglu_two"]
    text = str(sample.kernel)
    assert len([note for note in notes_of(sample, text) if note.endswith("of its own")]) == 2
    for old, new in (
        ('["rows", "cols"]', '["rows", "cdiv(cols, BLOCK) * BLOCK"]'),
        ('n = "rows * cols"', 'n = "rows * cols + BLOCK - BLOCK"'),
        ("# [tune]", '# constraints = ["BLOCK <= 512"]\n# [tune]'),
    ):
        assert old in text
        assert not [note for note in notes_of(sample, text.replace(old, new)) if note.endswith("of its own")]
