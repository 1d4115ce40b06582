"""Devices as the core sees them: facts, memory, bounds with their sources, element types."""

from __future__ import annotations

import pytest

from kernelevolve.accelerator import Realm
from kernelevolve.backends._gpu.devices import describe, devices, dtypes_of
from kernelevolve.backends._gpu.driver import Attribute
from kernelevolve.backends._gpu.hardware import UNITS
from kernelevolve.backends._gpu.peaks import last_cache, peaks
from kernelevolve.problem import DTYPES

from .fake_driver import MEMORY, FakeDriver


def test_a_device_is_described_without_being_opened() -> None:
    driver = FakeDriver()
    (device,) = devices(driver, "numba-cuda")
    assert driver.opened is None
    assert (device.accelerator, device.index, device.label) == ("numba-cuda", 0, "numba-cuda:0 (NVIDIA Fake 100)")
    assert (device.target.name, device.realm, device.host_threads) == ("cuda:sm_90", Realm.HARDWARE, None)
    assert device.facts == {"num_units": 4, "warp_size": 32, "max_group_size": 1024}
    assert device.memory == {"global": MEMORY, "max_allocation": MEMORY, "local": 227 << 10, "cache": 1 << 20}
    assert device.description == {
        "driver": "cuda 12.4, driver 550.54.15",
        "architecture": "sm_90",
        "pci": "0000:17:00.0",
        "clock_mhz": "1980",
        "memory_clock_mhz": "2619",
        "memory_bus_bits": "5120",
        "ecc": "on",
    }


def test_what_the_driver_does_not_report_is_left_out() -> None:
    driver = FakeDriver()
    driver.attributes = {Attribute.UNITS: 4, Attribute.SHARED_PER_BLOCK: 48 << 10}
    device = describe(driver, 0, "x")
    assert device.memory == {"global": MEMORY, "max_allocation": MEMORY, "local": 48 << 10}
    assert device.facts == {"num_units": 4, "warp_size": 32, "max_group_size": 1024}
    assert set(device.description) == {"driver", "architecture", "pci", "ecc"}
    assert device.peaks is not None
    assert device.peaks.bytes_per_second is None
    assert device.peaks.operations_per_second is None
    assert "unknown" in device.peaks.source


@pytest.mark.parametrize(
    ("name", "clock", "bus", "published"),
    [
        # What the driver reports of boards in their data sheets' form, and bytes per second from there.
        ("NVIDIA H100 80GB HBM3", 2_619_000, 5120, 3.35e12),
        ("NVIDIA A100-SXM4-80GB", 1_593_000, 5120, 2.039e12),
        ("NVIDIA GeForce RTX 4090", 10_501_000, 384, 1.008e12),
        ("Tesla T4", 5_001_000, 256, 320e9),
        ("NVIDIA B200", 3_996_000, 8192, 8.0e12),
    ],
)
def test_bandwidth_comes_from_the_drivers_clock_or_else_the_data_sheet(
    name: str, clock: int, bus: int, published: float
) -> None:
    computed = peaks("sm_90", name, units=1, clock_khz=None, memory_clock_khz=clock, bus_bits=bus)
    assert computed.bytes_per_second == pytest.approx(published, rel=0.025)
    listed = peaks("sm_90", name, units=1, clock_khz=None, memory_clock_khz=0, bus_bits=bus)
    assert listed.bytes_per_second == pytest.approx(published, rel=0.025)
    assert f"the data sheet of {name}" in listed.source


def test_the_larger_bound_counts() -> None:
    slow = peaks("sm_90", "NVIDIA H100 80GB HBM3", units=1, clock_khz=None, memory_clock_khz=1000, bus_bits=5120)
    assert slow.bytes_per_second == 3.35e12


def test_hips_memory_clock_is_not_trusted() -> None:
    known = peaks(
        "gfx942", "AMD Instinct MI300X", units=304, clock_khz=2_100_000, memory_clock_khz=1_300_000, bus_bits=8192
    )
    assert known.bytes_per_second == 5.3e12
    other = peaks("gfx942", "AMD Something", units=1, clock_khz=1, memory_clock_khz=1_300_000, bus_bits=8192)
    assert other.bytes_per_second is None


@pytest.mark.parametrize(
    ("architecture", "units", "boost", "published"),
    [
        # Dense rates of the fastest type, from data sheets at boost clock: the bound is no less, and not far above.
        ("sm_70", 80, 1_530_000, 125e12),
        ("sm_75", 40, 1_590_000, 260e12),
        ("sm_80", 108, 1_410_000, 1248e12),
        ("sm_86", 82, 1_695_000, 568e12),
        ("sm_89", 128, 2_520_000, 1321e12),
        ("sm_90", 132, 1_830_000, 1979e12),
        ("sm_90a", 132, 1_830_000, 1979e12),
        ("sm_120", 170, 2_407_000, 1676e12),
        ("gfx90a", 104, 1_700_000, 181e12),
        ("gfx942", 304, 2_100_000, 2615e12),
        ("gfx950", 256, 2_400_000, 10.07e15),
        ("gfx1100", 48, 2_500_000, 246e12),  # HIP counts pairs of compute units
        ("gfx1201", 32, 2_970_000, 779e12),
    ],
)
def test_arithmetic_bounds_fit_the_data_sheets(architecture: str, units: int, boost: int, published: float) -> None:
    found = peaks(architecture, "x", units=units, clock_khz=boost, memory_clock_khz=None, bus_bits=None)
    assert found.operations_per_second is not None
    assert found.operations_per_second == pytest.approx(published, rel=0.02)
    assert f"{units} units x" in found.source


def test_every_architecture_with_an_occupancy_table_has_a_bound() -> None:
    for architecture in UNITS:
        bound = peaks(architecture, "x", units=1, clock_khz=1000, memory_clock_khz=None, bus_bits=None)
        assert bound.operations_per_second is not None


def test_the_last_cache_may_lie_behind_what_the_driver_reports() -> None:
    assert last_cache("sm_90", 50 << 20) == 50 << 20
    assert last_cache("gfx942", 4 << 20) == 256 << 20
    assert last_cache("gfx90a", 8 << 20) == 8 << 20
    assert last_cache("gfx1100", None) == 96 << 20
    assert last_cache("sm_90", None) is None


@pytest.mark.parametrize(
    ("architecture", "bfloat16", "float8"),
    [
        ("sm_70", False, False),
        ("sm_75", False, False),
        ("sm_80", True, False),
        ("sm_86", True, False),
        ("sm_89", True, True),
        ("sm_90a", True, True),
        ("sm_100", True, True),
        ("sm_120", True, True),
        ("gfx90a", True, False),
        ("gfx942", True, False),
        ("gfx950", True, True),
        ("gfx1100", True, False),
        ("gfx1201", True, True),
    ],
)
def test_element_types_by_architecture(architecture: str, bfloat16: bool, float8: bool) -> None:
    found = dtypes_of(architecture)
    assert found <= set(DTYPES)
    assert ("bfloat16" in found) is bfloat16
    assert ("float8_e4m3fn" in found) is ("float8_e5m2" in found) is float8
    assert {"float64", "float32", "float16", "int64", "int32", "int16", "int8", "uint8", "bool"} <= found
