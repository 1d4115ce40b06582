"""The GPUs that a driver has, described. No context is made on any of them."""

from __future__ import annotations

__all__ = ["describe", "devices", "dtypes_of", "host_memory"]

import os
from collections.abc import Mapping, Sequence
from typing import Final

from kernelevolve.accelerator import Device, Realm, Target
from kernelevolve.backends._gpu.driver import Attribute, GpuDriver
from kernelevolve.backends._gpu.peaks import last_cache, peaks

_PLAIN: Final = frozenset({"float64", "float32", "float16", "int64", "int32", "int16", "int8", "uint8", "bool"})
_FLOAT8: Final = frozenset({"float8_e4m3fn", "float8_e5m2"})
#: Every AMD target here has bfloat16. Float8 as PyTorch names it is OCP's, which CDNA 4 and RDNA 4 have; CDNA 3 has
#: another one of the same size.
_AMD_FLOAT8: Final = frozenset({"gfx950", "gfx1200", "gfx1201"})
_FIRST_BFLOAT16: Final = 80
_FIRST_FLOAT8: Final = 89
_WARP_SIZE: Final[Mapping[str, int]] = {"cuda": 32, "hip": 64}


def host_memory() -> int:
    """Bytes of this machine's memory, which is what an interpreter has."""
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def devices(driver: GpuDriver, accelerator: str) -> Sequence[Device]:
    """Every device, in the driver's order and with its numbers. Raises `DriverError`."""
    return [describe(driver, index, accelerator) for index in range(driver.device_count())]


def describe(driver: GpuDriver, index: int, accelerator: str) -> Device:
    """One device. Raises `DriverError`."""

    def ask(attribute: Attribute) -> int | None:
        return driver.attribute(index, attribute)

    architecture, name = driver.architecture(index), driver.device_name(index)
    units = ask(Attribute.UNITS) or 1
    total = driver.device_memory(index)
    shared = ask(Attribute.SHARED_PER_BLOCK_OPTIN) or ask(Attribute.SHARED_PER_BLOCK)
    memory = {
        "global": total,
        "max_allocation": total,
        "local": shared,
        "cache": last_cache(architecture, ask(Attribute.CACHE)),
    }
    return Device(
        accelerator=accelerator,
        index=index,
        name=name,
        target=Target(f"{driver.platform}:{architecture}"),
        realm=Realm.HARDWARE,
        facts={
            "num_units": units,
            "warp_size": ask(Attribute.WARP_SIZE) or _WARP_SIZE[driver.platform],
            "max_group_size": ask(Attribute.MAX_THREADS_PER_BLOCK) or 1024,
        },
        memory={what: size for what, size in memory.items() if size},
        peaks=peaks(
            architecture,
            name,
            units=units,
            clock_khz=ask(Attribute.CLOCK),
            memory_clock_khz=ask(Attribute.MEMORY_CLOCK),
            bus_bits=ask(Attribute.MEMORY_BUS),
        ),
        description=_description(driver, index),
        dtypes=dtypes_of(architecture),
    )


def dtypes_of(architecture: str) -> frozenset[str]:
    """Element types that an architecture computes with."""
    kind, _, number = architecture.partition("_")
    if kind == "sm":
        capability = int(number.rstrip("af"))
        bfloat16, float8 = capability >= _FIRST_BFLOAT16, capability >= _FIRST_FLOAT8
    else:
        bfloat16, float8 = True, architecture in _AMD_FLOAT8
    return _PLAIN | ({"bfloat16"} if bfloat16 else set()) | (_FLOAT8 if float8 else set())


def _description(driver: GpuDriver, index: int) -> Mapping[str, str]:
    versions = driver.versions()
    known: dict[str, str | None] = {
        "driver": ", ".join(f"{what} {found}" for what, found in versions.items()),
        "architecture": driver.architecture(index),
        "pci": driver.pci_address(index),
        "clock_mhz": _megahertz(driver.attribute(index, Attribute.CLOCK)),
        "memory_clock_mhz": _megahertz(driver.attribute(index, Attribute.MEMORY_CLOCK)),
        "memory_bus_bits": _text(driver.attribute(index, Attribute.MEMORY_BUS)),
        "ecc": {0: "off", 1: "on"}.get(driver.attribute(index, Attribute.ECC) or 0),
    }
    return {what: value for what, value in known.items() if value}


def _megahertz(kilohertz: int | None) -> str | None:
    return f"{kilohertz / 1000:.0f}" if kilohertz else None


def _text(number: int | None) -> str | None:
    return str(number) if number else None
