"""The accelerator that ``triton-cuda`` and ``triton-rocm`` are: everything but a vendor's tables."""

from __future__ import annotations

__all__ = ["TritonAccelerator"]

import os
import re
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar, Final

from kernelevolve.accelerator import Artifact, Availability, Device, Realm, Session, Status, Target
from kernelevolve.backends._gpu.devices import dtypes_of, host_memory
from kernelevolve.backends._gpu.driver import DriverError
from kernelevolve.backends._gpu.occupancy import limits
from kernelevolve.backends._gpu.session import GpuSession
from kernelevolve.backends._triton.compiling import Compiled, compile_entry, known_options
from kernelevolve.backends._triton.gluon import count_products
from kernelevolve.backends._triton.interpreter import open_interpreter
from kernelevolve.backends._triton.layout import layout_of
from kernelevolve.backends._triton.resources import BinaryParameter
from kernelevolve.backends._triton.signature import EntrySignature, check_tunables, read_signatures
from kernelevolve.backends._triton.toolchain import OLDEST, installed, tool_overrides, triton_version
from kernelevolve.languages.triton_lang import is_gluon
from kernelevolve.outcome import CompileError, ToolchainError
from kernelevolve.plan import LaunchPlan

_INSTALL: Final = "pip install 'kernelevolve[triton]' (Linux)"
#: A ``tl.dot`` of float32 operands in the IR; the precision is printed where it is not IEEE.
_DOT: Final = re.compile(rb"tt\.dot [^\n]* : tensor<[\dx]*xf32> \*")
_PRECISION: Final = re.compile(rb"inputPrecision = (\w+)")


class TritonAccelerator(ABC):
    """A `kernelevolve.accelerator.Accelerator` that compiles on the host and interprets where there is no device."""

    api = (1, 0)
    languages = frozenset({"triton"})
    compiles_on_host = True

    name: ClassVar[str]
    #: ``cuda`` or ``hip``: how Triton calls the vendor, and the prefix of targets.
    platform: ClassVar[str]
    #: Architectures to list, each with a chip that the interpreted device can stand for and that chip's units.
    chips: ClassVar[Mapping[str, tuple[str, int]]]
    #: Whose facts the interpreted device has unless another is asked for.
    usual: ClassVar[str]
    #: Tunables that reach Triton as launch options here.
    launch_options: ClassVar[frozenset[str]]
    #: Settings that change results, each pinned whatever Triton's default is or becomes.
    numerics: ClassVar[Mapping[str, Any]]
    #: The stage that drivers load.
    binary: ClassVar[str]
    #: Whether 32-bit offsets are worth telling the compiler about.
    short_pointers: ClassVar[bool]
    #: Variables a worker needs: those that choose devices or tools.
    variables: ClassVar[re.Pattern[str]]

    @abstractmethod
    def missing_driver(self) -> str | None:
        """What keeps real devices from working here, as a sentence; None where nothing does. Opens nothing."""

    @abstractmethod
    def real_devices(self) -> Sequence[Device]:
        """The GPUs of this machine."""

    @abstractmethod
    def open_real(self, device: Device) -> GpuSession:
        """Open a GPU."""

    @abstractmethod
    def inspect(self, compiled: Compiled) -> tuple[dict[str, int], list[BinaryParameter]]:
        """What the binary uses, and its parameters."""

    @abstractmethod
    def judge(self, entry: str, compiled: Compiled, used: Mapping[str, int], target: Target) -> dict[str, int]:
        """Theoretical occupancy. Raises `ResourceExceeded` where a block does not fit `target`."""

    def probe(self) -> Availability:
        """Whether Triton is installed; a driver is needed only to measure."""
        if not installed():
            return Availability(Status.MISSING, f"the package triton is not installed; {_INSTALL}")
        version = triton_version()
        if version is None:
            return Availability(Status.BROKEN, f"the package triton has no version; install it anew: {_INSTALL}")
        if tuple(int(part) for part in re.findall(r"\d+", version)[:2]) < OLDEST:
            wanted = ".".join(map(str, OLDEST))
            return Availability(Status.BROKEN, f"triton {version} is older than {wanted}; {_INSTALL}")
        missing = self.missing_driver()
        running = f"no GPU can be used: {missing}" if missing else "a GPU driver is installed"
        listed = ", ".join(self.chips)
        return Availability(Status.OK, f"triton {version} compiles for {listed}; checks in the interpreter; {running}")

    def environment(self) -> Mapping[str, str]:
        """Variables a worker needs: those that choose devices and tools. No other setting reaches the compiler."""
        return {name: value for name, value in os.environ.items() if self.variables.fullmatch(name)}

    def targets(self) -> Sequence[Target]:
        """Every listed architecture: Triton brings compiler and assembler, so none needs a device."""
        return [Target(f"{self.platform}:{name}") for name in self.chips]

    def devices(self) -> Sequence[Device]:
        """The machine's GPUs, then the interpreter, which says why where there are none."""
        return self._devices(Target(f"{self.platform}:{self.usual}"))

    def sanitizer(self) -> Device:
        """The interpreter: it finds every access outside a buffer, and races between programs that use no atomics."""
        return self.devices()[-1]

    def stand_in(self, target: Target) -> Device:
        """The interpreter with the facts of a chip of `target`."""
        return self._devices(target)[-1]

    def _devices(self, stands_for: Target) -> Sequence[Device]:
        reason, real = self.missing_driver(), list[Device]()
        if reason is None:
            try:
                real = list(self.real_devices())
            except DriverError as error:
                reason = str(error)
        return [*real, self._interpreter(len(real), stands_for, reason)]

    def _interpreter(self, index: int, target: Target, reason: str | None) -> Device:
        architecture = target.name.partition(":")[2]
        chip, units = self.chips.get(architecture, self.chips[self.usual])
        fits = limits(target.name)
        return Device(
            accelerator=self.name,
            index=index,
            name="Triton interpreter",
            target=target,
            realm=Realm.INTERPRETED,
            facts={"num_units": units, "warp_size": fits.warp_size, "max_group_size": fits.threads_per_block},
            memory={"global": host_memory(), "local": fits.shared_per_block},
            description={
                "interpreter": f"Triton {triton_version()}",
                "stands for": chip,
                **({"no GPU": reason} if reason else {}),
            },
            dtypes=dtypes_of(architecture),
        )

    def toolchain(self) -> Mapping[str, str]:
        """Triton's version, tools put in the place of its own, and the numerics that are pinned."""
        pinned = ", ".join(f"{name}={value}" for name, value in sorted(self.numerics.items()))
        return {"triton": triton_version() or "unknown", **tool_overrides(), "numerics": pinned}

    def compile_key(self, plan: LaunchPlan) -> Mapping[str, Any]:
        """Source, signatures (types, compile-time values, what is divisible by 16), launch options, numerics."""
        signatures = read_signatures(plan, short_pointers=self.short_pointers)
        return {
            "source": plan.source,
            "entries": {name: signature.describe() for name, signature in signatures.items()},
            "options": self._options(plan),
            "numerics": dict(self.numerics),
        }

    def _options(self, plan: LaunchPlan) -> dict[str, Any]:
        return {name: value for name, value in sorted(plan.configuration.items()) if name in self.launch_options}

    def compile(self, plan: LaunchPlan, target: Target) -> Artifact:
        """Compile every entry; stages are named ``STAGE:ENTRY``. No device is needed or looked for.

        Raises `CompileError`, `ToolchainError`, or `ResourceExceeded` where a block does not fit the target.
        """
        check_tunables(plan)
        signatures = read_signatures(plan, short_pointers=self.short_pointers)
        options, notes = self._known(self._options(plan), target)
        pinned, _ = self._known(self.numerics, target)
        stages: dict[str, bytes] = {}
        resources: dict[str, Mapping[str, int]] = {}
        entries: dict[str, Any] = {}
        numerics: dict[str, Any] = {}
        for name, signature in signatures.items():
            compiled = compile_entry(plan.source, signature, target, {**options, **pinned})
            stages |= {f"{stage}:{name}": content for stage, content in compiled.stages.items()}
            used, parameters = self.inspect(compiled)
            resources[name] = used | self.judge(name, compiled, used, target)
            entries[name] = _entry(signature, compiled, parameters)
            numerics[name] = self._used_numerics(pinned, compiled)
            notes += compiled.warnings
        return Artifact(
            stages=stages,
            resources=resources,
            toolchain=self.toolchain(),
            log="\n".join(notes),
            extra={"entries": entries, "numerics": numerics},
        )

    def _known(self, wanted: Mapping[str, Any], target: Target) -> tuple[dict[str, Any], list[str]]:
        """Of `wanted`, what the installed backend takes; a note about each of the rest."""
        known = known_options(target)
        notes = [f"Triton {triton_version()} has no option {name}; left out" for name in wanted if name not in known]
        return {name: value for name, value in wanted.items() if name in known}, notes

    def _used_numerics(self, pinned: Mapping[str, Any], compiled: Compiled) -> dict[str, Any]:
        """The settings as the compiler had them. Raises `ToolchainError` where it did not take a pinned one."""
        used = compiled.metadata
        for name, value in pinned.items():
            if used.get(name) != value:
                raise ToolchainError(f"{name} was pinned to {value}, and Triton compiled with {used.get(name)}", log="")
        derived = ("allowed_dot_input_precisions", "max_num_imprecise_acc_default")
        stages = compiled.stages
        dots = [_precision(match[0]) for match in _DOT.finditer(stages.get("ttir", b""))]  # Gluon has no such stage
        dots += ["tf32"] * count_products(stages["ttgir"] if "ttir" not in stages else b"")
        return {
            **{name: used[name] for name in (*pinned, *derived) if name in used},
            "float32_dots": {precision: dots.count(precision) for precision in sorted(set(dots))},
        }

    def interpret(self, plan: LaunchPlan) -> Artifact:
        """The source and each parameter's type: what the interpreted device's session loads.

        Raises `CompileError` for a Gluon kernel.
        """
        if is_gluon(plan.source):
            message = "a Gluon kernel says how one kind of GPU does it, and Triton has no interpreter for that; "
            message += f"evaluate it on a GPU ({self.platform}), with --device"
            raise CompileError(message, stage="interpret", log="", line=None)
        check_tunables(plan)
        signatures = read_signatures(plan, short_pointers=False)
        entries = {name: {"types": dict(signature.types)} for name, signature in signatures.items()}
        return Artifact(stages={"source": plan.source.encode()}, toolchain=self.toolchain(), extra={"entries": entries})

    @contextmanager
    def open(self, device: Device) -> Iterator[Session]:
        """Open a GPU, or switch this process to interpreting."""
        if device.realm is Realm.INTERPRETED:
            with open_interpreter(device) as session:
                yield session
            return
        opened = self.open_real(device)
        try:
            yield opened
        finally:
            opened.close()


def _precision(dot: bytes) -> str:
    match = _PRECISION.search(dot)
    return match[1].decode() if match else "ieee"


def _entry(signature: EntrySignature, compiled: Compiled, parameters: Sequence[BinaryParameter]) -> dict[str, Any]:
    """How the session launches this entry (`kernelevolve.backends._gpu.entries`)."""
    used = compiled.metadata
    clusters = int(used.get("num_ctas") or 1)
    entry: dict[str, Any] = {
        "symbol": used["name"],
        "threads": int(used["num_warps"]) * int(used["target"].warp_size),
        "shared": int(used["shared"]),
        "cooperative": bool(used.get("launch_cooperative_grid", False)),
        "layout": layout_of(signature, used, parameters),
    }
    return entry | ({"cluster": [clusters, 1, 1]} if clusters > 1 else {})
