"""On what a call ran: machine, drivers, software, and the command itself."""

from __future__ import annotations

__all__ = ["device_record", "run_record"]

import datetime as dt
import importlib.metadata
import os
import platform
import secrets
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from kernelevolve._version import VERSION
from kernelevolve.accelerator import Device
from kernelevolve.evaluation.wire import unstructure

#: What takes part in a measurement, where it is installed.
_PACKAGES: Final = (
    "torch", "triton", "numba", "numba-cuda", "llvmlite", "cuda-bindings", "cuda-core", "nvidia-cuda-nvcc",
    "nvidia-cuda-nvrtc", "nvidia-nvvm", "nvidia-cudnn-cu13", "nvidia-cublas", "pyopencl", "pocl-binary-distribution",
    "numpy", "libcst",
)  # fmt: skip
_QUERIED: Final = (
    "name", "driver_version", "memory.total", "clocks.max.sm", "clocks.max.memory", "clocks.sm", "clocks.memory",
    "power.limit", "temperature.gpu", "persistence_mode",
)  # fmt: skip


def run_record(command: Sequence[str]) -> dict[str, Any]:
    """What is the same for every record of one call."""
    return {
        "id": secrets.token_hex(4),
        "when": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        "command": " ".join(["python -m benchmarks.gpu", *command]),
        "kernelevolve": VERSION,
        "commit": _commit(),
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.release()} {platform.machine()}",
        "cpu": _cpu(),
        "cores": len(os.sched_getaffinity(0)),
        "packages": {name: version for name in _PACKAGES if (version := _version(name))},
        "gpu": _gpu(),
    }


def device_record(device: Device) -> dict[str, Any]:
    """A device as JSON values."""
    record: dict[str, Any] = unstructure(device)
    return {**record, "dtypes": sorted(device.dtypes), "label": device.label}


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _commit() -> str | None:
    """The commit that is checked out, marked where files differ from it; None outside a repository."""
    git = shutil.which("git")
    if git is None:
        return None
    where = Path(__file__).parent
    head = _asked([git, "-C", str(where), "rev-parse", "--short=12", "HEAD"])
    if head is None:
        return None
    changed = _asked([git, "-C", str(where), "status", "--porcelain", "-uno"])
    return head.strip() + ("+changes" if changed else "")


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")


def _gpu() -> dict[str, str]:
    """What ``nvidia-smi`` says of the first GPU; empty where there is none. Only asks, never sets."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return {}
    found = _asked([program, f"--query-gpu={','.join(_QUERIED)}", "--format=csv,noheader"])
    values = found.splitlines()[0].split(", ") if found else []
    return dict(zip(_QUERIED, (value.strip() for value in values), strict=False))


def _asked(command: Sequence[str]) -> str | None:
    """What a program prints; None where it fails."""
    found = subprocess.run(command, check=False, capture_output=True, text=True)
    return found.stdout if found.returncode == 0 else None
