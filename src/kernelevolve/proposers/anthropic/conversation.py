"""One proposal from the first question to a kernel: turns of a conversation, bounded, with one repair."""

from __future__ import annotations

__all__ = ["Conversation"]

import random
from collections.abc import Awaitable, Callable
from typing import Any, Final

from kernelevolve.evolution.proposal import Failed, Proposal, ProposalRequest, Usage
from kernelevolve.kernel import Kernel
from kernelevolve.proposers.anthropic.calling import Caller
from kernelevolve.proposers.anthropic.prices import Model
from kernelevolve.proposers.anthropic.replies import CallFailed, Fatal, Reply, ToolCall, sendable
from kernelevolve.proposers.anthropic.secret import redacted
from kernelevolve.proposers.anthropic.settings import ModelSettings
from kernelevolve.proposers.anthropic.toolbox import Mistake, Toolbox
from kernelevolve.proposers.anthropic.tools import ANSWER, SUBMIT, Submission, tools
from kernelevolve.proposers.context import Context, assemble, markdown

#: Runs something that takes time without holding up other conversations.
Aside = Callable[..., Awaitable[Any]]
#: Replies that must be asked for again before a proposal counts as failed.
_REPAIRS: Final = 1
_LAST: Final = f"This was the last look-up; call {SUBMIT} now."
_REASON_CHARS: Final = 600


class Conversation:
    """The messages of one proposal, and what is to be done with each reply."""

    def __init__(
        self,
        request: ProposalRequest,
        *,
        settings: ModelSettings,
        model: Model,
        caller: Caller,
        library: Any,
        aside: Aside,
    ) -> None:
        self._request, self._settings, self._model = request, settings, model
        self._caller, self._aside = caller, aside
        self._toolbox = Toolbox(request, library)
        self._context: Context = assemble(request, library=library, answer=ANSWER)
        self._tools = tools(knowledge=library is not None)
        self._messages: list[dict[str, Any]] = [_user(markdown(self._context.changing))]
        self._rng = random.Random(request.seed)
        self._spent = Usage(model=settings.model)
        self._mistakes = 0

    async def run(self) -> Proposal | Failed:
        """The proposal, or why there is none. Raises `Fatal` where no further proposal can be made either."""
        turns = self._settings.turns
        for turn in range(1, turns + _REPAIRS + 1):
            if turn > turns and not self._mistakes:
                break
            try:
                reply = await self._call()
            except Fatal:
                raise
            except CallFailed as error:
                self._spent += error.usage
                return self._failed(str(error))
            kernel, wrong = await self._consider(reply, last=turn >= turns - 1)
            if kernel is not None:
                return self._proposal(*kernel)
            if wrong is not None:
                self._mistakes += 1
                if self._mistakes > _REPAIRS:
                    return self._failed(wrong)
        return self._failed(f"no kernel was handed in within {turns} turns")

    async def _call(self) -> Reply:
        reply, usage = await self._caller.call(self._payload(), self._request.workbench, self._rng)
        self._spent += usage
        return reply

    def _payload(self) -> dict[str, Any]:
        """The request: tools, stable prefix, conversation, with a cache breakpoint after the latter two.

        The provider reads its cache in the order tools, system, messages, so one mark after the prefix covers the tools
        as well; the marks in the conversation let each turn reuse the one before.
        """
        mark = {"type": "ephemeral"} | ({"ttl": "1h"} if self._settings.cache_ttl == "1h" else {})
        prefix = {"type": "text", "text": markdown(self._context.stable), "cache_control": mark}
        messages = [dict(message) for message in self._messages]
        for index in {0, len(messages) - 1}:
            content = list(messages[index]["content"])
            content[-1] = {**content[-1], "cache_control": mark}
            messages[index] = {**messages[index], "content": content}
        payload: dict[str, Any] = {
            "model": self._settings.model,
            "max_tokens": self._settings.max_tokens,
            "system": [prefix],
            "tools": self._tools,
            "tool_choice": {"type": "auto"},  # models that always think refuse to be forced
            "messages": messages,
        }
        if self._model.thinking == "adaptive":
            payload["thinking"] = {"type": "adaptive"}
        if self._settings.effort is not None:
            payload["output_config"] = {"effort": self._settings.effort}
        return payload

    # --- replies

    async def _consider(self, reply: Reply, *, last: bool) -> tuple[tuple[Kernel, Submission] | None, str | None]:
        """What a reply brings: a kernel, or what was wrong with it, or neither where it only asked.

        The conversation is left so that the next call can be made.
        """
        match reply.stop_reason:
            case "refusal":
                wrong = f"the model refused to answer{f' ({reply.explanation})' if reply.explanation else ''}"
                self._remind(
                    "The reply before this one was stopped by a safety filter. The task is numerical code for the "
                    f"device and problem described; answer it by calling {SUBMIT}."
                )
                return None, wrong
            case "max_tokens" | "model_context_window_exceeded":
                self._remind(
                    f"The reply before this one was cut off after {self._settings.max_tokens} tokens and is lost. "
                    f"Think less, prefer edits to a whole file, and call {SUBMIT}."
                )
                return None, "the model's reply was cut off before it handed in a kernel"
            case "pause_turn":
                self._messages.append(_assistant(reply))
                self._messages.append(_user("Go on."))
                return None, None
        if not reply.content:  # a message without content cannot be sent back
            self._remind(f"The reply before this one was empty. Call {SUBMIT} with the kernel.")
            return None, "the model's reply was empty"
        self._messages.append(_assistant(reply))
        if not reply.calls:
            self._messages.append(_user(f"Nothing was handed in. Call {SUBMIT} with the kernel."))
            return None, f"the model ended its reply without calling {SUBMIT}"
        return await self._work(reply.calls, last=last)

    async def _work(
        self, calls: tuple[ToolCall, ...], *, last: bool
    ) -> tuple[tuple[Kernel, Submission] | None, str | None]:
        results: list[dict[str, Any]] = []
        wrong: str | None = None
        for call in calls:
            try:
                if call.name == SUBMIT:
                    return await self._aside(self._toolbox.submit, _given(call)), None
                text, failed = await self._aside(self._toolbox.answer, call.name, _given(call)), False
            except Mistake as error:
                text, failed = str(error), True
                if call.name == SUBMIT:
                    wrong = text
                    text += f"\n\nMend this and call {SUBMIT} once more; it is the last chance."
            results.append(_result(call, redacted(text), failed=failed))
        if last and wrong is None:
            results.append(_text(_LAST))
        self._messages.append({"role": "user", "content": results})
        return None, wrong

    def _remind(self, text: str) -> None:
        """Ask again instead of answering a reply that cannot stand: what is added comes after all that is cached."""
        latest = self._messages[-1]
        self._messages[-1] = {**latest, "content": [*latest["content"], _text(text)]}

    # --- results

    def _proposal(self, kernel: Kernel, submission: Submission) -> Proposal:
        return Proposal(
            kernel=kernel,
            operator=self._request.operator,
            parents=tuple(parent.candidate for parent in self._request.parents[:2] if parent.candidate >= 0),
            note=redacted(submission.change),
            predicted=submission.predicted,
            bottleneck=redacted(submission.bottleneck),
            usage=self._spent,
        )

    def _failed(self, reason: str) -> Failed:
        text = redacted(self._toolbox.discreet(" ".join(reason.split())))
        return Failed(self._request.operator, text[:_REASON_CHARS], self._spent)


def _given(call: ToolCall) -> Any:
    if call.malformed:
        raise Mistake("the tool's input is no valid JSON; repeat the call")
    return call.input


def _assistant(reply: Reply) -> dict[str, Any]:
    return {"role": "assistant", "content": list(sendable(reply.content))}


def _user(text: str) -> dict[str, Any]:
    return {"role": "user", "content": [_text(text)]}


def _text(text: str) -> dict[str, Any]:
    return {"type": "text", "text": text}


def _result(call: ToolCall, text: str, *, failed: bool) -> dict[str, Any]:
    return {"type": "tool_result", "tool_use_id": call.id, "content": text or "(nothing)", "is_error": failed}
