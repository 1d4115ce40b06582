"""Which lessons of earlier runs a new proposal is shown, and how they read."""

from __future__ import annotations

__all__ = ["relevant", "render_lesson"]

import re
from collections import Counter
from typing import Final

from kernelevolve.accelerator import Device
from kernelevolve.knowledge.bottleneck import Bottleneck
from kernelevolve.problem import Problem
from kernelevolve.store import Lesson, Store

#: Candidates, whose numbers mean nothing outside their run: ``candidate 3``, ``candidates 0 → 2``, ``candidates 1, 4``;
#: not what follows one: ``candidate 3, 4 accumulators``, ``candidates 1, 2.5×``.
_CANDIDATES: Final = re.compile(
    r"\b(?:candidate \d+|candidates \d+(?:(?:, | → | and )\d+(?!\d|\.\d|×))*)", re.IGNORECASE
)


def relevant(
    store: Store,
    problem: Problem,
    accelerator: str,
    device: Device | str,
    language: str,
    *,
    bottleneck: Bottleneck | None = None,
    limit: int = 8,
) -> tuple[Lesson, ...]:
    """Active lessons that may help, at most `limit`, the nearest first.

    Nearest is the same problem on the same device; then the same problem in the same language on another device; then
    another problem of the same pattern in this language on this device. Within each, lessons about `bottleneck` come
    first, then the most informative of each run, and of equals the latest. One that a person wrote for every problem
    (problem ``*``) counts as the same problem.
    """
    name = device if isinstance(device, str) else device.name
    ranked = []
    told: Counter[str] = Counter()  # lessons so far, by run; a run keeps the most informative one first
    for lesson in sorted(store.lessons.all(active=True), key=lambda one: one.id):
        rank = told[lesson.run] if lesson.run else 0
        told[lesson.run] += 1
        near = _nearness(lesson, problem, accelerator, name, language)
        if near is not None:
            about = bottleneck is not None and lesson.bottleneck == bottleneck.value
            ranked.append(((near, not about, rank, -lesson.created, lesson.id), lesson))
    chosen: dict[str, Lesson] = {}
    for _, lesson in sorted(ranked, key=lambda one: one[0]):
        chosen.setdefault(lesson.text, lesson)  # several runs may teach the same in the same words
    return tuple(chosen.values())[:limit]


def _nearness(lesson: Lesson, problem: Problem, accelerator: str, device: str, language: str) -> int | None:
    here = lesson.accelerator in ("", accelerator) and lesson.device in ("", device)
    if lesson.language not in ("", language):
        return None
    if lesson.problem in (problem.name, "*"):
        return 0 if here else 1
    same_pattern = problem.pattern != "generic" and lesson.data.get("pattern") == problem.pattern
    return 2 if here and same_pattern else None


def render_lesson(lesson: Lesson, *, problem: str, accelerator: str, device: Device | str) -> str:
    """The lesson in one paragraph, with where it comes from as seen from `problem` on `device`."""
    name = device if isinstance(device, str) else device.name
    places = []
    if lesson.problem not in (problem, "*"):
        places.append(f"problem {lesson.problem}")
    if lesson.accelerator and (lesson.accelerator != accelerator or (lesson.device and lesson.device != name)):
        places.append(f"another device ({lesson.accelerator}: {lesson.device or 'any'})")
    elif lesson.device:
        places.append("this device")
    text = lesson.text
    if lesson.run:
        places.append(f"run {lesson.run}")
        text = _CANDIDATES.sub(lambda found: f"{found[0]} of that run", text)
    else:
        places.append("written by a person")
    return f"{text} [{', '.join(places)}]"
