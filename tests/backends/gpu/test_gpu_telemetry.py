"""Telemetry: what is there is reported, what is not is left out, and nothing is ever raised."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any

import pytest

from kernelevolve.accelerator import Profiles
from kernelevolve.backends._gpu.session import GpuSession
from kernelevolve.backends._gpu.telemetry import snapshot
from kernelevolve.plan import PlannedLaunch

from .conftest import Opener
from .fake_driver import Kernel, artifact_of

PCI = "0000:17:00.0"


class Refusal(Exception):
    """What a management library raises for something that it cannot tell."""


def refuse(*_: Any) -> Any:
    raise Refusal("not supported")


@pytest.fixture
def nvml(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """NVML's functions as nvidia-ml-py names them, with one device."""

    def handle(address: bytes) -> str:
        if address != PCI.encode():
            raise Refusal("no such device")
        return "handle"

    library = SimpleNamespace(
        NVML_CLOCK_SM=1,
        NVML_CLOCK_MEM=2,
        NVML_TEMPERATURE_GPU=0,
        open=0,
        nvmlDeviceGetHandleByPciBusId=handle,
        nvmlDeviceGetClockInfo=lambda device, kind: {1: 1755, 2: 2619}[kind],
        nvmlDeviceGetMaxClockInfo=lambda device, kind: 1980,
        nvmlDeviceGetPowerUsage=lambda device: 312_500,
        nvmlDeviceGetTemperature=lambda device, sensor: 64,
        nvmlDeviceGetCurrentClocksEventReasons=lambda device: 0x01 | 0x04 | 0x40,
    )
    library.nvmlInit = lambda: setattr(library, "open", library.open + 1)
    monkeypatch.setitem(sys.modules, "pynvml", library)  # type: ignore[arg-type]
    return library


def test_nvidia(nvml: SimpleNamespace) -> None:
    assert snapshot("cuda", PCI) == {
        "clock_mhz": 1755,
        "max_clock_mhz": 1980,
        "memory_clock_mhz": 2619,
        "power_watts": 312.5,
        "temperature_celsius": 64,
        "throttled": ["power cap", "hardware thermal slowdown"],
    }
    assert snapshot("cuda", PCI) is not None
    assert nvml.open == 1  # started once in a process


def test_nvidias_older_name_for_reasons(nvml: SimpleNamespace) -> None:
    del nvml.nvmlDeviceGetCurrentClocksEventReasons
    nvml.nvmlDeviceGetCurrentClocksThrottleReasons = lambda device: 0
    found = snapshot("cuda", PCI)
    assert found is not None
    assert found["throttled"] == []


def test_what_one_board_does_not_tell_is_left_out(nvml: SimpleNamespace) -> None:
    nvml.nvmlDeviceGetPowerUsage = nvml.nvmlDeviceGetCurrentClocksEventReasons = refuse
    found = snapshot("cuda", PCI)
    assert found is not None
    assert set(found) == {"clock_mhz", "max_clock_mhz", "memory_clock_mhz", "temperature_celsius"}


def test_an_unknown_device_has_no_telemetry(nvml: SimpleNamespace) -> None:
    assert snapshot("cuda", "0000:99:00.0") is None


def test_a_library_that_does_not_start_is_none(nvml: SimpleNamespace) -> None:
    nvml.nvmlInit = refuse
    assert snapshot("cuda", PCI) is None


@pytest.mark.parametrize(("platform", "module"), [("cuda", "pynvml"), ("hip", "amdsmi")])
def test_a_missing_package_is_none(monkeypatch: pytest.MonkeyPatch, platform: str, module: str) -> None:
    monkeypatch.setitem(sys.modules, module, None)  # type: ignore[arg-type]  # how Python marks one that is not there
    assert snapshot(platform, PCI) is None


@pytest.mark.parametrize(
    ("clocks", "power"),
    [
        ({"clk": 1900, "max_clk": 2100}, {"current_socket_power": 550, "average_socket_power": "N/A"}),
        ({"cur_clk": 1900, "max_clk": 2100}, {"current_socket_power": "N/A", "average_socket_power": 550}),
    ],
)
def test_amd(monkeypatch: pytest.MonkeyPatch, clocks: dict[str, int], power: dict[str, Any]) -> None:
    library = SimpleNamespace(
        AmdSmiClkType=SimpleNamespace(GFX="gfx", MEM="mem"),
        AmdSmiTemperatureType=SimpleNamespace(HOTSPOT="hotspot"),
        AmdSmiTemperatureMetric=SimpleNamespace(CURRENT="current"),
        amdsmi_init=lambda: None,
        amdsmi_get_processor_handle_from_bdf=lambda address: address,
        amdsmi_get_clock_info=lambda handle, kind: clocks if kind == "gfx" else {"clk": 1300, "max_clk": "N/A"},
        amdsmi_get_power_info=lambda handle: power,
        amdsmi_get_temp_metric=lambda handle, sensor, metric: {"hotspot": 71}[sensor],
    )
    monkeypatch.setitem(sys.modules, "amdsmi", library)  # type: ignore[arg-type]
    assert snapshot("hip", PCI) == {
        "clock_mhz": 1900,
        "max_clock_mhz": 2100,
        "memory_clock_mhz": 1300,
        "power_watts": 550,
        "temperature_celsius": 71,
    }


def running(session: GpuSession) -> object:
    """A call of a kernel that does nothing."""
    return session.bind(session.load(artifact_of(k={})), [PlannedLaunch("k", (1,), (), ())], {})


def test_a_session_tells_what_holds_the_clocks_back(nvml: SimpleNamespace, opened: Opener) -> None:
    session, driver = opened(Kernel("k"))
    session.device.description["pci"] = PCI  # type: ignore[index]
    assert isinstance(session, Profiles)
    busy: list[bool] = []
    asked = nvml.nvmlDeviceGetPowerUsage
    nvml.nvmlDeviceGetPowerUsage = lambda device: (
        busy.append(any(stream.queue for stream in driver.live["stream"])) or asked(device)
    )
    call = running(session)
    session.time(call)
    told = session.profile(call)
    assert busy == [True]  # asked while the kernel runs
    assert told["telemetry"]["power_watts"] == 312.5
    assert told["bottleneck"] == "the device holds its clocks back: power cap, hardware thermal slowdown"
    nvml.nvmlDeviceGetCurrentClocksEventReasons = lambda device: 0x01
    assert set(session.profile(running(session))) == {"telemetry"}


def test_a_session_without_a_library_tells_nothing(monkeypatch: pytest.MonkeyPatch, opened: Opener) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", None)  # type: ignore[arg-type]
    session, _ = opened(Kernel("k"))
    assert session.profile(running(session)) == {}
