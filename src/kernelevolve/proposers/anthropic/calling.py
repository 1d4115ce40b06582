"""One call of the model: budget asked, request streamed, cost paid, repeated with back-off where that can help."""

from __future__ import annotations

__all__ = ["PASSING", "BudgetSpent", "Caller", "Sleep", "Streaming", "Transport", "judged"]

import asyncio
import email.utils
import json
import random
import time
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import Executor, Future
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Protocol

from attrs import evolve, frozen

from kernelevolve.evolution.proposal import Usage, Workbench
from kernelevolve.proposers.anthropic.prices import Prices
from kernelevolve.proposers.anthropic.replies import Assembly, Broken, CallFailed, Count, Fatal, Reply
from kernelevolve.proposers.anthropic.secret import redacted
from kernelevolve.proposers.anthropic.settings import ModelSettings

if TYPE_CHECKING:
    from anthropic import AsyncAnthropic

Sleep = Callable[[float], Awaitable[None]]
#: Seconds before the first repetition; each further one waits twice as long, up to the second figure.
FIRST_WAIT: Final = 1.0
LONGEST_WAIT: Final = 60.0
#: A server that wants a longer pause than this is not waited for.
_PATIENCE: Final = 600.0
#: Tokens that the provider adds to the prompt of a request with tools: its table has up to 530, for older models
#: (Anthropic, "Tool use pricing and tokens"); newer ones may need more.
UNSEEN_TOKENS: Final = 2000
#: Errors that no repetition of any request mends.
_HOPELESS: Final = (401, 402, 403, 404)
#: Types of errors that another moment may mend; within a stream or a batch the type is all that is told.
PASSING: Final = frozenset({"overloaded_error", "api_error", "rate_limit_error", "timeout_error"})


class BudgetSpent(CallFailed):
    """Nothing was called: the run may not spend more."""


@frozen
class Verdict:
    """What an error means: whether to repeat the call, and what to say where that does not help."""

    again: bool
    sentence: str
    #: Seconds that the server asks for; None: it does not say.
    after: float | None = None
    #: Of an answer that refuses this very request; None for anything that another moment may mend.
    status: int | None = None


class Transport(Protocol):
    """Brings one reply, and reports its cost to `count` as soon as it is known."""

    async def fetch(self, request: Mapping[str, Any], count: Count) -> Reply: ...


class Streaming:
    """Streams each reply over a connection of its own."""

    def __init__(self, client: AsyncAnthropic) -> None:
        self._client = client

    async def fetch(self, request: Mapping[str, Any], count: Count) -> Reply:
        """The reply to `request`. Raises what the SDK raises, or `Broken` for a stream that ended too early."""
        assembly = Assembly(count)
        async with await self._client.messages.create(**request, stream=True) as stream:
            async for event in stream:
                assembly.take(event)
        return assembly.reply()


class Caller:
    """Makes the calls of all proposals. The one place that asks the budget and pays."""

    def __init__(
        self, transport: Transport, settings: ModelSettings, prices: Prices, sleep: Sleep, pool: Executor
    ) -> None:
        self._transport, self._settings, self._prices, self._sleep = transport, settings, prices, sleep
        #: Where the budget is asked: it may make a call wait for what others will have cost.
        self._pool = pool
        #: Whether any call was ever answered: what is refused before that is a setting, not a request.
        self._answered = False

    async def call(
        self, request: Mapping[str, Any], workbench: Workbench | None, rng: random.Random
    ) -> tuple[Reply, Usage]:
        """The reply and what all attempts cost together.

        Each attempt asks `Workbench.afford` first; each that was made is paid once, whatever became of it. Raises
        `CallFailed` (this proposal is lost; its `usage` is what was spent) or `Fatal` (every one would be).
        """
        spent, most = Usage(model=self._settings.model), self._most(request)
        for attempt in range(self._settings.retries + 1):
            refusal = await self._afford(workbench, most)
            if refusal is not None:
                raise _costing(BudgetSpent(refusal), spent)
            count = Count(self._settings.model)
            try:
                reply = await self._transport.fetch(request, count)
            except CallFailed as error:
                raise _costing(error, spent + self._price(count)) from None
            except Exception as error:  # the SDK's, the connection's; judged one by one
                verdict = judged(error)
            else:
                self._answered = True
                return reply, spent + self._price(count)
            finally:
                usage = self._price(count)
                if workbench is not None:
                    workbench.pay(usage)
            spent += usage
            if not verdict.again:
                raise _costing(self._lost(verdict), spent)
            if attempt < self._settings.retries:
                await self._sleep(_wait(attempt, verdict.after, rng))
        tries = self._settings.retries + 1
        raise _costing(CallFailed(f"{verdict.sentence}; given up after {tries} attempts"), spent)

    async def _afford(self, workbench: Workbench | None, most: Usage) -> str | None:
        """Why no call may be made. A call that was let begin and is not made is paid with nothing."""
        if workbench is None:
            return None
        asked = self._pool.submit(workbench.afford, most)
        try:
            return await asyncio.wrap_future(asked)
        except asyncio.CancelledError:
            asked.add_done_callback(partial(_give_back, workbench))
            raise

    def _lost(self, verdict: Verdict) -> CallFailed:
        """Whether one proposal is lost or all are: what is refused before anything was answered is a setting."""
        hopeless = verdict.status in _HOPELESS or (verdict.status is not None and not self._answered)
        return (Fatal if hopeless else CallFailed)(verdict.sentence)

    def _most(self, request: Mapping[str, Any]) -> Usage:
        """What a call cannot cost more than. A token stands for a byte at least, so the request's bytes bound them."""
        settings = self._settings
        prompt = len(json.dumps(request, default=str, ensure_ascii=False).encode()) + UNSEEN_TOKENS
        return self._prices.most(
            settings.model, prompt, int(request["max_tokens"]), ttl=settings.cache_ttl, batch=settings.batch
        )

    def _price(self, count: Count) -> Usage:
        usage = count.usage()
        settings = self._settings
        return evolve(usage, dollars=self._prices.dollars(usage, ttl=settings.cache_ttl, batch=settings.batch))


def _give_back(workbench: Workbench, asked: Future[str | None]) -> None:
    if not asked.cancelled() and asked.exception() is None and asked.result() is None:
        workbench.pay(Usage())


def _costing(error: CallFailed, spent: Usage) -> CallFailed:
    error.usage = spent
    return error


def _wait(attempt: int, after: float | None, rng: random.Random) -> float:
    """Seconds before the next attempt: what the server asks for, or twice as long each time with some jitter."""
    if after is not None:
        return after
    wait = min(LONGEST_WAIT, FIRST_WAIT * 2.0**attempt)
    return wait * (0.75 + 0.5 * rng.random())


def judged(error: Exception) -> Verdict:
    """What `error` means. Its sentence never holds the key. Anything unknown is raised again: a fault of ours."""
    import anthropic  # noqa: PLC0415
    import httpx2  # noqa: PLC0415

    match error:
        case Broken():
            return Verdict(again=True, sentence=error.why)
        case anthropic.APIStatusError():
            return _status(error)
        case anthropic.APIConnectionError() | httpx2.TransportError():
            kind = "timed out" if isinstance(error, anthropic.APITimeoutError | httpx2.TimeoutException) else "was lost"
            return Verdict(again=True, sentence=f"the connection to the Anthropic API {kind}")
        case json.JSONDecodeError() | UnicodeDecodeError() | anthropic.APIResponseValidationError():
            return Verdict(again=True, sentence="the Anthropic API sent something that is no reply")
        case anthropic.AnthropicError():
            return Verdict(again=False, sentence=redacted(f"the Anthropic SDK refused the call: {error}"))
    raise error


def _status(error: Any) -> Verdict:
    status, kind = int(error.status_code), str(error.type or "")
    said = redacted(str(error.api_message or "")).strip()
    what = " ".join(part for part in (str(status) if status >= 400 else "", kind) if part) or "an error"
    sentence = f"the Anthropic API refused the call ({what}{f': {said}' if said else ''})"
    asked = error.response.headers.get("x-should-retry")
    again = status in (408, 409, 429) or status >= 500 or kind in PASSING
    if asked in ("true", "false"):
        again = asked == "true"
    after = _retry_after(error.response.headers)
    if again and after is not None and after > _PATIENCE:
        return Verdict(again=False, sentence=f"{sentence} and wants a pause of {after:.0f} s")
    return Verdict(again=again, sentence=sentence, after=after, status=status)


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds that the server asks for: ``retry-after-ms``, or ``Retry-After`` in seconds or as a date."""
    for name, unit in (("retry-after-ms", 1e-3), ("retry-after", 1.0)):
        try:
            return max(0.0, float(headers[name]) * unit)
        except (KeyError, ValueError):
            continue
    date = email.utils.parsedate_tz(headers.get("retry-after", ""))
    return None if date is None else max(0.0, email.utils.mktime_tz(date) - time.time())
