"""Every rewrite is run on a real device: what the kernel computed before, it computes after, at odd sizes too."""

import random

import numpy as np
import pytest

from kernelevolve.languages.opencl_c import OpenCLC
from kernelevolve.proposers.rewriting.changes import accepted
from kernelevolve.proposers.rewriting.proposer import _compositions
from kernelevolve.proposers.rewriting.table import FAMILIES, REWRITES, sites

#: Rewrite, kernel, and at how many places it applies there.
CASES = [
    ("vectorise", "softmax", 4),
    ("vectorise", "rms_norm_items", 3),
    ("lanes", "softmax_items", 2),
    ("lanes", "total", 4),
    ("unroll", "rms_norm", 2),
    ("unroll-pragma", "matmul", 1),
    ("interchange", "total", 1),
    ("tile", "total", 1),
    ("fuse", "total", 1),
    ("online-softmax", "softmax_items", 2),
    ("reuse-output", "softmax", 1),
    ("reuse-output", "softmax_items", 1),
    ("hoist", "total", 4),
    ("row-pointer", "rms_norm_items", 3),
    ("reciprocal", "softmax_items", 1),
    ("native", "rms_norm_items", 5),
    ("contract", "scaled_sum", 2),
    ("branchless", "map_id", 1),
    ("branchless", "scaled_sum", 1),
    ("qualify", "rms_norm_items", 1),
    ("required-size", "matmul", 1),
    ("group-size", "rms_norm_items", 1),
    ("group-size", "matmul", 2),
    ("swap-dimensions", "matmul", 1),
    ("coarsen", "scaled_sum", 2),
    ("coarsen", "rms_norm_items", 2),
    ("jam", "matmul", 2),
    ("jam", "rms_norm_items", 1),
    ("row-per-group", "softmax_items", 2),
    ("stage-row", "rms_norm", 1),
]


def check(machine, sample, kernel, number: int) -> None:
    """Run `kernel` with one configuration, the default for every second `number`, at every size of the sample."""
    configurations = list(kernel.configurations())
    configuration = random.Random(number).choice(configurations) if number % 2 else configurations[0]
    for workload in sample.workloads:
        want = machine.run(sample, sample.kernel, workload, sample.kernel.default)
        assert np.isfinite(want).all()
        got = machine.run(sample, kernel, workload, configuration)
        np.testing.assert_allclose(got, want, rtol=1e-3, atol=1e-5, err_msg=f"{workload} {configuration}\n{kernel}")


@pytest.mark.opencl
@pytest.mark.parametrize(("name", "kernel", "places"), CASES, ids=[f"{name} of {kernel}" for name, kernel, _ in CASES])
def test_a_rewrite_keeps_what_the_kernel_computes(machine, samples, name: str, kernel: str, places: int) -> None:
    sample = samples[kernel]
    found = sites(sample.kernel, sample.problem, next(rewrite for rewrite in REWRITES if rewrite.name == name))
    assert len(found) == places
    for number, site in enumerate(found):
        changed = site.make()
        assert accepted(changed, OpenCLC(), [sample.kernel]), str(changed)
        check(machine, sample, changed, number)


@pytest.mark.opencl
@pytest.mark.parametrize("seed", range(12))
def test_several_rewrites_in_a_row_keep_what_the_kernel_computes(machine, samples, seed: int) -> None:
    rng = random.Random(seed)
    sample = samples[sorted(samples)[seed % len(samples)]]
    change = next(_compositions(sample.kernel, sample.problem, rng))
    assert accepted(change.kernel, OpenCLC(), [sample.kernel]), str(change.kernel)
    check(machine, sample, change.kernel, seed // len(samples))


def test_every_rewrite_is_run_on_a_device() -> None:
    assert {rewrite.name for rewrite in REWRITES} == {name for name, _, _ in CASES}


def test_names_of_rewrites_are_unique_and_every_family_has_one() -> None:
    assert len({rewrite.name for rewrite in REWRITES}) == len(REWRITES)
    assert set(FAMILIES) == {rewrite.family for rewrite in REWRITES}


@pytest.mark.opencl
def test_the_samples_solve_their_problems(machine, samples) -> None:
    for sample in samples.values():
        for workload in sample.workloads:
            got = machine.run(sample, sample.kernel, workload, sample.kernel.default)
            want = machine.expected(sample, workload)
            np.testing.assert_allclose(got, want, rtol=1e-3, atol=1e-5, err_msg=sample.problem.name)
