"""Statistics of timed samples: paired ratios with intervals, verdicts, and when to stop sampling.

Everything here works on plain lists of seconds; nothing times anything. The one place of the project that computes
statistics.
"""

from __future__ import annotations

__all__ = [
    "Comparison",
    "Protocol",
    "Verdict",
    "compare_paired",
    "median_interval",
    "repeated",
    "resolution",
    "settled",
    "shuffled_rounds",
]

import enum
import math
import random
import statistics
from collections.abc import Sequence
from typing import Final

from attrs import frozen

#: Two-sided confidence of every interval.
CONFIDENCE: Final = 0.95


class Verdict(enum.StrEnum):
    """What a paired comparison says of the candidate."""

    FASTER = "FASTER"
    SLOWER = "SLOWER"
    SAME = "SAME"
    UNCLEAR = "UNCLEAR"


@frozen
class Protocol:
    """How much is sampled. The defaults follow nvbench and our own A/A runs (docs/explanation/measuring.md)."""

    #: Untimed launches before the first sample.
    warmup: int = 2
    #: Samples of the first look; the second best decides whether a candidate is far behind.
    first_look: int = 5
    #: A candidate this many times slower than the incumbent is measured no further.
    far_behind: float = 2.0
    screen_rounds: int = 15
    #: Seconds of kernel time a screen may take: slow candidates get fewer rounds, never fewer than the first look.
    screen_seconds: float = 0.5
    confirm_rounds: int = 30
    #: Half-width of the interval of the paired log-ratio at which confirming stops.
    precision: float = 0.01
    #: Seconds one comparison may take.
    seconds: float = 5.0
    #: Differences below this are called SAME or UNCLEAR; `kernelevolve doctor` measures it per device.
    resolution: float = 0.02
    #: A launch shorter than this (seconds) is repeated within one sample.
    short: float = 10e-6
    #: A median that is uncertain by more than this share (half its interval, after a second helping) says nothing.
    unstable: float = 0.3
    #: Evict caches before each timed launch.
    flush: bool = True

    def rounds_within(self, round_seconds: float) -> int:
        """Rounds of a screen whose rounds take `round_seconds` each."""
        affordable = math.floor(self.screen_seconds / max(round_seconds, 1e-9))
        return max(self.first_look, min(self.screen_rounds, affordable))


@frozen
class Comparison:
    """A paired comparison: ratio = baseline time / candidate time, so above 1 the candidate is faster."""

    ratio: float
    low: float
    high: float
    rounds: int
    verdict: Verdict


def median_interval(values: Sequence[float]) -> tuple[float, float, float]:
    """Median and its distribution-free confidence interval, from order statistics (Conover 1999, section 3.2).

    With fewer than six values the interval is the whole range, since no narrower one reaches `CONFIDENCE`.
    Raises ValueError without values.
    """
    ordered = sorted(values)
    rank = _rank(len(ordered))
    return statistics.median(ordered), ordered[rank], ordered[len(ordered) - 1 - rank]


def _rank(count: int) -> int:
    """The largest r for which the r+1 smallest values all lie beyond the median in (1 - CONFIDENCE) / 2 of cases."""
    if count < 1:
        raise ValueError("no values")
    if count >= 1000:  # the binomial is normal by then; one rank to spare for the approximation
        return math.floor(count / 2 - 0.98 * math.sqrt(count)) - 1
    cumulative, term, rank = 0.0, 0.5**count, 0
    for below in range(count // 2):
        cumulative += term
        if cumulative > (1 - CONFIDENCE) / 2:
            break
        rank = below
        term *= (count - below) / (below + 1)
    return rank


def compare_paired(baseline: Sequence[float], candidate: Sequence[float], *, resolution: float) -> Comparison:
    """Compare times measured in the same rounds: the median of the paired ratios, its interval, and a verdict.

    `resolution` is the smallest relative difference that means anything on the device. Raises ValueError where the two
    differ in length, are empty, or hold anything but positive times.
    """
    if len(baseline) != len(candidate) or not baseline:
        raise ValueError(f"paired samples must be as many on both sides, not {len(baseline)} and {len(candidate)}")
    if not all(math.isfinite(seconds) and seconds > 0 for seconds in (*baseline, *candidate)):
        raise ValueError("times must be positive and finite")
    logs = [math.log(b / c) for b, c in zip(baseline, candidate, strict=True)]
    middle, low, high = median_interval(logs)
    ratio, low, high = math.exp(middle), math.exp(low), math.exp(high)
    return Comparison(ratio, low, high, len(logs), verdict(ratio, low, high, resolution))


def verdict(ratio: float, low: float, high: float, resolution: float) -> Verdict:
    """One of four words: the interval must exclude 1 and the ratio exceed the resolution for FASTER or SLOWER."""
    if low > 1 and ratio >= 1 + resolution:
        return Verdict.FASTER
    if high < 1 and ratio <= 1 / (1 + resolution):
        return Verdict.SLOWER
    if low >= 1 / (1 + resolution) and high <= 1 + resolution:
        return Verdict.SAME
    return Verdict.UNCLEAR


def settled(baseline: Sequence[float], candidate: Sequence[float], *, precision: float, least: int) -> bool:
    """Whether the interval of the paired log-ratio is within ±`precision` after at least `least` rounds."""
    if len(candidate) < least:
        return False
    _, low, high = median_interval([math.log(b / c) for b, c in zip(baseline, candidate, strict=True)])
    return (high - low) / 2 <= precision


def repeated(times: Sequence[float], inputs: int) -> bool:
    """Whether `times`, taken over so many sets of inputs in turn, are the same to the bit each time a set comes round.

    A clock without noise: more samples would say nothing new, and any difference means something.
    """
    return len(times) > inputs and all(one == times[index % inputs] for index, one in enumerate(times))


def shuffled_rounds(sides: Sequence[str], rounds: int, rng: random.Random) -> list[str]:
    """Each round names every side once, in random order."""
    order: list[str] = []
    for _ in range(rounds):
        one = list(sides)
        rng.shuffle(one)
        order += one
    return order


def resolution(ratios: Sequence[float]) -> float:
    """The smallest difference that means anything: the 95th percentile of |log ratio| between identical kernels."""
    ordered = sorted(abs(math.log(ratio)) for ratio in ratios)
    return math.expm1(ordered[min(len(ordered) - 1, math.ceil(0.95 * len(ordered)) - 1)])
