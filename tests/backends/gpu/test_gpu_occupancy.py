"""Theoretical occupancy: against published figures, NVIDIA's own calculator, and LLVM."""

from __future__ import annotations

import ctypes
import importlib.util
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from kernelevolve.backends._gpu.hardware import UNITS, AmdUnit, NvidiaUnit
from kernelevolve.backends._gpu.occupancy import limits, occupancy
from kernelevolve.errors import UnknownNameError

NVIDIA = sorted(name for name, unit in UNITS.items() if isinstance(unit, NvidiaUnit))
AMD = sorted(name for name, unit in UNITS.items() if isinstance(unit, AmdUnit))
KIB = 1024


@pytest.mark.parametrize(
    ("target", "threads", "registers", "shared", "percent", "blocks", "limited"),
    [
        # CUDA's occupancy calculator (the spreadsheet, and Nsight Compute's), and textbook cases.
        ("sm_80", 256, 32, 0, 100, 8, {"registers", "warps"}),
        ("sm_80", 256, 33, 0, 75, 6, {"registers"}),  # 33 are handed out as 40
        ("sm_80", 256, 128, 0, 25, 2, {"registers"}),
        ("sm_80", 1024, 64, 0, 50, 1, {"registers"}),
        ("sm_80", 32, 16, 0, 50, 32, {"blocks"}),
        ("sm_80", 128, 32, 48 * KIB, 18.75, 3, {"shared memory"}),  # 3 x (48 + 1 reserved) of 164
        ("sm_86", 1024, 32, 0, 200 / 3, 1, {"warps"}),
        ("sm_86", 256, 40, 0, 100, 6, {"registers", "warps"}),
        ("sm_75", 256, 64, 0, 100, 4, {"registers", "warps"}),
        ("sm_70", 256, 32, 32 * KIB, 37.5, 3, {"shared memory"}),  # 96 KiB, nothing reserved
        ("sm_90", 128, 168, 200 * KIB, 6.25, 1, {"shared memory"}),
        ("sm_90", 384, 168, 227 * KIB, 18.75, 1, {"registers", "shared memory"}),
        # "Register pressure in AMD CDNA2 GPUs" (AMD lab notes): waves per SIMD by vector registers.
        *[
            ("gfx90a", 256, registers, 0, waves * 12.5, waves, {"registers"} | ({"warps"} if waves == 8 else set()))
            for registers, waves in [(64, 8), (72, 7), (80, 6), (96, 5), (128, 4), (168, 3), (256, 2), (512, 1)]
        ],
        ("gfx942", 256, 32, 64 * KIB, 12.5, 1, {"shared memory"}),
        ("gfx950", 256, 32, 64 * KIB, 25, 2, {"shared memory"}),  # 160 KiB
        ("gfx1100", 256, 96, 0, 100, 8, {"registers", "warps"}),  # RDNA 3: sixteen waves up to 96 registers
        ("gfx1100", 256, 97, 0, 75, 6, {"registers"}),
        ("gfx1201", 32, 16, 0, 100, 64, {"registers", "shared memory", "warps", "blocks"}),
    ],
)
def test_published_figures(
    target: str, threads: int, registers: int, shared: int, percent: float, blocks: int, limited: set[str]
) -> None:
    found = occupancy(target, threads=threads, registers=registers, shared=shared)
    assert found.blocks == blocks
    assert found.fraction * 100 == pytest.approx(percent)
    assert set(found.limited_by) == limited


def test_a_sentence_says_how_many_and_why() -> None:
    found = occupancy("cuda:sm_90a", threads=256, registers=128, shared=0)
    assert found.sentence == "16 of 64 warps per unit (25%) in 2 blocks, limited by registers"


@pytest.mark.parametrize(
    ("used", "lack"),
    [
        ({"threads": 2048, "registers": 16}, "warps"),
        ({"threads": 1024, "registers": 128}, "registers"),
        ({"threads": 128, "registers": 256}, "registers"),
        ({"threads": 128, "registers": 16, "shared": 227 * KIB + 1}, "shared memory"),
    ],
)
def test_a_kernel_that_does_not_fit_says_for_lack_of_what(used: dict[str, int], lack: str) -> None:
    found = occupancy("sm_90", **used)
    assert (found.fraction, found.blocks, found.warps) == (0, 0, 0)
    assert found.sentence == f"not one block fits on a unit, for lack of {lack}"


def test_limits_of_a_target() -> None:
    hopper, cdna = limits("cuda:sm_90"), limits("hip:gfx942")
    assert (hopper.shared_per_block, hopper.registers_per_thread, hopper.warp_size) == (232448, 255, 32)
    assert (cdna.shared_per_block, cdna.registers_per_thread, cdna.warp_size) == (65536, 512, 64)
    assert {limits(target).threads_per_block for target in UNITS} == {1024}


def test_an_architecture_that_is_not_in_the_tables_is_named() -> None:
    with pytest.raises(UnknownNameError, match="unknown GPU architecture 'sm_35'; there is sm_70"):
        limits("cuda:sm_35")


def test_a_block_without_threads_is_no_block() -> None:
    with pytest.raises(ValueError, match="a block of 0 threads"):
        occupancy("sm_90", threads=0, registers=1)


KERNELS = {
    "threads": st.integers(1, 1100),
    "registers": st.integers(0, 300),
    "shared": st.integers(0, 240 * KIB),
}


@settings(deadline=None)
@given(target=st.sampled_from([*NVIDIA, *AMD]), more=st.integers(0, 64), **KERNELS)
def test_using_more_never_fits_better(target: str, threads: int, registers: int, shared: int, more: int) -> None:
    before = occupancy(target, threads=threads, registers=registers, shared=shared)
    assert 0 <= before.fraction <= 1
    assert occupancy(target, threads=threads, registers=registers + more, shared=shared).blocks <= before.blocks
    assert occupancy(target, threads=threads, registers=registers, shared=shared + 256 * more).blocks <= before.blocks


# NVIDIA's header computes occupancy from a device's properties; compiled, it is the judge.

CALCULATOR = """
#include <stddef.h>
#include <string.h>
#include <limits.h>
#include "cuda_occupancy.h"

int active_blocks(int major, int minor, int warps_per_sm, size_t shared_per_sm, size_t shared_optin, size_t reserved,
                  int threads, int registers, size_t dynamic_shared)
{
    cudaOccDeviceProp device;
    cudaOccFuncAttributes function;
    cudaOccDeviceState state;
    cudaOccResult result;
    memset(&device, 0, sizeof device);
    memset(&function, 0, sizeof function);
    memset(&state, 0, sizeof state);
    device.computeMajor = major;
    device.computeMinor = minor;
    device.maxThreadsPerBlock = 1024;
    device.maxThreadsPerMultiprocessor = 32 * warps_per_sm;
    device.regsPerBlock = device.regsPerMultiprocessor = 65536;
    device.warpSize = 32;
    device.sharedMemPerBlock = 49152;
    device.sharedMemPerMultiprocessor = shared_per_sm;
    device.numSms = 1;
    device.sharedMemPerBlockOptin = shared_optin;
    device.reservedSharedMemPerBlock = reserved;
    function.maxThreadsPerBlock = INT_MAX;
    function.numRegs = registers;
    function.shmemLimitConfig = FUNC_SHMEM_LIMIT_OPTIN;
    function.maxDynamicSharedSizeBytes = shared_optin;
    function.numBlockBarriers = 1;
    state.carveoutConfig = SHAREDMEM_CARVEOUT_MAX_SHARED;
    if (cudaOccMaxActiveBlocksPerMultiprocessor(&result, &device, &function, &state, threads, dynamic_shared))
        return -1;
    return result.activeBlocksPerMultiprocessor;
}
"""


@pytest.fixture(scope="module")
def calculator(tmp_path_factory: pytest.TempPathFactory) -> Any:
    found = importlib.util.find_spec("triton")
    folder = Path(found.origin).parent / "backends/nvidia/include" if found and found.origin else None
    if folder is None or not (folder / "cuda_occupancy.h").exists() or shutil.which("gcc") is None:
        pytest.skip("needs gcc, and cuda_occupancy.h from the package triton")
    place = tmp_path_factory.mktemp("occupancy")
    (place / "calculator.c").write_text(CALCULATOR)
    command = ["gcc", "-shared", "-fPIC", f"-I{folder}", "-o", "calculator.so", "calculator.c"]
    subprocess.run(command, cwd=place, check=True, capture_output=True)
    function = ctypes.CDLL(str(place / "calculator.so")).active_blocks
    function.argtypes = [ctypes.c_int] * 3 + [ctypes.c_size_t] * 3 + [ctypes.c_int] * 2 + [ctypes.c_size_t]
    return function


@settings(max_examples=400, deadline=None)
@given(target=st.sampled_from(NVIDIA), **KERNELS)
def test_nvidias_calculator_agrees(calculator: Any, target: str, threads: int, registers: int, shared: int) -> None:
    unit = UNITS[target]
    assert isinstance(unit, NvidiaUnit)
    major, minor = divmod(int(target.removeprefix("sm_")), 10)
    memory = (unit.shared, unit.shared_per_block, unit.reserved)
    theirs = calculator(major, minor, unit.max_warps, *memory, threads, registers, shared)
    assume(theirs >= 0)  # an older header does not know the youngest architectures
    ours = occupancy(target, threads=threads, registers=registers, shared=shared)
    if registers == 256:  # the header lets 256 pass; no instruction set encodes more than 255
        assert ours.blocks == 0
    else:
        assert ours.blocks == theirs


# LLVM prints how many waves a SIMD holds with the registers of what it compiled.

WAVES = """
target triple = "amdgcn-amd-amdhsa"
define amdgpu_kernel void @k() #0 {{
  call void asm sideeffect "", "{clobbers}"()
  ret void
}}
attributes #0 = {{ "amdgpu-flat-work-group-size"="64,256" }}
"""


def waves_by_llvm(target: str, clobbers: str) -> dict[str, int]:
    llvm = pytest.importorskip("triton._C.libtriton", reason="LLVM comes with the package triton").llvm
    llvm.init_targets()
    given = (WAVES.format(clobbers=clobbers), "amdgcn-amd-amdhsa", target, "", [], False, False)
    try:
        text = llvm.translate_to_asm(*given)
    except TypeError:  # newer ones take one flag more
        text = llvm.translate_to_asm(*given, False)
    return {name: int(value) for name, value in re.findall(r"^; (\w+): (\d+)\b", text, re.MULTILINE)}


@pytest.mark.parametrize("registers", [1, 24, 25, 40, 64, 65, 72, 80, 84, 96, 97, 120, 128, 168, 169, 200, 256])
@pytest.mark.parametrize("target", AMD)
def test_llvm_agrees_on_waves_by_vector_registers(target: str, registers: int) -> None:
    found = waves_by_llvm(target, f"~{{v{registers - 1}}}")
    assert found["NumVgprs"] == registers
    unit = UNITS[target]
    assert isinstance(unit, AmdUnit)
    ours = occupancy(target, threads=unit.warp_size, registers=registers)
    assert ours.warps == unit.simds * found["Occupancy"]


@pytest.mark.parametrize(("vectors", "accumulators"), [(10, 30), (64, 64), (33, 100), (128, 128), (250, 250)])
@pytest.mark.parametrize("target", ["gfx90a", "gfx942", "gfx950"])
def test_llvm_agrees_on_waves_with_accumulators(target: str, vectors: int, accumulators: int) -> None:
    found = waves_by_llvm(target, f"~{{v{vectors - 1}}},~{{a{accumulators - 1}}}")
    assert (found["NumVgprs"], found["NumAgprs"]) == (vectors, accumulators)
    ours = occupancy(target, threads=64, registers=vectors, accumulators=accumulators)
    assert ours.warps == 4 * found["Occupancy"]


@pytest.mark.parametrize("scalars", [16, 76, 77, 92, 93, 100])
@pytest.mark.parametrize("target", AMD)
def test_llvm_agrees_on_waves_by_scalar_registers(target: str, scalars: int) -> None:
    if waves_by_llvm("gfx90a", "~{s76}")["Occupancy"] == 8:
        pytest.skip("this LLVM does not count the trap handler's scalar registers yet")
    found = waves_by_llvm(target, f"~{{s{scalars - 1}}}")
    unit = UNITS[target]
    assert isinstance(unit, AmdUnit)
    ours = occupancy(target, threads=unit.warp_size, registers=1, scalars=found["TotalNumSgprs"])
    assert ours.warps == unit.simds * found["Occupancy"]
