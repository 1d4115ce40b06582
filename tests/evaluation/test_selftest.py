"""Identical kernels timed against each other, on PoCL."""

from __future__ import annotations

import pytest

from kernelevolve import registry
from kernelevolve.accelerator import Status
from kernelevolve.errors import KernelEvolveError
from kernelevolve.evaluation import selftest


@pytest.mark.opencl
def test_the_self_test_reports_what_identical_kernels_look_like(monkeypatch: pytest.MonkeyPatch) -> None:
    found = registry.accelerator("opencl").probe()
    if found.status is not Status.OK:
        pytest.skip(f"needs an OpenCL device: {found.message}")
    for name, value in (("ROUNDS", 8), ("FRESH", 1), ("FRESH_ROUNDS", 5)):
        monkeypatch.setattr(selftest, name, value)
    result = selftest.self_test("opencl", problem="rms_norm", batches=3)
    assert result.batches == 3
    assert 0 <= result.resolution < 2.0
    assert 1e-6 < result.seconds < 5.0
    assert 0.2 < result.fresh_ratio < 5.0
    assert result.kernel.startswith("rms_norm seed, rows=")


def test_a_problem_without_a_seed_for_the_accelerator_is_a_sentence() -> None:
    with pytest.raises(KernelEvolveError, match="'rms_norm' has no seed for 'reference'; nothing to time"):
        selftest.self_test("reference", problem="rms_norm")
