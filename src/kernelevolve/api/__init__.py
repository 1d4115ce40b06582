"""The verbs: evaluate one kernel, compile it for targets, evolve a problem's kernel, resume a run."""

from __future__ import annotations

__all__ = [
    "Choice",
    "Compiled",
    "Evaluated",
    "RunResult",
    "SearchSettings",
    "compile_kernel",
    "confirmation_record",
    "evaluate",
    "evolve",
    "remember_resolution",
    "result_record",
    "resume",
]

from kernelevolve.api.compiling import Compiled, compile_kernel
from kernelevolve.api.records import Choice, Evaluated, RunResult, confirmation_record, result_record
from kernelevolve.api.running import SearchSettings
from kernelevolve.api.settings import remember_resolution
from kernelevolve.api.verbs import evaluate, evolve, resume
