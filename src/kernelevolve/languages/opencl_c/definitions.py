"""What ``-D NAME=value`` may define: a tunable reaches the compiler past the gate, which reads the source alone."""

from __future__ import annotations

__all__ = ["check_definition"]

import re
from typing import Final

from kernelevolve.languages.opencl_c.names import BUILTINS, FORBIDDEN, KEYWORDS, RESERVED_OK, TYPES
from kernelevolve.outcome import Rejected

#: One name or one number. Anything longer would be code that nothing has looked at.
_WORD: Final = re.compile(r"[A-Za-z_]\w*|[+-]?\.?\d[\w.]*", re.ASCII)
_NAME: Final = re.compile(r"[A-Za-z]\w*", re.ASCII)


def check_definition(name: str, value: int | bool | str) -> None:
    """Raise `Rejected` (rule ``tunable``) unless the tunable can be given to the compiler as a macro.

    A name must not be a word of the language; a value that is text must be one name or one number, and none of the
    names that the gate refuses in a source.
    """
    if not _NAME.fullmatch(name) or name in KEYWORDS or name in TYPES or name in BUILTINS or name in FORBIDDEN:
        raise _fail(f"tunable {name!r} has the name of a word of OpenCL C; choose another, such as {name.upper()}_SIZE")
    if not isinstance(value, str):
        return
    if not _WORD.fullmatch(value):
        raise _fail(f"tunable {name} = {value[:40]!r} is no single name or number; a tunable holds a value, not code")
    reserved = value.startswith("__") and value not in RESERVED_OK
    if value in FORBIDDEN or reserved or value in KEYWORDS:
        raise _fail(f"tunable {name} = {value!r} is not allowed; a source must not contain that word either")


def _fail(message: str) -> Rejected:
    return Rejected(message, rule="tunable", line=1)
