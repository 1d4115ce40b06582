"""A small problem with kernels for the reference accelerator: right ones, and one for each way to fail.

The ways to fail are kernels and not switches, so that what is tested is what a real candidate could do.
"""

from __future__ import annotations

__all__ = ["FAILING", "GOOD", "SLOW", "TUNED", "TWO_LAUNCHES", "kernel_text", "problem"]

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from kernelevolve.outcome import Outcome
from kernelevolve.problem import Problem, TensorSpec

if TYPE_CHECKING:
    import torch


def _reference(x: torch.Tensor) -> torch.Tensor:
    return 2 * x + 1


def kernel_text(body: str, header: str = "", tune: str = "") -> str:
    """A kernel file of one launch: entry ``affine``, one group per row; `header` and `tune` are lines of TOML."""
    lines = ['language = "reference"', *header.splitlines()]
    lines += ["[tune]", *tune.splitlines()] if tune else []
    lines += ["[[launch]]", 'entry = "affine"', 'grid = ["rows"]']
    commented = "\n".join(f"# {line}" for line in ("/// kernel", *lines, "///"))
    return f"{commented}\nimport numpy as np\n\n{body}"


#: One row per group, and the ways below to spoil it.
_ROW = """def affine(x, y, rows, cols):
    row = program_id(0) * cols
    y[row : row + cols] = 2 * x[row : row + cols] + 1
"""

#: Right; costs 10 cycles per element.
GOOD: Final = kernel_text('COST = "rows * cols * 10"\n\n\n' + _ROW)
#: Right, at twice the price.
SLOW: Final = kernel_text('COST = "rows * cols * 20"\n\n\n' + _ROW)
#: Right; ``LANES = 4`` with ``DEPTH = 2`` is the cheapest, and ``LANES = 8`` needs more registers than there are.
TUNED: Final = kernel_text(
    """COST = "cdiv(rows * cols * 16, LANES) + (DEPTH - 2) ** 2 * rows * cols"
REGISTERS = "LANES * 40"


"""
    + _ROW,
    tune="LANES = [1, 2, 4, 8]\nDEPTH = [1, 2, 3]",
)
#: Right; doubles into a scratch buffer, then adds, in another order of groups.
TWO_LAUNCHES: Final = """# /// kernel
# language = "reference"
# [scratch.doubled]
# shape = ["rows", "cols"]
# dtype = "float32"
# [[launch]]
# entry = "double"
# grid = ["rows"]
# [[launch]]
# entry = "increment"
# grid = ["cols"]
# block = ["rows"]
# ///
import numpy as np


def double(x, doubled, cols):
    row = program_id(0) * cols
    doubled[row : row + cols] = 2 * x[row : row + cols]


def increment(doubled, y, rows, cols):
    column = program_id(0)
    for row in range(rows):
        y[row * cols + column] = doubled[row * cols + column] + 1
"""


def _with(line: str) -> str:
    """The right kernel with one more statement at the end of each group."""
    return kernel_text(f'COST = "rows * cols * 10"\n\n\n{_ROW}    {line}\n')


def _marked(line: str) -> str:
    """The right kernel with one more module constant."""
    return kernel_text(f"{line}\n\n\n{_ROW}")


#: A kernel for each failure that a candidate can bring about by itself.
FAILING: Final[Mapping[Outcome, str]] = {
    Outcome.CONSTRAINT: kernel_text(_ROW, header='constraints = ["rows < 0"]'),
    Outcome.REJECTED: kernel_text("import os\n\n\n" + _ROW),
    Outcome.COMPILE_ERROR: _with("y[row] = undefined"),
    Outcome.COMPILE_TIMEOUT: _marked("COMPILE_SECONDS = 600"),
    Outcome.TOOLCHAIN_ERROR: _marked('COMPILER = "breaks"'),
    Outcome.RESOURCE_EXCEEDED: _marked("REGISTERS = 256"),
    Outcome.LAUNCH_ERROR: kernel_text(_ROW).replace('grid = ["rows"]', 'grid = ["rows", "2**24 + 1"]'),
    Outcome.DEVICE_FAULT: _with("crash()"),
    Outcome.RUN_TIMEOUT: _with("spin()"),
    Outcome.OUT_OF_MEMORY: _with("hog(2**40)"),
    Outcome.WRONG_RESULT: _with("y[row] = y[row] + 1"),
    Outcome.OUT_OF_BOUNDS: _with("store(y, rows * cols, 0.0)"),
    Outcome.NONDETERMINISTIC: _with("y[row] = y[row] + unstable()"),
    Outcome.INPUT_MODIFIED: _with("x[row] = 0.0"),
    Outcome.IMPLAUSIBLE: _marked('COST = "1"'),
    Outcome.UNSTABLE: _marked('COST = "rows * cols * 1000"\nNOISE = 0.95'),
    Outcome.DEVICE_LOST: _with("lose_device()"),
    Outcome.PLUGIN_BUG: _with("break_plugin()"),
}


def problem() -> Problem:
    """``y = 2 * x + 1`` over rows and columns: small enough to be run thousands of times."""
    return Problem(
        name="affine",
        axes=("rows", "cols"),
        inputs=(TensorSpec("x", "rows, cols"),),
        outputs=(TensorSpec("y", "rows, cols"),),
        reference=_reference,
        workloads=("rows=4,cols=8", "rows=16,cols=32"),
        hidden=("rows=3,cols=5", "rows=1,cols=1"),
        seeds={"reference": GOOD},
        pattern="elementwise",
        description="y = 2 x + 1",
    )
