"""What is compared with what: the arms of each study."""

from __future__ import annotations

__all__ = ["MEMORIES", "POLICIES", "REST", "STUDIES", "VARIATIONS", "Study"]

import itertools
from collections.abc import Mapping
from typing import Final

from attrs import evolve, frozen

from benchmarks.ablation.driver import Arm
from benchmarks.ablation.proposals import ProposalModel
from kernelevolve.evolution.memory import MEMORIES as _NAMES

POLICIES: Final = ("random", "greedy", "beam", "mcts", "map-elites")
MEMORIES: Final = tuple(sorted(_NAMES, key=lambda name: name == "bandit"))
#: Candidates without an improvement before a restart, where restarts are on.
REST: Final = 20

#: One parameter of the model of proposals changed at a time, both ways.
VARIATIONS: Final[Mapping[str, ProposalModel]] = {
    "as assumed": ProposalModel(),
    "few broken: 30 %, 15 % with memory": ProposalModel(broken_clean=0.30, broken_remembering=0.15),
    "memory mends nothing: 55 % broken always": ProposalModel(broken_remembering=0.55),
    "no anchoring: reach 3 with memory too": ProposalModel(reach_anchored=3.0, nearby=0.0),
    "strong anchoring: reach 1, neighbours only": ProposalModel(reach_anchored=1.0, nearby=1.0),
    "short clean steps: reach 2": ProposalModel(reach_clean=2.0),
    "long clean steps: reach 5": ProposalModel(reach_clean=5.0),
    "poor judgement: error 2": ProposalModel(misjudgement=2.0),
    "good judgement: error 0.1": ProposalModel(misjudgement=0.1),
    "three ideas each": ProposalModel(ideas=3),
    "drafts near the seed: a quarter": ProposalModel(draft_reach=0.25),
    "drafts anywhere": ProposalModel(draft_reach=1.0),
}


@frozen
class Study:
    """Arms by label, all on the same landscapes and seeds."""

    name: str
    arms: Mapping[str, Arm]
    #: Of all seeds, so many are enough for it: one over this.
    thinner: int = 1


def _factorial() -> dict[str, Arm]:
    return {
        f"{policy}/{memory}/{'knowledge' if knowledge else 'plain'}": Arm(policy, memory, knowledge)
        for policy, memory, knowledge in itertools.product(POLICIES, MEMORIES, (False, True))
    }


def _restarts() -> dict[str, Arm]:
    return {
        f"{policy}/{'on' if restarts else 'off'}": Arm(policy, "both", restarts=restarts)
        for policy, restarts in itertools.product(POLICIES, (None, REST))
    }


def _sensitivity() -> dict[str, Arm]:
    watched = [Arm("map-elites", memory) for memory in ("none", "both", "bandit")]
    watched += [Arm(policy, "bandit") for policy in ("random", "greedy", "mcts", "beam")]
    return {
        f"{label}/{arm.policy}/{arm.memory}": evolve(arm, model=model)
        for (label, model), arm in itertools.product(VARIATIONS.items(), watched)
    }


#: Every study by name.
STUDIES: Final = {
    study.name: study
    for study in (
        Study("factorial", _factorial()),
        Study("restarts", _restarts()),
        Study("proposers", {name: Arm(proposer=name) for name in ("model", "rewriting", "mixed")}),
        Study("sensitivity", _sensitivity(), thinner=2),
    )
}
