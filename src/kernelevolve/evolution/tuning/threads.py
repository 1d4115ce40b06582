"""One thread for a tuner's small matrices: more of them bring nothing, and cost seconds on a busy machine."""

from __future__ import annotations

__all__ = ["single_threaded"]

from contextlib import AbstractContextManager
from functools import lru_cache
from typing import Any

from threadpoolctl import ThreadpoolController


@lru_cache(maxsize=1)
def _controller() -> Any:
    """Made once: finding the loaded libraries takes milliseconds, setting their limit microseconds."""
    return ThreadpoolController()


def single_threaded() -> AbstractContextManager[Any]:
    """Linear algebra on one thread within the context, and as before behind it."""
    context: AbstractContextManager[Any] = _controller().limit(limits=1, user_api="blas")
    return context
