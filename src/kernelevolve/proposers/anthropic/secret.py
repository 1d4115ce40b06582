"""The key: read from the environment when a client is made, and kept out of every text that leaves this package."""

from __future__ import annotations

__all__ = ["VARIABLE", "redacted", "the_key"]

import importlib.util
import os
from typing import Final

from kernelevolve.errors import KernelEvolveError

VARIABLE: Final = "ANTHROPIC_API_KEY"
_INSTEAD: Final = "or use the built-in proposer: --proposer rewriting"
_MASK: Final = "[key]"


def the_key() -> str:
    """The key. Raises `KernelEvolveError`, which never holds it, where it, or the package that uses it, is missing."""
    if importlib.util.find_spec("anthropic") is None:
        raise KernelEvolveError(
            f"the package anthropic is not installed: pip install 'kernelevolve[anthropic]', {_INSTEAD}"
        )
    key = os.environ.get(VARIABLE, "").strip()
    if not key:
        raise KernelEvolveError(f"no key for the Anthropic API: set {VARIABLE}, {_INSTEAD}")
    if not key.isascii() or not key.isprintable() or " " in key:
        raise KernelEvolveError(f"{VARIABLE} holds characters that no key has; set it to the key alone, {_INSTEAD}")
    return key


def redacted(text: str) -> str:
    """`text` without the key, should an answer have repeated it."""
    key = os.environ.get(VARIABLE, "").strip()
    return text.replace(key, _MASK) if key else text
