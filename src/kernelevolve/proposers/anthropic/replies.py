"""What comes back from one call: content to send back as it is, why it ended, what it cost; and how it can fail."""

from __future__ import annotations

__all__ = ["Assembly", "Broken", "CallFailed", "Count", "Fatal", "Reply", "ToolCall", "content_of", "sendable"]

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from attrs import define, field, frozen

from kernelevolve.errors import KernelEvolveError
from kernelevolve.evolution.proposal import Usage

#: The key of a tool's input that could not be read as JSON; such a call is answered with what is wrong with it.
MALFORMED: Final = "__malformed__"


class CallFailed(KernelEvolveError):
    """A call that brought nothing, and that repeating will not mend; one proposal fails with it."""

    #: What its attempts cost.
    usage: Usage = Usage()


class Fatal(CallFailed):
    """A call that no proposal of this run could make: a wrong key, an unknown model, an empty account."""


class Broken(Exception):
    """A reply that ended before its end. It is worth another try."""

    def __init__(self, why: str) -> None:
        self.why = why
        super().__init__(why)


@frozen
class ToolCall:
    """One call of a tool."""

    id: str
    name: str
    input: Any

    @property
    def malformed(self) -> bool:
        """Whether its input was no JSON."""
        return isinstance(self.input, Mapping) and MALFORMED in self.input


@frozen
class Reply:
    """A complete reply."""

    #: Blocks as the API gave them: they go back unchanged, signatures included.
    content: tuple[Mapping[str, Any], ...]
    stop_reason: str
    #: What the API tells of a refusal.
    explanation: str = ""

    @property
    def calls(self) -> tuple[ToolCall, ...]:
        """The tools that it calls, in order."""
        return tuple(
            ToolCall(str(block["id"]), str(block["name"]), block.get("input"))
            for block in self.content
            if block.get("type") == "tool_use"
        )


@define
class Count:
    """The tokens of one call, as far as the API has reported them: later figures replace earlier ones."""

    model: str
    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    #: Whether the model began to answer: what came before that is not charged.
    began: bool = False

    def report(self, usage: Any) -> None:
        """Take what a ``message_start``, a ``message_delta`` or a whole message says of usage."""
        if usage is None:
            return
        self.began = True
        for mine, theirs in _FIELDS.items():
            value = getattr(usage, theirs, None)
            if isinstance(value, int) and value >= 0:
                setattr(self, mine, value)

    def usage(self) -> Usage:
        """As a `Usage` that has no price yet."""
        return Usage(
            model=self.model,
            calls=int(self.began),
            input_tokens=self.input_tokens,
            output_tokens=self.output_tokens,
            cache_read_tokens=self.cache_read_tokens,
            cache_write_tokens=self.cache_write_tokens,
        )


_FIELDS: Final = {
    "input_tokens": "input_tokens",
    "output_tokens": "output_tokens",
    "cache_read_tokens": "cache_read_input_tokens",
    "cache_write_tokens": "cache_creation_input_tokens",
}


@define
class Assembly:
    """Puts a streamed reply together, block by block, and keeps what it cost as it goes."""

    count: Count
    _blocks: dict[int, dict[str, Any]] = field(factory=dict, init=False)
    _json: dict[int, str] = field(factory=dict, init=False)
    _stop: str | None = field(default=None, init=False)
    _explanation: str = field(default="", init=False)
    _ended: bool = field(default=False, init=False)

    def take(self, event: Any) -> None:
        """One event of the stream."""
        match event.type:
            case "message_start":
                self.count.report(event.message.usage)
            case "content_block_start":
                self._blocks[event.index] = event.content_block.to_dict()
            case "content_block_delta":
                self._extend(event.index, event.delta)
            case "content_block_stop" if event.index in self._json:
                self._blocks[event.index]["input"] = _input(self._json[event.index])
            case "message_delta":
                self.count.report(event.usage)
                self._stop = event.delta.stop_reason or self._stop
                details = event.delta.stop_details
                self._explanation = _explained(details) if details is not None else self._explanation
            case "message_stop":
                self._ended = True

    def _extend(self, index: int, delta: Any) -> None:
        block = self._blocks.get(index)
        if block is None:
            raise Broken("a piece of a block came before the block")
        match delta.type:
            case "text_delta":
                block["text"] = block.get("text", "") + delta.text
            case "input_json_delta":
                self._json[index] = self._json.get(index, "") + delta.partial_json
            case "thinking_delta":
                block["thinking"] = block.get("thinking", "") + delta.thinking
            case "signature_delta":
                block["signature"] = delta.signature

    def reply(self) -> Reply:
        """The whole reply. Raises `Broken` where the stream ended before the reply did."""
        if not self._ended or self._stop is None:
            raise Broken("the connection ended before the reply did")
        blocks = tuple(self._blocks[index] for index in sorted(self._blocks))
        return Reply(blocks, self._stop, self._explanation)


def content_of(message: Any) -> Reply:
    """The reply that a complete message is."""
    details = getattr(message, "stop_details", None)
    return Reply(
        tuple(block.to_dict() for block in message.content),
        str(message.stop_reason or ""),
        _explained(details) if details is not None else "",
    )


def sendable(content: Sequence[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    """Blocks as the API takes them back: an input that was no JSON goes back as an empty one."""
    for block in content:
        broken = block.get("type") == "tool_use" and MALFORMED in (block.get("input") or {})
        yield {**block, "input": {}} if broken else dict(block)


def _input(text: str) -> Any:
    try:
        return json.loads(text) if text else {}
    except ValueError as error:
        return {MALFORMED: str(error)}


def _explained(details: Any) -> str:
    parts = (getattr(details, "category", None), getattr(details, "explanation", None))
    return ": ".join(str(part) for part in parts if part)
