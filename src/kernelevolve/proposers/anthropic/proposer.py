"""The `Proposer` that asks a language model."""

from __future__ import annotations

__all__ = ["OPERATOR", "AnthropicProposer"]

import asyncio
import contextlib
import itertools
import queue
import threading
from collections.abc import Callable, Coroutine, Mapping
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Self, TypeVar

from attrs import frozen

from kernelevolve.evolution.proposal import Failed, Proposal, ProposalRequest
from kernelevolve.knowledge import Library
from kernelevolve.problem import Problem
from kernelevolve.proposers.anthropic.batches import Batching
from kernelevolve.proposers.anthropic.calling import Caller, Sleep, Streaming
from kernelevolve.proposers.anthropic.conversation import Conversation
from kernelevolve.proposers.anthropic.prices import Prices
from kernelevolve.proposers.anthropic.secret import the_key
from kernelevolve.proposers.anthropic.settings import ModelSettings

if TYPE_CHECKING:
    from anthropic import AsyncAnthropic

T = TypeVar("T")
#: The one operator: a single prompt, made of what the run knows.
OPERATOR: Final = "model"
#: Seconds in which a connection must come about.
_CONNECT: Final = 15.0
#: Recorded measurements have no kernels that could be written.
_UNWRITABLE: Final = "replay"

_Result = tuple[int, Proposal | Failed | BaseException]


class AnthropicProposer:
    """Proposes kernels with a model of Anthropic's, several at a time, each in a short conversation with tools.

    `settings` default to `ModelSettings`, `library` to no knowledge; `sleep` is what waits between attempts. The key
    is read from ANTHROPIC_API_KEY when the first call is made, and kept nowhere but in the SDK's client. Threads and
    connections exist while proposals are open; `cancel` ends them, and a later proposal starts them again.
    """

    name: str = "anthropic"

    def __init__(
        self, settings: ModelSettings | None = None, library: Library | None = None, *, sleep: Sleep = asyncio.sleep
    ) -> None:
        self.settings, self.library = settings or ModelSettings(), library
        #: How many proposals to keep open.
        self.width = self.settings.width
        self._sleep = sleep
        self._tickets = itertools.count(1)
        self._results: queue.SimpleQueue[_Result] = queue.SimpleQueue()
        self._engine: _Engine | None = None

    @classmethod
    def configured(cls, settings: Mapping[str, Any]) -> AnthropicProposer:
        """A proposer with these fields of `ModelSettings`, as JSON values, and all of the knowledge base.

        Raises `KernelEvolveError` for a name or a value that is none.
        """
        return cls(ModelSettings.from_record(settings), Library.load())

    def check_ready(self) -> None:
        """Return if proposals can be asked for; raise `KernelEvolveError` that says what is missing. Calls nobody."""
        the_key()
        self.settings.check()

    def operators(self, problem: Problem, language: str) -> tuple[str, ...]:  # noqa: ARG002  # one for all problems
        """``model``, for every language in which kernels can be written."""
        return () if language == _UNWRITABLE else (OPERATOR,)

    def remembers(self, operator: str) -> bool:
        """The model reads the history."""
        return operator == OPERATOR

    def concurrent(self, operator: str) -> bool:
        """The model is waited for."""
        return operator == OPERATOR

    def propose(self, request: ProposalRequest) -> Proposal | Failed | None:
        """One proposal, waited for. Raises `KernelEvolveError` where no proposal can be made at all."""
        future = self._started().run(request)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    def begin(self, request: ProposalRequest) -> int:
        """Start on a proposal; its ticket. Never waits. Raises `KernelEvolveError` without a key."""
        ticket = next(self._tickets)
        future = self._started().run(request)
        future.add_done_callback(partial(self._done, ticket))
        return ticket

    def _done(self, ticket: int, future: Future[Proposal | Failed]) -> None:
        if future.cancelled():
            return
        error = future.exception()
        self._results.put((ticket, error if error is not None else future.result()))

    def finished(self, timeout: float) -> tuple[int, Proposal | Failed | None] | None:
        """A ticket that is done, each once; None where none is after `timeout` seconds.

        Raises `KernelEvolveError` for an answer that means that none of the others can succeed either.
        """
        try:
            ticket, result = self._results.get(timeout=timeout) if timeout > 0 else self._results.get_nowait()
        except queue.Empty:
            return None
        if isinstance(result, BaseException):
            raise result
        return ticket, result

    def cancel(self) -> None:
        """Give up what is open, and wait until nothing is under way: no call, no compile, no thread.

        Calls are cut at once; a compile that a tool asked for ends by its own limit.
        """
        engine, self._engine = self._engine, None
        if engine is not None:
            engine.stop()
        with contextlib.suppress(queue.Empty):
            while True:
                self._results.get_nowait()

    def _started(self) -> _Engine:
        if self._engine is None:
            self._engine = _Engine(self.settings, self.library, self._sleep)
        return self._engine


class _Engine:
    """An event loop on a thread of its own, with one client, and threads for what the tools compile."""

    def __init__(self, settings: ModelSettings, library: Library | None, sleep: Sleep) -> None:
        key, self._prices = the_key(), settings.check()
        self._settings, self._library, self._sleep = settings, library, sleep
        self._pool = ThreadPoolExecutor(max_workers=settings.width + 1, thread_name_prefix="kernelevolve-tools")
        #: Importing the SDK takes seconds; whoever begins a proposal does not wait for it.
        self._line = self._pool.submit(_Line.open, key, settings, self._prices, sleep, self._pool)
        self._tasks: set[asyncio.Task[Any]] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="kernelevolve-model", daemon=True)
        self._thread.start()

    def run(self, request: ProposalRequest) -> Future[Proposal | Failed]:
        """Start one conversation."""
        return self._submit(self._converse(request))

    async def _converse(self, request: ProposalRequest) -> Proposal | Failed:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        line = await asyncio.shield(asyncio.wrap_future(self._line))  # all conversations share it
        made = await self._aside(self._conversation, request, line.caller)
        return await made.run()

    def _conversation(self, request: ProposalRequest, caller: Caller) -> Conversation:
        return Conversation(
            request,
            settings=self._settings,
            model=self._prices.model(self._settings.model),
            caller=caller,
            library=self._library,
            aside=self._aside,
        )

    async def _aside(self, work: Callable[..., T], *arguments: Any) -> T:
        return await self._loop.run_in_executor(self._pool, partial(work, *arguments))

    def _submit(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    def stop(self) -> None:
        """End everything, in order: conversations, batches, connections, tools' threads, the loop."""
        self._submit(self._wind_up()).result()
        self._pool.shutdown(wait=True, cancel_futures=True)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _wind_up(self) -> None:
        open_ones = list(self._tasks)
        for task in open_ones:
            task.cancel()
        await asyncio.gather(*open_ones, return_exceptions=True)
        await asyncio.wait([asyncio.wrap_future(self._line)])
        if self._line.exception() is None:  # else there was never a line to close
            await self._line.result().close()


@frozen(repr=False)
class _Line:
    """The SDK's client, and what calls through it."""

    client: AsyncAnthropic
    transport: Streaming | Batching
    caller: Caller

    @classmethod
    def open(cls, key: str, settings: ModelSettings, prices: Prices, sleep: Sleep, pool: Executor) -> Self:
        """A client that repeats nothing by itself, since each call asks the budget first, and that traces nothing."""
        import anthropic  # noqa: PLC0415

        client = anthropic.AsyncAnthropic(
            api_key=key,
            base_url=settings.base_url,
            max_retries=0,
            timeout=anthropic.Timeout(settings.timeout, connect=min(_CONNECT, settings.timeout)),
            open_telemetry=False,
        )
        transport = Batching(client, settings, sleep) if settings.batch else Streaming(client)
        return cls(client, transport, Caller(transport, settings, prices, sleep, pool))

    async def close(self) -> None:
        """End batches and connections."""
        if isinstance(self.transport, Batching):
            await self.transport.close()
        await self.client.close()
