"""Tensor descriptors: the addresses of a block, and which of its elements are inside of the tensor."""

from __future__ import annotations

__all__ = ["block_of"]

from collections.abc import Sequence

import numpy as np

from kernelevolve.backends.mtia.executor.values import (
    Array,
    Descriptor,
    Sum,
    Value,
    add,
    dense,
    multiply,
    parts,
    storage_bytes,
)


def block_of(
    descriptor: Descriptor, indices: Sequence[Value], block: Sequence[int], dtype: str
) -> tuple[Sum, Array | None]:
    """Addresses of the elements of the block at `indices`, and a mask of those inside of the tensor (None: all).

    An index is a number, from which the block's extent on goes, or a vector of as many numbers (a gather's rows).
    """
    rank, size = len(block), storage_bytes(dtype)
    address: Value = parts(_number(descriptor.base, rank))
    mask: Array | None = None
    for axis, extent in enumerate(block):
        along = tuple(extent if each == axis else 1 for each in range(rank))
        index = dense(indices[axis]).astype(np.int64)
        if index.ndim == 1:
            place = add(_number(index, rank), np.arange(extent, dtype=np.int64).reshape(1, *along))
        else:
            place = np.broadcast_to(index, (len(index), extent)).reshape(len(index), *along)
        step = _number(descriptor.strides[axis], rank).astype(np.int64) * size
        address = add(address, multiply(place, step))
        inside = (dense(place) >= 0) & (dense(place) < _number(descriptor.sizes[axis], rank))
        if not inside.all():
            mask = inside if mask is None else mask & inside
    return parts(address), mask


def _number(value: Value, rank: int) -> Array:
    """A number of each program, with the axes of a tile."""
    array = dense(value)
    return array.reshape(array.shape[0], *(1,) * rank)
