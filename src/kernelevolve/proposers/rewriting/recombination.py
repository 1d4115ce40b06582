"""Two parents, one kernel: values, functions or rewrites of the second one in the first."""

from __future__ import annotations

__all__ = ["recombinations"]

import random
import re
from collections.abc import Iterator
from typing import Any, Final

from attrs import evolve

from kernelevolve.evolution.proposal import Parent
from kernelevolve.kernel import Kernel
from kernelevolve.languages.opencl_c.gate import function_name
from kernelevolve.languages.opencl_c.source import parse
from kernelevolve.problem import Problem
from kernelevolve.proposers.rewriting.catalog import Rules, rules
from kernelevolve.proposers.rewriting.changes import Change
from kernelevolve.proposers.rewriting.view import Edit, apply
from kernelevolve.registry import language

MAX_VALUES: Final = 8


def recombinations(one: Parent, other: Parent, problem: Problem, rng: random.Random) -> Iterator[Change]:
    """Every way to give `one` something of `other`, the most promising first."""
    known = rules(one.kernel.language)
    if known is not None:
        yield from _replayed(one.kernel, other.kernel, problem, known, rng)
    if one.kernel.language == "opencl":
        yield from _functions(one.kernel, other.kernel)
    yield from _values(one, other)


def _words(kernel: Kernel) -> frozenset[str]:
    return frozenset(re.findall(r"[A-Za-z_]\w*", language(kernel.language).normalize(kernel.body)))


def _shows(rewrite: Any, words: frozenset[str]) -> bool:
    return any(word.startswith(mark) for word in words for mark in rewrite.marks)


def _replayed(one: Kernel, other: Kernel, problem: Problem, known: Rules, rng: random.Random) -> Iterator[Change]:
    """The rewrites that `other` shows and `one` does not, made in `one`: all of them, then each alone."""
    mine, theirs = _words(one), _words(other)
    wanted = [rewrite for rewrite in known.rewrites if _shows(rewrite, theirs) and not _shows(rewrite, mine)]
    kernel, notes = one, []
    for rewrite in wanted:
        places = known.sites(kernel, problem, rewrite)
        if places:
            site = rng.choice(places)
            kernel = site.make()
            notes.append(site.note)
    if len(notes) > 1:
        yield Change(kernel, "as the other parent has: " + "; ".join(notes))
    for rewrite in wanted:
        places = known.sites(one, problem, rewrite)
        if places:
            site = rng.choice(places)
            yield Change(site.make(), f"as the other parent has: {site.note}")


def _functions(one: Kernel, other: Kernel) -> Iterator[Change]:
    """One function of `other`, with what its header says of it, in place of the function of that name."""
    mine, theirs = parse(one.body), parse(other.body)
    if len([*mine.functions()]) < 2:
        return  # the only function: the result would be the other parent
    known = {function_name(theirs, node): theirs.of(node) for node in theirs.functions()}
    for node in mine.functions():
        name = function_name(mine, node)
        if name in known and known[name] != mine.of(node):
            edit = Edit(mine.start(node), node.end_byte, known[name])
            yield Change(_with_header(one, other, name, apply(one.body, [edit])), f"the other parent's {name}")


def _with_header(one: Kernel, other: Kernel, entry: str, body: str) -> Kernel:
    theirs = {launch.entry: launch for launch in other.launches}
    return evolve(
        one,
        body=body,
        launches=tuple(theirs.get(entry, own) if own.entry == entry else own for own in one.launches),
        tunables={**other.tunables, **one.tunables},
        scratch={**other.scratch, **one.scratch},
        constraints=tuple(dict.fromkeys((*one.constraints, *other.constraints))),
    )


def _values(one: Parent, other: Parent) -> Iterator[Change]:
    """The values that the other parent's tunables offer, its best one first."""
    tunables = dict(one.kernel.tunables)
    for name, values in other.kernel.tunables.items():
        if name in tunables and type(values[0]) is type(tunables[name][0]):
            best = other.configuration.get(name, values[0])
            tunables[name] = tuple(dict.fromkeys((best, *tunables[name], *values)))[:MAX_VALUES]
    if tunables != one.kernel.tunables:
        yield Change(evolve(one.kernel, tunables=tunables), "values that the other parent offers")
