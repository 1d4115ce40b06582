"""What travels between the engine and a worker: length-prefixed JSON with a nonce, then raw attachments. Never pickle.

A frame is ``<u32 length of the JSON> <JSON> <attachments, back to back>``; the JSON's ``sizes`` lists the attachments'
lengths. The reader knows how much it is prepared to take and refuses more before it allocates anything.
"""

from __future__ import annotations

__all__ = [
    "HEADER",
    "MAX_JSON",
    "READY",
    "Frame",
    "WireError",
    "encode",
    "finite_seconds",
    "header",
    "sizes_of",
    "structure",
    "unstructure",
]

import json
import math
import struct
from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeVar

import cattrs
from attrs import field, frozen

from kernelevolve.plan import Argument, BufferArgument, LocalArgument, ScalarArgument, TextArgument

#: Bytes of JSON in one frame, at most: logs are cut long before.
MAX_JSON: Final = 8 << 20
#: The nonce of a worker's first frame, sent once its device is open.
READY: Final = "ready"
HEADER: Final = struct.Struct("<I")
T = TypeVar("T")


class WireError(Exception):
    """The other side did not keep to the protocol."""


@frozen
class Frame:
    """One message."""

    body: dict[str, Any]
    attachments: tuple[bytes, ...] = ()
    #: Echoed by the answer, so that a stale or forged one is noticed.
    nonce: str = field(default="")


def encode(frame: Frame, attachments: Sequence[memoryview | bytes] = ()) -> list[memoryview]:
    """The pieces to write, without copying attachments. Raises WireError where the JSON is too large."""
    views = [memoryview(piece).cast("B") for piece in (*frame.attachments, *attachments)]
    document = {"nonce": frame.nonce, "body": frame.body, "sizes": [view.nbytes for view in views]}
    text = json.dumps(document, allow_nan=True).encode()
    if len(text) > MAX_JSON:
        raise WireError(f"a message of {len(text)} bytes; at most {MAX_JSON} are allowed")
    return [memoryview(HEADER.pack(len(text)) + text), *views]


def header(text: bytes | bytearray) -> dict[str, Any]:
    """The parsed JSON of a frame. Raises WireError for anything that is not one."""
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise WireError(f"not JSON: {error}") from None
    if not isinstance(document, dict) or not isinstance(document.get("body"), dict):
        raise WireError("not a message")
    return document


def sizes_of(document: Mapping[str, Any], limit: int) -> list[int]:
    """The attachments' sizes. Raises WireError where they are not sizes, or exceed `limit` bytes in all."""
    sizes = document.get("sizes")
    if not isinstance(sizes, list) or not all(type(size) is int and size >= 0 for size in sizes):
        raise WireError("attachment sizes are missing or wrong")
    if sum(sizes) > limit:
        raise WireError(f"{sum(sizes)} bytes of attachments where at most {limit} were expected")
    return sizes


def _argument(value: Mapping[str, Any], _: object) -> Argument:
    if "buffer" in value:
        return BufferArgument(value["parameter"], value["buffer"])
    if "nbytes" in value:
        return LocalArgument(value["parameter"], value["nbytes"])
    if isinstance(value["value"], str):
        return TextArgument(value["parameter"], value["value"])
    return ScalarArgument(value["parameter"], value["value"], value["dtype"])


def _scalar(value: Any, _: object) -> Any:
    """Unions of JSON scalars are themselves: cattrs would pick one member."""
    return value


_converter = cattrs.Converter(forbid_extra_keys=True)
_converter.register_structure_hook_func(lambda kind: kind == Argument, _argument)
_converter.register_structure_hook_func(lambda kind: kind in (int | bool | str, int | float, Any), _scalar)


def unstructure(value: object) -> Any:
    """Attrs data as JSON values (bytes excluded)."""
    return _converter.unstructure(value)


def structure(value: Any, kind: type[T]) -> T:
    """The attrs value that `unstructure` described. Raises WireError where it does not fit."""
    try:
        return _converter.structure(value, kind)
    except Exception as error:  # cattrs raises a group of whatever the fields raised
        raise WireError(f"not a {kind.__name__}: {error}") from error


def finite_seconds(value: Any) -> float:
    """A time from the wire: positive, finite, below a day. Raises WireError for anything else."""
    if type(value) not in (int, float) or not math.isfinite(value) or not 0 < value < 86400:
        raise WireError(f"{value!r} is no time in seconds")
    return float(value)
