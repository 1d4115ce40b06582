"""Inserts candidates and evaluations in a loop, and says on standard output what was acknowledged."""

from __future__ import annotations

import sys

from kernelevolve.accelerator import Source
from kernelevolve.outcome import Outcome
from kernelevolve.store import Candidate, Evaluation, Store, WorkloadTimes

url, run, name, count = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])
with Store.open(url) as store:
    print("open", flush=True)
    for index in range(count):
        number = store.add_candidate(Candidate(run, name), f"kernel {name} {index}\n" * 50)
        artifact = store.artifacts.put(f"{name} {number}".encode() * 1000)
        times = {"rows=1": WorkloadTimes(tuple(float(n) for n in range(100)), Source.HOST_WALL, "screen")}
        kept = store.add_evaluation(
            Evaluation(run, number, "screen", Outcome.CORRECT, times=times, fitness=1.0, artifacts={"b": artifact}),
            spent={"last": number},
        )
        print(number, kept.id, artifact, flush=True)
