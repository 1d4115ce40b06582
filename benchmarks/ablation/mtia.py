"""A landscape on MTIA: what its machine model says of every member of a small family of matrix products.

The family is one Triton kernel (`benchmarks.mtia_kernels.matmul`) in three tile sizes, on so many programs, with the
launch options that change timing. Times are the emulator's estimates: analytic, good for ranking, never a speed-up.
"""

from __future__ import annotations

__all__ = ["FAMILY", "SHAPE", "TABLE", "family_table", "measure_family", "read_family"]

import itertools
import json
import math
import sys
from pathlib import Path
from typing import Any, Final

import numpy as np

from benchmarks.mtia_calibration import launch
from kernelevolve.backends.mtia.model import CHIPS, MODEL, VERSION, ModelOptions, Placement, estimate
from kernelevolve.outcome import CandidateError

CHIP: Final = "mtia2i"
#: Rows, columns and terms of the product, in fp16.
SHAPE: Final = (512, 1024, 512)
#: Every member is one value of each of these.
FAMILY: Final[dict[str, tuple[int, ...]]] = {
    "TILE_M": (32, 64, 128, 256),
    "TILE_N": (32, 64, 128, 256),
    "TILE_K": (32, 64, 128, 256),
    "PROGRAMS": (16, 32, 64),
    "num_stages": (1, 2, 3),
    "cb_multiplier": (1, 2, 4),
    "use_dual_core": (0, 1),
}
_TRACED: Final = ("TILE_M", "TILE_N", "TILE_K", "PROGRAMS")
#: Where the table is kept: making it takes some minutes.
TABLE: Final = Path(__file__).resolve().parents[1] / "results" / "search" / "mtia_landscape.json"


def family_table(*, quiet: bool = False) -> list[float | None]:
    """Seconds of every member, in the order of `itertools.product`; None for what does not fit into an element."""
    found: list[float | None] = []
    traced = list(itertools.product(*(FAMILY[name] for name in _TRACED)))
    for done, constants in enumerate(traced):
        found += measure_family(dict(zip(_TRACED, constants, strict=True)))
        if not quiet and done % 16 == 15:
            print(f"mtia: {done + 1} of {len(traced)} kernels estimated", file=sys.stderr, flush=True)
    return found


def measure_family(constants: dict[str, int]) -> list[float | None]:
    """Seconds of one compiled kernel under every combination of launch options."""
    m, n, k = SHAPE
    arrays = {name: np.zeros(shape, np.float16) for name, shape in (("a", (m, k)), ("b", (k, n)), ("c", (m, n)))}
    numbers = {"m": m, "n": n, "k": k}
    options = itertools.product(*(values for name, values in FAMILY.items() if name not in _TRACED))
    try:
        trace = launch("matmul", CHIP, constants["PROGRAMS"], arrays, numbers, **constants)
    except CandidateError:
        return [None] * len(list(options))
    found: list[float | None] = []
    for stages, multiplier, dual in options:
        chosen = ModelOptions(num_stages=stages, cb_multiplier=multiplier, use_dual_core=bool(dual))
        try:
            seconds = estimate(trace.program, trace, CHIPS[CHIP], chosen, Placement()).seconds
            found.append(float(f"{seconds:.5g}"))
        except CandidateError:
            found.append(None)
    return found


def read_family(path: Path = TABLE) -> list[float | None]:
    """The table at `path`, made and kept where it is missing or of another model, shape or family."""
    wanted = {"chip": CHIP, "model": MODEL, "version": VERSION, "shape": list(SHAPE), "family": _listed()}
    if path.exists():
        document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        seconds = document.pop("seconds")
        if document == wanted and len(seconds) == math.prod(map(len, FAMILY.values())):
            return list(seconds)
    seconds = family_table()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({**wanted, "seconds": seconds}) + "\n", encoding="utf-8")
    return seconds


def _listed() -> dict[str, list[int]]:
    return {name: list(values) for name, values in FAMILY.items()}
