"""What a reference kernel can call beside NumPy: its place in the grid, unchecked pointers, and ways to misbehave.

The latter exist because the isolation of candidates can only be tested with candidates that really crash, hang and hog.

- ``program_id(axis)``, ``num_programs(axis)``: this group's index, and the grid's size, along an axis from 0 to 2.
- ``load(x, i)``, ``store(x, i, value)``: element `i` counted from the start of `x` without a bounds check, as a pointer
  in C: it may be in a guard zone. Outside the allocation it is a device fault.
- ``unstable()``: how often the bound plan ran before: a result that depends on it differs from run to run.
- ``crash()``: the process dies of a segmentation fault. ``spin()``: never returns.
- ``fault()``: an illegal access that the device reports. ``lose_device()``: the device drops off the bus.
- ``hog(nbytes)``: takes and keeps so much of the host's memory. ``say(text)``: prints to the process's standard output.
- ``break_plugin()``: the accelerator itself raises something that its contract does not allow.
"""

from __future__ import annotations

__all__ = ["PluginBrokenError", "Primitives"]

import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NoReturn

import numpy as np

from kernelevolve.outcome import DeviceFault, DeviceLost
from kernelevolve.testing.memory import Array, ReferenceBuffer


class PluginBrokenError(RuntimeError):
    """What ``break_plugin`` lets out of the session."""


class Primitives:
    """The functions of one session; its geometry is set before each group runs."""

    def __init__(self) -> None:
        self.group: tuple[int, ...] = (0,)
        self.grid: tuple[int, ...] = (1,)
        self.buffers: Sequence[ReferenceBuffer] = ()
        #: How often the plan that runs now ran before.
        self.runs = 0
        self._hoard: list[Array] = []

    def namespace(self) -> Mapping[str, Callable[..., Any]]:
        """The functions by the names a kernel calls."""
        return {
            "program_id": lambda axis: self.group[axis] if axis < len(self.group) else 0,
            "num_programs": lambda axis: self.grid[axis] if axis < len(self.grid) else 1,
            "load": lambda array, index: self._cell(array, index)[0],
            "store": self._store,
            "unstable": lambda: self.runs,
            "crash": _crash,
            "fault": _fault,
            "lose_device": _lose_device,
            "hog": self._hog,
            "spin": _spin,
            "say": _say,
            "break_plugin": _break_plugin,
        }

    def _cell(self, array: Array, index: int) -> Array:
        for buffer in self.buffers:
            cell = buffer.cell(array, int(index))
            if cell is not None:
                return cell
        raise DeviceFault(f"illegal address: element {index} of a buffer lies outside its allocation", signal=None)

    def _store(self, array: Array, index: int, value: float) -> None:
        self._cell(array, index)[0] = value

    def _hog(self, nbytes: int) -> None:
        self._hoard.append(np.ones(int(nbytes), dtype=np.uint8))  # ones, so that the pages are really taken


def _crash() -> NoReturn:
    os.kill(os.getpid(), signal.SIGSEGV)
    os.abort()  # a handler may have taken the signal


def _fault() -> NoReturn:
    raise DeviceFault("illegal address: the kernel called fault()", signal=None)


def _lose_device() -> NoReturn:
    raise DeviceLost("the device dropped off the bus: the kernel called lose_device()", log="")


def _break_plugin() -> NoReturn:
    raise PluginBrokenError("the kernel called break_plugin()")


def _spin() -> NoReturn:
    while True:
        pass


def _say(text: object) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()
