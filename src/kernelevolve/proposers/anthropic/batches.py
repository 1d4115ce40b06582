"""Message batches: the requests of a generation go out together, at half the price, and are polled for."""

from __future__ import annotations

__all__ = ["Batching"]

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any, Final, TypeVar

from attrs import frozen

from kernelevolve.proposers.anthropic.calling import PASSING, Sleep, Verdict, judged
from kernelevolve.proposers.anthropic.replies import Broken, CallFailed, Count, Reply, content_of
from kernelevolve.proposers.anthropic.secret import redacted
from kernelevolve.proposers.anthropic.settings import ModelSettings

if TYPE_CHECKING:
    from anthropic import AsyncAnthropic

T = TypeVar("T")
#: Looks at a batch that may fail in a row before it is given up: hours of waiting are not lost to one bad minute.
_LOOKS: Final = 20
#: Seconds that telling the provider to stop a batch may take, when a run is being stopped.
_GOODBYE: Final = 5.0


@frozen(eq=False)
class _Waiting:
    """A request that waits for its batch, and then for its result."""

    request: Mapping[str, Any]
    count: Count
    result: asyncio.Future[Reply]


class Batching:
    """Collects requests until `ModelSettings.width` are there or nobody came for a while, and sends them as one batch.

    All on one event loop. `close` cancels what is under way at the provider, too.
    """

    def __init__(self, client: AsyncAnthropic, settings: ModelSettings, sleep: Sleep) -> None:
        self._client, self._settings, self._sleep = client, settings, sleep
        self._queue: list[_Waiting] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._timer: asyncio.Task[None] | None = None
        #: Batches that the provider works on.
        self._open: set[str] = set()

    async def fetch(self, request: Mapping[str, Any], count: Count) -> Reply:
        """The reply to `request`, once its batch is done. Raises `CallFailed`, or `Broken` for one worth repeating."""
        waiting = _Waiting(request, count, asyncio.get_running_loop().create_future())
        self._queue.append(waiting)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if len(self._queue) >= self._settings.width:
            self._send()
        else:
            self._timer = asyncio.create_task(self._later())
        return await waiting.result

    async def close(self) -> None:
        """Give up everything, and tell the provider."""
        tasks = [*self._tasks, *([self._timer] if self._timer else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        with contextlib.suppress(Exception):  # a run is being stopped; the provider ends batches by itself in a day
            await asyncio.wait_for(asyncio.gather(*map(self._client.messages.batches.cancel, self._open)), _GOODBYE)
        self._open.clear()

    async def _later(self) -> None:
        await self._sleep(self._settings.batch_wait)
        self._timer = None
        self._send()

    def _send(self) -> None:
        asked = [one for one in self._queue if not one.result.done()]
        self._queue.clear()
        if asked:
            task = asyncio.create_task(self._run(asked))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _run(self, asked: list[_Waiting]) -> None:
        """One batch from start to end; each of `asked` gets its reply or an error."""
        try:
            named = {f"request-{number}": one for number, one in enumerate(asked)}
            await self._results(named, await self._create(named))
            for one in asked:
                _fail(one, Broken("the batch ended without a result for this request"))
        except Exception as error:  # every failure is handed to those who wait; none may be lost
            for one in asked:
                _fail(one, error)
        finally:
            for one in asked:
                one.result.cancel()

    async def _create(self, named: Mapping[str, _Waiting]) -> str:
        requests: Any = [{"custom_id": name, "params": dict(one.request)} for name, one in named.items()]
        batch = await self._client.messages.batches.create(requests=requests)
        self._open.add(batch.id)
        return batch.id

    async def _results(self, named: Mapping[str, _Waiting], batch: str) -> None:
        batches = self._client.messages.batches
        while (await self._patiently(lambda: batches.retrieve(batch))).processing_status != "ended":
            await self._sleep(self._settings.batch_poll)
        self._open.discard(batch)

        async def read() -> None:
            async for entry in await batches.results(batch):
                one = named.get(entry.custom_id)
                if one is not None and not one.result.done():
                    _deliver(one, entry.result)

        await self._patiently(read)

    async def _patiently(self, look: Callable[[], Awaitable[T]]) -> T:
        """What `look` brings, in spite of errors that pass."""
        for left in reversed(range(_LOOKS)):
            try:
                return await look()
            except Exception as error:  # the SDK's, the connection's; judged one by one
                verdict = judged(error)
                if not verdict.again or not left:
                    raise CallFailed(f"the batch cannot be read: {verdict.sentence}") from None
                await self._sleep(max(self._settings.batch_poll, verdict.after or 0.0))
        raise AssertionError  # the last look returns or raises


def _deliver(one: _Waiting, result: Any) -> None:
    if result.type == "succeeded":
        one.count.report(result.message.usage)
        one.result.set_result(content_of(result.message))
        return
    verdict = _unanswered(result)
    one.result.set_exception(Broken(verdict.sentence) if verdict.again else CallFailed(verdict.sentence))


def _unanswered(result: Any) -> Verdict:
    if result.type != "errored":
        return Verdict(again=False, sentence=f"the request's batch ended with it {result.type}")
    error = result.error.error
    again = error.type in PASSING
    return Verdict(
        again=again, sentence=redacted(f"the Anthropic API refused the call ({error.type}: {error.message})")
    )


def _fail(one: _Waiting, error: Exception) -> None:
    if not one.result.done():
        one.result.set_exception(error)
