"""One entry through Triton's front end and the backend ``mtia``, with nothing taken from the process around it.

Settings from the environment, the folder of compiled kernels and the active driver are set aside for as long as it
takes, as `kernelevolve.backends._triton.compiling` does for GPUs.
"""

from __future__ import annotations

__all__ = ["compile_entry"]

import contextlib
import os
import re
import tempfile
import threading
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, Final

from attrs import frozen

from kernelevolve.backends._triton.capture import Captured, capture
from kernelevolve.backends._triton.failures import explain
from kernelevolve.backends._triton.signature import EntrySignature
from kernelevolve.backends._triton.sources import load_source
from kernelevolve.outcome import ToolchainError

#: Variables that change what Triton makes.
_SETTINGS: Final = re.compile(r"TRITON_\w+|MLIR_\w+|LLVM_\w+|DISABLE_\w+|USE_IR_LOC")
#: Environment, output and Triton's active driver belong to the process, so compiles of one process take turns.
_TURN: Final = threading.Lock()
_STAGES: Final = ("ttir", "mtia")


def compile_entry(source: str, signature: EntrySignature, chip: str, options: Mapping[str, Any]) -> dict[str, bytes]:
    """Stages ``ttir`` and ``mtia`` of one entry of `source`. Raises `CompileError` or `ToolchainError`."""
    if os.environ.get("TRITON_INTERPRET") == "1":
        raise ToolchainError("this process interprets (TRITON_INTERPRET=1) and cannot compile", log="")
    with _TURN:
        captured = Captured()
        try:
            with capture() as captured, _isolated(chip), load_source(source) as module:
                made = _run(module, signature, chip, options)
        except MemoryError:
            raise
        except Exception as error:
            raise explain(error, source, captured.text) from None
    return {stage: _bytes(made.asm[stage]) for stage in _STAGES}


def _run(module: ModuleType, signature: EntrySignature, chip: str, options: Mapping[str, Any]) -> Any:
    import triton  # noqa: PLC0415  # a toolchain is imported where it is used
    from triton.compiler import ASTSource  # noqa: PLC0415

    function = getattr(module, signature.name)
    if list(function.arg_names) != list(signature.types):
        raise ToolchainError(
            f"{signature.name}: Triton sees parameters {function.arg_names}, the plan {list(signature.types)}", log=""
        )
    text = ASTSource(function, dict(signature.types), dict(signature.constants), {})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return triton.compile(text, target=_target(chip), options={**options, "debug": True})  # keeps assertions


def _target(chip: str) -> Any:
    from triton.backends.compiler import GPUTarget  # noqa: PLC0415

    return GPUTarget("mtia", chip, 1)


def _bytes(stage: str | bytes) -> bytes:
    """Texts name Triton's own files by where they are installed; that is nobody's business."""
    import triton  # noqa: PLC0415

    if isinstance(stage, bytes):
        return stage
    return str(stage).replace(f"{Path(triton.__file__).parents[1]}{os.sep}", "").encode()


@contextlib.contextmanager
def _isolated(chip: str) -> Iterator[None]:
    """Set aside settings from the environment, the cache of compiled kernels, and the driver."""
    import triton.backends  # noqa: PLC0415
    from triton import knobs  # noqa: PLC0415
    from triton.runtime import driver  # noqa: PLC0415

    if "mtia" not in triton.backends.backends:
        raise ToolchainError(
            "Triton does not list the backend 'mtia' (entry point group triton.backends); install kernelevolve anew",
            log="",
        )
    aside = {name: value for name, value in os.environ.items() if _SETTINGS.fullmatch(name)}
    active = driver._active  # noqa: SLF001  # the public property would look for a GPU
    with tempfile.TemporaryDirectory(prefix="triton-") as folder, knobs.cache.scope():
        for name in aside:
            del os.environ[name]
        try:
            knobs.cache.dir = folder
            driver.set_active(_Driver(_target(chip)))
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
