"""From a planned launch to a driver's: shape checked against the device's limits, parameters packed."""

from __future__ import annotations

__all__ = ["Binder", "DeviceLimits", "GpuBuffer"]

import math
from collections.abc import Mapping
from typing import Any, Final

from attrs import define, frozen

from kernelevolve.accelerator import BufferSpec
from kernelevolve.backends._gpu.arguments import PackedArguments, pack
from kernelevolve.backends._gpu.calls import LoadedEntry, Owned
from kernelevolve.backends._gpu.driver import Attribute, Dim3, GpuDriver, LaunchShape
from kernelevolve.backends._gpu.entries import Constant, Entry, Pointer, Scalar, Scratch
from kernelevolve.outcome import LaunchError, PluginBug, ResourceExceeded
from kernelevolve.plan import Argument, BufferArgument, LocalArgument, PlannedLaunch, ScalarArgument

#: What CUDA and HIP devices have allowed for long, for a driver that does not say.
_USUAL: Final[Mapping[Attribute, int]] = {
    Attribute.MAX_THREADS_PER_BLOCK: 1024,
    Attribute.MAX_BLOCK_X: 1024,
    Attribute.MAX_BLOCK_Y: 1024,
    Attribute.MAX_BLOCK_Z: 64,
    Attribute.MAX_GRID_X: 2**31 - 1,
    Attribute.MAX_GRID_Y: 65535,
    Attribute.MAX_GRID_Z: 65535,
    Attribute.SHARED_PER_BLOCK: 48 << 10,
}


@frozen
class DeviceLimits:
    """What a launch may ask for."""

    grid: Dim3
    block: Dim3
    threads: int
    #: Shared memory of a block in bytes: without asking, and at most.
    shared: int
    shared_optin: int

    @classmethod
    def of(cls, driver: GpuDriver, index: int) -> DeviceLimits:
        """The limits that the driver reports."""

        def ask(attribute: Attribute) -> int:
            return driver.attribute(index, attribute) or _USUAL[attribute]

        shared = ask(Attribute.SHARED_PER_BLOCK)
        return cls(
            grid=(ask(Attribute.MAX_GRID_X), ask(Attribute.MAX_GRID_Y), ask(Attribute.MAX_GRID_Z)),
            block=(ask(Attribute.MAX_BLOCK_X), ask(Attribute.MAX_BLOCK_Y), ask(Attribute.MAX_BLOCK_Z)),
            threads=ask(Attribute.MAX_THREADS_PER_BLOCK),
            shared=shared,
            shared_optin=driver.attribute(index, Attribute.SHARED_PER_BLOCK_OPTIN) or shared,
        )


@define(eq=False)
class GpuBuffer:
    """Front guard, payload, back guard in one allocation."""

    spec: BufferSpec
    #: The guards' size: what was asked for, rounded up to the payload's alignment.
    guard: int
    #: Of the whole allocation, and of the payload.
    base: int
    address: int
    #: Bytes with both guards.
    nbytes: int


@frozen
class Binder:
    """Binds the launches of one call."""

    driver: GpuDriver
    limits: DeviceLimits
    stream: Any
    buffers: Mapping[str, GpuBuffer]
    #: Takes what is allocated for the call.
    owned: Owned

    def bind(self, launch: PlannedLaunch, loaded: LoadedEntry) -> tuple[Any, PackedArguments]:
        """The callable that enqueues `launch`, and its parameters, which must outlive it.

        Raises `ResourceExceeded`, `LaunchError`, or `PluginBug` where artifact and plan do not fit.
        """
        shape = self._shape(launch, loaded)
        arguments = self._arguments(launch, loaded.entry, shape)
        return self.driver.launcher(loaded.function, shape, arguments.address, self.stream), arguments

    def _shape(self, launch: PlannedLaunch, loaded: LoadedEntry) -> LaunchShape:
        entry, limits = loaded.entry, self.limits
        block = (entry.threads, 1, 1) if entry.threads is not None else _three(launch.block)
        if entry.threads is None and not launch.block:
            raise PluginBug(f"{entry.name}: neither the artifact nor the plan says how large a block is", traceback="")
        self._check_block(loaded, block)
        dynamic = entry.shared + sum(one.nbytes for one in launch.arguments if isinstance(one, LocalArgument))
        needed = dynamic + loaded.attributes.shared_bytes
        if needed > limits.shared_optin:
            message = f"{entry.name} needs {needed} bytes of shared memory per block; the device has "
            message += f"{limits.shared_optin}"
            raise ResourceExceeded(message, resource="shared memory", needed=needed, limit=limits.shared_optin)
        if needed > limits.shared:
            self.driver.allow_shared(loaded.function, limits.shared_optin - loaded.attributes.shared_bytes)
        grid, cluster = _three(launch.grid), entry.cluster or (1, 1, 1)
        blocks = (grid[0] * cluster[0], grid[1] * cluster[1], grid[2] * cluster[2])
        if any(extent > limit for extent, limit in zip(blocks, limits.grid, strict=True)):
            message = f"{entry.name}: a grid of {blocks} blocks; the device allows {limits.grid}"
            raise LaunchError(message, code="INVALID_GRID")
        clustered = cluster if cluster != (1, 1, 1) else None
        return LaunchShape(blocks, block, dynamic, clustered, entry.cooperative)

    def _check_block(self, loaded: LoadedEntry, block: Dim3) -> None:
        name, limits, threads = loaded.entry.name, self.limits, math.prod(block)
        limit = min(limits.threads, loaded.attributes.max_threads or limits.threads)
        if threads > limit:
            message = f"{name}: blocks of {threads} threads; with the {loaded.attributes.registers} registers that "
            message += f"each has, at most {limit} fit"
            raise ResourceExceeded(message, resource="threads per block", needed=threads, limit=limit)
        for axis, extent, most in zip("xyz", block, limits.block, strict=True):
            if extent > most:
                message = f"{name}: blocks of {extent} threads along {axis}; the device allows {most}"
                raise ResourceExceeded(message, resource=f"threads along {axis}", needed=extent, limit=most)

    def _arguments(self, launch: PlannedLaunch, entry: Entry, shape: LaunchShape) -> PackedArguments:
        given = {argument.parameter: argument for argument in launch.arguments}
        packed: list[tuple[str, str, int | float]] = []
        for parameter in entry.layout:
            match parameter:
                case Pointer(of=name):
                    packed.append((name, "pointer", self._address(entry, name, given.get(name))))
                case Scalar(of=name, type=kind):
                    packed.append((name, kind, _number(entry, name, given.get(name))))
                case Constant(type=kind, value=value):
                    packed.append(("a constant", kind, value))
                case Scratch(bytes_per_block=size, align=align):
                    packed.append(("scratch", "pointer", self._scratch(size * math.prod(shape.grid), align)))
        return pack(packed)

    def _address(self, entry: Entry, name: str, argument: Argument | None) -> int:
        if not isinstance(argument, BufferArgument) or argument.buffer not in self.buffers:
            raise PluginBug(f"{entry.name}: parameter {name!r} wants a buffer, the plan has {argument}", traceback="")
        return self.buffers[argument.buffer].address

    def _scratch(self, nbytes: int, align: int) -> int:
        if not nbytes:
            return 0
        base = self.driver.allocate(nbytes + align)
        self.owned.add(lambda: self.driver.free(base))
        self.driver.set8(base, 0, nbytes + align, self.stream)
        return -(-base // align) * align


def _number(entry: Entry, name: str, argument: Argument | None) -> int | float:
    if not isinstance(argument, ScalarArgument):
        raise PluginBug(f"{entry.name}: parameter {name!r} wants a number, the plan has {argument}", traceback="")
    return argument.value


def _three(extents: tuple[int, ...]) -> Dim3:
    x, y, z = (*extents, 1, 1, 1)[:3]
    return x, y, z
