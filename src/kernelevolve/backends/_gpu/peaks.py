"""Upper bounds of GPUs: memory bandwidth, arithmetic, and the cache that lies last before memory.

They catch times that cannot be; they grade nobody. So where sources differ the larger one is taken.
"""

from __future__ import annotations

__all__ = ["last_cache", "peaks"]

from collections.abc import Mapping
from typing import Final

from kernelevolve.accelerator import Peaks

#: Dense operations (a multiply-add counts two) per unit and cycle of the fastest type that tensor or matrix cores take.
#: From the rates in the vendors' architecture white papers and data sheets, divided by units and boost clock.
_OPERATIONS: Final[Mapping[str, tuple[int, str]]] = {
    "sm_70": (1024, "FP16 tensor cores; Tesla V100 white paper: 8 cores of 64 FMA"),
    "sm_75": (4096, "INT4 tensor cores; Turing white paper: 4 times the 1024 of FP16"),
    "sm_80": (8192, "INT4 tensor cores; A100 white paper: 1248 TOPS on 108 SMs at 1.41 GHz"),
    "sm_86": (4096, "INT4 tensor cores; GA102 white paper: 568 TOPS on 82 SMs at 1.695 GHz"),
    "sm_87": (8192, "INT4 tensor cores, as in A100; Jetson AGX Orin data sheet: 85 dense INT8 TOPS on 16 SMs"),
    "sm_89": (4096, "INT4 tensor cores; Ada white paper: 1321 TOPS on 128 SMs at 2.52 GHz"),
    "sm_90": (8192, "FP8 tensor cores; H100 white paper: 1979 TFLOPS on 132 SMs at 1.83 GHz"),
    "sm_100": (32768, "FP4 tensor cores; B200 data sheet: 9 dense PFLOPS on 148 SMs"),
    "sm_103": (49152, "FP4 tensor cores; B300 data sheet: 1.5 times B200"),
    "sm_120": (4096, "FP4 tensor cores; Blackwell RTX white paper: 1676 dense TFLOPS on 170 SMs at 2.41 GHz"),
    "sm_121": (4096, "FP4 tensor cores, as in sm_120; DGX Spark data sheet: 500 dense TFLOPS on 48 SMs"),
    "gfx90a": (1024, "FP16 matrix cores; MI210 data sheet: 181 TFLOPS on 104 CUs at 1.7 GHz"),
    "gfx942": (4096, "FP8 matrix cores; MI300X data sheet: 2615 TFLOPS on 304 CUs at 2.1 GHz"),
    "gfx950": (16384, "FP4 matrix cores; MI355X data sheet: 10.1 PFLOPS on 256 CUs at 2.4 GHz"),
    # HIP may count pairs of compute units on RDNA: these are rates of a pair.
    "gfx1100": (2048, "INT4 matrix operations; RX 7900 XTX data sheet: 246 TOPS on 96 CUs at 2.5 GHz"),
    "gfx1201": (8192, "INT4 matrix operations; RX 9070 XT data sheet: 779 dense TOPS on 64 CUs at 2.97 GHz"),
}
#: Bytes per second by what a board's name holds; the first that fits. From the vendors' data sheets.
_BANDWIDTH: Final[tuple[tuple[str, float], ...]] = (
    ("B300", 8.0e12),
    ("B200", 8.0e12),
    ("GH200", 4.9e12),
    ("H200", 4.8e12),
    ("H100 NVL", 3.94e12),
    ("H100 PCIe", 2.04e12),
    ("H100", 3.35e12),
    ("H800", 3.35e12),
    ("H20", 4.0e12),
    ("A100-SXM4-80GB", 2.04e12),
    ("A100 80GB", 1.94e12),
    ("A100", 1.56e12),
    ("A800", 2.04e12),
    ("A30", 933e9),
    ("A40", 696e9),
    ("A10", 600e9),
    ("L40", 864e9),
    ("L4", 300e9),
    ("V100S", 1.134e12),
    ("V100", 900e9),
    ("T4", 320e9),
    ("RTX PRO 6000 Blackwell", 1.792e12),
    ("RTX 6000 Ada", 960e9),
    ("RTX 5090", 1.792e12),
    ("RTX 4090", 1.008e12),
    ("RTX 3090 Ti", 1.008e12),
    ("RTX 3090", 936e9),
    ("GB10", 273e9),
    ("MI355X", 8.0e12),
    ("MI350X", 8.0e12),
    ("MI325X", 6.0e12),
    ("MI300A", 5.3e12),
    ("MI300X", 5.3e12),
    ("MI308X", 5.3e12),
    ("MI250", 1.64e12),  # of one of its two dies, which is a device
    ("MI210", 1.64e12),
    ("7900 XTX", 960e9),
    ("7900 XT", 800e9),
    ("7900 GRE", 576e9),
    ("W7900", 864e9),
    ("9070", 645e9),
)
#: Bytes of the memory-side cache that HIP does not report ("AMD GPU specifications", rocm.docs.amd.com: L3 cache); the
#: largest among an architecture's boards.
_MEMORY_SIDE_CACHE: Final[Mapping[str, int]] = {
    "gfx942": 256 << 20,
    "gfx950": 256 << 20,
    "gfx1100": 96 << 20,
    "gfx1201": 64 << 20,
}


def last_cache(architecture: str, reported: int | None) -> int | None:
    """Bytes of the last cache before memory: the driver's L2, or what lies behind it."""
    behind = _MEMORY_SIDE_CACHE.get(architecture, 0)
    return max(reported or 0, behind) or None


def peaks(
    architecture: str,
    name: str,
    *,
    units: int,
    clock_khz: int | None,
    memory_clock_khz: int | None,
    bus_bits: int | None,
) -> Peaks:
    """Bounds of a device, each None where neither driver nor tables know."""
    moved, moved_source = _bytes_per_second(architecture, name, memory_clock_khz, bus_bits)
    done, done_source = _operations_per_second(architecture, units, clock_khz)
    return Peaks(bytes_per_second=moved, operations_per_second=done, source=f"bytes: {moved_source}; {done_source}")


def _bytes_per_second(
    architecture: str, name: str, memory_clock_khz: int | None, bus_bits: int | None
) -> tuple[float | None, str]:
    listed = next((rate for part, rate in _BANDWIDTH if part.lower() in name.lower()), 0.0)
    # Two transfers per reported cycle holds for NVIDIA's drivers. HIP reports half of that for some memories.
    trusted = architecture.startswith("sm_")
    computed = 2 * (memory_clock_khz or 0) * 1e3 * (bus_bits or 0) / 8 if trusted else 0.0
    if computed and computed >= listed:
        return computed, f"2 x {(memory_clock_khz or 0) / 1e3:.0f} MHz x {bus_bits} bits, as the driver reports them"
    if listed:
        return listed, f"the data sheet of {name}"
    return None, f"unknown for {name}"


def _operations_per_second(architecture: str, units: int, clock_khz: int | None) -> tuple[float | None, str]:
    plain = architecture.rstrip("af") if architecture.startswith("sm_") else architecture
    if plain not in _OPERATIONS or not clock_khz:
        return None, f"operations: unknown for {architecture}"
    rate, source = _OPERATIONS[plain]
    return (
        units * rate * clock_khz * 1e3,
        f"operations: {units} units x {rate} per cycle at {clock_khz / 1e3:.0f} MHz ({source})",
    )
