"""Tunables of kernels written in Python: they reach the toolchain beside the source, as values of names."""

from __future__ import annotations

__all__ = ["check_name", "check_value"]

import keyword
import re
from collections.abc import Collection
from typing import Final

from kernelevolve.kernel import Value
from kernelevolve.languages.python_kernels.names import BUILTINS
from kernelevolve.outcome import Rejected

_NAME: Final = re.compile(r"[A-Za-z]\w*", re.ASCII)
#: Names of modes and policies: ``evict_first``, ``.cg``, ``tf32x3``. Never an expression, a format or a path.
_TEXT: Final = re.compile(r"[A-Za-z0-9_.\-]{0,32}", re.ASCII)
#: What a kernel computes with.
_LARGEST: Final = 2**31 - 1


def _refuse(what: str) -> Rejected:
    return Rejected(what, rule="tunable", line=1)


def check_name(name: str, reserved: Collection[str]) -> None:
    """Raise `Rejected` (rule ``tunable``) unless `name` can name a tunable of a source in Python."""
    if not _NAME.fullmatch(name) or keyword.iskeyword(name):
        raise _refuse(f"tunable {name!r} is no name; use letters, digits and _, and start with a letter")
    if name in BUILTINS or name in reserved:
        raise _refuse(
            f"tunable {name!r} has the name of something of the language; choose {name.upper()}_SIZE or the like"
        )


def check_value(name: str, value: Value, allowed: Collection[Value] | range | None = None) -> None:
    """Raise `Rejected` (rule ``tunable``) unless the value is one of `allowed`, or without those a plain one.

    Plain are true, false, whole numbers of 32 bits, and texts of up to 32 letters, digits and ``_ . -``.
    """
    if allowed is not None:
        if isinstance(value, bool) or value not in allowed:
            listed = f"{allowed[0]} to {allowed[-1]}" if isinstance(allowed, range) else ", ".join(map(str, allowed))
            raise _refuse(f"tunable {name} = {value!r} is nothing a compiler takes; it may be {listed}")
    elif isinstance(value, str):
        if not _TEXT.fullmatch(value):
            raise _refuse(f"tunable {name} = {value[:40]!r} is no plain word; a text tunable names a mode")
    elif abs(value) > _LARGEST:
        raise _refuse(f"tunable {name} = {value} has over 32 bits; no size or count needs that")
