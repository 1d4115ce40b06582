"""What the surrogate sees of a configuration: columns derived from the tunables' values, never from their names.

Each tunable gives the logarithm of its value (times vary with ratios: tile sizes, unroll factors), its rank where the
two differ, its power-of-two alignment, and one column per value where there are few, as a small integer is often a
label. The logarithms of products of pairs of tunables, and of all of them, stand for what kernels are limited by:
threads per block, elements per tile, bytes of shared memory.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Final

import attrs
import numpy as np
import numpy.typing as npt

from kernelevolve.evolution.tuning.space import Codes, Space, Value

Matrix = npt.NDArray[np.float64]

#: Numeric tunables with so many values also get a column per value.
_LABEL_VALUES: Final = range(3, 6)
#: Two labels differ in two columns, so that this makes their distance about that of the ends of an ordinal (sqrt(1/2)).
_LABEL_SCALE: Final = 0.7
#: Most pairs of tunables that get a product column; the pairs that the space constrains most come first.
_PAIR_LIMIT: Final = 36
#: Rank columns within this of the (normalised) logarithm say nothing new.
_SAME: Final = 0.05
#: Rows looked at to find out which pairs the space constrains.
_CORRELATED_ROWS: Final = 4096


@attrs.frozen(slots=True, eq=False)
class Product:
    """A column with the logarithm of a product of tunables, mapped to 0..1 over the space."""

    tunables: tuple[int, ...]
    low: float
    high: float


@attrs.frozen(slots=True, eq=False)
class FeatureMap:
    """Turns rows of codes into rows of features, each column between 0 and 1."""

    tables: tuple[Matrix, ...]  #: per tunable: its columns for each of its values
    logarithms: tuple[Matrix | None, ...]  #: per tunable: log2 of its values, None where a product makes no sense
    products: tuple[Product, ...]

    @classmethod
    def of(cls, space: Space) -> FeatureMap:
        """The features of a space."""
        logarithms = tuple(_size_logarithm(domain) for domain in space.values)
        sizes = [tunable for tunable, logs in enumerate(logarithms) if logs is not None]
        pairs = _constrained_first(space, logarithms, sizes)[:_PAIR_LIMIT]
        subsets = pairs + ([tuple(sizes)] if len(sizes) > 2 else [])  # of two, it is the pair's
        products = (_product(space.codes, logarithms, subset) for subset in subsets)
        spread = tuple(product for product in products if product.high > product.low)
        return cls(tuple(_columns(domain) for domain in space.values), logarithms, spread)

    @property
    def width(self) -> int:
        """Number of columns."""
        return sum(int(table.shape[1]) for table in self.tables) + len(self.products)

    def __call__(self, codes: Codes) -> Matrix:
        """Features of rows of codes, shape (rows, width)."""
        matrix = np.empty((len(codes), self.width))
        column = 0
        for tunable, table in enumerate(self.tables):
            matrix[:, column : column + table.shape[1]] = table[codes[:, tunable]]
            column += table.shape[1]
        used = {tunable for product in self.products for tunable in product.tunables}
        logs = {tunable: _log_product(codes, self.logarithms, (tunable,)) for tunable in used}
        for product in self.products:
            total = np.sum([logs[tunable] for tunable in product.tunables], axis=0)
            matrix[:, column] = (total - product.low) / (product.high - product.low)
            column += 1
        return matrix


def misalignment(space: Space, codes: Codes) -> npt.NDArray[np.float64]:
    """Sum over the integer tunables of log2 of the value's odd part: 0 for powers of two, 1.6 for 3, 6 or 48.

    Warps, banks, cache lines and vector widths are powers of two, so that sizes which are not tend to waste some.
    """
    total = np.zeros(len(codes))
    for tunable, domain in enumerate(space.values):
        if _is_integer_size(domain):
            odd = np.array([math.log2(int(v) >> _alignment(int(v))) for v in domain])
            total += odd[codes[:, tunable]]
    return total


def _is_number(domain: Sequence[Value]) -> bool:
    return all(isinstance(value, int | float) and not isinstance(value, bool) for value in domain)


def _is_integer_size(domain: Sequence[Value]) -> bool:
    """Whether a domain looks like sizes: at least three positive integers."""
    return len(domain) > 2 and _is_number(domain) and all(v == int(v) and v > 0 for v in domain)


def _alignment(value: int) -> int:
    """The number of times that 2 divides a positive integer."""
    return (value & -value).bit_length() - 1


def _columns(domain: Sequence[Value]) -> Matrix:
    """The columns of one tunable, a row for each of its values."""
    if len(domain) == 1:
        return np.zeros((1, 0))
    if not _is_number(domain):
        return _labels(len(domain))
    logs = _unit(_logarithm(domain))
    columns = [logs[:, None]]
    rank = np.linspace(0.0, 1.0, len(domain))
    if np.abs(rank - logs).max() > _SAME:
        columns.append(rank[:, None])
    if _is_integer_size(domain):
        alignment = np.array([float(_alignment(int(v))) for v in domain])
        if np.ptp(alignment) > 0 and not all(int(v) == 1 << _alignment(int(v)) for v in domain):
            columns.append(_unit(alignment)[:, None])
    if len(domain) in _LABEL_VALUES:
        columns.append(_labels(len(domain)))
    return np.concatenate(columns, axis=1)


def _labels(count: int) -> Matrix:
    return np.eye(count) * _LABEL_SCALE


def _unit(values: Matrix) -> Matrix:
    return np.asarray((values - values.min()) / np.ptp(values))


def _logarithm(domain: Sequence[Value]) -> Matrix:
    """log2 of positive values, log2(1 + v) where there is a zero, the values themselves where some are negative."""
    values = np.array([float(value) for value in domain])
    if values.min() > 0:
        return np.asarray(np.log2(values))
    return np.asarray(np.log2(1 + values)) if values.min() == 0 else values


def _size_logarithm(domain: Sequence[Value]) -> Matrix | None:
    """log2 of values that can be factors of a size: three or more positive numbers."""
    is_size = len(domain) > 2 and _is_number(domain) and all(float(value) > 0 for value in domain)
    return np.log2([float(value) for value in domain]) if is_size else None


def _log_product(codes: Codes, logarithms: Sequence[Matrix | None], tunables: Sequence[int]) -> Matrix:
    total = np.zeros(len(codes))
    for tunable in tunables:
        table = logarithms[tunable]
        if table is not None:
            total += table[codes[:, tunable]]
    return total


def _product(codes: Codes, logarithms: Sequence[Matrix | None], tunables: tuple[int, ...]) -> Product:
    total = _log_product(codes, logarithms, tunables)
    return Product(tunables, float(total.min()), float(total.max()))


def _constrained_first(space: Space, logarithms: Sequence[Matrix | None], sizes: list[int]) -> list[tuple[int, ...]]:
    """Pairs of sizes, those whose values depend on each other most first.

    A bound on a product (threads per block, shared memory) leaves the factors correlated over the valid configurations.
    """
    step = max(1, len(space.codes) // _CORRELATED_ROWS)
    logs = {t: _log_product(space.codes[::step], logarithms, (t,)) for t in sizes}

    def independence(pair: tuple[int, ...]) -> float:
        a, b = (logs[tunable] - logs[tunable].mean() for tunable in pair)
        scale = math.sqrt(float(a @ a) * float(b @ b))
        return -abs(float(a @ b)) / scale if scale > 0 else 0.0

    return sorted(itertools.combinations(sizes, 2), key=independence)
