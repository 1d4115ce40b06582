"""Replies of the Messages API, as one document and as the events that the API streams."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from attrs import frozen


@frozen
class Message:
    """A complete reply, streamed or as one document."""

    content: Sequence[Mapping[str, Any]]
    stop_reason: str = "tool_use"
    input_tokens: int = 100
    output_tokens: int = 50
    cache_read: int = 0
    cache_write: int = 0
    #: Tool inputs are streamed as this text instead, where it is given: it need not be JSON.
    raw_input: str | None = None
    stop_details: Mapping[str, Any] | None = None
    #: Events after which the stream is held until the test lets it go on.
    hold_after: int | None = None
    #: Events after which an error event of this type ends the stream.
    error_after: tuple[int, str] | None = None


def text(words: str) -> dict[str, Any]:
    return {"type": "text", "text": words}


def thinking(words: str, signature: str = "signed") -> dict[str, Any]:
    return {"type": "thinking", "thinking": words, "signature": signature}


def tool(name: str, given: Any, id: str = "toolu_1") -> dict[str, Any]:  # noqa: A002
    return {"type": "tool_use", "id": id, "name": name, "input": given}


def submit(file: str = "", **more: Any) -> Message:
    """A reply that hands in a kernel."""
    given = {
        "change": "a change",
        "bottleneck": "memory",
        "predicted_gain": 1.5,
        "file": file,
        "base": "parent",
        "edits": [],
    }
    return Message([tool("submit_kernel", given | more)])


def _usage(message: Message, output: int) -> dict[str, Any]:
    return {
        "input_tokens": message.input_tokens,
        "output_tokens": output,
        "cache_read_input_tokens": message.cache_read,
        "cache_creation_input_tokens": message.cache_write,
    }


def whole(message: Message) -> dict[str, Any]:
    return {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "scripted",
        "content": list(message.content),
        "stop_reason": message.stop_reason,
        "stop_sequence": None,
        "stop_details": message.stop_details,
        "usage": _usage(message, message.output_tokens),
    }


def events(message: Message) -> Iterator[tuple[str, dict[str, Any]]]:
    """As the API streams them: the first figures of usage are preliminary."""
    begin = whole(message) | {"content": [], "stop_reason": None, "usage": _usage(message, 1)}
    yield event("message_start", message=begin)
    yield event("ping")
    for index, block in enumerate(message.content):
        yield from _block(index, block, message.raw_input)
    delta = {"stop_reason": message.stop_reason, "stop_sequence": None, "stop_details": message.stop_details}
    yield event("message_delta", delta=delta, usage={"output_tokens": message.output_tokens})
    yield event("message_stop")


def _block(index: int, block: Mapping[str, Any], raw: str | None) -> Iterator[tuple[str, dict[str, Any]]]:
    deltas: list[dict[str, Any]] = []
    match block["type"]:
        case "text":
            begin = {**block, "text": ""}
            deltas += ({"type": "text_delta", "text": part} for part in _halves(block["text"]))
        case "thinking":
            begin = {**block, "thinking": "", "signature": ""}
            deltas += ({"type": "thinking_delta", "thinking": part} for part in _halves(block["thinking"]))
            deltas.append({"type": "signature_delta", "signature": block["signature"]})
        case "tool_use":
            begin = {**block, "input": {}}
            words = raw if raw is not None else json.dumps(block["input"])
            deltas += ({"type": "input_json_delta", "partial_json": part} for part in _halves(words))
        case _:
            begin = dict(block)
    yield event("content_block_start", index=index, content_block=begin)
    for delta in deltas:
        yield event("content_block_delta", index=index, delta=delta)
    yield event("content_block_stop", index=index)


def _halves(words: str) -> tuple[str, str]:
    return words[: len(words) // 2], words[len(words) // 2 :]


def event(name: str, **data: Any) -> tuple[str, dict[str, Any]]:
    return name, {"type": name, **data}
