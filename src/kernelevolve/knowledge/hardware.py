"""The names by which pages and lessons call hardware, and which of them a device answers to."""

from __future__ import annotations

__all__ = ["CHIPS", "FAMILIES", "family_of", "hardware_names"]

import re
from collections.abc import Mapping
from typing import Final

from kernelevolve.accelerator import Device

#: Families that built-in pages are about. A folder of a user's own adds one by having ``hardware/NAME/``.
FAMILIES: Final = ("nvidia", "amd", "mtia", "opencl-cpu")
#: Chips finer than a family: what their names look like, by family.
CHIPS: Final[Mapping[str, re.Pattern[str]]] = {
    "nvidia": re.compile(r"sm_\d+[a-z]?"),
    "amd": re.compile(r"gfx[0-9a-f]+"),
    "mtia": re.compile(r"mtia\d+[a-z]*"),
}
#: The first part of a target's name (``cuda:sm_90``) that says which family it is.
_PREFIXES: Final[Mapping[str, str]] = {"cuda": "nvidia", "hip": "amd", "mtia": "mtia"}
#: OpenCL serves chips of many makers; who made a discrete one stands in its name or its vendor's.
_MAKERS: Final = (("nvidia", "nvidia"), ("amd", "amd"), ("advanced micro", "amd"))


def family_of(chip: str) -> str | None:
    """The family of a finer name (``sm_90``: ``nvidia``); None where it is none."""
    return next((family for family, pattern in CHIPS.items() if pattern.fullmatch(chip)), None)


def hardware_names(device: Device) -> frozenset[str]:
    """What pages may call `device`: its family, its chip, its accelerator, and the parts of its target's name."""
    prefix, _, chip = device.target.name.partition(":")
    names = {device.accelerator, prefix, chip, _PREFIXES.get(prefix, "")}
    if device.accelerator == "opencl" or prefix == "opencl":
        names = {device.accelerator, prefix, _opencl_family(device)}
    return frozenset(names) - {""}


def _opencl_family(device: Device) -> str:
    if device.host_threads is not None:
        return "opencl-cpu"
    said = f"{device.name} {device.description.get('vendor', '')}".lower()
    return next((family for word, family in _MAKERS if word in said), "")
