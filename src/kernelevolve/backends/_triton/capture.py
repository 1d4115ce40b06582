"""What a compiler prints, native code included, kept as a bounded text."""

from __future__ import annotations

__all__ = ["Captured", "capture", "without_paths"]

import contextlib
import io
import os
import re
import sys
import tempfile
from collections.abc import Iterator
from typing import Final

#: Kept of what is printed: MLIR says what is wrong first, then prints the whole module, then how to reproduce it.
_HEAD: Final = 24 << 10
_TAIL: Final = 8 << 10
#: An absolute path, of which only the last part says anything to anybody.
_PATH: Final = re.compile(r"(?:/[^\s/:;,'\"()<>]+)+/(?=[^\s/:;,'\"()<>])")


class Captured:
    """What was printed while the context lasted. `text` is there afterwards."""

    text = ""


@contextlib.contextmanager
def capture() -> Iterator[Captured]:
    """Collect this process's output: Python's and, by file descriptor, that of libraries and child processes.

    It holds for all threads, so callers take turns.
    """
    captured, python = Captured(), io.StringIO()
    with tempfile.TemporaryFile() as native, contextlib.redirect_stdout(python), contextlib.redirect_stderr(python):
        try:
            with _descriptors(native.fileno()):
                yield captured
        finally:
            size = native.seek(0, os.SEEK_END)
            native.seek(0)
            text = native.read(_HEAD).decode("utf-8", "replace")
            if size > _HEAD:
                native.seek(max(_HEAD, size - _TAIL))
                text += f"\n[{max(0, size - _HEAD - _TAIL)} bytes left out]\n" + native.read().decode(
                    "utf-8", "replace"
                )
            captured.text = without_paths(python.getvalue()[: _HEAD + _TAIL] + text).strip()


def without_paths(text: str) -> str:
    """`text` with each absolute path cut down to its last part."""
    return _PATH.sub("", text)


@contextlib.contextmanager
def _descriptors(target: int) -> Iterator[None]:
    """Point standard output and error at `target`."""
    for stream in (sys.__stdout__, sys.__stderr__):
        if stream is not None:
            stream.flush()
    saved = {descriptor: os.dup(descriptor) for descriptor in (1, 2)}
    try:
        for descriptor in saved:
            os.dup2(target, descriptor)
        yield
    finally:
        for descriptor, copy in saved.items():
            os.dup2(copy, descriptor)
            os.close(copy)
