"""Evolve accelerator kernels, with numbers that hold.

Declaring a problem needs nothing heavy; `evaluate`, `evolve` and `resume` import PyTorch and a toolchain when they are
first used.
"""

from __future__ import annotations

__all__ = [
    "Budget",
    "InputRequest",
    "Kernel",
    "KernelEvolveError",
    "Outcome",
    "Problem",
    "ScalarSpec",
    "Store",
    "TensorSpec",
    "Tolerance",
    "Workload",
    "__version__",
    "compile_kernel",
    "evaluate",
    "evolve",
    "parse_kernel",
    "read_kernel",
    "register",
    "resume",
]

import importlib
from typing import TYPE_CHECKING, Any

from kernelevolve._version import VERSION
from kernelevolve.errors import KernelEvolveError
from kernelevolve.kernel import Kernel, parse_kernel, read_kernel
from kernelevolve.outcome import Outcome
from kernelevolve.problem import InputRequest, Problem, ScalarSpec, TensorSpec, Tolerance, Workload

#: The package's version.
__version__ = VERSION

if TYPE_CHECKING:
    from kernelevolve.api import compile_kernel, evaluate, evolve, resume
    from kernelevolve.evolution.budget import Budget
    from kernelevolve.registry import register
    from kernelevolve.store import Store

#: Public names that come with imports of their own, loaded when they are asked for.
_LAZY = {
    "Budget": "kernelevolve.evolution.budget",
    "Store": "kernelevolve.store",
    "compile_kernel": "kernelevolve.api",
    "evaluate": "kernelevolve.api",
    "evolve": "kernelevolve.api",
    "register": "kernelevolve.registry",
    "resume": "kernelevolve.api",
}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module 'kernelevolve' has no attribute {name!r}")
    return getattr(importlib.import_module(_LAZY[name]), name)
