"""The command line of ``python -m benchmarks.gpu``."""

from __future__ import annotations

__all__ = ["parser"]

import argparse
from pathlib import Path
from typing import Final

from kernelevolve.evaluation.torch_process import MODES

HERE: Final = Path(__file__).parent
ACCELERATORS: Final = ("triton-cuda", "numba-cuda", "opencl")


def parser() -> argparse.ArgumentParser:
    """Every subcommand with its options."""
    made = argparse.ArgumentParser(
        prog="python -m benchmarks.gpu",
        description="What the suite's kernels do on a device, beside PyTorch. Each call stops beginning new work after "
        "--seconds, keeps every record in --out at once, and skips what --out and --known hold already.",
    )
    commands = made.add_subparsers(dest="command", required=True)
    common = _common()
    environment = commands.add_parser("environment", parents=[common], help="the machine and its ceilings")
    environment.add_argument(
        "--copy-bytes", type=int, nargs="+", default=[1 << 30, 64 << 20], help="read by each copy, and written as well"
    )
    environment.add_argument("--matrix", type=int, default=8192, help="rows of the square product")
    environment.add_argument("--matrix-dtype", default="bfloat16")
    ring = _ring()
    commands.add_parser("table", parents=[common, ring], help="every problem on every accelerator, beside PyTorch")
    _evolve(commands.add_parser("evolve", parents=[common], help="evolve each problem on the device"))
    _candidates(commands.add_parser("candidates", parents=[common, ring], help="rank kernels that people wrote"))
    _throughput(commands.add_parser("throughput", parents=[common], help="candidates a second"))
    warmth = commands.add_parser("warmth", parents=[common], help="a warm worker against fresh processes")
    warmth.add_argument("--rounds", type=int, default=60, help="of each fresh process")
    warmth.add_argument("--processes", type=int, default=5, help="fresh ones")
    resolution = commands.add_parser("resolution", parents=[common], help="doctor's A/A self-test")
    resolution.add_argument("--batches", type=int, default=20)
    merge = commands.add_parser("merge", help="one results file of many; of two records with one key, the later")
    merge.add_argument("files", type=Path, nargs="+", help="files, or folders of them")
    merge.add_argument("--out", type=Path, required=True)
    page = commands.add_parser("page", help="a Markdown page made of result files and nothing else")
    page.add_argument("files", type=Path, nargs="+", help="files, or folders of them")
    page.add_argument("--out", type=Path, required=True)
    return made


def _common() -> argparse.ArgumentParser:
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--accelerators", nargs="+", default=list(ACCELERATORS), metavar="NAME")
    common.add_argument("--device", help="index or part of the name (default: the first with a clock, GPUs first)")
    common.add_argument("--problems", nargs="+", metavar="NAME", help="default: all of them")
    common.add_argument("--workloads", nargs="+", default=[], metavar="LABEL", help="default: the device's first")
    common.add_argument("--every-workload", action="store_true", help="all that are meant for the device")
    common.add_argument("--kernels", type=Path, default=HERE / "kernels", help="the best kernels that are known")
    common.add_argument("--out", type=Path, help="results file; begun, or gone on with")
    common.add_argument("--known", type=Path, nargs="*", default=[], help="results that need not be measured again")
    common.add_argument("--again", action="store_true", help="measure what is known as well")
    common.add_argument("--seconds", type=float, default=480.0, help="nothing new is begun after so many")
    common.add_argument("--ring-seconds", type=float, default=1.0, help="of one comparison, per side")
    common.add_argument("--precision", type=float, default=0.005, help="half-width at which a ratio is tight")
    common.add_argument("--quick", action="store_true", help="few rounds: to try the commands, not to publish")
    return common


def _ring() -> argparse.ArgumentParser:
    ring = argparse.ArgumentParser(add_help=False)
    ring.add_argument(
        "--modes", nargs="*", default=list(MODES), choices=list(MODES), help="how PyTorch runs (none: leave it out)"
    )
    return ring


def _evolve(command: argparse.ArgumentParser) -> None:
    command.add_argument("--evolve-seconds", type=float, default=60.0, help="of one problem on one accelerator")
    command.add_argument("--evaluations", type=int, help="at most, beside the time")
    command.add_argument("--starts", type=Path, nargs="*", default=[], help="folders of kernels that people wrote")
    command.add_argument("--tune", type=int, default=0, help="configurations of each start to try first")
    command.add_argument("--random", type=int, default=0, help="the search's seed")
    command.add_argument("--store", type=Path, default=Path("runs") / "gpu.db", help="where the runs are kept")


def _candidates(command: argparse.ArgumentParser) -> None:
    command.add_argument("folder", type=Path, help="<problem>/… or <problem>.<suffix>, <problem>__….<suffix>")
    command.add_argument("--names", nargs="*", metavar="NAME", help="only files with these names (default: all)")
    command.add_argument("--tune", type=int, default=0, help="configurations of each kernel beside its default")
    command.add_argument("--keep", action="store_true", help="keep the best as the best that is known (--kernels)")


def _throughput(command: argparse.ArgumentParser) -> None:
    command.add_argument("--problem", default="softmax")
    command.add_argument("--count", type=int, default=100, help="candidates of each kind, at most")
    command.add_argument("--cold", type=int, default=5, help="fresh evaluators, at most")
    command.add_argument(
        "--part-seconds", type=float, default=30.0, help="of each kind; the rate is of those made by then"
    )
