"""Kernel files on disk: a problem's seeds, the best that is known of it, and kernels that people wrote.

Best ones lie in ``<folder>/<accelerator>/<problem>__<workload>.<suffix>``, their best configuration first; one with
no workload in its name serves every workload that has none of its own.
"""

from __future__ import annotations

__all__ = ["Found", "best", "hand_written", "save", "seed", "slug"]

import re
from collections.abc import Iterator
from pathlib import Path

from attrs import frozen

from kernelevolve import registry
from kernelevolve.accelerator import Accelerator
from kernelevolve.kernel import Configuration, Kernel, parse_kernel, read_kernel, render_kernel
from kernelevolve.problem import Problem, Workload


@frozen
class Found:
    """A kernel and where it is from."""

    kernel: Kernel
    #: ``seed``, or the file as it was named.
    origin: str


def slug(workload: Workload) -> str:
    """A workload's label as part of a file's name."""
    return re.sub(r"[^A-Za-z0-9]+", "-", workload.label)


def seed(problem: Problem, made: Accelerator) -> Found | None:
    """The problem's seed in a language of the accelerator."""
    spoken = next((name for name in sorted(made.languages) if name in problem.seeds), None)
    return Found(parse_kernel(problem.seeds[spoken], name=f"seed of {problem.name}"), "seed") if spoken else None


def best(folder: Path, accelerator: str, problem: Problem, workload: Workload) -> Found | None:
    """The best that is known for a workload: its own file, else the problem's, else another workload's."""
    here = folder / accelerator
    own = sorted(here.glob(f"{problem.name}__{slug(workload)}.*"))
    general = sorted(here.glob(f"{problem.name}.*"))
    other = sorted(here.glob(f"{problem.name}__*.*"))
    chosen = next(iter([*own, *general, *other]), None)
    return None if chosen is None else Found(read_kernel(chosen), chosen.name)


def save(
    folder: Path, accelerator: str, problem: str, workload: Workload, kernel: Kernel, chosen: Configuration
) -> Path:
    """Keep a kernel as the best for a workload, `chosen` as its default."""
    path = folder / accelerator / f"{problem}__{slug(workload)}{registry.language(kernel.language).suffix}"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(render_kernel(kernel.with_default(chosen)), encoding="utf-8")
    return path


def hand_written(folder: Path, problem: str, made: Accelerator) -> Iterator[Found]:
    """The kernels in ``<folder>/<problem>/`` or ``<folder>/<problem>.<suffix>`` that the accelerator can compile."""
    suffixes = {registry.language(name).suffix for name in made.languages}
    for path in sorted([*folder.glob(f"{problem}/*.*"), *folder.glob(f"{problem}.*"), *folder.glob(f"{problem}__*.*")]):
        if path.suffix in suffixes:
            kernel = read_kernel(path)
            if kernel.language in made.languages:
                yield Found(kernel, str(path.relative_to(folder)))
