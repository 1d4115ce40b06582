"""The compile cache: content-addressed, failures included.

The key holds everything that changes a binary: source, configuration and options (`Accelerator.compile_key`), target,
toolchain versions, and the contract's version. An entry is one file, written beside its place and moved there, so that
a reader sees a whole entry or none.
"""

from __future__ import annotations

__all__ = ["CompileCache", "compile_digest"]

import contextlib
import hashlib
import json
import os
import tempfile
from pathlib import Path
from typing import Any, Final

from kernelevolve.accelerator import API, Accelerator, Artifact, Target
from kernelevolve.evaluation.wire import HEADER
from kernelevolve.outcome import CandidateError, CompileError, from_record
from kernelevolve.plan import LaunchPlan

#: Disk space of one cache; the oldest entries go first.
MAX_BYTES: Final = 2 << 30
#: Bytes of SHA-256 that an entry starts with, over all the rest.
_DIGEST: Final = 32
#: Failures that the same key will always give. A time-out may have had another cause; resources may depend on sizes.
_LASTING: Final = (CompileError,)


def compile_digest(made: Accelerator, plan: LaunchPlan, target: Target) -> str:
    """The cache key: SHA-256 over everything that changes the binary, as 64 hex digits."""
    key = {
        "accelerator": made.name,
        "api": API,
        "target": [target.name, dict(target.options)],
        "toolchain": dict(made.toolchain()),
        "plan": made.compile_key(plan),
        "entries": [launch.entry for launch in plan.launches],
    }
    return hashlib.sha256(json.dumps(key, sort_keys=True, default=str).encode()).hexdigest()


class CompileCache:
    """Artifacts and lasting failures by digest, in a folder (or only in memory without one)."""

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder
        self._memory: dict[str, Artifact | CandidateError] = {}
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
            _prune(folder)

    def get(self, digest: str) -> Artifact | CandidateError | None:
        """What is known of `digest`. An unreadable entry counts as none and is removed."""
        if digest in self._memory or self._folder is None:
            return self._memory.get(digest)
        path = self._folder / digest
        try:
            found = _decode(path.read_bytes())
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, TypeError, AttributeError):
            path.unlink(missing_ok=True)
            return None
        self._memory[digest] = found
        return found

    def put(self, digest: str, value: Artifact | CandidateError) -> None:
        """Remember an artifact, or a failure that will not change."""
        if isinstance(value, CandidateError) and not isinstance(value, _LASTING):
            return
        self._memory[digest] = value
        if self._folder is not None:
            with tempfile.NamedTemporaryFile(dir=self._folder, prefix=".new-", delete=False) as file:
                file.write(_encode(value))
            Path(file.name).replace(self._folder / digest)


def _encode(value: Artifact | CandidateError) -> bytes:
    document: dict[str, Any]
    if isinstance(value, CandidateError):
        document, blobs = {"error": value.to_record()}, []
    else:
        blobs = list(value.stages.values())
        document = {
            "stages": {name: len(blob) for name, blob in value.stages.items()},
            "resources": value.resources,
            "toolchain": dict(value.toolchain),
            "log": value.log,
            "extra": value.extra,
        }
    text = json.dumps(document).encode()
    entry = HEADER.pack(len(text)) + text + b"".join(blobs)
    return hashlib.sha256(entry).digest() + entry


def _decode(data: bytes) -> Artifact | CandidateError:
    digest, data = data[:_DIGEST], data[_DIGEST:]
    if len(data) < HEADER.size or hashlib.sha256(data).digest() != digest:
        raise ValueError("torn entry")
    end = HEADER.size + HEADER.unpack_from(data)[0]
    document = json.loads(data[HEADER.size : end])
    if "error" in document:
        return from_record(document["error"])
    stages = {}
    for name, size in document["stages"].items():
        stages[name] = data[end : end + size]
        end += size
    return Artifact(stages, document["resources"], document["toolchain"], document["log"], document["extra"])


def _prune(folder: Path) -> None:
    entries = []
    for entry in os.scandir(folder):
        with contextlib.suppress(FileNotFoundError):  # another run may be moving its new entry into place
            status = entry.stat()
            entries.append((status.st_mtime, status.st_size, entry.path))
    total = sum(size for _, size, _ in entries)
    for _, size, path in sorted(entries):
        if total <= MAX_BYTES:
            return
        Path(path).unlink(missing_ok=True)
        total -= size
