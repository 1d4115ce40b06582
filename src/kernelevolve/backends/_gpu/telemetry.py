"""Clocks, power, temperature and reasons for throttling, where the vendor's management library is installed.

A snapshot is for the record beside a measurement. Nothing here sets anything. A library stays started for as long as
the process lives: starting it takes longer than all that is asked.
"""

from __future__ import annotations

__all__ = ["SLOWDOWNS", "snapshot"]

import importlib
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, Final

#: NVML's reasons (``nvmlClocksEventReason…`` in nvml.h) and how they are called here.
_NVIDIA_REASONS: Final[Mapping[int, str]] = {
    0x001: "idle",
    0x002: "application clocks",
    0x004: "power cap",
    0x008: "hardware slowdown",
    0x010: "sync boost",
    0x020: "software thermal slowdown",
    0x040: "hardware thermal slowdown",
    0x080: "power brake",
    0x100: "display clocks",
}


#: Those that are no setting: the device is slower than it was told to be.
SLOWDOWNS: Final = frozenset(
    {"power cap", "hardware slowdown", "software thermal slowdown", "hardware thermal slowdown", "power brake"}
)
#: The library that was started in this process.
_STARTED: Final[dict[str, Any]] = {}


def snapshot(platform: str, pci: str) -> Mapping[str, Any] | None:
    """What a device does at this moment: ``clock_mhz``, ``max_clock_mhz``, ``memory_clock_mhz``, ``power_watts``,
    ``temperature_celsius``, ``throttled`` (a list of reasons); each absent where it is not reported.

    `platform` is ``cuda`` or ``hip``, `pci` the device's address. None where `pynvml` (the package nvidia-ml-py) or
    `amdsmi` is not installed, or does not work here.
    """
    try:
        library = importlib.import_module("pynvml" if platform == "cuda" else "amdsmi")
    except Exception:  # amdsmi raises its own errors on import where ROCm is missing
        return None
    read = _nvidia if platform == "cuda" else _amd
    try:
        return read(library, pci)
    except Exception:  # no driver, no permission, an unknown device: then there is no telemetry
        return None


def _nvidia(nvml: Any, pci: str) -> Mapping[str, Any]:
    _start(nvml, nvml.nvmlInit)
    handle = nvml.nvmlDeviceGetHandleByPciBusId(pci.encode())
    newer, older = "nvmlDeviceGetCurrentClocksEventReasons", "nvmlDeviceGetCurrentClocksThrottleReasons"
    reasons = getattr(nvml, newer if hasattr(nvml, newer) else older)
    return _reported(
        {
            "clock_mhz": lambda: nvml.nvmlDeviceGetClockInfo(handle, nvml.NVML_CLOCK_SM),
            "max_clock_mhz": lambda: nvml.nvmlDeviceGetMaxClockInfo(handle, nvml.NVML_CLOCK_SM),
            "memory_clock_mhz": lambda: nvml.nvmlDeviceGetClockInfo(handle, nvml.NVML_CLOCK_MEM),
            "power_watts": lambda: nvml.nvmlDeviceGetPowerUsage(handle) / 1000,
            "temperature_celsius": lambda: nvml.nvmlDeviceGetTemperature(handle, nvml.NVML_TEMPERATURE_GPU),
            "throttled": lambda: _reasons(reasons(handle)),
        }
    )


def _start(library: Any, start: Callable[[], Any]) -> None:
    if _STARTED.get("library") is not library:
        start()
        _STARTED["library"] = library


def _reasons(bits: int) -> list[str]:
    return [name for bit, name in _NVIDIA_REASONS.items() if bits & bit and name != "idle"]


def _amd(smi: Any, pci: str) -> Mapping[str, Any]:
    # Names differ between releases, and which power is reported between products; the other is "N/A".
    now, power = ("clk", "cur_clk"), ("current_socket_power", "average_socket_power")
    _start(smi, smi.amdsmi_init)
    handle = smi.amdsmi_get_processor_handle_from_bdf(pci)
    return _reported(
        {
            "clock_mhz": lambda: _first(smi.amdsmi_get_clock_info(handle, smi.AmdSmiClkType.GFX), *now),
            "max_clock_mhz": lambda: smi.amdsmi_get_clock_info(handle, smi.AmdSmiClkType.GFX)["max_clk"],
            "memory_clock_mhz": lambda: _first(smi.amdsmi_get_clock_info(handle, smi.AmdSmiClkType.MEM), *now),
            "power_watts": lambda: _first(smi.amdsmi_get_power_info(handle), *power),
            "temperature_celsius": lambda: smi.amdsmi_get_temp_metric(
                handle, smi.AmdSmiTemperatureType.HOTSPOT, smi.AmdSmiTemperatureMetric.CURRENT
            ),
        }
    )


def _first(info: Mapping[str, Any], *names: str) -> Any:
    return next(info[name] for name in names if _is_number(info.get(name)))


def _reported(asked: Mapping[str, Callable[[], Any]]) -> Mapping[str, Any]:
    """The answers that came; a device that lacks one still gives the others."""
    found: dict[str, Any] = {}
    for name, ask in asked.items():
        with suppress(Exception):  # each library has its own errors for "not supported"
            found[name] = ask()
    return {name: value for name, value in found.items() if isinstance(value, list) or _is_number(value)}


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
