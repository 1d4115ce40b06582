"""What runs teach later runs: lessons and kernels, out of the store and into it."""

from __future__ import annotations

__all__ = ["add_transferred", "learn_from", "lessons_for"]

from typing import Final

from attrs import evolve

from kernelevolve import knowledge
from kernelevolve.accelerator import Device
from kernelevolve.evolution.kernels import normal_form
from kernelevolve.evolution.loop import Evolution
from kernelevolve.kernel import parse_kernel, render_kernel
from kernelevolve.problem import Problem
from kernelevolve.store import Candidate, Lesson, Run, Store

#: Lessons that a run's proposers are shown at most.
_LESSONS: Final = 12
#: Kernels of other runs that a new one tries at most.
_TRANSFERRED: Final = 4


def lessons_for(store: Store, run: Run, problem: Problem, device: Device) -> tuple[Lesson, ...]:
    """What earlier runs learnt that bears on `run`: the same for all its proposals."""
    found = knowledge.relevant(store, problem, run.accelerator, device, run.language, limit=_LESSONS)
    return tuple(lesson for lesson in found if lesson.run != run.id)


def learn_from(evolution: Evolution) -> tuple[Lesson, ...]:
    """Distil a run's lessons and keep them, in the place of what it taught before it was resumed; what a user has
    reworded or switched off stays.
    """
    store, run = evolution.store, evolution.run
    device, problem = evolution.evaluator.device, evolution.problem
    made = knowledge.distil(run, store.candidates(run.id), store.evaluations(run.id), device, problem)
    for before in store.lessons.all(problem=run.problem, accelerator=run.accelerator):
        untouched = before.active and before.text == before.data.get("distilled")
        if before.run == run.id and untouched and before.text not in {lesson.text for lesson in made}:
            store.lessons.remove(before.id)
    mine = [one for one in store.lessons.all(problem=run.problem) if one.run == run.id]
    changed = {one.data.get("distilled") for one in mine if not one.active or one.text != one.data.get("distilled")}
    return tuple(
        store.lessons.add(evolve(lesson, data={**lesson.data, "distilled": lesson.text}))
        for lesson in made
        if lesson.text not in changed
    )


def add_transferred(store: Store, run: Run, device: Device) -> int:
    """Add the best kernels for the same problem on other sizes or devices as candidates; how many there were."""
    known = {candidate.normal_form for candidate in store.candidates(run.id)}
    timed = tuple(run.settings["workloads"])
    added = 0
    for other in knowledge.best_elsewhere(
        store, run.problem, device, run.language, workloads=timed, limit=_TRANSFERRED
    ):
        found = parse_kernel(other.text, name=f"candidate {other.candidate} of run {other.run.id}")
        kernel = found.with_default(other.configuration)
        form = normal_form(kernel)
        if form not in known:
            known.add(form)
            text = render_kernel(kernel)
            made = Candidate(run=run.id, operator="transfer", parents=(0,), note=other.where, normal_form=form)
            store.add_candidate(made, text)
            added += 1
    return added
