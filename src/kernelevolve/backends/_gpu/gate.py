"""Gates: a stream that is held until everything to be timed is enqueued, so that the host's latency stays out of times.

The idea is nvbench's blocking kernel. A gate opens by itself after `LIMIT` seconds, so that nothing can hang in it.
"""

from __future__ import annotations

__all__ = ["LIMIT", "Gate", "SpinGate", "WaitGate", "make_gate"]

import ctypes
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final, Protocol

from kernelevolve.backends._gpu.arguments import pack
from kernelevolve.backends._gpu.driver import DriverError, ErrorKind, Flag, GpuDriver, LaunchShape

#: Seconds after which a gate opens by itself. It is closed for a fraction of a millisecond, unless the driver waits for
#: the device inside a call that enqueues something.
LIMIT: Final = 2.0
_ONE_THREAD: Final = LaunchShape(grid=(1, 1, 1), block=(1, 1, 1))


class Gate(Protocol):
    """Holds one stream."""

    #: What holds it: ``kernel`` or ``stream``.
    kind: str

    def close(self) -> None:
        """Enqueue the gate: what is enqueued after it does not start before `open`."""
        ...

    def open(self) -> None:
        """Let the stream go on."""
        ...

    def held(self) -> bool:
        """Whether the gate stayed closed until `open`. To be asked once the stream was waited for."""
        ...

    def dispose(self) -> None:
        """Give its memory back."""
        ...


class _Words:
    """A flag's two words, as the host sees them."""

    def __init__(self, flag: Flag) -> None:
        self.flag = flag
        self._words = (ctypes.c_uint32 * 2).from_address(flag.host)

    def reset(self) -> None:
        self._words[0] = 0
        self._words[1] = 0

    def release(self) -> None:
        self._words[0] = 1

    @property
    def expired(self) -> bool:
        return bool(self._words[1])


class SpinGate:
    """A kernel of one thread that spins; it watches the device's own clock, and reports when time was up."""

    kind = "kernel"

    def __init__(self, driver: GpuDriver, stream: Any, binary: bytes, symbol: str) -> None:
        self._driver = driver
        self._module = driver.load(binary)
        function = driver.function(self._module, symbol)
        self._words = _Words(driver.allocate_flag())
        address = self._words.flag.device
        self._arguments = pack([("flag", "pointer", address), ("limit", "u64", round(LIMIT * 1e9))])
        self._launch = driver.launcher(function, _ONE_THREAD, self._arguments.address, stream)

    def close(self) -> None:
        self._words.reset()
        self._launch()

    def open(self) -> None:
        self._words.release()

    def held(self) -> bool:
        return not self._words.expired

    def dispose(self) -> None:
        self._driver.free_flag(self._words.flag)
        self._driver.unload(self._module)


class WaitGate:
    """The stream waits for memory to change; a timer on the host changes it when time is up."""

    kind = "stream"

    def __init__(self, driver: GpuDriver, stream: Any) -> None:
        self._driver, self._stream = driver, stream
        self._words = _Words(driver.allocate_flag())
        self._expired = threading.Event()
        self._timer: threading.Timer | None = None

    def close(self) -> None:
        self._words.reset()
        self._expired.clear()
        self._driver.wait_for_flag(self._words.flag, self._stream)
        self._timer = threading.Timer(LIMIT, self._expire)
        self._timer.daemon = True
        self._timer.start()

    def _expire(self) -> None:
        self._expired.set()
        self._words.release()

    def open(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._words.release()

    def held(self) -> bool:
        return not self._expired.is_set()

    def dispose(self) -> None:
        self._driver.free_flag(self._words.flag)


def make_gate(driver: GpuDriver, stream: Any) -> Gate | None:
    """The best gate that works here: a spinning kernel, or a stream that waits; None where neither does.

    Raises `DriverError` only for a device that is broken.
    """
    kernel = driver.blocking_kernel()
    makers: list[Callable[[], Gate]] = [lambda: WaitGate(driver, stream)]
    if kernel is not None:
        makers.insert(0, lambda: SpinGate(driver, stream, *kernel))
    for make in makers:
        gate: Gate | None = None
        try:
            gate = make()
            gate.close()
            gate.open()
            driver.synchronize(stream)
            if gate.held():
                return gate
        except DriverError as error:
            if error.kind in (ErrorKind.FAULT, ErrorKind.LOST):
                raise
        if gate is not None:
            with suppress(DriverError):
                gate.dispose()
    return None
