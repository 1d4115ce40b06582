"""Plans made of short kernels, and what the interpreter computes for them."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from kernelevolve.accelerator import BufferSpec, Device, Realm, Target
from kernelevolve.backends._numba.simulator import SimulatorSession, interpreted_artifact
from kernelevolve.plan import (
    Argument,
    BufferArgument,
    LaunchPlan,
    LocalArgument,
    PlannedBuffer,
    PlannedLaunch,
    Role,
    ScalarArgument,
)

#: What every test kernel starts with.
HEAD = """import math
from numba import cuda, float32, float64, int32, int64, uint32, uint64, uint8
from numba.types import float16
from numba.cuda import bfloat16, libdevice

"""
#: How many lines that is.
LINES = HEAD.count("\n")
GUARD = 64
POISON = 0xAB


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Nothing here can run without the two packages."""
    if importlib.util.find_spec("numba") is None or importlib.util.find_spec("numba_cuda") is None:
        for item in items:
            if "backends/numba" in item.nodeid:
                item.add_marker(pytest.mark.skip(reason="needs the packages numba and numba-cuda"))


def plan_of(
    source: str,
    arguments: Mapping[str, Any],
    *,
    grid: tuple[int, ...] = (1,),
    block: tuple[int, ...] = (32,),
    constants: Mapping[str, Any] | None = None,
    entry: str = "k",
) -> LaunchPlan:
    """A plan with one launch of `entry` (`HEAD` is put before the source).

    An argument is an array, a pair of shape and element type, a number, or a `LocalArgument`.
    """
    buffers: list[PlannedBuffer] = []
    bound: list[Argument] = []
    for name, value in arguments.items():
        match value:
            case np.ndarray():
                buffers.append(PlannedBuffer(name, Role.OUTPUT, value.shape, str(value.dtype)))
                bound.append(BufferArgument(name, name))
            case (tuple() as shape, str() as dtype):
                buffers.append(PlannedBuffer(name, Role.OUTPUT, shape, dtype))
                bound.append(BufferArgument(name, name))
            case LocalArgument():
                bound.append(value)
            case _:
                bound.append(ScalarArgument(name, value, "float32" if isinstance(value, float) else None))
    launch = PlannedLaunch(entry, grid, block, tuple(bound))
    return LaunchPlan("numba", HEAD + source, dict(constants or {}), tuple(buffers), (launch,))


def interpreter() -> SimulatorSession:
    facts = {"num_units": 132, "warp_size": 32, "max_group_size": 1024}
    return SimulatorSession(
        Device("numba-cuda", 0, "Numba interpreter", Target("cuda:sm_90"), Realm.INTERPRETED, facts)
    )


def run(
    source: str, arrays: Mapping[str, Any], *, types: Mapping[str, str] | None = None, launches: int = 1, **shape: Any
) -> dict[str, np.ndarray[Any, Any]]:
    """Every array after the interpreter ran the kernel; `types` names element types that NumPy lacks.

    Guard zones are checked on the way.
    """
    described = {name: (one.shape, types[name]) if types and name in types else one for name, one in arrays.items()}
    plan = plan_of(source, described, **shape)
    session = interpreter()
    buffers = {one.name: session.allocate(BufferSpec(one.nbytes, GUARD)) for one in plan.buffers}
    for name, buffer in buffers.items():
        session.fill(buffer, POISON, guards=True)
        session.upload(buffer, memoryview(np.ascontiguousarray(arrays[name]).reshape(-1).view(np.uint8)))
    call = session.bind(session.load(interpreted_artifact(plan)), plan.launches, buffers)
    for _ in range(launches):
        session.launch(call)
    session.synchronize()
    results = {}
    for name, buffer in buffers.items():
        whole = session.download(buffer, guards=True)
        assert set(whole[:GUARD] + whole[-GUARD:]) == {POISON}
        value = np.frombuffer(session.download(buffer), arrays[name].dtype)
        results[name] = value.reshape(arrays[name].shape)
    return results
