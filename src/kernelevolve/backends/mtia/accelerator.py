"""Accelerator ``mtia``: Triton kernels on emulated MTIA chips. Results are computed, times are those of a model."""

from __future__ import annotations

__all__ = ["MTIA", "RULES_VARIABLE"]

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from attrs import evolve

from kernelevolve.accelerator import API, Accelerator, Artifact, Availability, Device, Peaks, Realm, Status, Target
from kernelevolve.backends._gpu.devices import host_memory
from kernelevolve.backends._triton.compiling import compile_entry
from kernelevolve.backends._triton.signature import EntrySignature, check_tunables, read_signatures
from kernelevolve.backends._triton.toolchain import OLDEST, installed, triton_version
from kernelevolve.backends.mtia.model import CHIPS, MODEL, VERSION, ChipParameters, ModelOptions, resources
from kernelevolve.backends.mtia.model.rules import STRICT, check_program
from kernelevolve.backends.mtia.program import from_json
from kernelevolve.backends.mtia.session import MTIASession
from kernelevolve.errors import KernelEvolveError
from kernelevolve.outcome import CompileError
from kernelevolve.plan import LaunchPlan

#: Set to ``strict`` to refuse what some release of the real tool chain refused (`mtia.model.rules`).
RULES_VARIABLE: Final = "KERNELEVOLVE_MTIA_RULES"
_RULES: Final = ("plain", "strict")
#: Tunables of these names are launch options; they decide the timing and never the results.
_OPTIONS: Final = ("cb_multiplier", "use_dual_core", "num_stages")
_INSTALL: Final = "pip install 'kernelevolve[triton]' (Linux)"
_DTYPES: Final = frozenset(
    {"float32", "float16", "bfloat16", "int64", "int32", "int16", "int8", "uint8", "bool"}
)  # no float64, no complex: TX; I25 and I26, tables of data types
_FLOAT8: Final = frozenset({"float8_e4m3fn", "float8_e5m2"})

#: What is kept of a compile.
_STAGES: Final = ("ttir", "mtia")
#: What glibc's allocator reads at a process's start: keep freed arrays of megabytes, instead of giving them back and
#: having every page of the next one cleared by the kernel, which is half of the time.
_KEEPS_MEMORY: Final = {"MALLOC_MMAP_THRESHOLD_": str(1 << 28), "MALLOC_TRIM_THRESHOLD_": str(1 << 29)}


class MTIA:
    """Satisfies `kernelevolve.accelerator.Accelerator`. Needs Triton to compile, and nothing else."""

    name = "mtia"
    api = API
    languages = frozenset({"triton"})
    compiles_on_host = True

    def probe(self) -> Availability:
        """Whether Triton is installed."""
        if not installed():
            return Availability(Status.MISSING, f"the package triton is not installed; {_INSTALL}")
        version = triton_version()
        if version is None:
            return Availability(Status.BROKEN, f"the package triton has no version; install it anew: {_INSTALL}")
        if tuple(int(part) for part in re.findall(r"\d+", version)[:2]) < OLDEST:
            wanted = ".".join(map(str, OLDEST))
            return Availability(Status.BROKEN, f"triton {version} is older than {wanted}; {_INSTALL}")
        return Availability(
            Status.OK, f"triton {version}; emulates {', '.join(CHIPS)}: times are cycles of a model ({MODEL}-{VERSION})"
        )

    def environment(self) -> Mapping[str, str]:
        """Variables a worker needs: the one that chooses the rules; and one thread for NumPy's products of small tiles,
        which several would slow down where cores are shared.
        """
        rules = {RULES_VARIABLE: os.environ[RULES_VARIABLE]} if RULES_VARIABLE in os.environ else {}
        return {**rules, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", **_KEEPS_MEMORY}

    def targets(self) -> Sequence[Target]:
        """A target for each chip."""
        return [Target(f"{self.name}:{chip}") for chip in CHIPS]

    def devices(self) -> Sequence[Device]:
        """One of each chip."""
        return [_device(index, chip) for index, chip in enumerate(CHIPS.values())]

    def toolchain(self) -> Mapping[str, str]:
        """Triton's version, the model's, and the rules in force."""
        return {"triton": triton_version() or "unknown", "model": f"{MODEL}-{VERSION}", "rules": _rules()}

    def compile_key(self, plan: LaunchPlan) -> Mapping[str, Any]:
        """Source, signatures (types and compile-time values) and launch options."""
        signatures = _signatures(plan)
        return {
            "source": plan.source,
            "entries": {name: signature.describe() for name, signature in signatures.items()},
            "options": {name: plan.configuration[name] for name in _OPTIONS if name in plan.configuration},
        }

    def compile(self, plan: LaunchPlan, target: Target) -> Artifact:
        """Compile every entry; stages are named ``ttir:ENTRY`` and ``mtia:ENTRY``.

        Raises `CompileError` for what Triton, the emulator or a rule refuses, `ToolchainError`, or `ResourceExceeded`
        where a program does not fit into an element.
        """
        chip = _chip(target)
        check_tunables(plan)
        options = _options(plan)
        strict = _rules() == "strict"
        stages: dict[str, bytes] = {}
        used: dict[str, Mapping[str, int]] = {}
        for name, signature in _signatures(plan).items():
            # Without hints on divisibility, which no pass here uses; with the kernel's assertions.
            plain = evolve(signature, hints={})
            made = compile_entry(plan.source, plain, target, {**options, "debug": True}).stages
            stages |= {f"{stage}:{name}": made[stage] for stage in _STAGES}
            program = from_json(made["mtia"])
            check_program(program, chip, strict=strict)
            needs = resources(program, chip, ModelOptions(**options))
            used[name] = {
                "circular_buffers": needs.circular_buffers,
                "circular_buffers_limit": chip.circular_buffers,
                "local_bytes": needs.local_bytes,
                "local_bytes_limit": chip.local_bytes,
            }
        return Artifact(
            stages=stages,
            resources=used,
            toolchain=self.toolchain(),
            extra={"chip": chip.name, "entries": list(used), "options": options, "strict": strict},
        )

    @contextmanager
    def open(self, device: Device) -> Iterator[MTIASession]:
        """Open an emulated chip in this process."""
        session = MTIASession(device, _chip(device.target))
        try:
            yield session
        finally:
            session.close()


def _device(index: int, chip: ChipParameters) -> Device:
    return Device(
        accelerator=MTIA.name,
        index=index,
        name=chip.name,
        target=Target(f"{MTIA.name}:{chip.name}"),
        realm=Realm.EMULATED,
        facts={"num_units": chip.elements, "warp_size": 1, "max_group_size": 1},
        memory={
            "global": min(chip.dram_bytes, host_memory()),
            "local": chip.local_bytes,
            "cache": chip.shared_bytes,
        },
        peaks=Peaks(
            bytes_per_second=chip.dram_bytes_per_second,
            operations_per_second=2 * max(chip.dot_macs_1byte, chip.dot_macs_2byte) * chip.elements * chip.clock_hertz,
            source="the chip's published peaks, as the model has them",
        ),
        description={
            "clock": f"{chip.clock_hertz / 1e9:g} GHz, emulated",
            "elements": f"{chip.elements} ({chip.rows} x {chip.columns})",
            "model": f"{MODEL}-{VERSION}",
            "timing": "cycles of a model; compare kernels on the same emulated chip only",
        },
        dtypes=_DTYPES | _FLOAT8 if chip.dot_floats else _DTYPES,
    )


def _chip(target: Target) -> ChipParameters:
    platform, _, name = target.name.partition(":")
    if platform != MTIA.name or name not in CHIPS:
        listed = ", ".join(f"{MTIA.name}:{chip}" for chip in CHIPS)
        raise CompileError(f"there is no target {target.name!r}; there is {listed}", stage="options", log="", line=None)
    return CHIPS[name]


def _signatures(plan: LaunchPlan) -> dict[str, EntrySignature]:
    """Types and compile-time values; that a number is divisible by 16 changes nothing here, so it makes no variant."""
    found = read_signatures(plan, short_pointers=False)
    return {name: evolve(signature, hints={}) for name, signature in found.items()}


def _rules() -> str:
    chosen = os.environ.get(RULES_VARIABLE, _RULES[0])
    if chosen not in _RULES:
        raise KernelEvolveError(
            f"{RULES_VARIABLE} is {chosen!r}; it must be {' or '.join(_RULES)} ({', '.join(STRICT)})"
        )
    return chosen


def _options(plan: LaunchPlan) -> dict[str, Any]:
    """The launch options among the tunables. Raises `CompileError` for values they do not have."""
    options: dict[str, Any] = {}
    for name in _OPTIONS:
        if name not in plan.configuration:
            continue
        value = plan.configuration[name]
        switch = name == "use_dual_core"
        if not isinstance(value, int) or not (value in (0, 1) if switch else value >= 1):
            right = "0 or 1" if switch else "a whole number from 1 on"
            message = f"launch options: {name} is {value!r}; it must be {right}"
            raise CompileError(message, stage="options", log=message, line=None)
        options[name] = bool(value) if switch else int(value)
    return options


if TYPE_CHECKING:
    _conforms: Accelerator = MTIA()  # the type checker compares every signature, the session's included
