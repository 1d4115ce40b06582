"""A driver in memory, with the session's clock on its virtual one."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace

import pytest

from kernelevolve.backends._gpu import stopwatch
from kernelevolve.backends._gpu.session import GpuSession

from .fake_driver import FakeDriver, Kernel, device_of

Opener = Callable[..., tuple[GpuSession, FakeDriver]]


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> Opener:
    """Opens a session on a driver with these kernels."""

    def open_session(*kernels: Kernel, gate: str = "kernel", **attributes: object) -> tuple[GpuSession, FakeDriver]:
        driver = FakeDriver(*kernels, gate=gate)
        driver.attributes.update(attributes.get("attributes", {}))  # type: ignore[arg-type]
        monkeypatch.setattr(stopwatch, "time", SimpleNamespace(perf_counter=driver.clock))
        return GpuSession(device_of(driver), driver), driver

    return open_session
