"""One timed interval on a stream: device events around the work, and the host's clock as a witness.

A gate holds the stream until all of it is enqueued. Without one, what is still running from before (a cache flush)
hides the host's latency as far as it lasts.
"""

from __future__ import annotations

__all__ = ["Reading", "Stopwatch"]

import gc
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from attrs import frozen

from kernelevolve.backends._gpu.driver import GpuDriver
from kernelevolve.backends._gpu.gate import Gate, make_gate


@frozen
class Reading:
    """Two clocks on the same work, in seconds."""

    #: Between the two events, on the device's clock.
    device: float
    #: On the host's clock, from the last instant known to precede the first event to the first known to follow the
    #: second. So never less than `device` but for the drift of clocks; more by what it takes to notice (microseconds).
    host: float
    #: Whether the gate stayed closed until everything was enqueued; True where none was asked for.
    held: bool


class Stopwatch:
    """Times work on one stream."""

    def __init__(self, driver: GpuDriver, stream: Any) -> None:
        self._driver, self._stream = driver, stream
        self._start, self._end = driver.create_event(), driver.create_event()
        self._gate: Gate | None = make_gate(driver, stream)
        #: How the stream is held: ``kernel``, ``stream``, or ``none``.
        self.gate = self._gate.kind if self._gate else "none"

    def measure(self, work: Callable[[], None], *, gated: bool) -> Reading:
        """Enqueue `work` between two events, and wait. `gated` holds the stream meanwhile, where there is a gate.

        Work that waits for the device while it is enqueued must not be gated: it would wait for the gate's time-out.
        Raises `DriverError`.
        """
        driver, gate = self._driver, self._gate if gated else None
        with _no_collection():
            begun = opened = time.perf_counter()
            if gate is not None:
                gate.close()
            try:
                driver.record(self._start, self._stream)
                work()
                driver.record(self._end, self._stream)
            finally:
                if gate is not None:
                    opened = time.perf_counter()
                    gate.open()
        before = self._last_before_start(opened)
        driver.synchronize(self._stream)
        after = time.perf_counter()
        held = gate is None or gate.held()
        return Reading(driver.elapsed(self._start, self._end), after - (before if held else begun), held)

    def _last_before_start(self, before: float) -> float:
        """The latest instant at which the first event had certainly not happened; `before` is one such."""
        while True:
            now = time.perf_counter()
            if self._driver.finished(self._start):
                return before
            before = now

    def dispose(self) -> None:
        """Give events and gate back."""
        self._driver.destroy_event(self._start)
        self._driver.destroy_event(self._end)
        if self._gate is not None:
            self._gate.dispose()


@contextmanager
def _no_collection() -> Iterator[None]:
    """Keep the garbage collector still: what it finds may be given back by calls that wait for the device."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
