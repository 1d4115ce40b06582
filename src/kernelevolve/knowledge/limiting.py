"""What limits a right kernel, from rates, resources and the device's peaks: Williams et al., "Roofline", 2009."""

from __future__ import annotations

__all__ = ["limits_of"]

import re
from collections.abc import Mapping
from typing import Any, Final

from attrs import frozen

from kernelevolve.accelerator import Device, Realm
from kernelevolve.knowledge.bottleneck import Bottleneck
from kernelevolve.knowledge.finding import Diagnosis
from kernelevolve.problem import itemsize

#: From this share of a peak on, more cannot be had by waiting less. Copies reach about 0.9 of a GPU's memory peak, and
#: matrix products of vendors' libraries 0.6 to 0.75 of its arithmetic.
NEAR: Final = 0.6
#: Below that, the share from which the larger one still names the side to work on.
LEANING: Final = 0.4
#: A host processor's peaks are those of its first-level cache and of both its widest units, which no kernel sustains.
HOST_ARITHMETIC: Final = 0.1
#: Bytes per second and thread that count as near a host's main memory, whose own peak is not known: single cores of
#: server processors sustain 5 to 15 GB/s in STREAM (McCalpin).
HOST_BANDWIDTH: Final = 4e9
#: Seconds below which the launch itself is most of the time, as in the pipeline's own sentence.
LAUNCH: Final = 20e-6
#: Percent of the warps that a unit can hold, up to which too few of them are there to hide what each waits for.
FEW_WARPS: Final = 25
#: Share of the cycles from which on a unit, a bandwidth or the launching is what an emulated time goes into.
BUSY: Final = 0.5

#: Resources that say that registers went to memory.
_SPILLS: Final = ("spill_store_bytes", "spill_load_bytes", "vgpr_spills", "sgpr_spills")
#: The type that a device's peak of arithmetic is for, where its source names one.
_PEAK_TYPE: Final = re.compile(r"\b(?:FP|INT|BF|TF)(\d+)\b")
_DTYPE: Final = re.compile(r":([a-z]+\d+\w*)")
#: Parts of an emulated profile that a diagnosis repeats.
_KEPT: Final = ("memory_bytes", "local_memory", "circular_buffers", "programs", "elements", "diagnostics")
#: Share of a chip's elements with work, up to which more programs are what helps most.
FEW_ELEMENTS: Final = 0.5
#: How an emulator names what its sentence blames: a bandwidth with its share of the time, the transfers' units, and
#: elements that wait for others.
_USED_UP: Final = re.compile(r"bandwidth is used up for (\d+)%")
_TRANSFERS: Final = "fabric"
_IDLE: Final = "elements are idle"


@frozen
class _Rate:
    """The slowest workload's rates and their shares of the device's peaks; None where unknown."""

    workload: str
    seconds: float
    bytes_per_second: float
    operations_per_second: float | None
    memory: float | None
    compute: float | None


def limits_of(profile: Mapping[str, Any], resources: Mapping[str, Any], device: Device | None) -> Diagnosis:
    """What limits a right kernel, as far as its profile, its resources and its device tell."""
    estimate = _estimate(profile)
    if estimate is not None:
        return _emulated(estimate)
    rate = _slowest(profile, device)
    if rate is None:
        return Diagnosis(Bottleneck.CORRECT, "Right; no time was taken, so nothing is known of what limits it.")
    on_host = device is not None and device.host_threads is not None
    found = _near_roof(rate, device, on_host=on_host) or _spilling(resources, rate) or _short(rate)
    if found is None and not on_host and (rate.compute or 0.0) >= max(LEANING, rate.memory or 0.0):
        # Kernels on matrix units fill few warps with much work each, by design.
        found = _compute(rate, "so that better scheduling helps too")
    return found or _few_warps(resources, rate) or _far(rate, on_host=on_host)


# --- measured times


def _slowest(profile: Mapping[str, Any], device: Device | None) -> _Rate | None:
    rates = [
        (label, rate)
        for label, rate in dict(profile.get("rates") or {}).items()
        if rate.get("bytes_per_second") and rate.get("compulsory_bytes")
    ]
    if not rates:
        return None
    label, rate = max(rates, key=lambda item: item[1]["compulsory_bytes"] / item[1]["bytes_per_second"])
    moved, done = float(rate["bytes_per_second"]), rate.get("operations_per_second")
    peaks = device.peaks if device is not None else None
    memory = moved / peaks.bytes_per_second if peaks and peaks.bytes_per_second else None
    compute = None
    if peaks and peaks.operations_per_second and done:
        compute = done / (peaks.operations_per_second * _type_factor(label, peaks.source))
    return _Rate(label, rate["compulsory_bytes"] / moved, moved, done, memory, compute)


def _type_factor(workload: str, source: str) -> float:
    """Of the device's peak, which is for its fastest type, what is left for the workload's: half for twice the bits."""
    fastest = _PEAK_TYPE.search(source)
    if fastest is None:
        return 1.0
    named = [match[1] for match in _DTYPE.finditer(workload)]
    widths = [8 * itemsize(name) for name in named if name.startswith(("float", "bfloat"))] or [32]
    return min(1.0, int(fastest[1]) / min(widths))


def _near_roof(rate: _Rate, device: Device | None, *, on_host: bool) -> Diagnosis | None:
    if on_host:
        assert device is not None
        per_thread = rate.bytes_per_second / max(1, device.host_threads or 1)
        if rate.compute is not None and rate.compute >= HOST_ARITHMETIC:
            return _compute(rate, "as much as kernels on a host processor reach")
        if per_thread >= HOST_BANDWIDTH:
            return _memory_of_host(rate, per_thread)
        return None
    shares = {"memory": rate.memory or 0.0, "compute": rate.compute or 0.0}
    if max(shares.values()) < NEAR:
        return None
    if shares["memory"] >= shares["compute"]:
        return _memory(rate, f"{shares['memory']:.0%} of the device's peak")
    return _compute(rate, "near the device's peak")


def _memory(rate: _Rate, what: str) -> Diagnosis:
    sentence = (
        f"Bound by memory on {rate.workload}: {rate.bytes_per_second / 1e9:.1f} GB/s of compulsory traffic, {what}. "
        "Moving fewer bytes, or each only once, makes it faster."
    )
    terms = ("memory", "bandwidth", "traffic", "coalesced", "vector loads", "fusion", "reread", "cache")
    return Diagnosis(Bottleneck.MEMORY_BOUND, sentence, terms, _numbers(rate))


def _memory_of_host(rate: _Rate, per_thread: float) -> Diagnosis:
    """A host has no counters here and no peak of its main memory: what is near its limit is likely, and not known."""
    sentence = (
        f"Probably bound by memory on {rate.workload}: {rate.bytes_per_second / 1e9:.1f} GB/s, {per_thread / 1e9:.1f} "
        "GB/s per thread, about what a core gets from main memory when it reads in order. This is estimated from the "
        "bytes that must move at least once; what really moves is not measured. Moving bytes once that are moved twice "
        "makes it faster. Where accesses are scattered (gathers, short rows), waiting for each may cost more than "
        "bandwidth: then more of them under way at once, or asked for earlier, help too."
    )
    terms = ("memory", "bandwidth", "traffic", "reread", "cache", "gather", "prefetch", "latency", "independent")
    return Diagnosis(
        Bottleneck.MEMORY_BOUND, sentence, terms, {**_numbers(rate), "bytes_per_second_per_thread": per_thread}
    )


def _compute(rate: _Rate, what: str) -> Diagnosis:
    done = rate.operations_per_second or 0.0
    sentence = (
        f"Bound by arithmetic on {rate.workload}: {done / 1e9:.1f} Gop/s, {rate.compute or 0.0:.0%} of the peak for "
        f"its type, {what}. Fewer or cheaper operations make it faster."
    )
    terms = ("arithmetic", "compute", "matrix units", "tensor cores", "instructions", "fma", "tile", "precision")
    return Diagnosis(Bottleneck.COMPUTE_BOUND, sentence, terms, _numbers(rate))


def _spilling(resources: Mapping[str, Any], rate: _Rate | None) -> Diagnosis | None:
    spilled = {
        entry: {name: int(used[name]) for name in _SPILLS if used.get(name)}
        for entry, used in resources.items()
        if isinstance(used, Mapping) and any(used.get(name) for name in _SPILLS)
    }
    if not spilled:
        return None
    entry, used = max(spilled.items(), key=lambda item: sum(item[1].values()))
    listed = ", ".join(f"{name.replace('_', ' ')} {count}" for name, count in used.items())
    sentence = (
        f"Registers of {entry} spill to memory ({listed}): smaller tiles, more warps or fewer live values avoid it."
    )
    terms = ("spill", "registers", "register pressure", "tile size", "num_warps", "live values", "local memory")
    return Diagnosis(Bottleneck.SPILLING, sentence, terms, {**_numbers(rate), "spills": spilled})


def _short(rate: _Rate) -> Diagnosis | None:
    if rate.seconds >= LAUNCH:
        return None
    sentence = (
        f"Bound by the launch: {rate.seconds * 1e6:.1f} µs on {rate.workload}, most of which is starting the kernel. "
        "Fewer launches, fewer groups and less set-up make it faster."
    )
    terms = ("launch overhead", "fuse launches", "one launch", "persistent", "fewer programs", "grid")
    return Diagnosis(Bottleneck.LAUNCH_BOUND, sentence, terms, _numbers(rate))


def _few_warps(resources: Mapping[str, Any], rate: _Rate) -> Diagnosis | None:
    known = {
        entry: used["occupancy_percent"]
        for entry, used in resources.items()
        if isinstance(used, Mapping) and isinstance(used.get("occupancy_percent"), int)
    }
    if not known or min(known.values()) > FEW_WARPS:
        return None
    entry = min(known, key=lambda name: (known[name], name))
    used = {name: resources[entry].get(name) for name in ("registers", "vgprs", "local_bytes", "threads")}
    held = ", ".join(f"{value} {name.replace('_', ' ')}" for name, value in used.items() if value)
    sentence = (
        f"Limited by occupancy: {entry} fills {known[entry]} % of a unit's warps ({held}), and neither memory nor "
        "arithmetic is near its peak, so that waiting is not hidden."
    )
    terms = ("occupancy", "registers", "shared memory", "warps", "latency hiding", "stages", "smaller tiles")
    return Diagnosis(Bottleneck.OCCUPANCY_LIMITED, sentence, terms, {**_numbers(rate), "occupancy_percent": known})


def _far(rate: _Rate, *, on_host: bool) -> Diagnosis:
    if not on_host and (rate.memory or 0.0) >= LEANING:
        return _memory(rate, f"{rate.memory:.0%} of the device's peak, so that better access patterns help too")
    if rate.memory is None and rate.compute is None:
        sentence = f"Right, {rate.seconds * 1e6:.1f} µs on {rate.workload}; the device's peaks are not known."
        return Diagnosis(Bottleneck.CORRECT, sentence, (), _numbers(rate))
    rates = f"{rate.bytes_per_second / 1e9:.1f} GB/s of compulsory traffic (rereads are not counted)"
    if rate.operations_per_second:
        rates += f" and {rate.operations_per_second / 1e9:.1f} Gop/s"
    sentence = (
        f"Bound by latency on {rate.workload}: {rates} are both far from what the device can do, so it waits: for "
        "instructions that depend on each other, for scattered or narrow accesses, or for work items without work."
    )
    terms = ("latency", "parallelism", "independent", "accumulators", "unroll", "vectorise", "prefetch", "dependency")
    return Diagnosis(Bottleneck.LATENCY_BOUND, sentence, terms, _numbers(rate))


def _numbers(rate: _Rate | None) -> dict[str, Any]:
    if rate is None:
        return {}
    numbers = {
        "workload": rate.workload,
        "seconds": rate.seconds,
        "bytes_per_second": rate.bytes_per_second,
        "operations_per_second": rate.operations_per_second,
        "memory_share": rate.memory,
        "compute_share": rate.compute,
    }
    return {name: value for name, value in numbers.items() if value is not None}


# --- emulated times


def _estimate(value: Any, depth: int = 4) -> Mapping[str, Any] | None:
    """The profile of an emulated time (cycles, and what each unit did), wherever it stands; the longest of several."""
    if not isinstance(value, Mapping) or depth == 0:
        return None
    if value.get("cycles") and isinstance(value.get("units"), Mapping) and value["units"]:
        return value
    found = [one for one in (_estimate(each, depth - 1) for each in value.values()) if one is not None]
    return max(found, key=lambda one: float(one["cycles"]), default=None)


def _emulated(profile: Mapping[str, Any]) -> Diagnosis:
    cycles = float(profile["cycles"])
    shares = {str(unit): float(use["busy"]) / cycles for unit, use in profile["units"].items()}
    said = str(profile.get("bottleneck", ""))
    launching = float(profile.get("launch_cycles") or 0.0) / cycles
    unit = max(shares, key=lambda name: (shares[name], name))
    evidence = {
        "cycles": profile["cycles"],
        "realm": Realm.EMULATED.value,
        "units": {name: round(share, 3) for name, share in shares.items()},
        "launch_share": round(launching, 3),
        **{name: profile[name] for name in _KEPT if name in profile},
    }
    elements = profile.get("elements") or {}
    working = elements["busy"] / elements["available"] if elements.get("available") else 1.0
    bottleneck, terms = _blame(said, launching, unit, shares[unit], elements=working)
    return Diagnosis(bottleneck, f"Emulated: {said or f'the {unit} is busy for {shares[unit]:.0%}'}.", terms, evidence)


def _blame(
    said: str, launching: float, unit: str, share: float, *, elements: float
) -> tuple[Bottleneck, tuple[str, ...]]:
    """The class of an emulated profile; `elements` is the share of the chip's elements that have a program."""
    used_up = _USED_UP.search(said)
    if launching >= BUSY:
        return Bottleneck.LAUNCH_BOUND, ("launch", "jobs", "programs", "grid", "one program per element")
    if elements <= FEW_ELEMENTS:
        return Bottleneck.OCCUPANCY_LIMITED, ("programs", "elements", "grid", "balance", "split")
    if used_up is not None and int(used_up[1]) >= 100 * BUSY:
        return Bottleneck.MEMORY_BOUND, ("bandwidth", "DRAM", "shared memory", "traffic", "reuse", "tile")
    if share >= BUSY and unit.startswith(_TRANSFERS):
        return Bottleneck.MEMORY_BOUND, ("fabric", "transfers", "DMA", "contiguous", "block pointers", "traffic")
    if share >= BUSY:
        return Bottleneck.COMPUTE_BOUND, (unit, "units", "overlap", "dot", "SIMD", "vector core")
    if _IDLE in said:
        return Bottleneck.OCCUPANCY_LIMITED, ("programs", "elements", "grid", "balance", "split")
    return Bottleneck.LATENCY_BOUND, ("circular buffers", "num_stages", "cb_multiplier", "overlap", "prefetch", unit)
