"""The same rewrites of the same kernel, in any process, and soon."""

import os
import subprocess
import sys
import time

from kernelevolve.proposers.rewriting.triton_rules import TRITON_REWRITES, sites

SCRIPT = """
import hashlib
from kernelevolve import registry
from kernelevolve.kernel import parse_kernel, render_kernel
from kernelevolve.proposers.rewriting.triton_rules import TRITON_REWRITES, sites, triton_tunable_changes

for name in ("matmul", "softmax"):
    problem = registry.problem(name)
    kernel = parse_kernel(problem.seeds["triton"])
    made = [site.make() for rewrite in TRITON_REWRITES for site in sites(kernel, problem, rewrite)]
    made += [change.kernel for change in triton_tunable_changes(kernel, problem)]
    text = "".join(map(render_kernel, made))
    print(len(made), hashlib.sha256(text.encode()).hexdigest())
"""


def test_every_process_finds_the_same_places_in_the_same_order() -> None:
    started = [
        subprocess.Popen(
            [sys.executable, "-c", SCRIPT],
            env={**os.environ, "PYTHONHASHSEED": seed},
            stdout=subprocess.PIPE,
            text=True,
        )
        for seed in ("1", "2")
    ]
    runs = [one.communicate()[0] for one in started]
    assert runs[0] == runs[1]
    assert len(runs[0].splitlines()) == 2


def test_a_site_makes_the_same_kernel_each_time(samples) -> None:
    sample = samples["softmax"]
    for rewrite in TRITON_REWRITES:
        for site in sites(sample.kernel, sample.problem, rewrite)[:2]:
            assert site.make() == site.make()


def test_the_places_of_a_rewrite_are_found_in_milliseconds(samples) -> None:
    times = []
    for name in ("softmax", "matmul", "layer_norm"):
        sample = samples[name]
        for rewrite in TRITON_REWRITES:
            started = time.perf_counter()
            sites(sample.kernel, sample.problem, rewrite)
            times.append(time.perf_counter() - started)
    assert sorted(times)[len(times) // 2] < 0.1
