"""From what runs did to what is shown: one record for each arm, main effects, and differences."""

from __future__ import annotations

__all__ = ["document", "effect", "per_seed"]

import statistics
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from attrs import asdict

from benchmarks.ablation.driver import DRAFTS
from benchmarks.ablation.intervals import mean_of
from benchmarks.ablation.landscape import Landscape
from benchmarks.ablation.proposals import ORIGINS, ProposalModel
from benchmarks.ablation.running import Outcome, Settings, Task
from kernelevolve import __version__

Values = npt.NDArray[np.float64]
_WHAT: Final = (
    "a simulation of proposals: the search is the real one, times are recorded or estimated, and no language model "
    "was asked; `model` says how proposals were drawn, and `origins` where each of its numbers comes from"
)


def document(
    todo: Sequence[Task], outcomes: Sequence[Outcome], landscapes: Sequence[Landscape], settings: Settings
) -> dict[str, Any]:
    """The whole result as JSON values; shares of the optimum are means over the landscapes, by seed."""
    grouped: dict[tuple[str, str], list[tuple[Task, Outcome]]] = {}
    for task, outcome in zip(todo, outcomes, strict=True):
        grouped.setdefault((task.study, task.label), []).append((task, outcome))
    return {
        "what": _WHAT,
        "version": __version__,
        "python": sys.version.split()[0],
        "settings": {**asdict(settings), "checkpoints": list(settings.checkpoints), "drafts": DRAFTS},
        "model": asdict(ProposalModel()),
        "origins": dict(ORIGINS),
        "landscapes": {landscape.name: landscape.describe() for landscape in landscapes},
        "arms": [_arm(study, label, found) for (study, label), found in grouped.items()],
    }


def _arm(study: str, label: str, found: Sequence[tuple[Task, Outcome]]) -> dict[str, Any]:
    arm = found[0][0].arm
    curves = np.array([outcome.best for _, outcome in found])  # landscape, seed, checkpoint
    reached = [steps for _, outcome in found for steps in outcome.under_way]
    return {
        "study": study,
        "label": label,
        **{name: value for name, value in asdict(arm).items() if name != "model"},
        "by_seed": np.round(curves.mean(axis=0), 3).tolist(),
        "by_landscape": {task.landscape: round(float(np.mean(outcome.best, axis=0)[-1]), 4) for task, outcome in found},
        "best_run": round(float(curves[:, :, -1].max(axis=1).mean()), 4),
        "fell": round(float(np.mean([outcome.fell for _, outcome in found])), 4),
        "dollars": round(float(np.mean([outcome.dollars for _, outcome in found])), 3),
        "under_way": _median_steps(reached),
    }


def _median_steps(reached: Sequence[int | None]) -> float | None:
    """The median number of evaluations until a run was under way; None where more than half never were."""
    median = statistics.median(float("inf") if steps is None else steps for steps in reached)
    return None if median == float("inf") else median


def per_seed(result: Mapping[str, Any], study: str, wanted: Callable[[Mapping[str, Any]], bool]) -> Values:
    """Share of the optimum by seed and checkpoint, averaged over the arms of a study that are `wanted`."""
    curves = [arm["by_seed"] for arm in result["arms"] if arm["study"] == study and wanted(arm)]
    averaged: Values = np.mean(np.array(curves), axis=0)
    return averaged


def effect(values: Values) -> dict[str, list[float]]:
    """A curve with its interval at every checkpoint."""
    means = [mean_of(values[:, place]) for place in range(values.shape[1])]
    return {
        "value": [one.value for one in means],
        "low": [one.low for one in means],
        "high": [one.high for one in means],
    }
