"""Random selection: the baseline that every other policy has to beat."""

from __future__ import annotations

__all__ = ["Uniform"]

from random import Random
from typing import ClassVar

from kernelevolve.evolution.archive import Archive
from kernelevolve.evolution.policies.protocol import Choice, other_than


class Uniform:
    """Every right candidate is as likely as any other."""

    name: ClassVar[str] = "random"

    def inserted(self, archive: Archive, number: int) -> None:
        """Nothing to remember."""

    def revised(self, archive: Archive, number: int) -> None:
        """Nothing to remember."""

    def select(self, archive: Archive, rng: Random, count: int) -> tuple[Choice, ...]:
        return tuple(Choice(archive.any(rng)) for _ in range(count))

    def mate(self, archive: Archive, rng: Random, choice: Choice) -> int | None:
        return other_than(archive, rng, choice.parent)
