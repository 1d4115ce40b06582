"""Offsets of jagged tensors: how a number of elements falls into rows of different lengths."""

from __future__ import annotations

__all__ = ["jagged_offsets"]

import torch


def jagged_offsets(rows: int, total: int, distribution: str, rng: torch.Generator) -> torch.Tensor:
    """``offsets`` (int64, ``rows + 1`` of them): row r holds elements ``offsets[r]`` to ``offsets[r + 1] - 1``.

    ``offsets[0] = 0``, the last one is `total`, and rows may be empty. ``normal``: rows come in pairs of twice the mean
    length, so that one of the two has at least the mean; ``large``: cut at random places, which gives a few long rows
    and many short ones; ``constant``: as even as can be; ``adversarial``: everything in one row, or every second
    row empty.
    """
    if distribution == "constant":
        return torch.arange(rows + 1) * total // rows
    if distribution == "large":
        inner = torch.randint(total + 1, (rows - 1,), generator=rng).sort().values
        return torch.cat([torch.tensor([0]), inner, torch.tensor([total])])
    lengths = _hostile(rows, total, rng) if distribution == "adversarial" else _paired(rows, total, rng)
    return torch.cat([torch.tensor([0]), lengths.cumsum(0)])


def _paired(rows: int, total: int, rng: torch.Generator) -> torch.Tensor:
    mean, rest = divmod(total, rows)
    lengths = torch.full((rows,), mean)
    first = torch.randint(2 * mean + 1, (rows // 2,), generator=rng)
    lengths[0 : 2 * len(first) : 2] = first
    lengths[1 : 2 * len(first) : 2] = 2 * mean - first
    lengths[torch.randperm(rows, generator=rng)[:rest]] += 1
    return lengths


def _hostile(rows: int, total: int, rng: torch.Generator) -> torch.Tensor:
    kind = int(torch.randint(4, (), generator=rng))
    lengths = torch.zeros(rows, dtype=torch.int64)
    if kind == 3:
        lengths[0::2] = _paired(len(lengths[0::2]), total, rng)
    else:
        # The first row, the last one, or any: a search over the offsets meets long runs of equal ones.
        lengths[(0, rows - 1, int(torch.randint(rows, (), generator=rng)))[kind]] = total
    return lengths
