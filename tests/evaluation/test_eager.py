"""Eager PyTorch as a baseline: the host clock, the device's threads, and nothing left changed."""

from __future__ import annotations

import time

import pytest
import torch

from kernelevolve import Workload
from kernelevolve.accelerator import Source
from kernelevolve.evaluation.casebook import CaseBook
from kernelevolve.evaluation.eager import Eager
from kernelevolve.testing import samples

BOOK = CaseBook(samples.problem(), 1, limit_bytes=1 << 20, dtypes=("float32",))
CASES = BOOK.rotations(Workload.parse("rows=4,cols=8"), 2)


def spend(_: object) -> None:
    deadline = time.perf_counter() + 0.01
    while time.perf_counter() < deadline:
        pass


def test_a_sample_is_the_time_of_the_call_on_the_host_clock() -> None:
    sample = Eager(spend, threads=1, flush_bytes=0).sample(CASES[0], flush=False)
    assert 0.01 <= sample.seconds < 0.1
    assert (sample.source, sample.launches, sample.host_seconds) == (Source.HOST_WALL, 1, sample.seconds)


def test_flushing_is_not_part_of_the_time() -> None:
    eager = Eager(spend, threads=1, flush_bytes=256 << 20)
    begin = time.perf_counter()
    sample = eager.sample(CASES[0], flush=True)
    assert time.perf_counter() - begin > sample.seconds
    assert sample.seconds < 0.03


def test_threads_and_inference_mode_hold_during_the_call_only() -> None:
    seen = []
    eager = Eager(
        lambda _: seen.append((torch.get_num_threads(), torch.is_inference_mode_enabled())), threads=1, flush_bytes=0
    )
    before = torch.get_num_threads()
    eager.sample(CASES[0], flush=False)
    assert seen == [(1, True)]
    assert (torch.get_num_threads(), torch.is_inference_mode_enabled()) == (before, False)


def test_threads_are_restored_when_the_reference_fails() -> None:
    before = torch.get_num_threads()
    with pytest.raises(ZeroDivisionError):
        Eager(lambda _: 1 / 0, threads=before + 1, flush_bytes=0).sample(CASES[0], flush=False)
    assert torch.get_num_threads() == before


def test_warming_up_runs_every_case() -> None:
    seen: list[object] = []
    Eager(seen.append, threads=1, flush_bytes=0).warm_up(CASES)
    assert seen == list(CASES)


def test_the_description_names_version_and_threads() -> None:
    assert Eager(spend, threads=3, flush_bytes=0).description == f"PyTorch {torch.__version__} eager, CPU, 3 threads"
