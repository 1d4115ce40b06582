"""The MTIA emulator beside Triton's own interpreter: how fast it computes, and that it computes the same.

Both run the kernels of `benchmarks.mtia_kernels` on the same arrays, one program for each row or tile, as a plain
Triton kernel would be launched. The interpreter has a process of its own, since it is switched on at import.
Prediction, written before: two orders of magnitude, since it takes a Python step per program and operation, and the
emulator one per operation and batch of programs.
"""

from __future__ import annotations

__all__ = ["CASES", "Case", "figures"]

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
from attrs import frozen

from benchmarks.figures import Figure

#: What is promised of the emulator, against ``TRITON_INTERPRET=1``.
PROMISED: Final = 100.0
#: Runs of the emulator; the median counts. The interpreter runs once: it takes seconds, and noise is a small share.
_RUNS: Final = 21


@frozen
class Case:
    """One kernel at one size."""

    name: str
    kernel: str
    grid: int
    numbers: Mapping[str, int]
    constants: Mapping[str, int]
    #: Largest difference of the two results that rounding explains.
    tolerance: float

    def arrays(self) -> dict[str, Any]:
        """The inputs, and zeros for the output; the same in every process."""
        rng = np.random.default_rng(1)
        if self.kernel == "softmax":
            shape = (self.numbers["rows"], self.numbers["cols"])
            return {"x": rng.standard_normal(shape).astype(np.float32), "y": np.zeros(shape, np.float32)}
        m, n, k = (self.numbers[name] for name in "mnk")
        made = {"a": rng.standard_normal((m, k)), "b": rng.standard_normal((k, n)), "c": np.zeros((m, n))}
        return {name: array.astype(np.float16) for name, array in made.items()}

    @property
    def output(self) -> str:
        """The array that the kernel writes."""
        return "y" if self.kernel == "softmax" else "c"


CASES: Final = (
    Case(
        "softmax 4096 x 1024 float32",
        "softmax",
        4096,
        {"rows": 4096, "cols": 1024},
        {"PROGRAMS": 4096, "BLOCK": 1024},
        1e-6,
    ),
    Case(
        "matmul 512^3 float16, tiles of 32 x 32",
        "matmul",
        256,
        {"m": 512, "n": 512, "k": 512},
        {"PROGRAMS": 256, "TILE_M": 32, "TILE_N": 32, "TILE_K": 32},
        0.13,  # one unit in the last place of float16 between 64 and 128
    ),
)


def figures() -> list[Figure]:
    """The ratio of times for each case, with the largest difference of the results."""
    found = []
    for case in CASES:
        seconds, result = _emulated(case)
        print(f"{case.name}: emulated in {seconds:.3f} s; asking the interpreter…", file=sys.stderr, flush=True)
        slow, expected = _interpreted(case)
        difference = float(np.abs(result.astype(np.float64) - expected.astype(np.float64)).max())
        if difference > case.tolerance:
            message = f"{case.name}: the results differ by {difference}, and {case.tolerance} is what rounding explains"
            raise ValueError(message)
        note = f"{slow:.2f} s against {seconds * 1e3:.0f} ms; largest difference {difference:.1e}"
        found.append(Figure(f"emulator over interpreter, {case.name}", slow / seconds, "x", ">=", PROMISED, note))
    return found


def _emulated(case: Case) -> tuple[float, Any]:
    from kernelevolve.backends.mtia.accelerator import MTIA  # noqa: PLC0415

    return _in_a_process(case, "emulate", MTIA().environment())


def _interpreted(case: Case) -> tuple[float, Any]:
    return _in_a_process(case, "interpret", {"TRITON_INTERPRET": "1"})


def _in_a_process(case: Case, how: str, environment: Mapping[str, str]) -> tuple[float, Any]:
    """Seconds and result, in a process with the environment that an emulating or interpreting one has."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "result.npy"
        command = [sys.executable, "-m", "benchmarks.mtia_speed", how, str(CASES.index(case)), str(out)]
        done = subprocess.run(command, env={**os.environ, **environment}, check=True, capture_output=True, text=True)
        return float(json.loads(done.stdout)["seconds"]), np.load(out)


def _emulate(case: Case, out: Path) -> None:
    """Write the result; print the median seconds of executing a prepared program, addresses and races judged."""
    from benchmarks.mtia_calibration import compiled  # noqa: PLC0415
    from kernelevolve.backends.mtia.executor import Memory, execute, prepare  # noqa: PLC0415

    arrays = case.arrays()
    code = prepare(compiled(case.kernel, "mtia2i", arrays, case.numbers, **case.constants))
    arguments: dict[str, str | float] = {**{name: name for name in arrays}, **case.numbers}
    times = []
    for _ in range(_RUNS):
        memory = {name: Memory(array.reshape(-1).view(np.uint8)) for name, array in arrays.items()}
        begin = time.perf_counter()
        execute(code, arguments, (case.grid,), memory)
        times.append(time.perf_counter() - begin)
    np.save(out, arrays[case.output])
    print(json.dumps({"seconds": sorted(times)[_RUNS // 2]}))


def _interpret(case: Case, out: Path) -> None:
    """In a process with TRITON_INTERPRET=1: run the case, write its result, print the seconds."""
    import torch  # noqa: PLC0415

    from benchmarks import mtia_kernels  # noqa: PLC0415

    arrays = {name: torch.from_numpy(array) for name, array in case.arrays().items()}
    function = getattr(mtia_kernels, case.kernel)
    begin = time.perf_counter()
    function[(case.grid,)](**arrays, **case.numbers, **case.constants)
    seconds = time.perf_counter() - begin
    np.save(out, arrays[case.output].numpy())
    print(json.dumps({"seconds": seconds}))


if __name__ == "__main__":
    {"emulate": _emulate, "interpret": _interpret}[sys.argv[1]](CASES[int(sys.argv[2])], Path(sys.argv[3]))
