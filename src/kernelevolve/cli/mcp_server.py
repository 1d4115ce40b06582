"""``mcp``: runs as tools of the Model Context Protocol, for a coding agent that takes the proposer's place.

Every tool runs on a thread, so that a kernel that is being timed does not keep the protocol from answering. Standard
output belongs to the protocol: the SDK points the descriptor at standard error while it serves.
"""

from __future__ import annotations

__all__ = ["make_server", "serve"]

import functools
from collections.abc import Callable
from typing import Any, Final, ParamSpec, TypeVar

import anyio.from_thread
from mcp.server.mcpserver import Context, MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp_types import ToolAnnotations

from kernelevolve import registry
from kernelevolve._version import VERSION
from kernelevolve.api.answers import (
    best_record,
    candidate_record,
    candidate_rows,
    context_markdown,
    run_cost,
    run_record,
    told_record,
)
from kernelevolve.api.asking import EXPIRES, ask, decline, tell
from kernelevolve.api.starting import start
from kernelevolve.cli.listing import accelerator_record, problem_record
from kernelevolve.errors import KernelEvolveError, UnknownNameError
from kernelevolve.evolution.budget import Budget
from kernelevolve.evolution.loop import Progress
from kernelevolve.knowledge import Library
from kernelevolve.store import Store

_INSTRUCTIONS: Final = """kernelevolve judges kernels for accelerators; you write them. Start a run (start_run), then \
repeat: ask for what to write next, write one complete kernel file from the context you are given, tell it, and read \
what was measured. A proposal that leads nowhere is declined. Only numbers that tell returns were measured."""
#: What only looks.
_LOOKS: Final = ToolAnnotations(read_only_hint=True, open_world_hint=False)
#: What adds to a run; a repetition changes nothing.
_ADDS: Final = ToolAnnotations(
    read_only_hint=False, destructive_hint=False, idempotent_hint=True, open_world_hint=False
)
#: What adds each time it is called.
_MAKES: Final = ToolAnnotations(
    read_only_hint=False, destructive_hint=False, idempotent_hint=False, open_world_hint=False
)
Record = dict[str, Any]
P = ParamSpec("P")
T = TypeVar("T")


def serve(store_url: str | None) -> None:
    """Serve on standard input and output until the client closes them."""
    make_server(store_url).run("stdio")


def make_server(store_url: str | None) -> MCPServer[Any]:
    """The server with its tools; every call opens the store at `store_url` (default: the user's) for itself."""
    server: MCPServer[Any] = MCPServer(
        "kernelevolve", instructions=_INSTRUCTIONS, version=VERSION, log_level="WARNING", subscriptions=False
    )
    tools = Tools(store_url)
    for look in (
        tools.list_problems,
        tools.show_problem,
        tools.list_devices,
        tools.search_knowledge,
        tools.read_knowledge,
        tools.list_runs,
        tools.candidates,
        tools.candidate,
        tools.best_kernel,
        tools.cost,
    ):
        server.add_tool(_plain(look), annotations=_LOOKS)
    for make in (tools.start_run, tools.ask):
        server.add_tool(_plain(make), annotations=_MAKES)
    for add in (tools.tell, tools.decline):
        server.add_tool(_plain(add), annotations=_ADDS)
    return server


def _plain(tool: Callable[P, T]) -> Callable[P, T]:
    """`tool`, whose errors that a caller can mend are told in their one sentence."""

    @functools.wraps(tool)
    def called(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return tool(*args, **kwargs)
        except KernelEvolveError as error:
            raise ToolError(str(error)) from error

    return called


class _Reporter:
    """Sends progress from a tool's thread, where the client asked for it."""

    def __init__(self, context: Context[Any, Any]) -> None:
        self._context = context
        self._step = 0

    def __call__(self, message: str) -> None:
        self._step += 1
        anyio.from_thread.run(self._context.report_progress, float(self._step), None, message)

    def progress(self, progress: Progress) -> None:
        self(progress.activity)


class Tools:
    """The tools; what each returns is one JSON object. The docstrings are what the agent reads."""

    def __init__(self, store_url: str | None) -> None:
        self._url = store_url

    # --- what there is

    def list_problems(self) -> Record:
        """The problems that kernels can be written for: names, axes, tensors, languages of their seed kernels."""
        return {"problems": [problem_record(registry.problem(name)) for name in registry.problem_names()]}

    def show_problem(self, name: str, language: str | None = None) -> Record:
        """One problem: axes, tensors, workloads; with `language` its seed kernel. `name` may be path/file.py:name."""
        problem = registry.problem(name)
        record = problem_record(problem)
        if language is None:
            return record
        if language not in problem.seeds:
            raise UnknownNameError("seed language", language, sorted(problem.seeds), where=f"problem {name!r}")
        return record | {"seed": problem.seeds[language]}

    def list_devices(self) -> Record:
        """Every accelerator: whether it can be used here, or why not; its devices, what they are, and its targets."""
        return {"accelerators": [accelerator_record(name) for name in registry.accelerator_names()]}

    def search_knowledge(self, query: str, language: str | None = None, limit: int = 8) -> Record:
        """Search the pages on hardware, languages and techniques; read one with read_knowledge."""
        library = Library.load()
        found = library.search(query, among=library.select(language=language), limit=limit)
        return {
            "pages": [
                {"page": one.page.id, "title": one.page.title, "about": one.page.about, "score": one.score}
                for one in found
            ]
        }

    def read_knowledge(self, page: str) -> Record:
        """One page of the knowledge base, in Markdown."""
        found = Library.load().page(page)
        return {"page": found.id, "title": found.title, "text": found.text}

    # --- a run

    def start_run(
        self,
        problem: str,
        accelerator: str,
        context: Context[Any, Any],
        device: str | None = None,
        target: str | None = None,
        workloads: list[str] | None = None,
        evaluations: int | None = None,
        policy: str = "map-elites",
        seed: int = 0,
    ) -> Record:
        """Start a run: its seed kernel is evaluated, and everything told later is compared with it. Returns its id.

        `workloads` are what is timed, such as ["rows=4096,cols=1024"]; `evaluations` limits the run, seed included.
        """
        with Store.open(self._url) as store:
            run = start(
                problem,
                accelerator,
                device=device,
                target=target,
                workloads=workloads,
                budget=Budget(evaluations=evaluations),
                policy=policy,
                seed=seed,
                store=store,
                waiting=_Reporter(context),
            )
            return run_record(store, run.id)

    def list_runs(self) -> Record:
        """The runs that there are, the latest last, with how many kernels each has and the best fitness."""
        with Store.open(self._url) as store:
            return {"runs": [run_record(store, run.id) for run in store.runs()]}

    def ask(self, run: str, context: Context[Any, Any], expires: float = EXPIRES) -> Record:
        """What to write next: a proposal's id, and its context as Markdown. Reserves it for `expires` seconds.

        Several may be open at once. Answer each with tell, or with decline.
        """
        how = (
            "Call the tool `tell` with this run, this proposal and the kernel file's text, or `decline` with a reason."
        )
        with Store.open(self._url) as store:
            (asked,) = ask(run, expires=expires, store=store, waiting=_Reporter(context))
            return {
                "run": run,
                "proposal": asked.proposal,
                "expires": asked.expires,
                "language": asked.request.language,
                "context": context_markdown(asked, how),
            }

    def tell(
        self,
        run: str,
        proposal: str,
        kernel: str,
        context: Context[Any, Any],
        note: str = "",
        predicted: float | None = None,
        bottleneck: str = "",
    ) -> Record:
        """Answer a proposal with the whole text of a kernel file. It is checked, timed and recorded, once.

        `note` says in one line what was changed, `predicted` how many times as fast as the parent it should be,
        `bottleneck` what it is aimed at. Telling the same again returns what was recorded.
        """
        report = _Reporter(context)
        with Store.open(self._url) as store:
            told = tell(
                run,
                proposal,
                kernel,
                note=note,
                predicted=predicted,
                bottleneck=bottleneck,
                store=store,
                observer=report.progress,
                waiting=report,
            )
            return told_record(store, told)

    def decline(self, run: str, proposal: str, reason: str) -> Record:
        """Say that nothing comes of a proposal, and why in one sentence."""
        with Store.open(self._url) as store:
            return told_record(store, decline(run, proposal, reason, store=store))

    def candidates(self, run: str, limit: int = 50) -> Record:
        """The candidates of a run, the fittest first: outcome, fitness (× as fast as the seed), what was changed."""
        with Store.open(self._url) as store:
            return {"run": run, "candidates": candidate_rows(store, run)[:limit]}

    def candidate(self, run: str, number: int) -> Record:
        """One candidate: source, outcome, times, profile, and its difference to its parent."""
        with Store.open(self._url) as store:
            return candidate_record(store, run, number)

    def best_kernel(self, problem: str, accelerator: str | None = None) -> Record:
        """The best right kernel for a problem over all runs on comparable devices, with the run it is of."""
        with Store.open(self._url) as store:
            return best_record(store, problem, accelerator)

    def cost(self, run: str) -> Record:
        """What a run has spent (evaluations, seconds, device seconds, tokens, dollars) and what came of it."""
        with Store.open(self._url) as store:
            return run_cost(store, run)
