"""A child for test_loop.py: runs or resumes a run on the reference accelerator, saying when each evaluation is kept."""

from __future__ import annotations

import sys

import kernelevolve
from kernelevolve.evolution.loop import Progress
from kernelevolve.testing import samples
from kernelevolve.testing.proposer import SampleProposer


def observe(progress: Progress) -> None:
    print(f"kept {progress.evaluations}", flush=True)


def main() -> None:
    url, run, evaluations = sys.argv[1], sys.argv[2], int(sys.argv[3])
    budget = kernelevolve.Budget(evaluations=evaluations)
    with kernelevolve.Store.open(url) as store:
        if run == "new":
            result = kernelevolve.evolve(
                samples.problem(),
                "reference",
                budget=budget,
                seed=11,
                proposer=SampleProposer(),
                store=store,
                observer=observe,
            )
        else:
            result = kernelevolve.resume(
                run, problem=samples.problem(), budget=budget, store=store, proposer=SampleProposer(), observer=observe
            )
    print(f"best {result.best} {dict(result.configuration)} {result.speedup:.6f}", flush=True)


if __name__ == "__main__":
    main()
