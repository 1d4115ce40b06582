"""The finite space of configurations that a kernel's tunables span.

A configuration is stored as a row of *codes*: for each tunable, the position of its value in the sorted list of the
tunable's values. Everything downstream (features, distances, neighbours) works on those rows; a mapping is built only
when a configuration leaves the tuner.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Final

import attrs
import numpy as np
import numpy.typing as npt

Value = int | float | bool | str
Configuration = Mapping[str, Value]
Codes = npt.NDArray[np.int16]

#: Draws of a sampled space per configuration wanted, and at most, after which it is made of the valid ones met: a
#: second or two where the predicate refuses nearly everything.
_DRAWS_PER_CONFIGURATION: Final = 20
_DRAWS: Final = 1_000_000
_BLOCK: Final = 4096
#: Values of one tunable that fit the codes.
_MOST_VALUES: Final = int(np.iinfo(np.int16).max)


def _identity(value: Value) -> tuple[bool, Value]:
    """Keep `True` and `1` apart, which compare and hash equal, while `1` and `1.0` stay one value."""
    return isinstance(value, bool), value


def _order(value: Value) -> tuple[int, float, str]:
    """Sort key: booleans, then numbers by size, then strings."""
    if isinstance(value, bool):
        return 0, float(value), ""
    if isinstance(value, int | float):
        return 1, float(value), ""
    return 2, 0.0, value


def _check_value(name: str, value: object) -> Value:
    if not isinstance(value, bool | int | float | str):
        message = f"tunable {name!r}: {value!r} is a {type(value).__name__}; a value is an int, float, bool or str"
        raise TypeError(message)
    if isinstance(value, float) and not math.isfinite(value):
        message = f"tunable {name!r}: value {value!r} is not finite"
        raise ValueError(message)
    return value


def _domain(name: str, values: Iterable[object]) -> tuple[Value, ...]:
    """The distinct values of one tunable, in order."""
    distinct: dict[tuple[bool, Value], Value] = {}
    for value in values:
        checked = _check_value(name, value)
        distinct.setdefault(_identity(checked), checked)
    if not distinct:
        message = f"tunable {name!r} has no values; it needs at least one"
        raise ValueError(message)
    if len(distinct) > _MOST_VALUES:
        message = f"tunable {name!r} has {len(distinct)} values; {_MOST_VALUES} is the most"
        raise ValueError(message)
    return tuple(sorted(distinct.values(), key=_order))


@attrs.frozen(slots=True, eq=False)
class Space:
    """A finite set of configurations; build it with `from_values` or `from_configurations`.

    `codes` holds one row per configuration and one column per tunable (positions in `values`). `complete` is False for
    a sample of a product too large to enumerate; `valid` is then still consulted for configurations outside the sample.
    """

    names: tuple[str, ...]
    values: tuple[tuple[Value, ...], ...]
    codes: Codes = attrs.field(repr=False)
    complete: bool = True
    valid: Callable[[Configuration], bool] | None = attrs.field(default=None, repr=False)
    _positions: tuple[dict[tuple[bool, Value], int], ...] = attrs.field(init=False, repr=False)
    _rows: dict[bytes, int] = attrs.field(init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        """Build the two look-up tables: value to code, and row to index."""
        positions = tuple({_identity(v): i for i, v in enumerate(domain)} for domain in self.values)
        object.__setattr__(self, "_positions", positions)
        object.__setattr__(self, "_rows", {row.tobytes(): i for i, row in enumerate(self.codes)})

    @classmethod
    def from_values(
        cls,
        tunables: Mapping[str, Sequence[Value]],
        valid: Callable[[Configuration], bool] | None = None,
        *,
        limit: int = 200_000,
        seed: int = 0,
    ) -> Space:
        """The product of the tunables' values, filtered by `valid`; a random sample of it when it exceeds `limit`.

        Raises ValueError for a tunable without values, for a limit under 1 and when no configuration is valid.
        """
        if limit < 1:
            message = f"limit is {limit}; it must be at least 1"
            raise ValueError(message)
        names = tuple(tunables)
        domains = tuple(_domain(name, values) for name, values in tunables.items())
        complete = math.prod(map(len, domains)) <= limit
        rows = _product(names, domains, valid) if complete else _sample(names, domains, valid, limit, seed)
        if not rows:
            kind = "none of its configurations" if complete else "none of the configurations drawn from it"
            message = f"the space over {', '.join(names)} is empty: {kind} satisfies the validity predicate"
            raise ValueError(message)
        return cls(names, domains, _table(rows, len(names)), complete, valid)

    @classmethod
    def from_configurations(cls, configurations: Sequence[Configuration]) -> Space:
        """Exactly the configurations given, in their order, duplicates dropped.

        Raises ValueError when there is none, or when two of them do not have the same tunables.
        """
        if not configurations:
            message = "a space needs at least one configuration"
            raise ValueError(message)
        names = tuple(configurations[0])
        for index, configuration in enumerate(configurations):
            if len(configuration) != len(names) or any(name not in configuration for name in names):
                message = f"configuration {index} has tunables {sorted(configuration)}; the first has {sorted(names)}"
                raise ValueError(message)
        domains = tuple(_domain(name, (c[name] for c in configurations)) for name in names)
        positions = [{_identity(v): i for i, v in enumerate(domain)} for domain in domains]
        rows = dict.fromkeys(
            tuple(codes[_identity(c[name])] for name, codes in zip(names, positions, strict=True))
            for c in configurations
        )
        return cls(names, domains, _table(list(rows), len(names)))

    def __len__(self) -> int:
        """How many configurations the space lists."""
        return len(self.codes)

    def __iter__(self) -> Iterator[Configuration]:
        """Every configuration listed, in order."""
        return (self.decode(row) for row in self.codes)

    def __getitem__(self, index: int) -> dict[str, Value]:
        """The configuration at a position of the list."""
        return self.decode(self.codes[index])

    def __contains__(self, configuration: Configuration) -> bool:
        """Whether the configuration belongs here: listed, or valid though not drawn into a sampled space."""
        try:
            self.encode(configuration)
        except ValueError:
            return False
        return True

    def decode(self, row: Codes) -> dict[str, Value]:
        """The configuration that a row of codes stands for."""
        return {name: domain[code] for name, domain, code in zip(self.names, self.values, row, strict=True)}

    def encode(self, configuration: Configuration) -> Codes:
        """The row of codes of a configuration of this space; ValueError says why another one has none."""
        if set(configuration) != set(self.names):
            message = f"the configuration has the tunables {sorted(configuration)}; the space has {sorted(self.names)}"
            raise ValueError(message)
        codes = []
        for name, positions in zip(self.names, self._positions, strict=True):
            code = positions.get(_identity(configuration[name]))
            if code is None:
                allowed = ", ".join(str(value) for _, value in positions)
                message = f"tunable {name!r} cannot be {configuration[name]!r}; its values are {allowed}"
                raise ValueError(message)
            codes.append(code)
        row = np.array(codes, np.int16)
        if not self._admits(row):
            message = f"{dict(configuration)} is not in the space: it violates a constraint or is not listed"
            raise ValueError(message)
        return row

    def index(self, row: Codes) -> int | None:
        """The position of a row in the list, or None."""
        return self._rows.get(row.tobytes())

    def unlisted_neighbours(self, row: Codes) -> list[Codes]:
        """Configurations one tunable away from `row` that a sampled space did not draw; empty for a complete one."""
        if self.complete:
            return []
        found = []
        for column, domain in enumerate(self.values):
            for code in range(len(domain)):
                other = row.copy()
                other[column] = code
                if code != row[column] and self.index(other) is None and self._admits(other):
                    found.append(other)
        return found

    def _admits(self, row: Codes) -> bool:
        if self.index(row) is not None:
            return True
        return not self.complete and (self.valid is None or bool(self.valid(self.decode(row))))


def _table(rows: list[tuple[int, ...]], tunables: int) -> Codes:
    """Rows as an array, column by column in memory: large spaces are scanned one tunable at a time."""
    return np.asfortranarray(np.array(rows, np.int16).reshape(len(rows), tunables))


def _product(
    names: tuple[str, ...], domains: tuple[tuple[Value, ...], ...], valid: Callable[[Configuration], bool] | None
) -> list[tuple[int, ...]]:
    rows = itertools.product(*(range(len(domain)) for domain in domains))
    if valid is None:
        return list(rows)
    configurations = (dict(zip(names, values, strict=True)) for values in itertools.product(*domains))
    return [row for row, configuration in zip(rows, configurations, strict=True) if valid(configuration)]


def _sample(
    names: tuple[str, ...],
    domains: tuple[tuple[Value, ...], ...],
    valid: Callable[[Configuration], bool] | None,
    limit: int,
    seed: int,
) -> list[tuple[int, ...]]:
    """Up to `limit` distinct valid rows drawn uniformly; fewer when valid ones are too rare to be met."""
    rng = np.random.default_rng(seed)
    sizes = [len(domain) for domain in domains]
    rows: dict[tuple[int, ...], None] = {}
    for _ in range(0, min(_DRAWS, limit * _DRAWS_PER_CONFIGURATION), _BLOCK):
        for row in map(tuple, rng.integers(0, sizes, size=(_BLOCK, len(sizes))).tolist()):
            if row in rows:
                continue
            values = (domain[code] for domain, code in zip(domains, row, strict=True))
            if valid is None or valid(dict(zip(names, values, strict=True))):
                rows[row] = None
            if len(rows) == limit:
                return list(rows)
    return list(rows)
