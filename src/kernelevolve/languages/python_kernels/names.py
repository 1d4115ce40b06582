"""What a name of a module is to a kernel, and which of Python's own names a kernel may give a new meaning."""

from __future__ import annotations

__all__ = ["BUILTINS", "REBINDABLE", "Kind", "Namespace", "Reachable", "namespace", "words"]

import builtins
import enum
from collections.abc import Mapping
from typing import Final, TypeAlias


class Kind(enum.Enum):
    """How a reachable name may be used."""

    FUNCTION = "function"
    """Called, and nothing else."""
    TYPE = "type"
    """An element type: passed, called as a cast, or an annotation."""
    VALUE = "value"
    """Read."""
    LOOP = "loop"
    """What a ``for`` runs over."""
    UNROLLED = "unrolled loop"
    """What a ``for`` runs over that the compiler writes out."""
    ANNOTATION = "annotation"
    """An annotation, and nothing else."""
    DECORATOR = "decorator"
    """Stands before a function, and nowhere else."""


Namespace: TypeAlias = "Mapping[str, Reachable]"
Reachable: TypeAlias = "Kind | Namespace"


def words(text: str) -> frozenset[str]:
    """The words of a table that is written as text."""
    return frozenset(text.split())


def namespace(
    functions: str = "", types: str = "", values: str = "", inner: Mapping[str, Reachable] | None = None
) -> Namespace:
    """A namespace of the names in each text, and of `inner` as it is."""
    kinds = ((functions, Kind.FUNCTION), (types, Kind.TYPE), (values, Kind.VALUE))
    return {**{word: kind for text, kind in kinds for word in text.split()}, **(inner or {})}


#: Python's own names. ``_`` is none of them: an interactive interpreter adds it.
BUILTINS: Final = frozenset(dir(builtins)) - {"_"}
#: Names of Python's that kernels like for variables, and that mean nothing else once they are one. The others either
#: reach the interpreter (``open``) or are looked up by Triton while it traces (``getattr``), so that a variable of that
#: name could be read before it has a value, and then be the function.
REBINDABLE: Final = words(
    """abs all any bin dir filter format hash id input iter map max min next ord pow round set slice sorted sum type
    vars zip"""
)
