"""The configurations a tuner may ask, and what has become of each: free, asked, failed or timed."""

from __future__ import annotations

import attrs
import numpy as np
import numpy.typing as npt

from kernelevolve.evolution.tuning.space import Codes, Configuration, Space


def _no_flags(pool: Pool) -> npt.NDArray[np.bool_]:
    return np.zeros(len(pool.space), bool)


@attrs.define(slots=True, eq=False)
class Pool:
    """A space's configurations by index, then those met beside them when the space is a sample of a larger one."""

    space: Space
    codes: Codes = attrs.field(init=False, default=attrs.Factory(lambda self: self.space.codes, takes_self=True))
    taken: npt.NDArray[np.bool_] = attrs.field(init=False, default=attrs.Factory(_no_flags, takes_self=True))
    told: npt.NDArray[np.bool_] = attrs.field(init=False, default=attrs.Factory(_no_flags, takes_self=True))
    order: list[int] = attrs.field(init=False, factory=list)  #: everything asked or told, in order
    history: list[int] = attrs.field(init=False, factory=list)  #: everything told, in order
    successes: list[int] = attrs.field(init=False, factory=list)
    log_seconds: list[float] = attrs.field(init=False, factory=list)  #: of the successes
    failures: list[int] = attrs.field(init=False, factory=list)
    _extra: dict[bytes, int] = attrs.field(init=False, factory=dict)

    def index(self, configuration: Configuration) -> int:
        """The index of a configuration; ValueError when it is not of the space."""
        return self.add([self.space.encode(configuration)])[0]

    def configuration(self, index: int) -> Configuration:
        """The configuration at an index."""
        return self.space.decode(self.codes[index])

    def add(self, rows: list[Codes]) -> list[int]:
        """Indices of rows of the space; rows that a sampled space did not draw get new ones."""
        indices: list[int] = []
        fresh: list[Codes] = []
        for row in rows:
            index = self.space.index(row)
            if index is None:
                index = self._extra.setdefault(row.tobytes(), len(self.codes) + len(fresh))
                if index == len(self.codes) + len(fresh):
                    fresh.append(row)
            indices.append(index)
        if fresh:
            self.codes = np.concatenate([self.codes, np.asfortranarray(np.array(fresh, self.codes.dtype))])
            self.taken = np.concatenate([self.taken, np.zeros(len(fresh), bool)])
            self.told = np.concatenate([self.told, np.zeros(len(fresh), bool)])
        return indices

    def take(self, index: int) -> None:
        """Mark as asked (or told), so that it is not asked again."""
        if not self.taken[index]:
            self.taken[index] = True
            self.order.append(index)

    def record(self, index: int, log_seconds: float | None) -> None:
        """Note the result of an evaluation; ValueError when there is one already."""
        if self.told[index]:
            message = f"{self.configuration(index)} was told before; tell each configuration once"
            raise ValueError(message)
        self.take(index)
        self.told[index] = True
        self.history.append(index)
        if log_seconds is None:
            self.failures.append(index)
        else:
            self.successes.append(index)
            self.log_seconds.append(log_seconds)

    @property
    def outstanding(self) -> list[int]:
        """Asked, not told yet."""
        return [] if len(self.order) == len(self.history) else [i for i in self.order if not self.told[i]]

    def fastest(self, count: int) -> list[int]:
        """Indices of the fastest successes, fastest first; of equal ones the earlier first."""
        ranked = np.argsort(np.array(self.log_seconds), kind="stable")[:count]
        return [self.successes[position] for position in ranked]
