"""What a run teaches later ones: statements with the numbers and candidates that they rest on, made by counting."""

from __future__ import annotations

__all__ = ["MOST_LESSONS", "distil"]

import math
import re
import statistics
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from attrs import define, field

from kernelevolve.accelerator import Device, Source
from kernelevolve.kernel import configuration_label
from kernelevolve.knowledge.bottleneck import Bottleneck
from kernelevolve.knowledge.quoting import quoted, shortened
from kernelevolve.knowledge.trials import UNPAIRED, Trial, by_candidate, trials_of
from kernelevolve.outcome import Outcome
from kernelevolve.problem import Problem
from kernelevolve.store import Candidate, Evaluation, Lesson, Run

#: Lessons that one run may leave behind.
MOST_LESSONS: Final = 12
#: The smallest difference that counts where the run does not say what its machine resolves.
RESOLUTION: Final = 0.02
#: Share of words that two notes of one operator have in common when they are about the same change.
ALIKE: Final = 0.5
#: Tries from which on "it does nothing" and "it makes it slower" are worth a later run's attention.
FEWEST_NULL: Final = 3
FEWEST_LOSSES: Final = 2
#: How many times the resolution the best of several mixed tries must gain, so that luck alone is no lesson.
SOMETIMES: Final = 3
#: A single try that loses so much is remembered.
CLEAR_LOSS: Final = 0.8
#: Failures of a kind from which on they are no accident; limits of the hardware are none from the first.
FEWEST_FAILURES: Final = 2
_LIMITS: Final = (Bottleneck.RESOURCE_EXCEEDED, Bottleneck.COMPILE_UNSUPPORTED)
#: Candidate numbers that a lesson lists at most.
_LISTED: Final = 20
#: Characters of a note where a whole line of descent is told.
_SHORT: Final = 80
_WORDS: Final = re.compile(r"[a-z]{2,}")
#: A note of the form ``head: what it did there``: the head names the change.
_HEAD: Final = re.compile(r"(?P<head>[^:]{3,48}):\s")
#: A lesson before it has a run: how informative it is, its text, its bottleneck, its data.
_Draft = tuple[float, str, Bottleneck | None, dict[str, Any]]
#: Makes a failure's message fit for a lesson.
_Quote = Callable[[str], str]


@define
class _Group:
    """Tries of one change against one bottleneck."""

    operator: str
    bottleneck: Bottleneck
    words: frozenset[str]
    trials: list[Trial] = field(factory=list)

    def takes(self, trial: Trial, words: frozenset[str]) -> bool:
        if (trial.operator, trial.bottleneck) != (self.operator, self.bottleneck):
            return False
        union = words | self.words
        return not union or len(words & self.words) / len(union) >= ALIKE

    @property
    def name(self) -> str:
        """The change in the words of the try that gained most, with its numbers: they are part of what was done."""
        return _name(max(self.trials, key=lambda one: (one.gain or 0.0, -one.candidate)).note)

    @property
    def label(self) -> str:
        """Operator and change; one of them where the other repeats it."""
        last = self.operator.rpartition(":")[2]
        if not self.name or (self.name.startswith(last) and len(self.trials) > 1):
            return self.operator
        return f"{self.operator}: {self.name}"


def distil(
    run: Run, candidates: Iterable[Candidate], evaluations: Iterable[Evaluation], device: Device, problem: Problem
) -> list[Lesson]:
    """At most `MOST_LESSONS` lessons of `run`, the most informative first. Same records: same lessons.

    A gain counts where it is larger than what the run's measurements resolve, and than its own interval; what is within
    is never told as a gain. Failures are told where they are a limit of the hardware, or came more than once.
    """
    known = sorted(candidates, key=lambda one: one.number)
    measured = list(evaluations)
    trials = trials_of(known, measured, device)
    resolution = _resolution(run)
    timed = tuple(run.settings.get("workloads") or ())

    def quote(message: str) -> str:
        return quoted(message, problem, timed)

    made: list[_Draft] = [
        *_best_line(known, trials, measured, resolution),
        *_hardware_limits(measured, quote),
    ]
    shares = _shares(measured)
    for group in _groups(trials):
        made += _of_group(group, resolution, quote, shares)
    made.sort(key=lambda one: (-one[0], one[1]))
    common = {"pattern": problem.pattern, "realm": device.realm.value, "resolution": resolution}
    return [
        Lesson(
            text=text,
            problem=run.problem,
            accelerator=run.accelerator,
            device=run.device,
            language=run.language,
            bottleneck="" if bottleneck is None else bottleneck.value,
            run=run.id,
            data={**common, **data},
        )
        for _, text, bottleneck, data in made[:MOST_LESSONS]
    ]


def _resolution(run: Run) -> float:
    protocol = (run.settings.get("evaluation") or {}).get("protocol") or {}
    return max(RESOLUTION, float(protocol.get("resolution") or 0.0))


# --- groups


def _groups(trials: Sequence[Trial]) -> list[_Group]:
    groups: list[_Group] = []
    for trial in trials:
        words = frozenset(_WORDS.findall(_name(trial.note).lower()))
        group = next((one for one in groups if one.takes(trial, words)), None)
        if group is None:
            group = _Group(trial.operator, trial.bottleneck, words)
            groups.append(group)
        group.trials.append(trial)
    return groups


def _name(note: str) -> str:
    """What was changed, without where."""
    head = _HEAD.match(note)
    return (head["head"] if head else re.split(r"\. |\n", note, maxsplit=1)[0]).strip()[:120]


def _of_group(group: _Group, resolution: float, quote: _Quote, shares: Mapping[int, float]) -> Iterator[_Draft]:
    yield from _of_gains(group, resolution, shares)
    yield from _of_repairs(group)
    yield from _of_failures(group, quote)


def _shares(evaluations: Sequence[Evaluation]) -> dict[int, float]:
    """Each candidate's best fitness as a share of the run's: what gains on a slow parent came to in the end."""
    best = {
        number: max((one.fitness or 0.0 for one in each if one.outcome is Outcome.CORRECT), default=0.0)
        for number, each in by_candidate(evaluations).items()
    }
    top = max(best.values(), default=0.0)
    return {number: fitness / top for number, fitness in best.items()} if top else {}


def _of_gains(group: _Group, resolution: float, shares: Mapping[int, float]) -> Iterator[_Draft]:
    known = [trial for trial in group.trials if trial.gain is not None]
    paired = [trial for trial in known if trial.uncertainty < UNPAIRED]
    timed = paired or known
    if not timed:
        return
    least = resolution if paired else UNPAIRED
    gains = [trial.gain or 0.0 for trial in timed]
    median = statistics.median(gains)
    best, worst = (choose(timed, key=lambda trial: trial.gain or 0.0) for choose in (max, min))
    right = sum(trial.failure is None for trial in group.trials)
    about = f"{group.label} on a {group.bottleneck} kernel"
    data = {**_data(group, gains, timed, right), "paired": bool(paired)}
    certain = [trial for trial in timed if _beyond(trial, resolution)]
    gained = [trial for trial in certain if (trial.gain or 0.0) > 1]
    lost = [trial for trial in certain if (trial.gain or 0.0) < 1]
    if gained and median > 1 + least:
        share = max(shares.get(trial.candidate, 0.0) for trial in gained)
        score = share * (math.log(median) * math.sqrt(len(timed)) + 0.5 * math.log(best.gain or 1))
        counted = _counted(group, right, median, timed, "gain")
        text = f"{about}: {counted}{_extreme(best, timed)}{_standing(share, resolution)}"
        yield score, text, group.bottleneck, data | {"share": round(share, 4)}
    elif gained and paired and (best.gain or 0.0) > 1 + SOMETIMES * resolution:
        share = max(shares.get(trial.candidate, 0.0) for trial in gained)
        counted = _counted(group, right, median, timed, "gain")
        text = f"{about} helps sometimes: {counted}{_extreme(best, timed)}{_standing(share, resolution)}"
        yield share * 0.5 * math.log(best.gain or 1), text, group.bottleneck, data | {"share": round(share, 4)}
    elif lost and median < 1 / (1 + least) and (len(lost) >= FEWEST_LOSSES or median <= CLEAR_LOSS):
        text = f"{about} makes it slower: {_counted(group, right, median, timed, 'ratio')}{_extreme(worst, timed)}"
        yield -0.5 * math.log(median) * math.sqrt(len(timed)), text, group.bottleneck, data
    elif len(paired) >= FEWEST_NULL and all(_within(trial, resolution) for trial in paired):
        count = f"{len(group.trials)} tries, {right} right"
        text = f"{about}: {count}, no gain or loss beyond the {resolution:.0%} that is resolved here"
        yield 0.01 * len(timed), text, group.bottleneck, data


def _within(trial: Trial, resolution: float) -> bool:
    """Whether it is known that nothing changed, and not only unknown what did."""
    return abs(math.log(trial.gain or 1.0)) <= math.log1p(resolution) and trial.uncertainty <= SOMETIMES * resolution


def _beyond(trial: Trial, resolution: float) -> bool:
    """Whether the gain or loss is larger than what the measurements resolve, and than its own interval."""
    return abs(math.log(trial.gain or 1.0)) > max(math.log1p(resolution), math.log1p(trial.uncertainty))


def _counted(group: _Group, right: int, median: float, timed: Sequence[Trial], what: str) -> str:
    """``12 tries, 9 right, median gain 1.31×``."""
    if len(group.trials) == 1:
        return f"1 try, {what} {median:.2f}× its parent{_clock(timed)}"
    some = f" of {len(timed)} that can be compared" if len(timed) < right else ""
    return f"{len(group.trials)} tries, {right} right, median {what}{some} {median:.2f}× the parent{_clock(timed)}"


def _extreme(trial: Trial, timed: Sequence[Trial]) -> str:
    """``, best 1.90× (candidates 14 → 31)``."""
    pair = f"candidates {trial.parent} → {trial.candidate}"
    if len(timed) == 1:
        return f" ({pair})"
    return f", {'best' if (trial.gain or 0.0) > 1 else 'worst'} {trial.gain:.2f}× ({pair})"


def _standing(share: float, resolution: float) -> str:
    """What the kernels were worth in the end: a gain over a slow parent may lead nowhere."""
    return "; as fast as the run's best" if share >= 1 / (1 + resolution) else f"; {share:.2f} of the run's best"


def _of_repairs(group: _Group) -> Iterator[_Draft]:
    """What made kernels right that were not."""
    mended = [trial for trial in group.trials if trial.failure is None]
    if group.bottleneck.right or not mended:
        return
    listed = ", ".join(f"{trial.parent} → {trial.candidate}" for trial in mended[:_LISTED])
    text = (
        f"{group.label} mends a kernel that fails with {group.bottleneck}: {len(mended)} of {len(group.trials)} right "
        f"(candidates {listed})"
    )
    yield 0.3 * math.log1p(len(mended)), text, group.bottleneck, _data(group, [], [], len(mended))


def _of_failures(group: _Group, quote: _Quote) -> Iterator[_Draft]:
    failures = [trial for trial in group.trials if trial.failure is not None]
    kinds = Counter(trial.failure.bottleneck for trial in failures if trial.failure)
    for kind, count in sorted(kinds.items()):
        fewest = 1 if kind in _LIMITS else FEWEST_FAILURES
        if count < fewest or 2 * count < len(group.trials):
            continue
        fell = [trial for trial in failures if trial.failure and trial.failure.bottleneck is kind]
        listed = ", ".join(str(trial.candidate) for trial in fell[:_LISTED])
        text = (
            f"{group.label} on a {group.bottleneck} kernel fails: {count} of {len(group.trials)} "
            f"({kind}; candidates {listed}): {quote(fell[0].message)}"
        )
        data = {**_data(group, [], [], len(group.trials) - len(failures)), "failure": kind.value, "failed": count}
        yield 0.3 * math.log1p(count), text, kind, data


def _data(group: _Group, gains: Sequence[float], timed: Sequence[Trial], right: int) -> dict[str, Any]:
    return {
        "operator": group.operator,
        "change": group.name,
        "tries": len(group.trials),
        "right": right,
        "candidates": [trial.candidate for trial in group.trials[:_LISTED]],
        "pairs": [[trial.parent, trial.candidate] for trial in timed[:_LISTED]],
        "gains": [round(gain, 4) for gain in gains[:_LISTED]],
        **({"median": round(statistics.median(gains), 4), "best": round(max(gains), 4)} if gains else {}),
    }


def _clock(trials: Sequence[Trial]) -> str:
    """What to say where times are no measurement, or were not taken side by side."""
    sources = {trial.source for trial in trials}
    if Source.EMULATED_CYCLES in sources:
        return " (emulated)"
    if sources & {Source.RECORDED, Source.ANALYTIC}:
        return f" ({', '.join(sorted(str(one) for one in sources))})"
    return " (timed apart, not side by side)" if any(trial.uncertainty >= UNPAIRED for trial in trials) else ""


# --- the whole run


def _best_line(
    candidates: Sequence[Candidate], trials: Sequence[Trial], evaluations: Sequence[Evaluation], resolution: float
) -> Iterator[_Draft]:
    """How the best kernel came about: first of all lessons, where the run gained anything."""
    standing = (one for each in by_candidate(evaluations).values() for one in each)
    right = [one for one in standing if one.outcome is Outcome.CORRECT]
    best = max(right, key=lambda one: (one.fitness or 0.0, -one.id), default=None)
    if best is None or (best.fitness or 0.0) <= 1 + resolution:
        return
    by_number = {candidate.number: candidate for candidate in candidates}
    by_child = {trial.candidate: trial for trial in trials}
    line: list[int] = [best.candidate]
    while by_number[line[-1]].parents:
        line.append(by_number[line[-1]].parents[0])
    line.reverse()
    steps = []
    for number in line[1:]:
        gain = by_child[number].gain if number in by_child else None
        by = f" {gain:.2f}×" if gain is not None else ""
        steps.append(f"{shortened(by_number[number].note or by_number[number].operator, _SHORT)}{by} ({number})")
    label = configuration_label(best.configuration)
    source = best.source
    kind = " (emulated)" if source is Source.EMULATED_CYCLES else f" ({source})" if source is Source.RECORDED else ""
    text = (
        f"Best of the run: candidate {best.candidate}, {best.fitness:.2f}× its seed when screened{kind}"
        f"{f', with {label}' if label else ''}; by: {' → '.join(steps) or 'tuning alone'}"
    )
    data = {
        "best": best.candidate,
        "fitness": best.fitness,
        "line": line,
        "configuration": dict(best.configuration),
        "workloads": list(best.times),
    }
    yield math.inf, text, None, data


def _hardware_limits(evaluations: Sequence[Evaluation], quote: _Quote) -> Iterator[_Draft]:
    """What configurations needed more of than the device has, by resource."""
    over: dict[tuple[str, Any], list[Evaluation]] = {}
    for one in evaluations:
        if one.outcome is Outcome.RESOURCE_EXCEEDED and _number(one.details, "needed") is not None:
            over.setdefault((str(one.details.get("resource")), one.details.get("limit")), []).append(one)
    for (resource, limit), fell in sorted(over.items(), key=lambda item: str(item[0])):
        needed = [_number(one.details, "needed") or 0 for one in fell]
        has = f"the device has {limit}" if limit is not None else "more than the device has"
        numbers = sorted({one.candidate for one in fell})
        many = f"{len(fell)} configurations needed" if len(fell) > 1 else "1 configuration needed"
        amount = f"{min(needed)} to {max(needed)}" if min(needed) < max(needed) else f"{needed[0]}"
        text = (
            f"{resource}: {many} {amount}; {has} "
            f"(candidates {', '.join(map(str, numbers[:_LISTED]))}): {quote(fell[0].message)}"
        )
        data = {
            "resource": resource,
            "limit": limit,
            "needed": [min(needed), max(needed)],
            "tries": len(fell),
            "candidates": numbers[:_LISTED],
        }
        yield 0.3 * math.log1p(len(fell)), text, Bottleneck.RESOURCE_EXCEEDED, data


def _number(details: Mapping[str, Any], name: str) -> int | None:
    value = details.get(name)
    return value if isinstance(value, int) else None
