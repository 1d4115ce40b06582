"""Landscapes: every kernel of a family with its time, recorded on a device or estimated by a machine model."""

from __future__ import annotations

__all__ = ["Landscape", "Point", "mtia_landscape", "recorded_landscapes"]

import itertools
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any, Final

import numpy as np
from attrs import field, frozen

from benchmarks.ablation.mtia import CHIP, FAMILY, SHAPE, read_family
from kernelevolve.t4 import read_t4

#: One kernel of the family: for each dimension the place of its value.
Point = tuple[int, ...]
#: A run starts from a kernel whose time lies between these quantiles of all times: a plain one, not the worst.
_PLAIN: Final = (0.6, 0.9)
#: Kinds of kernels are told apart by so many classes of tile, vector width and storage, as `descriptors` has them.
_KINDS: Final = (8, 5, 4)


@frozen(eq=False)
class Landscape:
    """A finite family of kernels."""

    name: str
    #: Where its times come from.
    origin: str
    #: How many values each dimension has; those of an ordered one are in order.
    sizes: tuple[int, ...]
    #: Whether a dimension's neighbouring values are alike: numbers, as opposed to names and switches.
    ordered: tuple[bool, ...]
    #: Seconds of every point there is; None for a kernel that fell.
    seconds: dict[Point, float | None] = field(repr=False)
    #: Points that run, the fastest first.
    right: tuple[Point, ...] = field(init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        timed = sorted((seconds, point) for point, seconds in self.seconds.items() if seconds is not None)
        object.__setattr__(self, "right", tuple(point for _, point in timed))

    @property
    def optimum(self) -> float:
        """The shortest time."""
        return self._time(self.right[0])

    def _time(self, point: Point) -> float:
        seconds = self.seconds[point]
        assert seconds is not None, "a right point has a time"
        return seconds

    def share(self, point: Point) -> float:
        """The shortest time over this point's: 1 at the optimum, 0 for what fell."""
        seconds = self.seconds[point]
        return 0.0 if seconds is None else self.optimum / seconds

    def start(self, seed: int) -> Point:
        """The plain kernel that the runs of one seed begin with."""
        low, high = (int(quantile * (len(self.right) - 1)) for quantile in _PLAIN)
        return self.right[Random(f"{self.name}/{seed}/start").randint(low, high)]

    def cell(self, point: Point) -> tuple[int, ...]:
        """A cell in the form of `descriptors`, from the classes of the dimensions with the most values."""
        widest = sorted(range(len(self.sizes)), key=lambda dimension: (-self.sizes[dimension], dimension))
        classes = [0, 0, 0]
        for place, (dimension, kinds) in enumerate(zip(widest, _KINDS, strict=False)):
            classes[place] = min(point[dimension] * kinds // max(self.sizes[dimension], kinds), kinds - 1)
        return (0, classes[0], classes[1], 0, classes[2])

    def describe(self) -> dict[str, Any]:
        """What a reader must know of it, as JSON values."""
        times = [self._time(point) for point in self.right]
        return {
            "origin": self.origin,
            "points": len(self.seconds),
            "fell": len(self.seconds) - len(self.right),
            "dimensions": len(self.sizes),
            "median_over_optimum": float(np.median(times)) / self.optimum,
        }


def recorded_landscapes(folder: Path) -> list[Landscape]:
    """One for every T4 file of a folder, in the order of their names."""
    files = sorted(path for path in folder.glob("*.json*") if path.suffix in {".json", ".gz"})
    return [_recorded(path) for path in files]


def _recorded(path: Path) -> Landscape:
    file = read_t4(path)
    names = [name for name, values in file.tunables.items() if len(set(values)) > 1]
    places: dict[str, dict[Any, int]] = {}
    ordered = []
    for name in names:
        values = list(dict.fromkeys(file.tunables[name]))
        numbers = all(not isinstance(value, bool | str) for value in values)
        ordered.append(numbers and len(values) > 2)
        places[name] = {value: place for place, value in enumerate(sorted(values) if numbers else values)}
    seconds = {
        tuple(places[name][record.configuration[name]] for name in names): record.seconds for record in file.records
    }
    name = path.name.removesuffix(".gz").removesuffix(".json").removesuffix("_T4")
    return Landscape(
        name=name,
        origin=f"recorded: medians of {path.name}",
        sizes=tuple(len(places[one]) for one in names),
        ordered=tuple(ordered),
        seconds=seconds,
    )


def mtia_landscape(table: Sequence[float | None] | None = None) -> Landscape:
    """Matrix products on MTIA as its machine model estimates them; `table` in place of the one that is kept."""
    seconds = read_family() if table is None else table
    points = itertools.product(*(range(len(values)) for values in FAMILY.values()))
    return Landscape(
        name=f"matmul_{CHIP}",
        origin=f"estimated by the machine model: fp16 {'x'.join(map(str, SHAPE))} on {CHIP}",
        sizes=tuple(len(values) for values in FAMILY.values()),
        ordered=tuple(len(values) > 2 for values in FAMILY.values()),
        seconds=dict(zip(points, seconds, strict=True)),
    )
