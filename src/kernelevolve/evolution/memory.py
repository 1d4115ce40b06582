"""Whose history the next proposal sees: chosen by a bandit, or fixed.

History speeds up a search and anchors it: proposals that see what was tried fall less often and change less. Which of
the two weighs more changes as a run goes on, so the choice is a discounted bandit's over what a proposal can be shown.
The state follows from what was recorded alone, so replaying it restores it.
"""

from __future__ import annotations

__all__ = ["MEMORIES", "FixedMemory", "MemoryBandit", "MemoryChooser", "make_memory"]

from collections.abc import Sequence
from random import Random
from typing import Final, Protocol, runtime_checkable

from attrs import define, field, frozen

from kernelevolve.errors import UnknownNameError
from kernelevolve.evolution.bandit import Bandit, Trial
from kernelevolve.store import Memory

#: Every arm, none first.
_ALL: Final = tuple(Memory)
#: Weights forget a little faster than an operator's do: what history is worth changes during a run.
_DISCOUNT: Final = 0.95


@runtime_checkable
class MemoryChooser(Protocol):
    """Chooses what a proposal is shown. All randomness comes from the generator that is passed in."""

    def choose(self, rng: Random, available: Sequence[Memory] = _ALL) -> Memory:
        """What the next proposal sees, among what there is to see; `Memory.NONE` is always among it."""
        ...

    def record(self, memory: Memory, reward: float, seconds: float, dollars: float = 0.0) -> None:
        """Learn what a proposal that saw `memory` earned (0 to 1, see `bandit.reward`) and what it cost."""
        ...


def _bandit() -> Bandit:
    return Bandit(discount=_DISCOUNT)


@define
class MemoryBandit:
    """A discounted bandit over what can be shown. Longer prompts cost more, and that counts."""

    _bandit: Bandit = field(factory=_bandit, init=False, repr=False)

    def choose(self, rng: Random, available: Sequence[Memory] = _ALL) -> Memory:
        """The arm with the best upper confidence bound, and now and then any."""
        arms = [memory.value for memory in _ALL if memory is Memory.NONE or memory in available]
        return Memory(self._bandit.choose(arms, 0, rng))

    def record(self, memory: Memory, reward: float, seconds: float, dollars: float = 0.0) -> None:
        """Learn from one proposal. Raises ValueError for a reward outside 0 to 1, or a negative cost."""
        self._bandit.record(Trial(memory.value, 0, reward, seconds, dollars=dollars))

    def scores(self) -> dict[Memory, float]:
        """The worth of each arm now; what reports show."""
        return dict(zip(_ALL, self._bandit.scores([memory.value for memory in _ALL]), strict=True))


@frozen
class FixedMemory:
    """Always the same memory, as far as there is anything to show."""

    memory: Memory

    def choose(self, rng: Random, available: Sequence[Memory] = _ALL) -> Memory:  # noqa: ARG002  (the protocol's)
        """The fixed memory, or the part of it that there is."""
        if self.memory in available:
            return self.memory
        parts = (Memory.PARENT, Memory.SIBLINGS) if self.memory is Memory.BOTH else ()
        return next((part for part in parts if part in available), Memory.NONE)

    def record(self, memory: Memory, reward: float, seconds: float, dollars: float = 0.0) -> None:
        """There is nothing to learn."""


#: What ``--memory`` takes.
MEMORIES: Final = ("bandit", *(memory.value for memory in _ALL))


def make_memory(name: str) -> MemoryChooser:
    """A fresh chooser by name: ``bandit``, or a memory's own name. Raises `UnknownNameError` with the names."""
    if name == "bandit":
        return MemoryBandit()
    if name not in MEMORIES:
        raise UnknownNameError("memory", name, MEMORIES)
    return FixedMemory(Memory(name))
