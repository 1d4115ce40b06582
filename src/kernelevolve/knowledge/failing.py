"""In which way a kernel failed, from its outcome, its message and the failure's structured fields."""

from __future__ import annotations

__all__ = ["failure_of"]

import math
import re
from collections.abc import Mapping
from typing import Any, Final

from attrs import frozen

from kernelevolve.knowledge.bottleneck import Bottleneck
from kernelevolve.knowledge.finding import Diagnosis
from kernelevolve.outcome import Outcome

#: Share of the elements from which on a result is wrong everywhere; below, somewhere.
MOST: Final = 0.5
#: Sizes whose remainders a kernel of vectors or tiles may forget: no multiple of this.
EVEN: Final = 16
#: Checks of tiny and odd sizes that a kernel cannot pass by chance.
SEVERAL: Final = 4
#: How many times the permitted difference still is rounding that grew, and no wrong formula.
ROUNDING: Final = 1000.0

_SIZE: Final = re.compile(r"\b[a-z_]\w*=(\d+)")
_DTYPE: Final = re.compile(r":[a-z]+\d+\w*")
#: How `WrongResult`'s message is worded.
_MESSAGE: Final = re.compile(
    r" for (?P<workload>\S+) \((?P<distribution>\w+) inputs\): (?P<count>\d+) of (?P<total>\d+) elements are wrong"
)
_KINDS: Final = (
    ("has NaN or infinity", "nonfinite"),
    ("is zero everywhere", "zeros"),
    ("integers must be equal", "integer"),
    ("has another size", "size"),
)
#: Of a compiler's words: which class of mistake they name. The first that fits; what a target cannot do comes first,
#: since it is often said in terms of types.
_COMPILE: Final[tuple[tuple[Bottleneck, re.Pattern[str]], ...]] = (
    (
        Bottleneck.COMPILE_UNSUPPORTED,
        re.compile(
            r"not supported|unsupported|not implemented|does not support|no-3d-dot|circular-buffers|local-memory"
            r"|alignment-32|where-in-loop|dot-init-stride|is not available|does not compile for|no implementation of",
            re.IGNORECASE,
        ),
    ),
    (
        Bottleneck.COMPILE_SYNTAX,
        re.compile(
            r"\bexpected (?:expression|'.'|identifier|statement|function body|unqualified)|syntax|unterminated"
            r"|extraneous|unmatched|was never closed|indent",
            re.IGNORECASE,
        ),
    ),
    (
        Bottleneck.COMPILE_NAME,
        re.compile(
            r"undeclared|implicit declaration|is not defined|undefined|unknown type name|no member named"
            r"|has no attribute|NameError|not declared|cannot be resolved|not found in module",
            re.IGNORECASE,
        ),
    ),
    (
        Bottleneck.COMPILE_TYPE,
        re.compile(
            r"\btypes?\b|shape|constexpr|incompatible|cannot (?:convert|cast|make)|implicit conversion|broadcast"
            r"|mismatch|power of (?:2|two)|static_assert|arguments?\b|must be|operand|signature|dtype",
            re.IGNORECASE,
        ),
    ),
)
_COMPILE_TERMS: Final[Mapping[Bottleneck, tuple[str, ...]]] = {
    Bottleneck.COMPILE_UNSUPPORTED: ("not supported", "limit", "restriction", "alternative"),
    Bottleneck.COMPILE_SYNTAX: ("syntax", "grammar", "header"),
    Bottleneck.COMPILE_NAME: ("undeclared", "name", "function", "builtin"),
    Bottleneck.COMPILE_TYPE: ("type", "shape", "constexpr", "conversion", "cast"),
    Bottleneck.COMPILE_OTHER: ("compile error",),
}
#: Outcomes that say by themselves what is wrong.
_PLAIN: Final[Mapping[Outcome, tuple[Bottleneck, tuple[str, ...]]]] = {
    Outcome.CONSTRAINT: (Bottleneck.CONSTRAINT, ("constraint", "tunable", "configuration", "when", "header")),
    Outcome.REJECTED: (Bottleneck.REJECTED, ("gate", "rejected", "allowed", "header")),
    Outcome.COMPILE_TIMEOUT: (Bottleneck.TIMEOUT, ("compile time", "unroll", "static_range", "code size")),
    Outcome.TOOLCHAIN_ERROR: (Bottleneck.TOOLCHAIN, ("toolchain", "compiler breaks", "workaround")),
    Outcome.RESOURCE_EXCEEDED: (Bottleneck.RESOURCE_EXCEEDED, ("limit", "resource", "tile size", "smaller")),
    Outcome.LAUNCH_ERROR: (Bottleneck.LAUNCH_ERROR, ("launch", "grid", "block", "group size", "assert")),
    Outcome.DEVICE_FAULT: (Bottleneck.FAULT, ("illegal address", "crash", "mask", "bounds", "alignment")),
    Outcome.RUN_TIMEOUT: (Bottleneck.TIMEOUT, ("timeout", "endless loop", "deadlock", "barrier", "spin")),
    Outcome.OUT_OF_MEMORY: (Bottleneck.OUT_OF_MEMORY, ("memory", "scratch", "allocation")),
    Outcome.OUT_OF_BOUNDS: (Bottleneck.OUT_OF_BOUNDS, ("bounds", "mask", "tail", "uninitialised", "index")),
    Outcome.NONDETERMINISTIC: (Bottleneck.NONDETERMINISTIC, ("race", "barrier", "atomic", "order", "synchronise")),
    Outcome.INPUT_MODIFIED: (Bottleneck.INPUT_MODIFIED, ("input", "in place", "scratch", "output")),
    Outcome.IMPLAUSIBLE: (Bottleneck.IMPLAUSIBLE, ("plausible", "skipped work", "timing")),
    Outcome.UNSTABLE: (Bottleneck.UNSTABLE, ("noise", "spread", "measuring")),
}
#: What a repair most often is, said after the message.
_HINTS: Final[Mapping[Bottleneck, str]] = {
    Bottleneck.WRONG_NAN: "Overflow, a division by zero, or elements that were never written: these read as NaN.",
    Bottleneck.WRONG_EVERYWHERE: "The formula, the indexing or the launch grid is wrong, not a border case.",
    Bottleneck.WRONG_EDGES: "Sizes that are no multiple of the tile or vector: look at masks, tails and strides.",
    Bottleneck.WRONG_DTYPE: "Other types were right: look at conversions, and accumulate in float32.",
    Bottleneck.WRONG_MAGNITUDE: "Rounding or overflow that small inputs hide: accumulate in float32, subtract the "
    "maximum, avoid differences of large numbers.",
    Bottleneck.NONDETERMINISTIC: "A race: a barrier is missing, or several programs write the same place.",
}


def failure_of(outcome: Outcome, message: str, details: Mapping[str, Any], passed: int) -> Diagnosis:
    """The diagnosis of a kernel that is not right; `passed` checks succeeded before the one that failed."""
    if outcome is Outcome.WRONG_RESULT:
        return _wrong(message, details, passed)
    if outcome is Outcome.COMPILE_ERROR:
        return _compile(message, details)
    bottleneck, terms = _PLAIN.get(outcome, (Bottleneck.UNKNOWN, ()))
    named = [str(details[name]) for name in ("resource", "rule", "stage", "code") if details.get(name)]
    return Diagnosis(bottleneck, _sentence(outcome, message, bottleneck), (*terms, *named), _evidence(details))


def _compile(message: str, details: Mapping[str, Any]) -> Diagnosis:
    log = str(details.get("log") or "")
    found = (
        next((kind for kind, pattern in _COMPILE if pattern.search(text)), None)
        for text in (message, log)  # the message names the first error; the log may go on about what follows from it
    )
    bottleneck = next((kind for kind in found if kind is not None), Bottleneck.COMPILE_OTHER)
    terms = (*_COMPILE_TERMS[bottleneck], *_words(message))
    return Diagnosis(bottleneck, _sentence(Outcome.COMPILE_ERROR, message, bottleneck), terms, _evidence(details))


def _wrong(message: str, details: Mapping[str, Any], passed: int) -> Diagnosis:
    known = details or _told(message)
    bottleneck = _class_of(_Wrong.of(known), passed)
    terms = {
        Bottleneck.WRONG_NAN: ("nan", "infinity", "overflow", "maximum", "division", "masked lanes"),
        Bottleneck.WRONG_EVERYWHERE: ("wrong result", "indexing", "stride", "grid", "formula"),
        Bottleneck.WRONG_EDGES: ("mask", "tail", "remainder", "odd sizes", "bounds", "padding"),
        Bottleneck.WRONG_DTYPE: ("float16", "bfloat16", "conversion", "accumulate", "dtype", "cast"),
        Bottleneck.WRONG_MAGNITUDE: ("precision", "overflow", "cancellation", "accumulate", "tolerance", "rounding"),
    }[bottleneck]
    sentence = _sentence(Outcome.WRONG_RESULT, message, bottleneck)
    return Diagnosis(bottleneck, sentence, terms, {**_evidence(known), "checks_passed": passed})


@frozen
class _Wrong:
    """The fields of a `WrongResult` that its class is told from."""

    #: ``value``, ``nonfinite``, ``zeros``, ``integer``, ``size``.
    kind: str
    #: Of the elements, how many are wrong.
    share: float
    #: Whether a size of the case leaves a remainder.
    odd: bool
    #: Whether the case names types, which it does where they are not the problem's own.
    typed: bool
    #: Whether inputs were other than plain random numbers.
    hostile: bool
    #: Whether the first wrong element is what a buffer holds that nobody wrote: NaN, or -1.
    unwritten: bool
    #: Whether the difference could be rounding that grew.
    slight: bool

    @classmethod
    def of(cls, details: Mapping[str, Any]) -> _Wrong:
        workload, kind = str(details.get("workload", "")), str(details.get("kind", "value"))
        total, allowed, off = (_number(details, name) for name in ("total", "allowed", "max_rel"))
        got = str(details.get("got"))
        return cls(
            kind=kind,
            share=_number(details, "count") / total if total else 1.0,
            odd=any(int(size) % EVEN for size in _SIZE.findall(workload)),
            typed=bool(_DTYPE.search(workload)),
            hostile=details.get("distribution", "normal") != "normal",
            unwritten=got == "nan" or (kind == "integer" and got in ("-1", "-1.0")),
            slight=kind == "value" and 0 < allowed < off <= ROUNDING * allowed,
        )


def _class_of(wrong: _Wrong, passed: int) -> Bottleneck:
    """Which kind of wrong, by the surest sign first.

    Sizes, types and inputs change together from check to check, and the first checks are the smallest and oddest ones:
    a kernel that passed several of them handles remainders.
    """
    partial = wrong.share < MOST
    if wrong.odd and partial and wrong.unwritten and not wrong.hostile:
        return Bottleneck.WRONG_EDGES
    if wrong.kind == "nonfinite":
        return Bottleneck.WRONG_NAN
    if wrong.kind in ("zeros", "size"):
        return Bottleneck.WRONG_EVERYWHERE
    if wrong.slight:
        return Bottleneck.WRONG_DTYPE if wrong.typed else Bottleneck.WRONG_MAGNITUDE
    if wrong.odd and (partial or 0 < passed < SEVERAL):
        return Bottleneck.WRONG_EDGES
    if passed == 0:
        return Bottleneck.WRONG_EVERYWHERE
    if wrong.hostile and wrong.kind != "integer":
        return Bottleneck.WRONG_MAGNITUDE
    if wrong.typed:
        return Bottleneck.WRONG_DTYPE
    return Bottleneck.WRONG_EDGES if wrong.odd else Bottleneck.WRONG_EVERYWHERE


def _told(message: str) -> dict[str, Any]:
    """The fields as far as the message has them, for who has nothing else."""
    match = _MESSAGE.search(message)
    if match is None:
        return {}
    kind = next((kind for words, kind in _KINDS if words in message), "value")
    got = re.search(r"got '?([^',]+)'?,", message)
    return {
        "workload": match["workload"],
        "distribution": match["distribution"],
        "count": int(match["count"]),
        "total": int(match["total"]),
        "kind": kind,
        **({"got": got[1]} if got else {}),
    }


def _number(details: Mapping[str, Any], name: str) -> float:
    """A field as a number; NaN and infinities are stored as text."""
    try:
        return float(details.get(name) or 0.0)
    except (TypeError, ValueError):
        return math.nan


def _sentence(outcome: Outcome, message: str, bottleneck: Bottleneck) -> str:
    hint = _HINTS.get(bottleneck, "")
    said = message.strip() or "no message"
    return f"{outcome.value} ({bottleneck.value}): {said}{'' if said.endswith('.') else '.'} {hint}".strip()


def _evidence(details: Mapping[str, Any]) -> dict[str, Any]:
    """The structured fields without the log, which is long and in the evaluation."""
    return {name: value for name, value in details.items() if name not in ("log", "traceback") and value is not None}


def _words(message: str) -> tuple[str, ...]:
    """Names that a compiler quotes: what to look for on pages of the language."""
    quoted = re.findall(r"['`\"]([A-Za-z_][\w.]{1,40})['`\"]", message)
    return tuple(dict.fromkeys(quoted))[:5]
