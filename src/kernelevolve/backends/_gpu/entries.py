"""What an artifact says about launching its kernels: ``Artifact.extra["entries"]``, checked and typed.

Per entry: ``symbol``; ``threads`` per block (null: the plan's block); ``shared``, the binary's own dynamic shared
bytes; ``cluster`` (blocks per cluster, absent: none); ``cooperative``; ``layout``, the kernel's parameters in order.
A parameter is one of

- ``{"kind": "pointer", "of": PARAMETER}``: the buffer that the plan binds to PARAMETER,
- ``{"kind": "scalar", "of": PARAMETER, "type": TYPE}``: the number that the plan binds,
- ``{"kind": "value", "type": TYPE, "value": N}``: a constant,
- ``{"kind": "scratch", "bytes_per_block": N, "align": A}``: memory that the session allocates, N bytes for each block
  of the launch; a null pointer where N is 0.

A grid of a plan counts programs. Where there are clusters, a program is one cluster, and the launch has `cluster` times
as many blocks in each dimension.
"""

from __future__ import annotations

__all__ = ["Constant", "Entry", "Parameter", "Pointer", "Scalar", "Scratch", "read_entries"]

from collections.abc import Mapping
from typing import Any

from attrs import frozen

from kernelevolve.backends._gpu.arguments import FORMATS
from kernelevolve.backends._gpu.driver import Dim3
from kernelevolve.outcome import PluginBug


@frozen
class Pointer:
    """The address of a buffer."""

    of: str


@frozen
class Scalar:
    """A number of the plan."""

    of: str
    type: str


@frozen
class Constant:
    """A number of the compiler's."""

    type: str
    value: int | float


@frozen
class Scratch:
    """The address of memory that only the compiler knows of."""

    bytes_per_block: int
    align: int


Parameter = Pointer | Scalar | Constant | Scratch


@frozen
class Entry:
    """One kernel of an artifact."""

    name: str
    symbol: str
    threads: int | None
    shared: int
    cluster: Dim3 | None
    cooperative: bool
    layout: tuple[Parameter, ...]


def read_entries(extra: Mapping[str, Any]) -> dict[str, Entry]:
    """The entries of an artifact by name. Raises `PluginBug` where the compiling side wrote something else."""
    try:
        return {name: _entry(name, value) for name, value in extra["entries"].items()}
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        message = f"the artifact does not say how its kernels are launched: {type(error).__name__}: {error}"
        raise PluginBug(message, traceback="") from None


def _entry(name: str, value: Mapping[str, Any]) -> Entry:
    cluster = value.get("cluster")
    return Entry(
        name=name,
        symbol=str(value["symbol"]),
        threads=None if value["threads"] is None else int(value["threads"]),
        shared=int(value["shared"]),
        cluster=None if cluster is None else _dim3(cluster),
        cooperative=bool(value["cooperative"]),
        layout=tuple(_parameter(one) for one in value["layout"]),
    )


def _dim3(value: Any) -> Dim3:
    x, y, z = (int(extent) for extent in value)
    return x, y, z


def _parameter(value: Mapping[str, Any]) -> Parameter:
    match value:
        case {"kind": "pointer", "of": of}:
            return Pointer(str(of))
        case {"kind": "scalar", "of": of, "type": kind} if kind in FORMATS:
            return Scalar(str(of), str(kind))
        case {"kind": "value", "type": kind, "value": int() | float() as number} if kind in FORMATS:
            return Constant(str(kind), number)
        case {"kind": "scratch", "bytes_per_block": int() as size, "align": int() as align}:
            return Scratch(size, align)
    raise ValueError(f"a kernel parameter is described by {dict(value)}")
