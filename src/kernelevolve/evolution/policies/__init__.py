"""Selection: which candidates to build on. Policies are plain objects, found by name in `POLICIES`."""

from __future__ import annotations

__all__ = [
    "POLICIES",
    "Choice",
    "Restarting",
    "SelectionPolicy",
    "make_policy",
    "register_policy",
]

from collections.abc import Callable
from functools import partial
from typing import Any, Final

from kernelevolve.errors import KernelEvolveError, UnknownNameError
from kernelevolve.evolution.policies.beam import Beam
from kernelevolve.evolution.policies.greedy import Greedy
from kernelevolve.evolution.policies.map_elites import MapElites
from kernelevolve.evolution.policies.protocol import Choice, SelectionPolicy
from kernelevolve.evolution.policies.stagnation import Restarting
from kernelevolve.evolution.policies.tree import TreeSearch
from kernelevolve.evolution.policies.uniform import Uniform

#: Policies by name: what makes one from its settings.
POLICIES: Final[dict[str, Callable[..., SelectionPolicy]]] = {
    "random": Uniform,
    "greedy": Greedy,
    "beam": Beam,
    "map-elites": MapElites,
    "mcts": TreeSearch,
}


def make_policy(name: str, *, restarts: int | None = None, **settings: Any) -> SelectionPolicy:
    """A fresh policy; with `restarts`, one that starts again elsewhere after so many candidates in a row without an
    improvement.

    Raises `UnknownNameError` with the names, `KernelEvolveError` for a setting that the policy does not have.
    """
    if name not in POLICIES:
        raise UnknownNameError("selection policy", name, POLICIES)
    make = partial(POLICIES[name], **settings)
    try:
        return make() if restarts is None else Restarting(make, restarts)
    except (TypeError, ValueError) as error:
        raise KernelEvolveError(f"selection policy {name!r}: {error}") from error


def register_policy(name: str, make: Callable[..., SelectionPolicy]) -> None:
    """Add a policy of your own. Raises `KernelEvolveError` where the name is taken."""
    if name in POLICIES:
        raise KernelEvolveError(f"selection policy {name!r} exists already; choose another name")
    POLICIES[name] = make
