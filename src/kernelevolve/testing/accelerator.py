"""The reference accelerator: kernels in plain Python, on a device that is strict, deterministic and entirely made up.

It exists to test the core, and to show plugin authors a complete accelerator in a few short modules:

- `kernelevolve.testing.language` says what a source may contain;
- `kernelevolve.testing.compiler` says how a source steers the made-up compiler and clock (``COST``, ``NOISE``…);
- `kernelevolve.testing.primitives` lists what a kernel can call, misbehaviour included;
- `kernelevolve.testing.session` checks every call against the contract.

Buffers arrive as flat NumPy arrays that can be written, inputs included; local memory as an array of bytes. Tunables
are module constants. Its times are cycles of a clock that the kernel itself declares: they measure nothing.
"""

from __future__ import annotations

__all__ = ["ReferenceAccelerator"]

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from kernelevolve.accelerator import (
    API,
    Accelerator,
    Artifact,
    Availability,
    Device,
    Peaks,
    Realm,
    Status,
    Target,
)
from kernelevolve.plan import Argument, BufferArgument, LaunchPlan, LocalArgument, TextArgument
from kernelevolve.testing.compiler import FACTS, LOCAL_LIMIT, SUPPORTED_DTYPES, compile_plan, toolchain
from kernelevolve.testing.memory import require
from kernelevolve.testing.session import CLOCK_HERTZ, ReferenceSession

_TARGET: Final = Target("reference:1")
_PEAKS: Final = Peaks(
    bytes_per_second=64.0 * CLOCK_HERTZ,
    operations_per_second=1024.0 * CLOCK_HERTZ,
    source="made up: 64 bytes and 1024 operations per cycle of a clock that does not exist",
)
_DEVICE: Final = Device(
    accelerator="reference",
    index=0,
    name="reference device (made-up clock)",
    target=_TARGET,
    realm=Realm.EMULATED,
    facts=FACTS,
    memory={"global": 2**30, "local": LOCAL_LIMIT, "cache": 2**20, "max_allocation": 2**29},
    peaks=_PEAKS,
    description={"clock": "made up: cycles are what the kernel's COST declares", "purpose": "tests of the core"},
    dtypes=SUPPORTED_DTYPES,
)


def _compiled_part(argument: Argument) -> list[str | int]:
    """What the compiler looks at of an argument: a number's type, but not its value."""
    match argument:
        case BufferArgument(parameter=parameter, buffer=buffer):
            return [parameter, "buffer", buffer]
        case LocalArgument(parameter=parameter, nbytes=nbytes):
            return [parameter, "local", nbytes]
        case TextArgument(parameter=parameter, value=value):
            return [parameter, "text", value]
    return [argument.parameter, type(argument.value).__name__, argument.dtype or ""]


class ReferenceAccelerator:
    """Satisfies `kernelevolve.accelerator.Accelerator`."""

    name = "reference"
    api = API
    languages = frozenset({"reference"})

    def probe(self) -> Availability:
        return Availability(Status.OK, "always here; runs Python on a made-up device, for tests")

    def targets(self) -> Sequence[Target]:
        return (_TARGET,)

    def devices(self) -> Sequence[Device]:
        return (_DEVICE,)

    def compile_key(self, plan: LaunchPlan) -> Mapping[str, Any]:
        return {
            "source": plan.source,
            "configuration": dict(plan.configuration),
            "dtypes": {buffer.name: buffer.dtype for buffer in plan.buffers},
            "launches": [
                {"entry": launch.entry, "arguments": [_compiled_part(argument) for argument in launch.arguments]}
                for launch in plan.launches
            ],
        }

    def toolchain(self) -> Mapping[str, str]:
        return toolchain()

    def compile(self, plan: LaunchPlan, target: Target) -> Artifact:
        require(plan.language == "reference", f"compile: the plan is in {plan.language!r}, not in 'reference'")
        require(target in self.targets(), f"compile: no target {target.name!r}; there is {_TARGET.name}")
        return compile_plan(plan, target)

    @contextmanager
    def open(self, device: Device) -> Iterator[ReferenceSession]:
        require(device in self.devices(), f"open: {device.label} is no device of this accelerator")
        session = ReferenceSession(device)
        try:
            yield session
        finally:
            session.close()


if TYPE_CHECKING:
    _conforms: Accelerator = ReferenceAccelerator()  # the type checker compares every signature, the session's included
