"""A local HTTP server that speaks the Messages API, scripted by tests: what each call gets, in order.

Real sockets and the real SDK at the other end. Every request is kept with its headers and body.
"""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator, Mapping
from typing import Any, Self

from attrs import define, field, frozen
from messages_events import Message, events, whole


@frozen
class Refused:
    """An HTTP error."""

    status: int
    kind: str = "api_error"
    message: str = "no"
    headers: Mapping[str, str] = field(factory=dict)


@frozen
class Cut:
    """The connection is closed: after so many events of `message`, or at once."""

    events: int = 0
    message: Message | None = None
    #: Whether the end looks regular: the body ends as HTTP wants it, and events are missing.
    clean: bool = False


@frozen
class Hang:
    """Nothing comes at all."""


@frozen
class Request:
    """What arrived."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: Any
    raw: bytes


@define
class MessagesServer:
    """Runs on a thread of its own.

    `script` is consumed call by call: a `Message`, `Refused`, `Cut` or `Hang`, or a function that makes one of the
    request's body. An empty one answers with 500.
    """

    script: list[Any] = field(factory=list)
    requests: list[Request] = field(factory=list, init=False)
    #: Calls that are being answered now, and the most there were at once.
    open: int = field(default=0, init=False)
    most_open: int = field(default=0, init=False)
    cancelled_batches: list[str] = field(factory=list, init=False)
    #: Looks at a batch before it has ended.
    batch_looks: int = 2
    _batches: dict[str, list[Any]] = field(factory=dict, init=False)
    _looks: dict[str, int] = field(factory=dict, init=False)
    _loop: asyncio.AbstractEventLoop = field(init=False)
    _thread: threading.Thread = field(init=False)
    _port: int = field(default=0, init=False)
    _ready: threading.Event = field(factory=threading.Event, init=False)
    _go: asyncio.Event = field(init=False)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    @property
    def calls(self) -> list[Request]:
        """The requests for messages, batches aside."""
        return [one for one in self.requests if one.path == "/v1/messages"]

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), daemon=True)
        self._thread.start()
        assert self._ready.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)

    def let_go(self) -> None:
        """Let held streams go on."""
        self._loop.call_soon_threadsafe(self._go.set)

    _stop: asyncio.Event = field(init=False)

    async def _serve(self) -> None:
        self._loop, self._go, self._stop = asyncio.get_running_loop(), asyncio.Event(), asyncio.Event()
        server = await asyncio.start_server(self._connection, "127.0.0.1", 0)
        self._port = server.sockets[0].getsockname()[1]
        self._ready.set()
        await self._stop.wait()
        server.close()
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            request = await _read(reader)
            self.requests.append(request)
            self.open += 1
            self.most_open = max(self.most_open, self.open)
            try:
                await self._answer(request, reader, writer)
            finally:
                self.open -= 1
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            return  # the other side has gone, or the server is being stopped
        finally:
            writer.close()

    async def _answer(self, request: Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if request.path.startswith("/v1/messages/batches"):
            await self._batch(request, writer)
            return
        scripted = self.script.pop(0) if self.script else Refused(500, message="the script is over")
        found = scripted(request.body) if callable(scripted) else scripted
        match found:
            case Refused():
                await _document(writer, found.status, _error(found), found.headers)
            case Hang():
                await reader.read()  # until the other side has gone
            case Cut(message=None):
                return
            case Cut():
                await self._stream(reader, writer, found.message, cut=found.events, clean=found.clean)
            case Message():
                await self._stream(reader, writer, found)

    async def _stream(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        message: Message,
        cut: int | None = None,
        *,
        clean: bool = False,
    ) -> None:
        _head(writer, 200, {"content-type": "text/event-stream", "transfer-encoding": "chunked"})
        for number, (name, data) in enumerate(self._played(message)):
            if cut is not None and number == cut:
                if clean:
                    writer.write(b"0\r\n\r\n")
                await writer.drain()
                return
            _chunk(writer, f"event: {name}\ndata: {json.dumps(data)}\n\n".encode())
            await writer.drain()
            if message.hold_after == number:
                going = asyncio.create_task(self._go.wait())
                gone = asyncio.create_task(reader.read())
                await asyncio.wait({going, gone}, return_when=asyncio.FIRST_COMPLETED)
                going.cancel()
                gone.cancel()
        writer.write(b"0\r\n\r\n")
        await writer.drain()

    @staticmethod
    def _played(message: Message) -> Iterator[tuple[str, dict[str, Any]]]:
        """The events of `message`, up to the error that ends it, if any."""
        for number, event in enumerate(events(message)):
            if message.error_after and number == message.error_after[0]:
                kind = message.error_after[1]
                yield "error", {"type": "error", "error": {"type": kind, "message": "later"}}
                return
            yield event

    async def _batch(self, request: Request, writer: asyncio.StreamWriter) -> None:
        parts = request.path.removeprefix("/v1/messages/batches").strip("/").split("/")
        if request.method == "POST" and parts == [""]:
            if self.script and isinstance(self.script[0], Refused):
                refused = self.script.pop(0)
                await _document(writer, refused.status, _error(refused), refused.headers)
                return
            name = f"msgbatch_{len(self._batches) + 1}"
            self._batches[name] = [
                (one["custom_id"], self.script.pop(0) if self.script else Refused(500))
                for one in request.body["requests"]
            ]
            self._looks[name] = 0
            await _document(writer, 200, self._described(name, ended=False))
        elif request.method == "POST":
            self.cancelled_batches.append(parts[0])
            await _document(writer, 200, self._described(parts[0], ended=False))
        elif parts[-1] == "results":
            lines = "".join(json.dumps(_entry(name, found)) + "\n" for name, found in reversed(self._batches[parts[0]]))
            await _document(writer, 200, lines)
        else:
            self._looks[parts[0]] += 1
            await _document(writer, 200, self._described(parts[0], ended=self._looks[parts[0]] > self.batch_looks))

    def _described(self, name: str, *, ended: bool) -> dict[str, Any]:
        counts = dict.fromkeys(("canceled", "errored", "expired", "processing", "succeeded"), 0)
        return {
            "id": name,
            "type": "message_batch",
            "processing_status": "ended" if ended else "in_progress",
            "request_counts": counts,
            "created_at": "2026-01-01T00:00:00Z",
            "expires_at": "2026-01-02T00:00:00Z",
            "results_url": f"{self.url}/v1/messages/batches/{name}/results" if ended else None,
        }


def _entry(name: str, found: Any) -> dict[str, Any]:
    match found:
        case Message():
            result: dict[str, Any] = {"type": "succeeded", "message": whole(found)}
        case Refused():
            result = {"type": "errored", "error": json.loads(_error(found))}
        case _:
            result = {"type": str(found)}
    return {"custom_id": name, "result": result}


async def _read(reader: asyncio.StreamReader) -> Request:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    method, path, _ = head[0].split(" ")
    headers = {
        name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:] if line)
    }
    raw = await reader.readexactly(int(headers.get("content-length", "0")))
    return Request(method, path.partition("?")[0], headers, json.loads(raw) if raw else None, raw)


def _head(writer: asyncio.StreamWriter, status: int, headers: Mapping[str, str]) -> None:
    lines = [
        f"HTTP/1.1 {status} Scripted",
        "connection: close",
        *(f"{name}: {value}" for name, value in headers.items()),
    ]
    writer.write(("\r\n".join(lines) + "\r\n\r\n").encode())


def _chunk(writer: asyncio.StreamWriter, data: bytes) -> None:
    writer.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")


async def _document(
    writer: asyncio.StreamWriter, status: int, body: Any, headers: Mapping[str, str] | None = None
) -> None:
    data = (body if isinstance(body, str) else json.dumps(body)).encode()
    _head(writer, status, {"content-type": "application/json", "content-length": str(len(data)), **(headers or {})})
    writer.write(data)
    await writer.drain()


def _error(refused: Refused) -> str:
    return json.dumps({"type": "error", "error": {"type": refused.kind, "message": refused.message}})
