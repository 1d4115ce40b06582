"""Oclgrind, where it is installed: an OpenCL device that simulates, and sees every access outside a buffer.

A process sees it only after `announce`, as one more device behind the real ones, of the realm INTERPRETED: results and
findings, no time.
"""

from __future__ import annotations

__all__ = ["LOG", "announce", "is_simulator", "raise_findings"]

import atexit
import os
import re
import shutil
import tempfile
from pathlib import Path
from typing import Final

from kernelevolve.errors import KernelEvolveError
from kernelevolve.outcome import Nondeterministic, OutOfBounds

#: Oclgrind's report, in the worker's private folder.
LOG: Final = "oclgrind.log"
_SETTINGS: Final = {"OCLGRIND_LOG": LOG, "OCLGRIND_MAX_ERRORS": "20", "OCLGRIND_DATA_RACES": "1"}
_ACCESS: Final = re.compile(r"^(Invalid (read|write) of size \d+ at (\w+) memory address \S+)", re.MULTILINE)
_RACE: Final = re.compile(r"^((?:Read-write|Write-write) data race at (\w+) memory address \S+)", re.MULTILINE)
_PLACE: Final = re.compile(r"At line (\d+)")


def announce() -> None:
    """Show the OpenCL loader Oclgrind, for this process and its workers, before it is first asked for platforms.

    Raises `KernelEvolveError` where Oclgrind is not installed.
    """
    found = shutil.which("oclgrind")
    library = Path(found).resolve().parent.parent / "lib" / "oclgrind" / "liboclgrind-rt-icd.so" if found else None
    if library is None or not library.is_file():
        message = "sanitizing OpenCL kernels needs Oclgrind, which is not installed; on Debian: apt install oclgrind"
        raise KernelEvolveError(message)
    vendors = Path(tempfile.mkdtemp(prefix="kernelevolve-oclgrind-"))
    atexit.register(shutil.rmtree, vendors, ignore_errors=True)
    (vendors / "oclgrind.icd").write_text(f"{library}\n", encoding="utf-8")
    os.environ.update(_SETTINGS, OCL_ICD_VENDORS=str(vendors))


def is_simulator(platform_name: str) -> bool:
    """Whether a platform is Oclgrind's."""
    return platform_name.strip() == "Oclgrind"


def raise_findings(path: Path) -> None:
    """Raise a report's first finding, if it has any: `OutOfBounds` for an access, `Nondeterministic` for a race."""
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:  # nothing was found so far
        return
    access, race = _ACCESS.search(text), _RACE.search(text)
    found = access or race
    if found is None:
        return
    path.unlink()
    place = _PLACE.search(text, found.end())
    where = f"line {place[1]}: " if place else ""
    if access is not None:
        raise OutOfBounds(f"{where}{access[1]}", buffer=None, side=access[2], offset=None, workload=None)
    raise Nondeterministic(f"{where}{found[1]}", output=None, workload=None)
