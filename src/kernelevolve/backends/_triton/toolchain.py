"""Which Triton is installed, told without importing it."""

from __future__ import annotations

__all__ = ["OLDEST", "installed", "tool_overrides", "triton_version"]

import hashlib
import os
import re
from collections.abc import Mapping
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Final

#: The oldest version these modules were tried with: (major, minor).
OLDEST: Final = (3, 6)
#: Under which names the package ``triton`` is distributed (PyTorch's own builds carry other ones).
_DISTRIBUTIONS: Final = ("triton", "pytorch-triton", "pytorch-triton-rocm", "triton-rocm")
#: Variables by which a user replaces a tool that Triton brings.
_OVERRIDES: Final = re.compile(
    r"TRITON_(?:PTXAS|PTXAS_BLACKWELL|LIBDEVICE|AMD_CODEGEN|HIP_LLD)_PATH",
)


def installed() -> bool:
    """Whether there is a package `triton` to import."""
    return find_spec("triton") is not None


@cache
def triton_version() -> str | None:
    """The installed version; None where no distribution tells."""
    for name in _DISTRIBUTIONS:
        try:
            return version(name)
        except PackageNotFoundError:
            continue
    return None


def tool_overrides() -> Mapping[str, str]:
    """Tools that the environment puts in the place of Triton's own, by content: they take part in a compile."""
    chosen = {name: Path(value) for name, value in os.environ.items() if _OVERRIDES.fullmatch(name)}
    return {name: _identity(path) for name, path in sorted(chosen.items()) if path.is_file()}


@cache
def _identity(path: Path) -> str:
    with path.open("rb") as file:
        return f"{path.name} {hashlib.file_digest(file, 'sha256').hexdigest()[:12]}"
