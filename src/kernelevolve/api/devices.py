"""Whether a device is the one that a number was measured on."""

from __future__ import annotations

__all__ = ["same_device"]

from kernelevolve.accelerator import Device


def same_device(one: Device, other: Device) -> bool:
    """Whether a number of the one may be called a number of the other: accelerator, name, target and realm agree."""
    names = (one.accelerator, one.name, one.target.name, one.realm)
    return names == (other.accelerator, other.name, other.target.name, other.realm)
