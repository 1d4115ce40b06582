"""What the gate asks of a candidate before any process is involved."""

from __future__ import annotations

import pytest

from kernelevolve import Workload, parse_kernel, registry
from kernelevolve.evaluation.gate import Gate
from kernelevolve.outcome import ConstraintViolated, OutOfMemory, Rejected
from kernelevolve.testing import samples

WORKLOAD = Workload.parse("rows=16,cols=32")
FACTS = registry.accelerator("reference").devices()[0].facts
GOOD = parse_kernel(samples.GOOD)


def gate(memory: int | None = None) -> Gate:
    return Gate(samples.problem(), FACTS, memory=memory)


def test_a_source_is_read_once_and_its_verdict_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    language = registry.language("reference")
    real = language.gate
    monkeypatch.setattr(language, "gate", lambda body: (asked.append(body), real(body)))
    one = gate()
    bad = parse_kernel(samples.kernel_text("import os\n"))
    for _ in range(3):
        assert list(one.admit(GOOD)) == ["affine"]
        with pytest.raises(Rejected, match="import os"):
            one.admit(bad)
    assert len(asked) == 2


def test_it_forgets_the_oldest_verdict_and_not_the_rule(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kernelevolve.evaluation.gate._REMEMBERED", 2)
    one = gate()
    for number in range(4):
        one.admit(parse_kernel(samples.GOOD + f"\n\ndef _unused{number}(a):\n    return a\n"))
    assert len(one._known) == 2


def test_a_plan_beyond_the_devices_memory_is_refused_with_both_sizes() -> None:
    needed = 2 * 16 * 32 * 4
    assert gate(needed).plan(GOOD, {}, WORKLOAD).buffers[0].nbytes == needed // 2
    with pytest.raises(OutOfMemory) as caught:
        gate(needed - 1).plan(GOOD, {}, WORKLOAD)
    assert caught.value.details == {"needed": needed, "limit": needed - 1}


def test_scratch_counts_as_memory() -> None:
    two = parse_kernel(samples.TWO_LAUNCHES)
    with pytest.raises(OutOfMemory):
        gate(2 * 16 * 32 * 4).plan(two, {}, WORKLOAD)


def test_a_constraint_that_does_not_hold_is_named() -> None:
    kernel = parse_kernel(samples.kernel_text(samples._ROW, header='constraints = ["rows * cols <= 100"]'))
    with pytest.raises(ConstraintViolated, match="rows \\* cols <= 100"):
        gate().plan(kernel, {}, WORKLOAD)
    assert gate().plan(kernel, {}, Workload.parse("rows=2,cols=2")).launches[0].grid == (2,)
