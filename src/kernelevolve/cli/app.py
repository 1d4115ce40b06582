"""The commands. Each imports what it needs when it runs, so that ``--help`` answers at once."""

from __future__ import annotations

__all__ = ["app", "run"]

import sys
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from kernelevolve._version import VERSION
from kernelevolve.cli import asking
from kernelevolve.cli.knowing import knowledge_app
from kernelevolve.cli.output import Exit, Output, describe_error

#: What typer raises for a wrong command line. Newer releases carry a click of their own, so its class is found by name.
_USAGE_ERROR: Final = next(
    kind for kind in typer.BadParameter.__mro__ if issubclass(kind, Exception) and kind.__name__ == "ClickException"
)

app = typer.Typer(
    name="kernelevolve",
    help="Evolve accelerator kernels, with numbers that hold.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

Json = Annotated[bool, typer.Option("--json", help="One JSON document on standard output.")]
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
Evaluations = Annotated[int | None, typer.Option("--evaluations", "-n", min=1, help="Stop after so many evaluations.")]
Seconds = Annotated[float | None, typer.Option("--seconds", min=1, help="Stop searching after so many seconds.")]
MaxCost = Annotated[
    float | None, typer.Option("--max-cost", min=0.0001, help="Stop at so many dollars of a language model.")
]
MaxTokens = Annotated[int | None, typer.Option("--max-tokens", min=1, help="Stop at so many tokens, in and out.")]
Eager = Annotated[bool, typer.Option("--eager/--no-eager", help="Compare with PyTorch eager on the same device.")]


def _version(value: bool) -> None:  # typer calls it with the option's value
    if value:
        typer.echo(f"kernelevolve {VERSION}")
        raise typer.Exit


@app.callback()
def _main(
    version: Annotated[  # its callback acts
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Evolve accelerator kernels, with numbers that hold."""


@app.command()
def devices(json: Json = False) -> None:
    """Every accelerator: available, or why not and how to install it; its devices and their realm."""
    from kernelevolve.cli.listing import show_devices

    show_devices(Output(json=json))


@app.command()
def problems(
    name: Annotated[str | None, typer.Argument(help="A problem's name, or path/to/file.py:name.")] = None,
    seed: Annotated[str | None, typer.Option("--seed", help="Print the seed kernel in this language.")] = None,
    json: Json = False,
) -> None:
    """The problems; with a NAME its axes, tensors, workloads, seeds, and what the task linter says of it."""
    from kernelevolve.cli.listing import show_problem, show_problems

    output = Output(json=json)
    if name is None:
        show_problems(output)
    else:
        show_problem(output, name, seed)


@app.command()
def evaluate(
    file: Annotated[Path, typer.Argument(help="A kernel file.")],
    problem: Annotated[str, typer.Option("--problem", "-p", help="A name, or path/to/file.py:name.")],
    accelerator: Accelerator = "opencl",
    device: Device = None,
    workload: Workloads = None,
    set_: Annotated[list[str] | None, typer.Option("--set", help="A tunable: NAME=VALUE; repeatable.")] = None,
    timeout: Annotated[
        float | None, typer.Option("--timeout", min=0.1, help="Seconds one run may take; 10, or 120 in an interpreter.")
    ] = None,
    compile_timeout: Annotated[
        float | None, typer.Option("--compile-timeout", min=0.1, help="Seconds a compile may take; 30.")
    ] = None,
    target: TargetName = None,
    sanitize: Annotated[
        bool, typer.Option("--sanitize", help="Check memory accesses and races in a simulator; no times.")
    ] = False,
    eager: Eager = True,
    json: Json = False,
) -> None:
    """Judge one kernel: outcome, checks, times, and speed-up over the seed. Exit status 1 unless it is right."""
    from kernelevolve.cli.evaluating import evaluate_file

    right = evaluate_file(
        Output(json=json),
        file,
        problem,
        accelerator,
        device,
        workload,
        set_ or [],
        target=target,
        run_seconds=timeout,
        compile_seconds=compile_timeout,
        sanitize=sanitize,
        eager=eager,
    )
    if not right:
        raise typer.Exit(Exit.NO)


@app.command("compile")
def compile_(
    file: Annotated[Path, typer.Argument(help="A kernel file.")],
    problem: Annotated[str, typer.Option("--problem", "-p", help="A name, or path/to/file.py:name.")],
    accelerator: Annotated[str, typer.Option("--accelerator", "-a", help="See: kernelevolve devices")],
    target: Annotated[
        list[str] | None, typer.Option("--target", "-t", help="What to compile for; repeatable. All, if left out.")
    ] = None,
    workload: Annotated[
        str | None, typer.Option("--workload", "-w", help="Sizes and types, rows=4096,x:float16")
    ] = None,
    set_: Annotated[list[str] | None, typer.Option("--set", help="A tunable: NAME=VALUE; repeatable.")] = None,
    compile_timeout: Annotated[float, typer.Option("--compile-timeout", min=0.1, help="Seconds each may take.")] = 30.0,
    save: Annotated[Path | None, typer.Option("--save", help="Keep every stage in this folder.")] = None,
    json: Json = False,
) -> None:
    """Compile one kernel for targets, no device needed: registers, spills, shared memory, occupancy. Runs nothing."""
    from kernelevolve.cli.compiling import compile_file

    done = compile_file(
        Output(json=json), file, problem, accelerator, target or [], workload, set_ or [], compile_timeout, save
    )
    if not done:
        raise typer.Exit(Exit.NO)


@app.command()
def evolve(
    problem: Annotated[str, typer.Argument(help="A name, or path/to/file.py:name.")],
    accelerator: Accelerator = "opencl",
    device: Device = None,
    workload: Workloads = None,
    evaluations: Evaluations = None,
    seconds: Seconds = None,
    seed: Annotated[int, typer.Option("--seed", help="Same seed, same recorded times: same run.")] = 0,
    target: TargetName = None,
    proposer: Annotated[
        str, typer.Option("--proposer", help="rewriting, anthropic, or several: rewriting+anthropic.")
    ] = "rewriting",
    model: Annotated[
        str | None, typer.Option("--model", help="The language model; see its settings in the docs.")
    ] = None,
    effort: Annotated[str | None, typer.Option("--effort", help="How hard the model tries: low to max.")] = None,
    concurrency: Annotated[
        int | None, typer.Option("--concurrency", min=1, help="Proposals of a model that are open at once.")
    ] = None,
    batch: Annotated[bool, typer.Option("--batch", help="Message batches: half the price, and slow.")] = False,
    max_cost: MaxCost = None,
    max_tokens: MaxTokens = None,
    policy: Annotated[str, typer.Option("--policy", help="random, greedy, beam, map-elites or mcts.")] = "map-elites",
    memory: Annotated[
        str, typer.Option("--memory", help="What a model sees of history: bandit, none, parent, siblings or both.")
    ] = "bandit",
    drafts: Annotated[
        int, typer.Option("--drafts", min=0, help="Independent kernels that a model writes before it changes any.")
    ] = 4,
    restarts: Annotated[
        int | None,
        typer.Option("--restarts", min=1, help="Begin again beside what there is after so many without a gain."),
    ] = None,
    knowledge: Annotated[
        bool, typer.Option("--knowledge/--no-knowledge", help="Show a model the knowledge base and earlier lessons.")
    ] = True,
    learn: Annotated[bool, typer.Option("--learn/--no-learn", help="Keep this run's lessons for later ones.")] = True,
    start: Annotated[
        Path | None, typer.Option("--start", help="Start from this kernel file, not from the seed.")
    ] = None,
    transfer: Annotated[
        bool, typer.Option("--transfer", help="Try the best kernels of runs on other sizes or devices first.")
    ] = False,
    store: StoreUrl = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Write the best kernel to this file.")] = None,
    eager: Eager = True,
    json: Json = False,
) -> None:
    """Evolve a kernel, with live progress; can be stopped (Ctrl-C) and resumed."""
    from kernelevolve.cli.evolving import evolve_problem

    evolve_problem(
        Output(json=json),
        problem,
        accelerator,
        device=device,
        target=target,
        workloads=workload,
        evaluations=evaluations,
        seconds=seconds,
        seed=seed,
        proposer=proposer,
        model={"model": model, "effort": effort, "width": concurrency, "batch": batch or None},
        max_cost=max_cost,
        max_tokens=max_tokens,
        policy=policy,
        search={"memory": memory, "drafts": drafts, "restarts": restarts, "knowledge": knowledge, "learn": learn},
        start=start,
        transfer=transfer,
        store_url=store,
        out=out,
        eager=eager,
    )


@app.command()
def resume(
    run: Annotated[str, typer.Argument(help="A run's id; see: kernelevolve runs")],
    evaluations: Evaluations = None,
    seconds: Seconds = None,
    max_cost: MaxCost = None,
    max_tokens: MaxTokens = None,
    store: StoreUrl = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Write the best kernel to this file.")] = None,
    json: Json = False,
) -> None:
    """Go on with a run that was stopped or killed; new limits replace the old ones."""
    from kernelevolve.cli.evolving import resume_run

    resume_run(
        Output(json=json),
        run,
        evaluations=evaluations,
        seconds=seconds,
        max_cost=max_cost,
        max_tokens=max_tokens,
        store_url=store,
        out=out,
    )


@app.command()
def runs(store: StoreUrl = None, json: Json = False) -> None:
    """List the runs, the latest last."""
    from kernelevolve.cli.history import show_runs

    show_runs(Output(json=json), store)


@app.command()
def show(
    run: Annotated[str, typer.Argument(help="A run's id.")],
    candidate: Annotated[int | None, typer.Option("--candidate", "-c", min=0, help="Look at one candidate.")] = None,
    plot: Annotated[Path | None, typer.Option("--plot", help="Write the run's progress as an SVG picture.")] = None,
    save: Annotated[
        Path | None, typer.Option("--save", help="Write the run to this folder: kernels, samples, curve, a page.")
    ] = None,
    made_by: Annotated[
        str, typer.Option("--made-by", help="A sentence for that page: how the kernels came about.")
    ] = "",
    store: StoreUrl = None,
    json: Json = False,
) -> None:
    """Look at a run: its candidates, outcomes, confirmed result; or at one candidate with its source."""
    from kernelevolve.cli.history import show_candidate, show_run

    output = Output(json=json)
    if candidate is None:
        show_run(output, run, store, plot, save, made_by)
    else:
        show_candidate(output, run, candidate, store)


@app.command()
def best(
    problem: Annotated[str, typer.Argument(help="A problem's name.")],
    accelerator: Annotated[str | None, typer.Option("--accelerator", "-a", help="Only runs on this one.")] = None,
    device: Annotated[str | None, typer.Option("--device", "-d", help="Only runs on this device.")] = None,
    store: StoreUrl = None,
    json: Json = False,
) -> None:
    """Print the best kernel's source, over all runs on comparable devices."""
    from kernelevolve.cli.history import show_best

    show_best(Output(json=json), problem, accelerator, device, store)


@app.command()
def doctor(
    accelerator: Annotated[str | None, typer.Option("--accelerator", "-a", help="Only this one.")] = None,
    batches: Annotated[int, typer.Option("--batches", min=3, help="A/A comparisons per device.")] = 20,
    quick: Annotated[bool, typer.Option("--quick", help="Only what is installed; no timing.")] = False,
    json: Json = False,
) -> None:
    """What is installed and what is not; times identical kernels against each other on each device."""
    from kernelevolve.cli.doctoring import examine

    if not examine(Output(json=json), accelerator, batches=batches, quick=quick):
        raise typer.Exit(Exit.NO)


asking.register(app)
app.add_typer(knowledge_app, name="knowledge")


def run() -> None:
    """Run the command line; whatever happens becomes one sentence and a status."""
    as_json = "--json" in sys.argv
    try:
        status = app(standalone_mode=False)
    except _USAGE_ERROR as error:
        raise SystemExit(_usage_error(error, as_json=as_json)) from None
    except (typer.Abort, KeyboardInterrupt):
        raise SystemExit(Exit.INTERRUPTED) from None
    except Exception as error:  # the last line of defence: a sentence and a status, the trace on request
        raise SystemExit(describe_error(error, as_json=as_json)) from None
    raise SystemExit(status if isinstance(status, int) else Exit.DONE)


def _usage_error(error: Any, *, as_json: bool) -> Exit:
    if as_json:
        Output(json=True).document({"error": error.format_message()})
    error.show()
    return Exit.USAGE
