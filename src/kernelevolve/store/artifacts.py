"""Large binary things beside the database: files named by the SHA-256 of their content, in two levels of folders.

A file appears under its name only when it is whole (written elsewhere, then renamed), so a killed process leaves
nothing torn. A power cut may: nothing is flushed to the disk on purpose, and reading verifies every byte.
"""

from __future__ import annotations

__all__ = ["Artifacts"]

import hashlib
import os
import re
import tempfile
from pathlib import Path
from typing import Final

from attrs import frozen

from kernelevolve.store.errors import ArtifactError

_NAME: Final = re.compile(r"[0-9a-f]{64}")


@frozen
class Artifacts:
    """A folder of content-addressed files."""

    folder: Path

    def put(self, content: bytes) -> str:
        """Keep `content` and return its name; content that is there already is not written again."""
        name = hashlib.sha256(content).hexdigest()
        path = self.path(name)
        if not (path.is_file() and path.stat().st_size == len(content)):
            path.parent.mkdir(parents=True, exist_ok=True)
            _write(path, content)
        return name

    def get(self, name: str) -> bytes:
        """The content called `name`. Raises `ArtifactError` where it is missing or is not what was stored."""
        path = self.path(name)
        try:
            content = path.read_bytes()
        except FileNotFoundError:
            message = f"artifact {name} is not in {self.folder}; the folder must travel with its database"
            raise ArtifactError(message) from None
        if hashlib.sha256(content).hexdigest() != name:
            message = f"{path}: {len(content)} bytes that are not the ones stored; delete the file and compile again"
            raise ArtifactError(message)
        return content

    def path(self, name: str) -> Path:
        """Where `name` is or would be. Raises `ArtifactError` for what is no name of an artifact."""
        if not _NAME.fullmatch(name):
            message = f"{name!r} is no artifact; a name is the 64 hex digits of a SHA-256"
            raise ArtifactError(message)
        return self.folder / name[:2] / name[2:4] / name

    def __contains__(self, name: str) -> bool:
        return self.path(name).is_file()


def _write(path: Path, content: bytes) -> None:
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=".", suffix=".part")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
