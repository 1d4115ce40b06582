"""From records to table rows and back."""

from __future__ import annotations

__all__ = ["kernel_digest", "new_run_id", "record", "row", "structure"]

import hashlib
import secrets
from collections.abc import Mapping
from typing import Any, Final, TypeVar

from attrs import AttrsInstance
from cattrs.preconf.json import make_converter
from sqlalchemy import Row

_CONVERTER: Final = make_converter()
#: Crockford's base 32: no letter that reads like a digit.
_DIGITS: Final = "0123456789abcdefghjkmnpqrstvwxyz"
#: 1 January 2025, UTC, in seconds since 1970.
_EPOCH: Final = 1_735_689_600
#: Base-32 digits of the milliseconds since then: enough until 2059.
_TIME_DIGITS: Final = 8

Record = TypeVar("Record", bound=AttrsInstance)


def row(value: AttrsInstance) -> dict[str, Any]:
    """The record as column values: text, numbers, and JSON values."""
    values: dict[str, Any] = _CONVERTER.unstructure(value)
    return values


def structure(values: Mapping[str, Any], kind: type[Record]) -> Record:
    """The record of `kind` that column values describe; columns it has no field for are left out."""
    return _CONVERTER.structure(values, kind)


def record(found: Row[Any], kind: type[Record]) -> Record:
    """`structure` for a row as the database returned it."""
    return structure(dict(found._mapping), kind)  # noqa: SLF001  (public despite its name; SQLAlchemy documents it)


def kernel_digest(text: str) -> str:
    """Name of a kernel's text: the first 16 hex digits of its SHA-256, which is `Kernel.digest` for canonical text."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def new_run_id(now: float) -> str:
    """Ten letters and digits: eight of the time in milliseconds, so that ids sort by it, and two at random."""
    milliseconds = max(0, int((now - _EPOCH) * 1000))
    digits = [_DIGITS[(milliseconds >> (5 * place)) % 32] for place in reversed(range(_TIME_DIGITS))]
    return "".join([*digits, secrets.choice(_DIGITS), secrets.choice(_DIGITS)])
