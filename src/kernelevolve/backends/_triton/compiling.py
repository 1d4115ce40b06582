"""One entry through Triton's compiler, for any target, with nothing taken from the process around it.

Triton keeps settings in environment variables, compiled kernels in a folder, and a notion of one active driver. For the
length of a compile the first are set aside, the second is a fresh folder, and the third answers with the target that is
compiled for: two vendors' targets in one process do not meet.
"""

from __future__ import annotations

__all__ = ["Compiled", "compile_entry", "gpu_target", "known_options"]

import contextlib
import os
import re
import tempfile
import threading
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import fields
from pathlib import Path
from types import ModuleType
from typing import Any, Final

from attrs import frozen

from kernelevolve.accelerator import Target
from kernelevolve.backends._triton.capture import Captured, capture, without_paths
from kernelevolve.backends._triton.failures import explain, printed_error
from kernelevolve.backends._triton.gluon import ast_source, check_chip, use_new_names
from kernelevolve.backends._triton.signature import EntrySignature
from kernelevolve.backends._triton.sources import load_source
from kernelevolve.languages.triton_lang import is_gluon
from kernelevolve.outcome import CompileError, ToolchainError

#: Variables that change what Triton makes; those that say where a tool lies stay.
_SETTINGS: Final = re.compile(
    r"TRITON_(?!\w+_PATH$)\w+|MLIR_\w+|LLVM_\w+|AMDGCN_\w+|NVPTX_\w+|PTXAS_OPTIONS|DISABLE_\w+|USE_IR_LOC|ALLOW_LHS_TMEM\w*"
)
#: Environment, output and Triton's knobs belong to the process, so compiles of one process take turns.
_TURN: Final = threading.Lock()
_ACCOUNT: Final = re.compile(r"ptxas\S*\s+info|\s+\d+ bytes (?:stack frame|cumulative)")
_TARGET: Final = re.compile(r"(?P<backend>cuda|hip|mtia):(?:sm_(?P<sm>\d+)[af]?|(?P<gfx>gfx\w+)|(?P<mtia>mtia\w+))")
_PREFIXES: Final = {"sm": "cuda", "gfx": "hip", "mtia": "mtia"}


@frozen
class Compiled:
    """What Triton made of one entry."""

    #: Each stage's text or binary.
    stages: Mapping[str, bytes]
    #: Triton's own record: options as they were used, shared memory, scratch, warps.
    metadata: Mapping[str, Any]
    #: What was printed: warnings, ptxas' account of registers and spills.
    log: str

    @property
    def warnings(self) -> list[str]:
        """The log's lines without those that ptxas prints every time."""
        return [line for line in self.log.splitlines() if line.strip() and not _ACCOUNT.match(line)]


def gpu_target(target: Target) -> Any:
    """``cuda:sm_90``, ``hip:gfx942``, ``mtia:mtia2i`` as Triton's ``GPUTarget``. Raises `CompileError` otherwise."""
    from triton.backends.compiler import GPUTarget  # noqa: PLC0415  # a toolchain is imported where it is used

    match = _TARGET.fullmatch(target.name)
    if not match or _PREFIXES[str(match.lastgroup)] != match["backend"]:
        message = f"target {target.name!r} is none of Triton's; write cuda:sm_90 or hip:gfx942"
        raise CompileError(message, stage="options", log="", line=None)
    if match["sm"]:
        return GPUTarget("cuda", int(match["sm"]), 32)
    if match["mtia"]:
        return GPUTarget("mtia", match["mtia"], 1)
    # RDNA (gfx10 and later) has wavefronts of 32, CDNA of 64 (AMD, "LLVM AMDGPU backend", processors).
    return GPUTarget("hip", match["gfx"], 32 if len(match["gfx"]) >= len("gfx1100") else 64)


def known_options(target: Target) -> frozenset[str]:
    """The options that this version of Triton's backend takes for `target`.

    Raises `ToolchainError` where Triton does not import, `CompileError` where it does not know the target.
    """
    try:
        from triton.compiler.compiler import make_backend  # noqa: PLC0415
    except ImportError as error:
        raise ToolchainError(f"triton does not import: {error}", log=str(error)) from None
    wanted = gpu_target(target)
    try:
        options = make_backend(wanted).parse_options({"enable_fp_fusion": True})
    except Exception as error:
        message = f"Triton does not know {target.name}: {without_paths(str(error))[:300]}"
        raise CompileError(message, stage="options", log="", line=None) from None
    return frozenset(field.name for field in fields(options))


def compile_entry(source: str, signature: EntrySignature, target: Target, options: Mapping[str, Any]) -> Compiled:
    """Compile one entry of `source`. Raises `CompileError`, `ToolchainError` or `ResourceExceeded`."""
    if os.environ.get("TRITON_INTERPRET") == "1":
        raise ToolchainError("this process interprets (TRITON_INTERPRET=1) and cannot compile", log="")
    with _TURN:
        captured = Captured()
        try:
            if is_gluon(source):
                check_chip(source, target)
                use_new_names()
            with capture() as captured, _isolated(target), load_source(source) as module:
                kernel = _run(module, signature, target, options)
        except MemoryError:
            raise
        except Exception as error:
            raise explain(error, source, captured.text) from None
    stages = {name: _stage(value) for name, value in kernel.asm.items() if name != "source"}
    suspicious = printed_error(captured.text, source, list(stages)[-1])
    if suspicious:
        raise suspicious
    return Compiled(stages, kernel.metadata._asdict(), captured.text)


def _run(module: ModuleType, signature: EntrySignature, target: Target, options: Mapping[str, Any]) -> Any:
    import triton  # noqa: PLC0415

    function = getattr(module, signature.name)
    if list(function.arg_names) != list(signature.types):
        raise ToolchainError(
            f"{signature.name}: Triton sees parameters {function.arg_names}, the plan {list(signature.types)}", log=""
        )
    index = {name: (position,) for position, name in enumerate(signature.types)}
    hints = {index[name]: [list(one) for one in hints] for name, hints in signature.hints.items() if hints}
    text = ast_source(function)(function, dict(signature.types), dict(signature.constants), hints)
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        return triton.compile(text, target=gpu_target(target), options=dict(options))


def _stage(value: str | bytes) -> bytes:
    """Texts name Triton's own files by where they are installed; that is nobody's business."""
    import triton  # noqa: PLC0415

    if isinstance(value, bytes):
        return value
    return value.replace(f"{Path(triton.__file__).parents[1]}{os.sep}", "").encode()


@contextlib.contextmanager
def _isolated(target: Target) -> Iterator[None]:
    """Set aside settings from the environment, the cache of compiled kernels, and the driver."""
    from triton import knobs  # noqa: PLC0415
    from triton.runtime import driver  # noqa: PLC0415

    aside = {name: value for name, value in os.environ.items() if _SETTINGS.fullmatch(name)}
    active = driver._active  # noqa: SLF001  # the public property would look for a GPU
    with tempfile.TemporaryDirectory(prefix="triton-") as folder, knobs.cache.scope(), knobs.nvidia.scope():
        for name in aside:
            del os.environ[name]
        try:
            knobs.cache.dir = folder
            knobs.nvidia.dump_ptxas_log = True
            driver.set_active(_Driver(gpu_target(target)))
            yield
        finally:
            driver.set_active(active)
            os.environ.update(aside)


@frozen
class _Driver:
    """What the front end may ask a driver while it compiles: what for."""

    target: Any

    def get_current_target(self) -> Any:
        return self.target
