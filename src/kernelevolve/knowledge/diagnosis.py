"""What stands between a kernel and a better one, told from what an evaluation stored: rules, and no model."""

from __future__ import annotations

__all__ = ["diagnose"]

from collections.abc import Mapping
from typing import Any

from kernelevolve.accelerator import Device
from kernelevolve.knowledge.bottleneck import Bottleneck
from kernelevolve.knowledge.failing import failure_of
from kernelevolve.knowledge.finding import Diagnosis
from kernelevolve.knowledge.limiting import limits_of
from kernelevolve.outcome import Outcome


def diagnose(
    *,
    outcome: Outcome,
    message: str = "",
    details: Mapping[str, Any] | None = None,
    profile: Mapping[str, Any] | None = None,
    resources: Mapping[str, Any] | None = None,
    device: Device | None = None,
) -> Diagnosis:
    """The diagnosis of one evaluation.

    `profile` is as the store keeps it: ``rates``, ``resources``, ``checks``; or as the pipeline returns it, with
    `resources` beside it. Whatever is missing narrows what can be said: without `details`, a wrong result is judged by
    nothing but its message.
    """
    known = profile or {}
    if not outcome.right:
        passed = int((known.get("checks") or {}).get("passed") or 0)
        return failure_of(outcome, message, details or {}, passed)
    found = limits_of(known, resources or known.get("resources") or {}, device)
    if outcome is Outcome.UNMEASURED and found.bottleneck is Bottleneck.CORRECT:
        return Diagnosis(Bottleneck.CORRECT, "Right; this device has no clock, so nothing is known of its speed.")
    return found
