"""NVIDIA's driver through cuda-bindings, against a library compiled with NVIDIA's header; and our PTX, assembled."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from kernelevolve.backends._gpu import cuda
from kernelevolve.backends._gpu.cuda import CudaDriver
from kernelevolve.backends._gpu.driver import Attribute
from kernelevolve.backends._gpu.ptx import BLOCKING_KERNEL, BLOCKING_SYMBOL, needed_cuda

HERE = Path(__file__).parent
STREAM = "0x7123456789ab"


def nvidia_folder() -> Path:
    found = importlib.util.find_spec("triton")
    folder = Path(found.origin).parent / "backends/nvidia" if found and found.origin else None
    if folder is None or not (folder / "include/cuda.h").exists():
        pytest.skip("needs NVIDIA's header and assembler from the package triton")
    return folder


@pytest.fixture(scope="module")
def driven(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What `drive_cuda` found."""
    pytest.importorskip("cuda.bindings", reason="needs the package cuda-bindings")
    if shutil.which("gcc") is None:
        pytest.skip("needs gcc")
    place = tmp_path_factory.mktemp("cuda")
    source, library = HERE / "fake_cuda.c", place / "libcuda.so.1"
    command = ["gcc", "-w", "-shared", "-fPIC", f"-I{nvidia_folder() / 'include'}", f"-Wl,-soname,{library.name}"]
    subprocess.run([*command, "-o", str(library), str(source), "-ldl"], check=True, capture_output=True)
    environment = {**os.environ, "LD_LIBRARY_PATH": str(place)}
    run = [sys.executable, str(HERE / "drive_cuda.py"), str(library)]
    done = subprocess.run(run, env=environment, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-4000:]
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def lines(noted: list[str], name: str) -> list[str]:
    return [line.partition(" ")[2] for line in noted if line.partition(" ")[0] == name]


def test_a_driver_that_is_there_is_not_missing(driven: dict[str, Any]) -> None:
    assert driven["missing"] is None


def test_devices_are_described(driven: dict[str, Any]) -> None:
    device = driven["device"]
    assert (device["name"], device["target"]) == ("NVIDIA H100 80GB HBM3", "cuda:sm_90")
    assert device["facts"] == {"num_units": 132, "warp_size": 32, "max_group_size": 1024}
    assert device["memory"] == {
        "global": 80 << 30,
        "max_allocation": 80 << 30,
        "local": 227 << 10,
        "cache": 50 << 20,
    }
    assert device["bytes"] == pytest.approx(3.352e12, rel=1e-3)
    assert device["description"]["driver"].startswith("cuda 12.4")
    assert device["description"]["pci"] == "0000:17:00.0"


def test_every_attribute_is_asked_by_its_number(driven: dict[str, Any]) -> None:
    assert driven["attributes"] == {
        "UNITS": 132,
        "WARP_SIZE": 32,
        "MAX_THREADS_PER_BLOCK": 1024,
        "MAX_BLOCK_X": 1021,
        "MAX_BLOCK_Y": 1022,
        "MAX_BLOCK_Z": 64,
        "MAX_GRID_X": 2**31 - 1,
        "MAX_GRID_Y": 65535,
        "MAX_GRID_Z": 65534,
        "SHARED_PER_BLOCK": 48 << 10,
        "SHARED_PER_BLOCK_OPTIN": 227 << 10,
        "REGISTERS_PER_BLOCK": 65536,
        "CACHE": 50 << 20,
        "CLOCK": 1_980_000,
        "MEMORY_CLOCK": 2_619_000,
        "MEMORY_BUS": 5120,
        "ECC": 1,
        "COOPERATIVE": 1,
    }
    assert set(driven["attributes"]) == {attribute.name for attribute in Attribute}


def test_opening_takes_the_primary_context_and_sets_no_cache_aside(driven: dict[str, Any]) -> None:
    noted = driven["opening"]
    assert lines(noted, "cuDevicePrimaryCtxSetFlags") == ["40 1"]
    assert lines(noted, "cuCtxSetCurrent") == ["0x1100"]
    assert lines(noted, "cuCtxSetLimit") == ["1 0"]
    assert lines(noted, "cuStreamCreate") == ["1"]
    assert lines(noted, "cuModuleLoadData") == ["ptx"]
    assert lines(noted, "cuMemHostAlloc") == ["64 1"]
    assert lines(noted, "cuLaunchKernel") == [f"other 1 1 1 1 1 1 0 {STREAM} 1"]


def test_a_session_computes_through_the_whole_abi(driven: dict[str, Any]) -> None:
    assert driven["result"] == [i + 1.5 for i in range(8)]
    assert driven["guards"] is True
    noted = driven["running"]
    assert lines(noted, "cuMemcpyHtoDAsync") == [f"32 {STREAM}"]
    assert lines(noted, "cuMemsetD8Async") == [f"255 544 {STREAM}"]
    assert lines(noted, "cuModuleLoadData") == ["cubin"]
    assert lines(noted, "cuFuncLoad") == ["add"]
    assert lines(noted, "cuLaunchKernel") == [f"add 2 1 1 4 1 1 64 {STREAM} 1"]


def test_timing_flushes_and_holds_the_stream_by_a_kernel(driven: dict[str, Any]) -> None:
    seconds, host, source = driven["sample"]
    assert source == "device-event"
    assert 0 < seconds <= host * 1.05 + 1e-6
    order = [line.partition(" ")[0] for line in driven["timing"]]
    assert [name for name in order if name not in ("cuStreamSynchronize", "cuMemAlloc")] == [
        "cuCtxResetPersistingL2Cache",
        "cuMemsetD32Async",
        "cuLaunchKernel",
        "cuEventRecord",
        "cuLaunchKernel",
        "cuEventRecord",
    ]
    assert [line.split()[0] for line in lines(driven["timing"], "cuLaunchKernel")] == ["other", "add"]
    assert lines(driven["timing"], "cuMemsetD32Async") == [f"9e3779b1 {2 * (50 << 20) // 4} {STREAM}"]


def test_several_launches_go_as_a_graph(driven: dict[str, Any]) -> None:
    noted = driven["graph"]
    assert lines(noted, "cuStreamBeginCapture") == [f"{STREAM} 1"]
    assert lines(noted, "cuGraphInstantiate") == ["0"]
    assert lines(noted, "cuGraphUpload") == [STREAM]
    assert lines(noted, "cuGraphLaunch") == [STREAM, STREAM]
    assert [line.split()[0] for line in lines(noted, "cuLaunchKernel")].count("add") == 6


def test_clusters_cooperation_and_large_shared_memory_reach_the_driver(driven: dict[str, Any]) -> None:
    noted = driven["special"]
    assert lines(noted, "cuLaunchKernelEx") == [f"add 32 1 1 4 1 1 100000 {STREAM} cluster 16 1 1 cooperative 1"]
    assert lines(noted, "cuFuncSetAttribute") == [f"shared {(227 << 10) - 512} 1", "cluster 1 1"]
    assert lines(noted, "cuFuncSetCacheConfig") == ["1"]


def test_a_binary_that_is_too_new_says_which_driver_is_needed(driven: dict[str, Any]) -> None:
    outcome, message, _ = driven["too old"]
    assert outcome == "TOOLCHAIN_ERROR"
    assert "supports CUDA 12.4" in message
    assert "needs a driver for CUDA 13.0 or newer" in message
    assert "CUDA_ERROR_UNSUPPORTED_PTX_VERSION" in message
    outcome, message, _ = driven["refused image"]
    assert outcome == "TOOLCHAIN_ERROR"
    assert "CUDA_ERROR_NO_BINARY_FOR_GPU" in message


def test_errors_become_outcomes(driven: dict[str, Any]) -> None:
    outcome, message, details = driven["out of memory"]
    assert outcome == "OUT_OF_MEMORY"
    assert message == f"100 bytes of device memory are needed; {5 << 32} of {80 << 30} are free"
    assert details == {"needed": 100, "limit": 5 << 32}
    outcome, _, details = driven["refused launch"]
    assert (outcome, details) == ("LAUNCH_ERROR", {"code": "CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES"})
    assert driven["fault"][0] == driven["after the fault"][0] == "DEVICE_FAULT"
    assert "CUDA_ERROR_MISALIGNED_ADDRESS" in driven["after the fault"][1]


def test_closing_gives_everything_back(driven: dict[str, Any]) -> None:
    assert driven["closing a broken one"] == ["cuDevicePrimaryCtxRelease 40"]
    names = [line.partition(" ")[0] for line in driven["closing"]]
    assert names == [
        "cuStreamSynchronize",
        "cuMemFree",
        "cuEventDestroy",
        "cuEventDestroy",
        "cuMemFreeHost",
        "cuModuleUnload",
        "cuStreamDestroy",
        "cuDevicePrimaryCtxRelease",
    ]


def test_without_a_driver_the_answer_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("cuda.bindings", reason="needs the package cuda-bindings")
    monkeypatch.setattr(cuda, "_LIBRARY", "libcuda.so.none")
    sentence = CudaDriver.missing()
    assert sentence is not None
    assert sentence.startswith("no NVIDIA driver was found (libcuda.so.none); install one (580 or newer")


@pytest.mark.parametrize(
    ("found", "sentence"),
    [
        (None, "the package cuda-bindings is not installed; pip install cuda-bindings"),
        ("11.8.7", "cuda-bindings 11.8.7 is too old; pip install 'cuda-bindings>=12.8'"),
    ],
)
def test_without_the_package_the_answer_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, found: str | None, sentence: str
) -> None:
    def version(name: str) -> str:
        if found is None:
            raise cuda.PackageNotFoundError(name)
        return found

    monkeypatch.setattr(cuda, "version", version)
    assert CudaDriver.missing() == sentence


# PTX

ASSEMBLERS = ("ptxas", "ptxas-blackwell")


@pytest.mark.parametrize("target", ["sm_75", "sm_80", "sm_86", "sm_89", "sm_90", "sm_100", "sm_120"])
@pytest.mark.parametrize("assembler", ASSEMBLERS)
def test_the_blocking_kernel_assembles_and_polls(tmp_path: Path, assembler: str, target: str) -> None:
    tools = nvidia_folder() / "bin"
    (tmp_path / "gate.ptx").write_text(BLOCKING_KERNEL)
    command = [str(tools / assembler), f"-arch={target}", "gate.ptx", "-o", "gate.cubin"]
    done = subprocess.run(command, cwd=tmp_path, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    command = [str(tools / "nvdisasm"), "-c", "gate.cubin"]
    code = subprocess.run(command, cwd=tmp_path, check=False, capture_output=True, text=True)
    if code.returncode:
        pytest.skip(f"this nvdisasm does not know {target}: {code.stderr[:100]}")
    assert f".text.{BLOCKING_SYMBOL}" in code.stdout
    match = re.search(r"\.L_x_0:(.*?)BRA\S*\s[^\n]*`\(\.L_x_0\)", code.stdout, re.DOTALL)
    assert match is not None
    loop = match[1]
    assert "STRONG.SYS" in loop  # the host's word is read anew each time, past every cache
    assert "GLOBALTIMER" in loop  # and so is the clock


@pytest.mark.parametrize(
    ("stages", "architecture", "needed"),
    [
        ({"ptx:k": b"//\n.version 9.0\n"}, "sm_90", "13.0"),
        ({"ptx": b".version 8.0"}, "sm_90", "12.0"),
        ({"ptx": b".version 8.4"}, "sm_90", "12.4"),
        ({"ptx": b".version 8.5"}, "sm_90", "12.5"),
        ({"ptx": b".version 8.6"}, "sm_100", "12.7"),
        ({"ptx": b".version 8.7"}, "sm_100", "12.8"),
        ({"ptx": b".version 8.8"}, "sm_100", "12.9"),
        ({"ptx": b".version 9.2"}, "sm_120", "13.2"),
        ({"cubin": b"\x7fELF .version 9.0"}, "sm_100a", "12.8"),
        ({}, "sm_121", "12.9"),
        ({}, "sm_80", None),
    ],
)
def test_which_driver_a_binary_needs(stages: dict[str, bytes], architecture: str, needed: str | None) -> None:
    assert needed_cuda(stages, architecture) == needed
