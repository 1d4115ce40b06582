"""Elementwise programs: neighbouring items do the same to neighbouring elements; loops go around alike for all."""

from __future__ import annotations

__all__ = ["elementwise_slots"]

from kernelevolve.proposers.recipes.entry import Entry
from kernelevolve.proposers.recipes.lanes import Lanes
from kernelevolve.proposers.recipes.skeleton import Skeleton
from kernelevolve.proposers.recipes.tree import NotAnalysableError, fresh
from kernelevolve.proposers.recipes.types import TypeNames


def elementwise_slots(entry: Entry, skeleton: Skeleton, types: TypeNames) -> tuple[dict[str, str], set[str]]:
    """The slots of an elementwise skeleton, and the element types it makes vectors of. Raises `NotAnalysableError`."""
    item = entry.item(0)
    lanes = Lanes(entry.source, item.name, entry.pointers, types)
    lanes.discover(entry.statements)
    vector = lanes.statements(entry.statements)
    if not lanes.stores:
        raise NotAnalysableError(f"recipe {skeleton.name}: no store moves with the items")
    others = [one for one in entry.ids if one.dimension != 0]
    declared = [f"const {one.type} {one.name} = get_global_id({one.dimension});" for one in others]
    guards = [f"if ({one.name} >= {one.extent}) {{\nreturn;\n}}" for one in others]
    grid = [f'"cdiv({item.host}, LANES * STEPS * GROUP)"', *(f'"{one.host}"' for one in others)]
    return {
        "variable": item.name,
        "type": item.type,
        "extent": item.extent,
        "others": "\n".join(declared + guards),
        "start": fresh("start", entry.source.text),
        "step": fresh("step", entry.source.text),
        "base": fresh("base", entry.source.text),
        "vector": vector,
        "scalar": entry.text(entry.statements),
        "grid": ", ".join(grid),
        "block": ", ".join(['"GROUP"', *('"1"' for _ in others)]),
    }, lanes.used
