"""What numba-cuda compiles with: packages, and NVIDIA's NVVM, NVRTC and nvJitLink. Found without importing Numba.

The libraries come from NVIDIA's wheels (``numba-cuda[cu13]``) or from a CUDA toolkit on the machine; `cuda.bindings`
finds them in that order. Nothing here needs a driver.
"""

from __future__ import annotations

__all__ = ["TARGETS", "availability", "capabilities", "driver_shortcoming", "environment", "versions"]

import os
import platform
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from kernelevolve.accelerator import Availability, Status

_INSTALL: Final = "pip install 'kernelevolve[numba]'"
_LIBRARIES: Final = "pip install 'numba-cuda[cu13]' (driver 580 or newer) or 'numba-cuda[cu12]' brings them"
#: Compute capabilities to list, where the installed toolkit compiles for them. CUDA 13 knows none below 7.5.
TARGETS: Final = ((7, 5), (8, 0), (8, 6), (8, 9), (9, 0), (10, 0), (12, 0))
#: Where NVIDIA's installer puts a toolkit.
_PREFIX: Final = Path("/usr/local/cuda")
#: Variables that say where the toolkit is or which devices are visible; everything else stays out of a worker.
_ENVIRONMENT: Final = re.compile(
    r"CUDA_(?:HOME|PATH|VISIBLE_DEVICES|DEVICE_ORDER)|CONDA_PREFIX|LD_LIBRARY_PATH|NVIDIA_\w+"
)
#: An empty module: what NVVM makes of it says which release it is.
_EMPTY: Final = b"""target triple = "nvptx64-nvidia-cuda"
target datalayout = "e-p:64:64:64-i1:8:8-i8:8:8-i16:16:16-i32:32:32-i64:64:64-i128:128:128-f32:32:32-f64:64:64-\
v16:16:16-v32:32:32-v64:64:64-v128:128:128-n16:32:64"
!nvvmir.version = !{!0}
!0 = !{i32 2, i32 0}
"""
#: The first driver release of each CUDA ("CUDA Toolkit release notes", minimum driver for compatibility).
_FIRST_DRIVER: Final = {12: 525, 13: 580}
#: Where the driver says which one it is.
_KERNEL_MODULE: Final = Path("/proc/driver/nvidia/version")
_RELEASE: Final = re.compile(rb"Cuda compilation tools, release [\d.]+, V([\d.]+)")


def environment() -> dict[str, str]:
    """Variables a worker needs to find the toolkit that this process finds."""
    chosen = {name: value for name, value in os.environ.items() if _ENVIRONMENT.fullmatch(name)}
    return {**_default_prefix(), **chosen}


def _default_prefix() -> dict[str, str]:
    """NVIDIA's default installation, for where nobody set ``CUDA_HOME``."""
    named = {"CUDA_HOME", "CUDA_PATH"} & set(os.environ)
    return {"CUDA_HOME": str(_PREFIX)} if not named and (_PREFIX / "nvvm").is_dir() else {}


@contextmanager
def _prefix_known() -> Iterator[None]:
    added = _default_prefix()
    os.environ.update(added)
    try:
        yield
    finally:
        for name in added:
            del os.environ[name]


def availability() -> Availability:
    """Whether everything a compile needs is installed, and which versions it is."""
    for name in ("numba", "numba_cuda"):
        if find_spec(name) is None:
            package = name.replace("_", "-")
            return Availability(Status.MISSING, f"the package {package} is not installed; {_INSTALL}")
    if not _redirected():
        message = "numba.cuda is Numba's built-in target, not the package numba-cuda; pip install --force-reinstall "
        return Availability(Status.BROKEN, message + "numba-cuda, whose numba_cuda.pth has Python redirect the import")
    try:
        found = versions()
    except Exception as error:  # the bindings raise errors of their own, one kind per library
        reason = str(error).strip().splitlines()[0][:200] if str(error).strip() else type(error).__name__
        return Availability(Status.MISSING, f"CUDA's compiler libraries do not load ({reason}); {_LIBRARIES}")
    cuda = f"NVVM {found['nvvm']}, nvJitLink {found['nvjitlink']}"
    return Availability(Status.OK, f"numba-cuda {found['numba-cuda']} on numba {found['numba']}, {cuda}")


def _redirected() -> bool:
    """Whether ``numba.cuda`` is, or will be, the package numba-cuda; its import hook does that."""
    loaded = sys.modules.get("numba.cuda")
    if loaded is not None:
        return "numba_cuda" in (getattr(loaded, "__file__", None) or "")
    return find_spec("_numba_cuda_redirector") is not None


@cache
def versions() -> Mapping[str, str]:
    """Everything that takes part in a compile. Raises what the bindings raise where a library is missing."""
    with _prefix_known():
        from cuda.bindings import nvjitlink, nvrtc, nvvm  # noqa: PLC0415  # a toolchain is imported where it is used

        _, *nvrtc_version = nvrtc.nvrtcVersion()
        return {
            "numba": version("numba"),
            "numba-cuda": version("numba-cuda"),
            "llvmlite": _installed("llvmlite"),
            "numpy": version("numpy"),
            "python": platform.python_version(),
            "nvvm": _nvvm_release(nvvm),
            "nvrtc": ".".join(map(str, nvrtc_version)),
            "nvjitlink": ".".join(map(str, nvjitlink.version())),
        }


def _installed(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:  # not a package of its own in every distribution
        return "unknown"


def _nvvm_release(nvvm: Any) -> str:
    """NVVM's own version number is that of its interface; the release stands in what it writes."""
    program = nvvm.create_program()
    try:
        nvvm.add_module_to_program(program, _EMPTY, len(_EMPTY), "empty")
        nvvm.compile_program(program, 1, ["-arch=compute_90"])
        text = bytearray(nvvm.get_compiled_result_size(program))
        nvvm.get_compiled_result(program, text)
    finally:
        nvvm.destroy_program(program)
    match = _RELEASE.search(text)
    return match[1].decode() if match else ".".join(map(str, nvvm.version()))


def driver_shortcoming() -> str | None:
    """Why the installed driver takes no binary of this toolkit, and which one would; None where nothing speaks for it.

    A binary runs on every driver of its CUDA's major version ("CUDA Compatibility", minor version compatibility).
    """
    try:
        release = re.search(r"\b(\d{3})\.\d+", _KERNEL_MODULE.read_text(encoding="utf-8"))
        major = int(versions()["nvjitlink"].partition(".")[0])
    except Exception:  # no driver, one that says nothing of itself (WSL), or no toolkit
        return None
    needed = _FIRST_DRIVER.get(major)
    if release is None or needed is None or int(release[1]) >= needed:
        return None
    return (
        f"driver {release[0]} is too old for binaries of CUDA {major}, which need {needed} or newer; install one, or a "
        f"toolkit that fits the driver: pip install 'numba-cuda[cu{major - 1}]'"
    )


@cache
def capabilities() -> frozenset[tuple[int, int]]:
    """What the installed toolkit compiles for; nothing where it does not load."""
    try:
        with _prefix_known():
            from cuda.bindings import nvrtc  # noqa: PLC0415

            _, listed = nvrtc.nvrtcGetSupportedArchs()
    except Exception:  # as above; `availability` says why
        return frozenset()
    return frozenset(divmod(one, 10) for one in listed)
