"""What a diagnosis is: one class, the sentence behind it, and the words and numbers that it rests on."""

from __future__ import annotations

__all__ = ["Diagnosis"]

from collections.abc import Mapping
from typing import Any

from attrs import field, frozen

from kernelevolve.knowledge.bottleneck import Bottleneck


@frozen
class Diagnosis:
    """What stands between a kernel and a better one."""

    bottleneck: Bottleneck
    #: For people and prompts: what was found, with its numbers.
    sentence: str
    #: What to search pages for.
    terms: tuple[str, ...] = ()
    #: The numbers and names that the sentence rests on, as JSON values.
    evidence: Mapping[str, Any] = field(factory=dict, hash=False)
