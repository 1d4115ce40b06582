"""The MTIA emulator's machine model against published efficiencies, and what its times rest on.

``python -m benchmarks.mtia_calibration [--parameters] [--sensitivity FILE.svg]``

Kernels are compiled by Triton and executed on arrays of the published sizes, but for their dots: no address depends on
a dot's result, so a launch is timed without computing one.
"""

from __future__ import annotations

__all__ = ["ANCHORS", "Anchor", "compiled", "figures", "launch", "parameter_table", "sensitivity_changes"]

import argparse
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import attrs
import numpy as np
from attrs import frozen

from benchmarks.figures import Figure, table
from kernelevolve.backends.mtia.executor import Memory, Options, execute
from kernelevolve.backends.mtia.model import CHIPS, Estimate, ModelOptions, Placement, estimate
from kernelevolve.backends.mtia.model.parameters import origins
from kernelevolve.backends.mtia.model.sensitivity import sensitivities
from kernelevolve.backends.mtia.program import Block, Op, Program, Region, from_json
from kernelevolve.backends.mtia.trace import Index, Trace
from kernelevolve.reports.sensitivity import sensitivity_table, write_sensitivity

#: Points by which the model may differ from a published share.
TOLERANCE: Final = 0.05
_TYPES: Final = {"float16": "*fp16", "uint16": "*bf16", "float32": "*fp32", "int32": "*i32"}


def compiled(name: str, chip: str, arrays: Mapping[str, Any], numbers: Mapping[str, int], **constants: int) -> Program:
    """A kernel of `benchmarks.mtia_kernels` for these arguments; uint16 arrays are bfloat16."""
    import triton  # noqa: PLC0415
    from triton.backends.compiler import GPUTarget  # noqa: PLC0415
    from triton.compiler import ASTSource  # noqa: PLC0415

    from benchmarks import mtia_kernels  # noqa: PLC0415

    function = getattr(mtia_kernels, name)
    kinds = {each: _TYPES[array.dtype.name] for each, array in arrays.items()}
    kinds |= dict.fromkeys(numbers, "i32") | dict.fromkeys(constants, "constexpr")
    places = {each: position for position, each in enumerate(function.arg_names)}
    source = ASTSource(
        function,
        {each: kinds[each] for each in function.arg_names},
        {(places[each],): value for each, value in constants.items()},
    )
    return from_json(triton.compile(source, target=GPUTarget("mtia", chip, 1)).asm["mtia"])


def launch(
    name: str, chip: str, grid: int, arrays: Mapping[str, Any], numbers: Mapping[str, int], **constants: int
) -> Trace:
    """Compile a kernel of `benchmarks.mtia_kernels` and run it."""
    program = compiled(name, chip, arrays, numbers, **constants)
    memory = {each: Memory(array.reshape(-1).view(np.uint8)) for each, array in arrays.items()}
    arguments: dict[str, str | float] = {**{each: each for each in arrays}, **numbers}
    trace = execute(_without_dots(program), arguments, (grid,), memory, options=Options(races=False))
    return attrs.evolve(trace, program=program, index=Index(program))


def _without_dots(program: Program) -> Program:
    """The program with each dot replaced by its initial value: the same operations at the same places."""

    def region(old: Region) -> Region:
        return Region(tuple(Block(block.arguments, tuple(map(replaced, block.ops))) for block in old.blocks))

    def replaced(op: Op) -> Op:
        if op.name == "tt.dot":
            return Op("arith.bitcast", (op.operands[2],), op.results, line=op.line)
        return attrs.evolve(op, regions=tuple(map(region, op.regions)))

    functions = {name: attrs.evolve(each, body=region(each.body)) for name, each in program.functions.items()}
    return attrs.evolve(program, functions=functions)


@frozen
class Anchor:
    """A published efficiency, and the launch that should reach it."""

    name: str
    chip: str
    published: float
    source: str
    #: Makes the trace.
    trace: Callable[[], Trace]
    #: From the estimate to the published share.
    share: Callable[[Estimate], float]
    options: ModelOptions = ModelOptions()
    placement: Placement = Placement()

    def estimate(self) -> Estimate:
        """The model's answer."""
        trace = self.trace()
        return estimate(trace.program, trace, CHIPS[self.chip], self.options, self.placement)


def matmul_trace(m: int, n: int, k: int, tiles: tuple[int, int, int], *, chip: str = "mtia2i") -> Trace:
    """A product in fp16 on all elements, in tiles of so many rows, columns and terms."""
    programs = CHIPS[chip].elements
    arrays = {name: np.zeros(shape, np.float16) for name, shape in (("a", (m, k)), ("b", (k, n)), ("c", (m, n)))}
    return launch("matmul", chip, programs, arrays, {"m": m, "n": n, "k": k}, PROGRAMS=programs, **_tiles(tiles))


def _tiles(sizes: tuple[int, int, int]) -> dict[str, int]:
    return dict(zip(("TILE_M", "TILE_N", "TILE_K"), sizes, strict=True))


def add_trace(count: int, *, chip: str = "mtia300") -> Trace:
    """A sum in bf16 on all elements."""
    programs = CHIPS[chip].elements
    arrays = {name: np.zeros(count, np.uint16) for name in ("x", "y", "out")}
    return launch("add", chip, programs, arrays, {"count": count}, PROGRAMS=programs, BLOCK=16384)


def softmax_trace(rows: int, cols: int, *, chip: str = "mtia2i") -> Trace:
    """A softmax in fp32 on all elements."""
    programs = CHIPS[chip].elements
    arrays = {name: np.zeros((rows, cols), np.float32) for name in ("x", "y")}
    return launch("softmax", chip, programs, arrays, {"rows": rows, "cols": cols}, PROGRAMS=programs, BLOCK=cols)


def search_trace(count: int, size: int, *, chip: str = "mtia2i", block: int = 1024) -> Trace:
    """Bisection in a table of even numbers, for values that are spread over it."""
    values = np.random.default_rng(0).integers(0, 2 * size, count, np.int32)
    arrays = {"values": values, "table": 2 * np.arange(size, dtype=np.int32), "index": np.zeros(count, np.int32)}
    return launch("search", chip, count // block, arrays, {"size": size}, BLOCK=block)


def _of_peak(operations: float) -> Callable[[Estimate], float]:
    def share(found: Estimate) -> float:
        chip = CHIPS[found.chip]
        return operations / found.seconds / (2 * chip.dot_macs_2byte * chip.elements * chip.clock_hertz)

    return share


def _of_dram(nbytes: float | None = None) -> Callable[[Estimate], float]:
    def share(found: Estimate) -> float:
        moved = found.profile.memory["dram"]
        total = nbytes if nbytes is not None else moved.read + moved.written
        return total / found.seconds / CHIPS[found.chip].dram_bytes_per_second

    return share


_LARGE: Final = 1 << 26
ANCHORS: Final = (
    Anchor(
        "mtia2i: GEMM 2048^3 fp16, of peak",
        "mtia2i",
        0.92,
        "I25 section 3.3: over 92 %",
        lambda: matmul_trace(2048, 2048, 2048, (256, 256, 64)),
        _of_peak(2 * 2048.0**3),
        placement=Placement(cold=False),  # a peak rate is one of operands in shared memory
    ),
    Anchor(
        "mtia2i: GEMM 512x26592x2048 fp16, of DRAM bandwidth",
        "mtia2i",
        0.95,
        "I25 section 4.2: over 95 %",
        lambda: matmul_trace(512, 26592, 2048, (512, 64, 32)),
        _of_dram(),
        ModelOptions(cb_multiplier=2),
    ),
    Anchor(
        f"mtia300: add of {_LARGE} bf16, of HBM bandwidth",
        "mtia300",
        0.91,
        "I26 figure 13: 5.57 TB/s",
        lambda: add_trace(_LARGE),
        _of_dram(6.0 * _LARGE),
    ),
)


def figures() -> list[Figure]:
    """Model and publication for every anchor; what is promised is a distance of at most five points."""
    found = []
    for anchor in ANCHORS:
        result = anchor.estimate()
        share = anchor.share(result)
        note = f"model {share:.1%}, published {anchor.published:.0%} ({anchor.source}); {result.seconds * 1e6:.1f} us"
        found.append(Figure(anchor.name, abs(share - anchor.published), "", "<=", TOLERANCE, note))
    return found


def sensitivity_changes() -> dict[str, dict[str, tuple[float, float]]]:
    """Kernel → assumed parameter → its time with half and twice the value over the nominal time, on mtia2i."""
    kernels = {
        "matmul 2048³ fp16, 64×64 tiles": (matmul_trace(2048, 2048, 2048, (64, 64, 32)), Placement(cold=False)),
        "softmax 4096×1024 fp32": (softmax_trace(4096, 1024), Placement()),
        "bisection 2²⁰ in 50000": (search_trace(1 << 20, 50_000), Placement()),
    }
    return {
        kernel: {
            each.parameter: (each.half, each.double)
            for each in sensitivities(trace, CHIPS["mtia2i"], ModelOptions(), placement)
        }
        for kernel, (trace, placement) in kernels.items()
    }


def parameter_table() -> str:
    """Every number of the model as a Markdown table: values on both documented chips, unit, origin, source."""
    lines = [
        "| parameter | mtia2i | mtia300 | unit | origin | source, or what it stands for |",
        "|---|---|---|---|---|---|",
    ]
    for name, (unit, origin, source) in origins().items():
        values = [getattr(CHIPS[chip], name) for chip in ("mtia2i", "mtia300")]
        shown = [str(value) if isinstance(value, int) else f"{value:.4g}" for value in values]
        lines.append(f"| `{name}` | {shown[0]} | {shown[1]} | {unit} | {origin.value} | {source} |")
    return "\n".join(lines) + "\n"


def main() -> int:
    """Print the calibration; the parameters and the sensitivity where they are asked for."""
    parser = argparse.ArgumentParser(prog="benchmarks.mtia_calibration")
    parser.add_argument("--parameters", action="store_true", help="print every number of the model")
    parser.add_argument("--sensitivity", type=Path, default=None, help="write the plot here and print the table")
    options = parser.parse_args()
    print(table(figures()))
    if options.parameters:
        print()
        print(parameter_table(), end="")
    if options.sensitivity is not None:
        changes = sensitivity_changes()
        write_sensitivity(options.sensitivity, changes, title="mtia2i: what emulated times rest on")
        print()
        print(sensitivity_table(changes), end="")
    return 0


if __name__ == "__main__":
    sys.exit(main())
