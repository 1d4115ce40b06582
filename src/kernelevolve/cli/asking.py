"""The commands that drive a run from outside: ``start``, ``ask``, ``tell``, ``evaluate-batch``, ``finish``, ``mcp``."""

from __future__ import annotations

__all__ = ["register"]

from pathlib import Path
from typing import Annotated

import typer

from kernelevolve.cli.output import Exit, Output
from kernelevolve.errors import KernelEvolveError

Json = Annotated[bool, typer.Option("--json", help="One JSON document on standard output.")]
RunId = Annotated[str, typer.Argument(help="A run's id; see: kernelevolve runs")]
ProblemName = Annotated[str, typer.Argument(help="A name, or path/to/file.py:name.")]
Accelerator = Annotated[str, typer.Option("--accelerator", "-a", help="See: kernelevolve devices")]
Device = Annotated[str | None, typer.Option("--device", "-d", help="Index, or part of the name.")]
TargetName = Annotated[
    str | None, typer.Option("--target", "-t", help="What an interpreter stands in for, e.g. cuda:sm_100.")
]
Workloads = Annotated[
    list[str] | None, typer.Option("--workload", "-w", help="What to time, e.g. rows=4096,cols=1024; repeatable.")
]
StoreUrl = Annotated[
    str | None, typer.Option("--store", envvar="KERNELEVOLVE_STORE", help="Database URL, e.g. sqlite:///runs.db")
]
StartFile = Annotated[Path | None, typer.Option("--start", help="Start from this kernel file, not from the seed.")]
#: Seconds of a day; `kernelevolve.api.asking.EXPIRES`, which is not imported for ``--help``.
_DAY = 86400.0


def start(
    problem: ProblemName,
    accelerator: Accelerator = "opencl",
    device: Device = None,
    workload: Workloads = None,
    evaluations: Annotated[
        int | None, typer.Option("--evaluations", "-n", min=1, help="Ask for so many kernels at most, seed included.")
    ] = None,
    seed: Annotated[int, typer.Option("--seed", help="Same seed, same answers: same questions.")] = 0,
    target: TargetName = None,
    policy: Annotated[str, typer.Option("--policy", help="How parents are chosen, as in evolve.")] = "map-elites",
    memory: Annotated[
        str, typer.Option("--memory", help="What a context shows of history: bandit, none, parent, siblings or both.")
    ] = "bandit",
    drafts: Annotated[
        int, typer.Option("--drafts", min=0, help="Independent kernels asked for before any is to be changed.")
    ] = 4,
    knowledge: Annotated[
        bool, typer.Option("--knowledge/--no-knowledge", help="Show the knowledge base and earlier runs' lessons.")
    ] = True,
    start: StartFile = None,
    results: Annotated[
        Path | None, typer.Option("--results", help="Start on the device that measured this file; it may be away.")
    ] = None,
    store: StoreUrl = None,
    json: Json = False,
) -> None:
    """Start a run that is driven from outside: evaluate its seed and print its id; then ask and tell."""
    from kernelevolve.cli.driving import start_run

    start_run(
        Output(json=json),
        problem,
        accelerator,
        device=device,
        target=target,
        workloads=workload,
        evaluations=evaluations,
        seed=seed,
        policy=policy,
        search={"memory": memory, "drafts": drafts, "knowledge": knowledge},
        start=start,
        results=results,
        store_url=store,
    )


def ask(
    run: RunId,
    count: Annotated[int, typer.Option("--count", "-c", min=1, help="How many proposals to reserve.")] = 1,
    expires: Annotated[
        float, typer.Option("--expires", min=1, help="Seconds for which the search counts on an answer.")
    ] = _DAY,
    to: Annotated[Path | None, typer.Option("--to", help="Write each context to FOLDER/PROPOSAL.md.")] = None,
    listing: Annotated[bool, typer.Option("--open", help="Ask nothing; list what is open.")] = False,
    store: StoreUrl = None,
    json: Json = False,
) -> None:
    """Print what to propose next, with all that is known, and reserve it. Exit status 1: nothing is left to ask."""
    from kernelevolve.cli.driving import ask_run, show_open

    output = Output(json=json)
    if listing:
        show_open(output, run, store)
    elif not ask_run(output, run, count=count, expires=expires, folder=to, store_url=store):
        raise typer.Exit(Exit.NO)


def tell(
    run: RunId,
    proposal: Annotated[str | None, typer.Argument(help="The proposal's id, as ask printed it.")] = None,
    file: Annotated[Path | None, typer.Argument(help="The kernel file.")] = None,
    note: Annotated[str | None, typer.Option("--note", help="What was changed, in one line.")] = None,
    predicted: Annotated[
        float | None, typer.Option("--predicted", help="How many times as fast as its parent it should be.")
    ] = None,
    bottleneck: Annotated[str | None, typer.Option("--bottleneck", help="What the change is aimed at.")] = None,
    decline: Annotated[str | None, typer.Option("--decline", help="Nothing comes of the proposal; say why.")] = None,
    results: Annotated[
        Path | None, typer.Option("--results", help="Take in what evaluate-batch wrote, for every proposal in it.")
    ] = None,
    store: StoreUrl = None,
    json: Json = False,
) -> None:
    """Answer a proposal: evaluate FILE and record it, once. Exit status 1 where it was refused and nothing recorded."""
    from kernelevolve.cli.driving import decline_proposal, tell_file, tell_results

    output = Output(json=json)
    match (proposal, file, decline, results):
        case (str(), Path(), None, None):
            done = tell_file(
                output,
                run,
                proposal,
                file,
                note=note or "",
                predicted=predicted,
                bottleneck=bottleneck or "",
                store_url=store,
            )
        case (str(), None, str(), None):
            done = decline_proposal(output, run, proposal, decline, store)
        case (None, None, None, Path()):
            done = tell_results(output, run, results, store)
        case _:
            raise typer.BadParameter("give PROPOSAL FILE, or PROPOSAL --decline REASON, or --results FILE alone")
    if not done:
        raise typer.Exit(Exit.NO)


def evaluate_batch(
    folder: Annotated[Path, typer.Argument(help="A folder of kernel files.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The file for the results; goes on where it stopped.")],
    problem: Annotated[
        str | None, typer.Option("--problem", "-p", help="A name, or path/to/file.py:name; ask --to has noted it.")
    ] = None,
    accelerator: Accelerator = "opencl",
    device: Device = None,
    workload: Workloads = None,
    target: TargetName = None,
    start: Annotated[Path | None, typer.Option("--start", help="Pair with this kernel, not with the seed.")] = None,
    timeout: Annotated[
        float | None, typer.Option("--timeout", min=0.1, help="Seconds one run may take; 10, or 120 in an interpreter.")
    ] = None,
    compile_timeout: Annotated[
        float | None, typer.Option("--compile-timeout", min=0.1, help="Seconds a compile may take; 30.")
    ] = None,
    json: Json = False,
) -> None:
    """Evaluate every kernel in a folder, on the machine that has the device; tell --results takes the file in."""
    from kernelevolve.cli.driving import batch

    batch(
        Output(json=json),
        folder,
        out,
        problem,
        accelerator,
        device=device,
        target=target,
        workloads=workload,
        start=start,
        run_seconds=timeout,
        compile_seconds=compile_timeout,
    )


def finish(
    run: RunId,
    tune: Annotated[
        int, typer.Option("--tune", min=0, help="Evaluations for the tunables of the promising kernels first; 0: none.")
    ] = 24,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Write the best kernel to this file.")] = None,
    eager: Annotated[bool, typer.Option("--eager/--no-eager", help="Compare with PyTorch eager, too.")] = True,
    store: StoreUrl = None,
    json: Json = False,
) -> None:
    """Tune, then confirm the best kernels of a run that was driven from outside; more can be told afterwards."""
    from kernelevolve.cli.driving import confirm_run

    confirm_run(Output(json=json), run, tune=tune, out=out, eager=eager, store_url=store)


def mcp(store: StoreUrl = None) -> None:
    """Serve runs to a coding agent over the Model Context Protocol, on standard input and output."""
    try:
        from kernelevolve.cli.mcp_server import serve
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in ("mcp", "mcp_types"):
            raise
        raise KernelEvolveError("the MCP SDK is not installed; pip install 'kernelevolve[mcp]'") from None
    serve(store)


def register(app: typer.Typer) -> None:
    """Add these commands to `app`."""
    app.command("start")(start)
    app.command("ask")(ask)
    app.command("tell")(tell)
    app.command("evaluate-batch")(evaluate_batch)
    app.command("finish")(finish)
    app.command("mcp")(mcp)
