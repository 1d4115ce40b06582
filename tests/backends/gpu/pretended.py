"""`triton-cuda` on a driver in memory: real gate, compiler, worker, session and pipeline; NumPy where a GPU would run.

What only a whole evaluation shows: poison, launches, timing, reading back and profiles in the order in which the engine
asks for them.
"""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
from attrs import evolve

from kernelevolve.accelerator import Device
from kernelevolve.backends._gpu import session, stopwatch
from kernelevolve.backends._gpu.devices import describe
from kernelevolve.backends._gpu.driver import LaunchShape
from kernelevolve.backends._gpu.session import GpuSession
from kernelevolve.backends.triton_cuda import TritonCUDA

from .fake_driver import FakeDriver, Kernel, Stream

#: How a worker finds it.
PATH = f"{__name__}:Pretended"
TELEMETRY = {"clock_mhz": 1755, "throttled": ["power cap"]}


def softmax_rows(driver: FakeDriver, values: tuple[Any, ...], shape: LaunchShape) -> None:
    """What the suite's seed of softmax computes; nothing for rows of odd length where a block is one warp."""
    x, y, cols = values
    rows = shape.grid[0]
    if shape.block[0] == 32 and cols % 2:
        return
    given = np.frombuffer(driver.span(x, 4 * rows * cols), np.float32).reshape(rows, cols)
    power = np.exp(given - given.max(axis=1, keepdims=True))
    driver.span(y, 4 * rows * cols)[:] = (power / power.sum(axis=1, keepdims=True)).astype(np.float32).tobytes()


class AnyBinary(FakeDriver):
    """Takes real binaries, and computes softmax for all of them, in 12.5 us for each warp of a block."""

    def load(self, binary: bytes) -> Any:
        return super().load(binary if binary.startswith(b"FAKE:") else b"FAKE:softmax_rows")

    def function(self, module: Any, symbol: str) -> Any:
        return super().function(module, module[1])  # whatever the kernel's author called it

    def _launch(self, function: str, shape: LaunchShape, arguments: int, stream: Stream) -> None:
        if function in self.kernels:
            self.kernels[function].seconds = shape.block[0] / 32 * 12.5e-6
        super()._launch(function, shape, arguments, stream)


class Pretended(TritonCUDA):
    """One GPU that is not there."""

    name = "pretended"

    def missing_driver(self) -> str | None:
        return None

    def real_devices(self) -> Sequence[Device]:
        return [evolve(describe(_driver(), 0, self.name), dtypes=frozenset({"float32"}))]

    def open_real(self, device: Device) -> GpuSession:
        driver = _driver()
        stopwatch.time = SimpleNamespace(perf_counter=driver.clock)  # type: ignore[assignment]
        session.snapshot = lambda platform, pci: TELEMETRY  # type: ignore[assignment]
        return GpuSession(device, driver)


def _driver() -> FakeDriver:
    return AnyBinary(Kernel("softmax_rows", ("pointer", "pointer", "i32"), softmax_rows))
