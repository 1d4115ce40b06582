"""Accelerator ``numba-cuda``: Numba kernels for NVIDIA GPUs, compiled on any host, checked there in an interpreter.

Numba takes part in compiling alone: launches go through the driver with the compiled binary, as for every other GPU
backend. The package is NVIDIA's numba-cuda, not the target that Numba itself still has.
"""

from __future__ import annotations

__all__ = ["NumbaCUDA"]

import json
import re
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final

from attrs import evolve

from kernelevolve.accelerator import Artifact, Availability, Device, Realm, Session, Status, Target
from kernelevolve.backends._gpu.cuda import CudaDriver
from kernelevolve.backends._gpu.devices import devices, dtypes_of, host_memory
from kernelevolve.backends._gpu.driver import DriverError
from kernelevolve.backends._gpu.occupancy import limits
from kernelevolve.backends._gpu.session import GpuSession
from kernelevolve.backends._numba import toolkit
from kernelevolve.backends._numba.build import Built, build, execute
from kernelevolve.backends._numba.fitting import fit
from kernelevolve.backends._numba.signature import ARRAY_TYPES, Entry, layout, read_entries
from kernelevolve.backends._numba.simulator import interpreted_artifact, open_simulator
from kernelevolve.outcome import CompileError
from kernelevolve.plan import LaunchPlan

#: What the interpreted device stands for, by target: a chip and its multiprocessors (NVIDIA's data sheets).
_CHIPS: Final[Mapping[str, tuple[str, int]]] = {
    "cuda:sm_75": ("Tesla T4", 40),
    "cuda:sm_80": ("A100 SXM", 108),
    "cuda:sm_86": ("GeForce RTX 3090", 82),
    "cuda:sm_89": ("GeForce RTX 4090", 128),
    "cuda:sm_90": ("H100 SXM", 132),
    "cuda:sm_100": ("B200", 148),
    "cuda:sm_120": ("GeForce RTX 5090", 170),
}
_USUAL: Final = Target("cuda:sm_90")
_TARGET: Final = re.compile(r"cuda:sm_(\d+)")
#: Binaries to keep: one kernel for many sizes is compiled once, and only its extents are written anew.
_KEPT: Final = 64


class NumbaCUDA:
    """The `kernelevolve.accelerator.Accelerator` for Numba on NVIDIA GPUs."""

    name = "numba-cuda"
    api = (1, 0)
    languages = frozenset({"numba"})
    compiles_on_host = True

    def __init__(self) -> None:
        self._built: OrderedDict[str, Built] = OrderedDict()
        #: The module that was executed last, with what it was made of: entries share its functions.
        self._module: tuple[str, Mapping[str, Any]] = "", {}

    def probe(self) -> Availability:
        """Whether Numba, numba-cuda and CUDA's compiler libraries are installed; a driver is needed only to measure."""
        found = toolkit.availability()
        if found.status is not Status.OK:
            return found
        listed = ", ".join(target.name for target in self.targets())
        missing = CudaDriver.missing() or toolkit.driver_shortcoming()
        running = f"no GPU can be used: {missing}" if missing else "a GPU driver is installed"
        return evolve(found, message=f"{found.message}, for {listed}; checks in the interpreter; {running}")

    def environment(self) -> Mapping[str, str]:
        """Variables a worker needs: those that say where CUDA lies and which devices are visible."""
        return toolkit.environment()

    def targets(self) -> Sequence[Target]:
        """Those of `toolkit.TARGETS` that the installed toolkit compiles for."""
        return [_named(capability) for capability in toolkit.TARGETS if capability in toolkit.capabilities()]

    def devices(self) -> Sequence[Device]:
        """The machine's GPUs, then the interpreter, which says why where there are none."""
        return self._devices(_USUAL)

    def _devices(self, stands_for: Target) -> Sequence[Device]:
        reason, real = CudaDriver.missing() or toolkit.driver_shortcoming(), list[Device]()
        if reason is None:
            try:
                real = [evolve(one, dtypes=_computes(one.target)) for one in devices(CudaDriver(), self.name)]
            except DriverError as error:
                reason = str(error)
        return [*real, _interpreter(len(real), stands_for, reason)]

    def sanitizer(self) -> Device:
        """The interpreter: it sees every access outside an array, and every race between threads."""
        return self.stand_in(_USUAL)

    def stand_in(self, target: Target) -> Device:
        """The interpreter with the facts of a chip of `target`."""
        return self._devices(target)[-1]

    def toolchain(self) -> Mapping[str, str]:
        """Numba's, NumPy's and Python's versions, and the releases of NVVM, NVRTC and nvJitLink."""
        return toolkit.versions()

    def compile_key(self, plan: LaunchPlan) -> Mapping[str, Any]:
        """Source, tunables, and per entry the arguments' types and extents, the block and its shared memory.

        Extents do not change the code, but the parameters that carry them are part of the artifact. What changes
        numerics stands in the source (``fastmath``) or is always so (multiply-adds are fused).
        """
        entries = read_entries(plan)
        return {
            "source": plan.source,
            "constants": dict(sorted(plan.configuration.items())),
            "entries": {
                name: [_types(entry), layout(entry), entry.threads, entry.dynamic_shared]
                for name, entry in entries.items()
            },
            "numerics": {"fma": True, "fastmath": "as the source says"},
        }

    def compile(self, plan: LaunchPlan, target: Target) -> Artifact:
        """Compile every entry; stages are named ``ptx:ENTRY`` and ``cubin:ENTRY``. No device is needed or looked for.

        Raises `CompileError`, `ToolchainError`, or `ResourceExceeded` where a block does not fit the target.
        """
        capability = _capability(target)
        stages: dict[str, bytes] = {}
        resources: dict[str, Mapping[str, int]] = {}
        launches: dict[str, Any] = {}
        numerics: dict[str, Mapping[str, bool]] = {}
        log: list[str] = []
        for name, entry in read_entries(plan).items():
            built = self._build(plan, entry, capability)
            stages |= {f"ptx:{name}": built.ptx, f"cubin:{name}": built.cubin}
            resources[name] = {**built.resources, **fit(entry, built.resources, target.name)}
            launches[name] = {
                "symbol": built.symbol,
                "threads": None,
                "shared": 0,
                "cooperative": built.cooperative,
                "layout": layout(entry),
            }
            numerics[name] = built.numerics
            log += [built.log] if built.log else []
        extra = {"entries": launches, "numerics": numerics}
        return Artifact(stages, resources, self.toolchain(), "\n".join(log), extra)

    def _build(self, plan: LaunchPlan, entry: Entry, capability: tuple[int, int]) -> Built:
        """The binary of an entry, from an earlier compile where only extents differ."""
        module = json.dumps([plan.source, sorted(plan.configuration.items()), capability])
        key = json.dumps([module, entry.name, _types(entry), entry.threads])
        if key not in self._built:
            if self._module[0] != module:
                self._module = module, execute(plan.source, plan.configuration)
            self._built[key] = build(entry, self._module[1], capability)
        self._built.move_to_end(key)
        while len(self._built) > _KEPT:
            self._built.popitem(last=False)
        return self._built[key]

    def interpret(self, plan: LaunchPlan) -> Artifact:
        """The source, the tunables and the arguments' types: what the interpreted device's session loads."""
        return interpreted_artifact(plan)

    @contextmanager
    def open(self, device: Device) -> Iterator[Session]:
        """Open a GPU, or switch this process to numba-cuda's simulator."""
        if device.realm is Realm.INTERPRETED:
            with open_simulator(device) as simulated:
                yield simulated
            return
        session: Any = GpuSession(device, CudaDriver())
        try:
            yield session
        finally:
            session.close()


def _types(entry: Entry) -> list[Any]:
    """What is compiled into the code: names and types, without extents."""
    return [[parameter.name, parameter.type] for parameter in entry.parameters]


def _capability(target: Target) -> tuple[int, int]:
    """The compute capability of a target. Raises `CompileError` where the toolkit does not compile for it."""
    match = _TARGET.fullmatch(target.name)
    capability = divmod(int(match[1]), 10) if match else None
    if capability is None or capability not in toolkit.capabilities():
        known = ", ".join(_named(one).name for one in sorted(toolkit.capabilities())) or "none"
        message = f"the installed CUDA toolkit does not compile for {target.name!r}; there is {known}"
        raise CompileError(message, stage="options", log="", line=None)
    return capability


def _named(capability: tuple[int, int]) -> Target:
    return Target("cuda:sm_{}{}".format(*capability))


def _computes(target: Target) -> frozenset[str]:
    """Element types that both the architecture and Numba have."""
    return dtypes_of(target.name.partition(":")[2]) & frozenset(ARRAY_TYPES)


def _interpreter(index: int, target: Target, reason: str | None) -> Device:
    chip, units = _CHIPS[target.name]
    return Device(
        accelerator=NumbaCUDA.name,
        index=index,
        name="Numba interpreter",
        target=target,
        realm=Realm.INTERPRETED,
        facts={"num_units": units, "warp_size": 32, "max_group_size": limits(target.name).threads_per_block},
        memory={"global": host_memory(), "local": limits(target.name).shared_per_block},
        description={"stands for": chip, **({"no GPU": reason} if reason else {})},
        dtypes=_computes(target),
    )
