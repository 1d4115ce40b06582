"""The verbs: evaluate one kernel, evolve a problem's kernel, resume a run."""

from __future__ import annotations

__all__ = [
    "Choice",
    "Evaluated",
    "RunResult",
    "confirmation_record",
    "evaluate",
    "evolve",
    "remember_resolution",
    "result_record",
    "resume",
]

from kernelevolve.api.records import Choice, Evaluated, RunResult, confirmation_record, result_record
from kernelevolve.api.settings import remember_resolution
from kernelevolve.api.verbs import evaluate, evolve, resume
