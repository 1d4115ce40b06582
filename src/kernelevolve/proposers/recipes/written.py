"""Kernels written by hand for the built-in problems: whole files under ``LANGUAGE/PROBLEM/NAME.py``, no slots.

Those under ``ACCELERATOR/PROBLEM/NAME.py`` are for one chip only; their names are ``ACCELERATOR-NAME``. All others are
offered on every device of their language, there without what means nothing on it. They are proposals like any other:
gated, checked, timed, tuned and rewritten. Comment lines that start with ``#:`` say more than a kernel file does:

- ``#: note …``: what the kernel does, in one line (required);
- ``#: rank N``: recipes that promise more come first, lower ranks before higher ones (default 50);
- ``#: targets cuda:sm_90 cuda:sm_100``: the only targets that it is offered for (default: all).
"""

from __future__ import annotations

__all__ = ["CHIPS", "LANGUAGES", "Written", "chip_names", "names", "read_written"]

import re
from collections.abc import Mapping
from functools import lru_cache
from importlib import resources
from importlib.resources.abc import Traversable
from typing import Final

from attrs import evolve, frozen

from kernelevolve.errors import KernelFileError, UnknownNameError
from kernelevolve.kernel import Kernel, Value, parse_kernel
from kernelevolve.languages.triton_lang import is_gluon
from kernelevolve.proposers.rewriting.changes import FOREIGN_OPTIONS

#: The languages that have such kernels.
LANGUAGES: Final = ("numba", "triton")
#: Accelerators with kernels of their own, with the language of these.
CHIPS: Final[Mapping[str, str]] = {"mtia": "triton"}
#: Launch options of an accelerator that take the place of those which mean nothing to it.
_OWN: Final[Mapping[str, Mapping[str, tuple[Value, ...]]]] = {
    "mtia": {"use_dual_core": (1, 0), "cb_multiplier": (1, 2, 4)},
}
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
    #: The only accelerator that it is offered on; empty for all.
    accelerator: str = ""

    def suits(self, target: str, *, interpreted: bool = False) -> bool:
        """Whether it is offered for `target`, such as ``cuda:sm_90`` or ``mtia:mtia2i``, or for what interprets it."""
        if interpreted and self.kernel.language == "triton" and is_gluon(self.kernel.body):
            return False
        if self.accelerator and target.partition(":")[0] != self.accelerator:
            return False
        return not self.targets or target in self.targets

    def adapted(self, target: str) -> Kernel:
        """The kernel as it is offered for `target`: another vendor's launch options give way to the chip's own.

        Constraints that name such an option say what a GPU's registers and shared memory hold; they go as well.
        """
        accelerator = target.partition(":")[0]
        if accelerator == self.accelerator or accelerator not in CHIPS:
            return self.kernel
        foreign = set(FOREIGN_OPTIONS[accelerator])
        tunables = {name: values for name, values in self.kernel.tunables.items() if name not in foreign}
        constraints = tuple(one for one in self.kernel.constraints if not one.names & foreign)
        own = {name: values for name, values in _OWN[accelerator].items() if name not in tunables}
        return evolve(self.kernel, tunables={**tunables, **own}, constraints=constraints)


def _folder(folder: str, problem: str) -> Traversable:
    return resources.files(__package__).joinpath(folder, problem)


def _stems(folder: str, problem: str) -> list[str]:
    found = _folder(folder, problem)
    files = (file.name for file in found.iterdir()) if found.is_dir() else ()
    return [file[:-3].replace("_", "-") for file in files if re.fullmatch(r"[a-z0-9_]+\.py", file)]


def _by_rank(language: str, problem: str, found: list[str]) -> tuple[str, ...]:
    return tuple(sorted(found, key=lambda name: (read_written(language, problem, name).rank, name)))


@lru_cache(maxsize=128)
def names(language: str, problem: str) -> tuple[str, ...]:
    """The kernels for the problem called `problem` on any device, those that promise most first."""
    return _by_rank(language, problem, _stems(language, problem)) if language in LANGUAGES else ()


@lru_cache(maxsize=128)
def chip_names(language: str, problem: str) -> tuple[str, ...]:
    """The kernels for one chip only, those that promise most first."""
    chips = [chip for chip, spoken in CHIPS.items() if spoken == language]
    return _by_rank(language, problem, [f"{chip}-{stem}" for chip in chips for stem in _stems(chip, problem)])


@lru_cache(maxsize=128)
def read_written(language: str, problem: str, name: str) -> Written:
    """The kernel called `name`. Raises `UnknownNameError`, or `KernelFileError` for a file that cannot be read."""
    chip, _, stem = name.partition("-")
    accelerator = chip if CHIPS.get(chip) == language else ""
    folder, stem = (accelerator, stem) if accelerator else (language, name)
    file = _folder(folder, problem).joinpath(f"{stem.replace('-', '_')}.py")
    if not file.is_file():
        known = (*chip_names(language, problem), *names(language, problem))
        raise UnknownNameError("recipe", name, known, where=f"problem {problem!r} in {language}")
    text, label = file.read_text(encoding="utf-8"), f"{folder}/{problem}/{file.name}"
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
        accelerator=accelerator,
    )
