"""MAP-Elites on islands: the best kernel of every kind survives, and kinds that still yield are visited more often.

Cells are what kernels are (`descriptors`). Each island keeps an elite per cell and evolves apart; every so often the
best elites of each island are copied to the next one. After Mouret and Clune, "Illuminating search spaces by mapping
elites" (2015); the curiosity score is Cully and Demiris's, "Quality and diversity optimization" (2018).
"""

from __future__ import annotations

__all__ = ["MapElites"]

import heapq
from bisect import insort
from random import Random
from typing import ClassVar, Final

from attrs import define, field, validators

from kernelevolve.evolution.archive import NONE, Archive
from kernelevolve.evolution.policies.protocol import Choice, weighted

#: What a child that takes a cell adds to the curiosity of its parent's cell, and what any other child takes away.
_REWARD: Final = 1.0
_PENALTY: Final = 0.5
_LEAST: Final = 0.25
_MOST: Final = 4.0
#: Rejected draws before a cell is drawn from all weights at once.
_DRAWS: Final = 256


@define
class _Island:
    #: How many leaders are kept.
    keep: int
    #: Cell to the fitness and number of its elite.
    elites: dict[int, tuple[float, int]] = field(factory=dict)
    #: The cells of `elites`, in a list to draw from.
    cells: list[int] = field(factory=list)
    #: (-fitness, number) of the fittest elites, the best first.
    leaders: list[tuple[float, int]] = field(factory=list)
    #: Cell to how much it has yielded lately; 1 where nothing is known.
    curiosity: dict[int, float] = field(factory=dict)

    def offer(self, archive: Archive, number: int) -> bool:
        """Let `number` take its cell where that is empty or held by a slower one; whether it did."""
        cell, fitness = archive.cell(number), archive.fitness(number)
        held = self.elites.get(cell)
        if held is None:
            self.cells.append(cell)
        elif held[0] >= fitness:
            return False
        else:
            self.leaders = [leader for leader in self.leaders if leader[1] != held[1]]
        self.elites[cell] = (fitness, number)
        insort(self.leaders, (-fitness, number))
        del self.leaders[self.keep :]
        return True

    def fallen(self, archive: Archive, number: int) -> list[int]:
        """The cells that `number` can hold no longer: it became slower, or it is of another kind."""
        cell, fitness = archive.cell(number), archive.fitness(number)
        held = [(where, before) for where, (before, elite) in self.elites.items() if elite == number]
        return [where for where, before in held if where != cell or fitness < before]

    def drop(self, cells: list[int]) -> None:
        for cell in cells:
            del self.elites[cell]
            self.cells.remove(cell)
        ranked = ((-fitness, elite) for fitness, elite in self.elites.values())
        self.leaders = heapq.nsmallest(self.keep, ranked)

    def credit(self, cell: int, amount: float) -> None:
        self.curiosity[cell] = min(_MOST, max(_LEAST, self.curiosity.get(cell, 1.0) + amount))


@define
class MapElites:
    """`islands` populations; every `migrate_every` insertions the `migrants` best elites of each go to the next.

    A cell is drawn with weight (fitness / the island's best)**`pressure` x curiosity.
    """

    islands: int = field(default=4, validator=validators.ge(1))
    migrate_every: int = field(default=50, validator=validators.ge(1))
    migrants: int = field(default=2, validator=validators.ge(1))
    pressure: float = field(default=2.0, validator=validators.ge(0.0))
    #: Migrations that have taken place, and copies of an elite that took a cell on another island in them.
    migrations: int = field(default=0, init=False)
    migrated: int = field(default=0, init=False)
    _held: tuple[_Island, ...] = field(init=False, repr=False)
    _insertions: int = field(default=0, init=False)

    name: ClassVar[str] = "map-elites"

    def __attrs_post_init__(self) -> None:
        self._held = tuple(_Island(self.migrants) for _ in range(self.islands))

    def inserted(self, archive: Archive, number: int) -> None:
        island = self._held[archive.island(number) % self.islands]
        parent = archive.parent(number)
        took = archive.fitness(number) > 0 and self._offer(archive, number, island)
        if parent != NONE and parent in archive:
            island.credit(archive.cell(parent), _REWARD if took else -_PENALTY)
        self._insertions += 1
        if self._insertions % self.migrate_every == 0:
            self._migrate(archive)

    def revised(self, archive: Archive, number: int) -> None:
        for index, island in enumerate(self._held):
            fallen = island.fallen(archive, number)
            if fallen:
                # The runner-up of a cell is not kept: a cell that loses its elite looks through the archive once.
                island.drop(fallen)
                self._refill(archive, index, {*fallen})
            at_home = archive.island(number) % self.islands == index
            holds = island.elites.get(archive.cell(number), (0.0, NONE))[1] == number
            if archive.fitness(number) > 0 and (at_home or holds):
                island.offer(archive, number)

    def select(self, archive: Archive, rng: Random, count: int) -> tuple[Choice, ...]:
        return tuple(self._one(archive, rng) for _ in range(count))

    def mate(self, archive: Archive, rng: Random, choice: Choice) -> int | None:  # noqa: ARG002  (the protocol's)
        """Another elite of the same island, by the same weights; of another island where it has none."""
        order = [choice.island, *(index for index in range(self.islands) if index != choice.island)]
        for index in order:
            island = self._held[index]
            if any(elite != choice.parent for _, elite in island.elites.values()):
                return self._draw(rng, island, other_than=choice.parent)
        return None

    def elites(self, island: int) -> dict[int, int]:
        """The elite of each cell of an island."""
        return {cell: number for cell, (_, number) in self._held[island].elites.items()}

    def _offer(self, archive: Archive, number: int, island: _Island) -> bool:
        took = island.offer(archive, number)
        for other in self._held:
            # Islands start from the same kernel: one without any could never be selected from.
            if not other.elites:
                other.offer(archive, number)
        return took

    def _one(self, archive: Archive, rng: Random) -> Choice:
        settled = [index for index, island in enumerate(self._held) if island.elites]
        if not settled:
            number = archive.any(rng)
            return Choice(number, archive.island(number) % self.islands)
        index = settled[rng.randrange(len(settled))]
        return Choice(self._draw(rng, self._held[index]), index)

    def _draw(self, rng: Random, island: _Island, *, other_than: int = NONE) -> int:
        """An elite by weight. Rejection gives the same chances as summing all weights, at a cost that does not grow."""
        best = -island.leaders[0][0]

        def weight(cell: int) -> float:
            fitness, elite = island.elites[cell]
            if elite == other_than:
                return 0.0
            return float((fitness / best) ** self.pressure) * island.curiosity.get(cell, 1.0)

        for _ in range(_DRAWS):
            cell = island.cells[int(rng.random() * len(island.cells))]
            if rng.random() * _MOST < weight(cell):
                return island.elites[cell][1]
        return island.elites[weighted(rng, island.cells, [weight(cell) for cell in island.cells])][1]

    def _migrate(self, archive: Archive) -> None:
        """Copy the best elites of each island to the next one, all at once, so that none travels two steps."""
        leaving = [[number for _, number in island.leaders] for island in self._held]
        for index, elites in enumerate(leaving):
            target = self._held[(index + 1) % self.islands]
            self.migrated += sum(target.offer(archive, elite) for elite in elites)
        self.migrations += 1

    def _refill(self, archive: Archive, index: int, cells: set[int]) -> None:
        for other in archive:
            here = archive.island(other) % self.islands == index
            if here and archive.cell(other) in cells and archive.fitness(other) > 0:
                self._held[index].offer(archive, other)
