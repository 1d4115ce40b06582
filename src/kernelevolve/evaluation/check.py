"""Is it right? Runs a kernel on cases it cannot know, and believes nothing but the bytes that come back.

For every case: buffers and guard zones poisoned, inputs uploaded, one run; then guard zones, inputs and outputs are
read back and judged here, in the engine, which alone holds the expected values. Some cases run again under another
poison: a result that depends on what lay in memory before shows there.
"""

from __future__ import annotations

__all__ = ["check_case", "verify"]

from collections.abc import Mapping

import numpy as np

from kernelevolve.evaluation.casebook import PreparedCase
from kernelevolve.evaluation.runner import POISON, Runner
from kernelevolve.outcome import InputModified, Nondeterministic, OutOfBounds, WrongResult
from kernelevolve.plan import LaunchPlan, PlannedBuffer, Role

#: The poison of repeated runs: zero, what an output buffer that "happens to be cleared" would hold.
OTHER_POISON = 0x00


def check_case(runner: Runner, plan: LaunchPlan, case: PreparedCase, *, repeat: bool) -> bool:
    """Run one case and judge it; with `repeat`, a second time on other poison. Returns whether both gave the same
    bytes.

    Raises `OutOfBounds`, `InputModified`, `WrongResult`, `Nondeterministic`, or what the run itself failed with.
    """
    handle = f"check/{case.staged.key}"
    try:
        runner.prepare(handle, plan, case.staged)
        runner.launch(handle)
        outputs = _read_back(runner, plan, case, handle)
        _check_outputs(case, outputs)
        if not repeat:
            return True
        return _repeat(runner, plan, case, handle, outputs)
    finally:
        runner.release([handle])


def _check_outputs(case: PreparedCase, outputs: Mapping[str, memoryview]) -> None:
    """Compare every output with the oracle. Raises `WrongResult` for the first one that is off."""
    for name, got in outputs.items():
        case.check(name, got)


def verify(runner: Runner, plan: LaunchPlan, case: PreparedCase, handle: str) -> None:
    """Judge what timed launches left behind by the same rules as a checked one: sizes that are only ever timed are
    where a kernel would keep results in its inputs or beside its buffers. Raises as `check_case`.
    """
    _check_outputs(case, _read_back(runner, plan, case, handle))


def _read_back(
    runner: Runner, plan: LaunchPlan, case: PreparedCase, handle: str, pattern: int = POISON
) -> dict[str, memoryview]:
    """The outputs, once guard zones (poisoned with `pattern`) and inputs are found untouched."""
    everything = runner.read(handle, plan, Role, guards=True)
    outputs: dict[str, memoryview] = {}
    for buffer in plan.buffers:
        payload = _inside(memoryview(everything[buffer.name]), buffer, pattern, case)
        if buffer.role is Role.INPUT and not _same(payload, case.staged.inputs[buffer.name]):
            label = case.label
            raise InputModified(
                f"input {buffer.name!r} was changed by the kernel ({label})", input=buffer.name, workload=label
            )
        if buffer.role is Role.OUTPUT:
            outputs[buffer.name] = payload
    return outputs


def _same(left: bytes | memoryview, right: bytes | memoryview) -> bool:
    """Whether all bytes are equal; a memoryview's own comparison takes them one by one."""
    return np.array_equal(np.frombuffer(left, np.uint8), np.frombuffer(right, np.uint8))


def _inside(raw: memoryview, buffer: PlannedBuffer, pattern: int, case: PreparedCase) -> memoryview:
    """The payload. Raises `OutOfBounds` where a guard zone lost its pattern."""
    guard = (len(raw) - buffer.nbytes) // 2
    end = guard + buffer.nbytes
    intact = bytes([pattern]) * guard
    for side, zone in (("before", raw[:guard]), ("behind", raw[end : end + guard])):
        if zone != intact[: len(zone)]:
            touched = [index for index, byte in enumerate(zone) if byte != pattern]
            offset = guard - touched[-1] if side == "before" else touched[0] + 1
            where = f"{buffer.role} {buffer.name!r}: memory {side} the buffer was written"
            message = f"{where}, {offset} bytes from it ({case.label})"
            raise OutOfBounds(message, buffer=buffer.name, side=side, offset=offset, workload=case.label)
    return raw[guard:end]


def _repeat(runner: Runner, plan: LaunchPlan, case: PreparedCase, handle: str, first: Mapping[str, memoryview]) -> bool:
    second = _again(runner, plan, case, handle, OTHER_POISON)
    if all(_same(second[name], first[name]) for name in first):
        return True
    try:
        _check_outputs(case, second)
    except WrongResult as wrong:
        third = _again(runner, plan, case, handle, POISON)
        output = wrong.details.get("output")
        if all(_same(third[name], first[name]) for name in first):
            message = (
                f"output {output!r} depends on memory that the kernel never wrote, or that lies outside its buffers: "
                f"it changes with what lay there before ({case.label})"
            )
            raise OutOfBounds(message, buffer=output, side="unknown", offset=None, workload=case.label) from None
        message = f"output {output!r} is right in one run and wrong in the next on the same inputs ({case.label})"
        raise Nondeterministic(message, output=output, workload=case.label) from None
    return False


def _again(runner: Runner, plan: LaunchPlan, case: PreparedCase, handle: str, pattern: int) -> dict[str, memoryview]:
    runner.reset(handle, pattern)
    runner.launch(handle)
    return _read_back(runner, plan, case, handle, pattern)
