"""A planted key, a scripted server, and requests on the reference accelerator with a workbench that really compiles."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from attrs import define, field

from kernelevolve import Workload, parse_kernel, registry
from kernelevolve.errors import KernelEvolveError
from kernelevolve.evaluation.gate import Gate
from kernelevolve.evolution.budget import Budget, Ledger
from kernelevolve.evolution.proposal import Parent, Preflight, ProposalRequest, Usage
from kernelevolve.kernel import Kernel
from kernelevolve.knowledge import Library
from kernelevolve.outcome import CandidateError, Outcome
from kernelevolve.proposers.anthropic import AnthropicProposer, ModelSettings
from kernelevolve.testing import samples

sys.path.append(str(Path(__file__).parent))  # `messages_server`, for the tests beside it

from messages_server import MessagesServer

#: Planted in the environment; no test may find it anywhere but in one header.
KEY = "sk-ant-planted-0123456789abcdef-planted"
WORKLOAD = Workload.parse("rows=16,cols=32")


@define
class Desk:
    """A workbench on a real ledger, a real gate and the reference accelerator's compiler."""

    ledger: Ledger = field(factory=lambda: Ledger(Budget()))
    paid: list[Usage] = field(factory=list)
    most: list[Usage] = field(factory=list)
    asked: int = 0
    compiled: int = 0
    parents: dict[int, Parent] = field(factory=dict)
    #: Held by a test to make a compile last.
    compiling: threading.Event = field(factory=threading.Event)
    may_compile: threading.Event = field(factory=threading.Event)

    def __attrs_post_init__(self) -> None:
        self.may_compile.set()

    def afford(self, most: Usage | None = None) -> str | None:
        assert most is not None
        self.most.append(most)
        self.asked += 1
        return self.ledger.begin_call(tokens=most.tokens, dollars=most.dollars)

    def pay(self, usage: Usage) -> None:
        self.paid.append(usage)
        self.ledger.end_call(tokens=usage.tokens, dollars=usage.dollars)

    def candidates(self) -> tuple[int, ...]:
        return tuple(sorted(self.parents, key=lambda number: -self.parents[number].fitness))

    def look(self, candidate: int) -> Parent:
        if candidate not in self.parents:
            raise KernelEvolveError(f"there is no candidate {candidate}")
        return self.parents[candidate]

    def preflight(self, kernel: Kernel) -> Preflight:
        self.compiling.set()
        assert self.may_compile.wait(20)
        made = registry.accelerator("reference")
        device = made.devices()[0]
        try:
            plan = Gate(samples.problem(), device.facts).plan(kernel, kernel.default, WORKLOAD)
            artifact = made.compile(plan, device.target)
        except CandidateError as error:
            return Preflight(error.outcome, error.message)
        self.compiled += 1
        return Preflight(None, "", artifact.log, artifact.resources)


@pytest.fixture
def key(monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("ANTHROPIC_API_KEY", KEY)
    for name in ("ANTHROPIC_BASE_URL", "ANTHROPIC_AUTH_TOKEN", "KERNELEVOLVE_PRICES"):
        monkeypatch.delenv(name, raising=False)
    return KEY


@pytest.fixture
def server() -> Iterator[MessagesServer]:
    with MessagesServer() as running:
        yield running


@pytest.fixture
def library(tmp_path: Path) -> Library:
    """Two pages of knowledge."""
    for name, title in (("spills", "Registers that spill"), ("coalescing", "Coalesced access to memory")):
        path = tmp_path / "pages" / "guidance" / f"{name}.md"
        path.parent.mkdir(parents=True, exist_ok=True)
        header = f"title: {title}\nkind: guidance\nsources: [https://example.org/]"
        path.write_text(f"---\n{header}\n---\nWhat there is to say about {name}.\n")
    return Library.load([tmp_path / "pages"], builtin=False, environment=False)


@pytest.fixture
def desk() -> Desk:
    return Desk()


@pytest.fixture
def request_for(desk: Desk) -> Callable[..., ProposalRequest]:
    """Makes requests: to change the slow sample, unless told otherwise."""

    def make(**more: Any) -> ProposalRequest:
        slow = Parent(0, parse_kernel(samples.SLOW), Outcome.CORRECT, 1.0)
        desk.parents.setdefault(0, slow)
        standard = {
            "problem": samples.problem(),
            "device": registry.accelerator("reference").devices()[0],
            "language": "reference",
            "workloads": (WORKLOAD,),
            "parents": (slow,),
            "operator": "model",
            "seed": 1,
            "workbench": desk,
        }
        return ProposalRequest(**(standard | more))

    return make


@pytest.fixture
def naps() -> list[float]:
    """Seconds that the proposer would have slept."""
    return []


@pytest.fixture
def proposer(key: str, server: MessagesServer, naps: list[float]) -> Iterator[Callable[..., AnthropicProposer]]:
    """Makes proposers that talk to the server and sleep no time at all; all are cancelled at the end."""

    async def nap(seconds: float) -> None:
        naps.append(seconds)

    with ExitStack() as stack:

        def make(library: Any = None, sleep: Any = nap, **settings: Any) -> AnthropicProposer:
            made = AnthropicProposer(ModelSettings(base_url=server.url, **settings), library, sleep=sleep)
            stack.callback(made.cancel)
            return made

        yield make
