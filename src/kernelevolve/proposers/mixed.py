"""Several proposers in one run: their operators are arms of one bandit, which moves effort to those that pay."""

from __future__ import annotations

__all__ = ["Mixed"]

import time
from collections.abc import Sequence
from typing import Final

from kernelevolve.errors import KernelEvolveError
from kernelevolve.evolution.proposal import (
    Failed,
    Proposal,
    ProposalRequest,
    Proposer,
    ProposesConcurrently,
    Remembers,
)
from kernelevolve.problem import Problem

#: Seconds for which one of several proposers with open proposals is waited for before the next one is looked at.
_SLICE: Final = 0.05


class Mixed:
    """`proposers` as one; satisfies `Proposer`, `Remembers` and `ProposesConcurrently` whatever they are themselves.

    `width` is the sum of theirs, and 1 where none proposes concurrently.
    """

    def __init__(self, proposers: Sequence[Proposer]) -> None:
        """Raises `KernelEvolveError` where there are none, or one twice."""
        names = [proposer.name for proposer in proposers]
        if not names:
            raise KernelEvolveError("a mixed proposer needs at least one proposer; name them as in rewriting+anthropic")
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise KernelEvolveError(f"proposer {twice!r} is named twice in {'+'.join(names)!r}; name each once")
        self.name = "+".join(names)
        self.proposers = tuple(proposers)
        self._concurrent = tuple(one for one in self.proposers if isinstance(one, ProposesConcurrently))
        self.width = sum(one.width for one in self._concurrent) or 1
        #: Operator to whose it is, from what `operators` has answered so far.
        self._owners: dict[str, Proposer] = {}
        #: Our ticket to whose proposal it is, and to that proposer's own ticket.
        self._open: dict[int, tuple[ProposesConcurrently, int]] = {}
        self._tickets = 0

    def operators(self, problem: Problem, language: str) -> tuple[str, ...]:
        """Everybody's operators, in the order of the proposers.

        Raises `KernelEvolveError` where two proposers have one of the same name.
        """
        found = []
        for proposer in self.proposers:
            for operator in proposer.operators(problem, language):
                owner = self._owners.setdefault(operator, proposer)
                if owner is not proposer:
                    raise KernelEvolveError(
                        f"proposers {owner.name!r} and {proposer.name!r} both have an operator {operator!r}; "
                        "the bandit could not tell them apart, so leave one of the proposers out"
                    )
                found.append(operator)
        return tuple(found)

    def propose(self, request: ProposalRequest) -> Proposal | Failed | None:
        """What the operator's owner proposes."""
        return self._asked(request).propose(request)

    def remembers(self, operator: str) -> bool:
        """Whether the operator's owner reads history for it; False for what nobody here made, as after a resume with
        other proposers.
        """
        owner = self._owners.get(operator)
        return isinstance(owner, Remembers) and owner.remembers(operator)

    def concurrent(self, operator: str) -> bool:
        """Whether the operator's owner waits for somebody else with it."""
        owner = self._owners.get(operator)
        return isinstance(owner, ProposesConcurrently) and owner.concurrent(operator)

    def begin(self, request: ProposalRequest) -> int:
        """Have the operator's owner start. Raises `KernelEvolveError` where it does not propose concurrently."""
        owner = self._asked(request)
        if not isinstance(owner, ProposesConcurrently):
            raise KernelEvolveError(f"operator {request.operator!r} of {owner.name!r} is not concurrent; use propose")
        ticket = self._tickets
        self._open[ticket] = (owner, owner.begin(request))
        self._tickets += 1
        return ticket

    def finished(self, timeout: float) -> tuple[int, Proposal | Failed | None] | None:
        """The first proposal that is done, of whichever proposer."""
        until = time.monotonic() + timeout
        while True:
            waiting = [one for one in self._concurrent if any(owner is one for owner, _ in self._open.values())]
            left = max(0.0, until - time.monotonic())
            for proposer in waiting:
                done = proposer.finished(left if len(waiting) == 1 else min(left, _SLICE))
                if done is not None:
                    return self._closed(proposer, *done)
            if not waiting or time.monotonic() >= until:
                return None

    def cancel(self) -> None:
        """Have everybody give up what is open."""
        for proposer in self._concurrent:
            proposer.cancel()
        self._open.clear()

    def _asked(self, request: ProposalRequest) -> Proposer:
        if request.operator not in self._owners:
            self.operators(request.problem, request.language)
        return self._owner(request.operator)

    def _owner(self, operator: str) -> Proposer:
        owner = self._owners.get(operator)
        if owner is None:
            listed = ", ".join(self._owners)
            raise KernelEvolveError(f"no proposer of {self.name!r} has an operator {operator!r}; there is {listed}")
        return owner

    def _closed(
        self, proposer: ProposesConcurrently, own: int, result: Proposal | Failed | None
    ) -> tuple[int, Proposal | Failed | None]:
        ticket = next(ticket for ticket, (owner, inner) in self._open.items() if owner is proposer and inner == own)
        del self._open[ticket]
        return ticket, result
