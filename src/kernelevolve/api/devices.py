"""Whether a device is the one that a number was measured on, with the compilers and the driver of then."""

from __future__ import annotations

__all__ = ["changed_software", "same_device"]

from collections.abc import Mapping

from kernelevolve.accelerator import Device


def same_device(one: Device, other: Device) -> bool:
    """Whether a number of the one may be called a number of the other: accelerator, name, target and realm agree."""
    names = (one.accelerator, one.name, one.target.name, one.realm)
    return names == (other.accelerator, other.name, other.target.name, other.realm)


def changed_software(
    then: Device, toolchain_then: Mapping[str, str], now: Device, toolchain_now: Mapping[str, str]
) -> str | None:
    """What compiles or runs kernels otherwise than it did, in words; None where nothing does."""
    before = {"the device's driver": then.description.get("driver", ""), **toolchain_then}
    after = {"the device's driver": now.description.get("driver", ""), **toolchain_now}
    changes = [
        f"{name} was {before.get(name) or 'not there'} and is {after.get(name) or 'not there'}"
        for name in [*before, *(name for name in after if name not in before)]
        if _concerns(name, then) and (before.get(name) or "") != (after.get(name) or "")
    ]
    return "; ".join(changes) or None


def _concerns(name: str, device: Device) -> bool:
    """Whether an entry of a toolchain is about `device` (`kernelevolve.accelerator.Accelerator.toolchain`)."""
    _, of, target = name.rpartition(" of ")
    return not of or target == device.target.name
