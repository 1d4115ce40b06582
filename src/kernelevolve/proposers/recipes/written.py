"""Kernels written by hand for the built-in problems: whole files under ``LANGUAGE/PROBLEM/NAME.py``, no slots.

They are proposals like any other: gated, checked, timed, tuned and rewritten. Comment lines that start with ``#:`` say
more than a kernel file does:

- ``#: note …``: what the kernel does, in one line (required);
- ``#: rank N``: recipes that promise more come first, lower ranks before higher ones (default 50);
- ``#: targets cuda:sm_90 cuda:sm_100``: the only targets that it is offered for (default: all).
"""

from __future__ import annotations

__all__ = ["LANGUAGES", "Written", "names", "read_written"]

import re
from functools import lru_cache
from importlib import resources
from importlib.resources.abc import Traversable
from typing import Final

from attrs import frozen

from kernelevolve.errors import KernelFileError, UnknownNameError
from kernelevolve.kernel import Kernel, parse_kernel

#: The languages that have such kernels.
LANGUAGES: Final = ("numba", "triton")
_DIRECTIVE: Final = re.compile(r"^#: (\w+) (.*)\n", re.MULTILINE)
_KNOWN: Final = ("note", "rank", "targets")


@frozen
class Written:
    """One kernel written by hand."""

    name: str
    kernel: Kernel
    note: str
    rank: int = 50
    targets: frozenset[str] = frozenset()

    def suits(self, target: str) -> bool:
        """Whether it is offered for `target`."""
        return not self.targets or target in self.targets


def _folder(language: str, problem: str) -> Traversable:
    return resources.files(__package__).joinpath(language, problem)


@lru_cache(maxsize=128)
def names(language: str, problem: str) -> tuple[str, ...]:
    """The kernels for the problem called `problem`, those that promise most first."""
    folder = _folder(language, problem)
    if language not in LANGUAGES or not folder.is_dir():
        return ()
    files = (file.name for file in folder.iterdir())
    found = [file[:-3].replace("_", "-") for file in files if re.fullmatch(r"[a-z0-9_]+\.py", file)]
    return tuple(sorted(found, key=lambda name: (read_written(language, problem, name).rank, name)))


@lru_cache(maxsize=128)
def read_written(language: str, problem: str, name: str) -> Written:
    """The kernel called `name`. Raises `UnknownNameError`, or `KernelFileError` for a file that cannot be read."""
    file = _folder(language, problem).joinpath(f"{name.replace('-', '_')}.py")
    if not file.is_file():
        raise UnknownNameError("recipe", name, names(language, problem), where=f"problem {problem!r} in {language}")
    text, label = file.read_text(encoding="utf-8"), f"{language}/{problem}/{file.name}"
    said = dict(_DIRECTIVE.findall(text))
    unknown = set(said) - set(_KNOWN)
    if unknown or "note" not in said:
        wrong = f"unknown directive {min(unknown)!r}" if unknown else "no line '#: note …'"
        raise KernelFileError(f"{label}: {wrong}; there is {', '.join(_KNOWN)}")
    return Written(
        name=name,
        kernel=parse_kernel(_DIRECTIVE.sub("", text), name=label),
        note=said["note"].strip(),
        rank=int(said.get("rank", "50")),
        targets=frozenset(said.get("targets", "").split()),
    )
