"""The engine's end of a worker: the one place that spawns processes, waits with a limit, and kills.

A worker runs in its own session and process group, with a scrubbed environment and a private temporary folder. It is
warm (toolchain imported, device open) and reused; on a time-out, a crash or a device fault the whole group is killed
and the next request starts a fresh one.
"""

from __future__ import annotations

__all__ = ["Limits", "Worker"]

import contextlib
import fcntl
import os
import secrets
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Self

import psutil
from attrs import frozen

from kernelevolve.accelerator import Accelerator, Device
from kernelevolve.evaluation.wire import HEADER, MAX_JSON, READY, Frame, WireError, encode, header, sizes_of
from kernelevolve.outcome import (
    CandidateError,
    CompileTimeout,
    DeviceFault,
    DeviceLost,
    OutOfMemory,
    PluginBug,
    RunTimeout,
    from_record,
)

#: What a worker inherits: enough to find Python and its packages. No keys, no tokens, no proxies.
_INHERITED: Final = ("PATH", "LANG", "LC_ALL", "PYTHONPATH", "VIRTUAL_ENV", "SYSTEMROOT", "KERNELEVOLVE_SPACES")
#: How often a waiting engine looks at the worker's memory (seconds).
_WATCH: Final = 0.1
_READ: Final = 1 << 20
#: Private folders carry the engine's process id, so that another engine knows which ones nobody owns any more.
_PREFIX: Final = "kernelevolve-worker-"
#: How long a worker may take to end once its pipe is closed (seconds): a core is being torn down, nothing is computed.
_ENDING: Final = 2.0


@frozen
class Limits:
    """What one request may take."""

    start_seconds: float = 60.0
    compile_seconds: float = 30.0
    run_seconds: float = 10.0
    #: Resident memory of the worker's process, bytes.
    memory: int = 8 << 30


class Worker:
    """A warm worker on one device, or on none to compile only; (re)started on demand. Use as a context manager."""

    def __init__(self, made: Accelerator, device: Device | None, *, path: str, limits: Limits | None = None) -> None:
        self.accelerator, self.device, self.limits = made, device, limits or Limits()
        self._path = path
        self._process: subprocess.Popen[bytes] | None = None
        self._source = self._sink = -1
        self._folder: Path | None = None
        #: Counts fresh processes: what was staged or loaded in an earlier one is gone.
        self.generation = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def pid(self) -> int | None:
        """The process's id while one runs."""
        return self._process.pid if self._process else None

    def request(
        self,
        op: str,
        body: Mapping[str, Any],
        attachments: Sequence[memoryview | bytes] = (),
        *,
        seconds: float | None = None,
        expect: int = 0,
    ) -> tuple[dict[str, Any], list[bytearray]]:
        """Send one request and wait for its answer.

        `seconds` bounds the wait; `expect` is how many bytes of attachments the answer may have. Raises the
        `CandidateError` that the worker reported, or that its end amounts to; after a time-out, a crash or an
        interruption the worker is gone.
        """
        self.start()
        limit = seconds or (self.limits.compile_seconds if op == "compile" else self.limits.run_seconds)
        nonce = secrets.token_hex(8)
        deadline = time.monotonic() + limit
        try:
            self._send(Frame({"op": op, **body}, nonce=nonce), attachments, deadline)
            answer, data = self._receive(nonce, deadline, expect)
        except TimeoutError:
            self.stop()
            raise _timed_out(op, limit) from None
        except (EOFError, BrokenPipeError):
            raise self._died(op) from None
        except WireError as error:
            self.stop()
            raise PluginBug(f"the worker broke the protocol in {op}: {error}", traceback="") from None
        except BaseException:  # Ctrl-C: an answer that is still to come would be taken for the next request's
            self.stop()
            raise
        if "error" in answer:
            raise self._reported(answer["error"])
        return answer, data

    def _reported(self, record: Any) -> CandidateError:
        try:
            error = from_record(record)
        except (ValueError, TypeError) as problem:
            return PluginBug(f"the worker reported something that is no failure: {problem}", traceback="")
        if isinstance(error, DeviceFault | DeviceLost):  # sticky: the next candidate must not be blamed
            self.stop()
        return error

    def start(self) -> None:
        """Start a process unless one runs. Raises `DeviceLost` with the end of its log where it does not come up."""
        if self._process is not None:
            return
        _sweep()
        self._folder = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-"))
        from_engine, to_worker = os.pipe()
        from_worker, to_engine = os.pipe()
        for pipe in (to_worker, to_engine):
            _widen(pipe)
        command = [sys.executable, "-P", "-m", "kernelevolve.evaluation.worker", "--accelerator", self._path]
        command += ["--source", str(from_engine), "--sink", str(to_engine), "--parent", str(os.getpid())]
        command += ["--device", str(self.device.index)] if self.device else []
        with (self._folder / "log").open("wb") as log:
            self._process = subprocess.Popen(  # noqa: S603  # our own interpreter and module
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self._folder,
                env=self._environment(self._folder),
                pass_fds=(from_engine, to_engine),
                start_new_session=True,
            )
        os.close(from_engine)
        os.close(to_engine)
        self._sink, self._source = to_worker, from_worker
        os.set_blocking(self._sink, False)
        os.set_blocking(self._source, False)
        self.generation += 1
        try:
            self._receive(READY, time.monotonic() + self.limits.start_seconds, 0)
        except (EOFError, TimeoutError, WireError):
            tail = self.log_tail()
            self.stop()
            where = f"on {self.device.label}" if self.device else f"to compile for {self.accelerator.name}"
            message = f"no worker could be started {where}: {_last_line(tail) or 'it did not answer'}"
            raise DeviceLost(message, log=tail) from None
        except BaseException:
            self.stop()
            raise

    def _environment(self, folder: Path) -> dict[str, str]:
        inherited = {name: os.environ[name] for name in _INHERITED if name in os.environ}
        if "PYTHONPATH" in inherited:  # the worker has another working directory
            parts = inherited["PYTHONPATH"].split(os.pathsep)
            inherited["PYTHONPATH"] = os.pathsep.join(str(Path(part).resolve()) for part in parts if part)
        private = {"HOME": str(folder), "TMPDIR": str(folder), "XDG_CACHE_HOME": str(folder / "cache")}
        asked: Mapping[str, str] = getattr(self.accelerator, "environment", dict)()
        return {**inherited, **asked, **private, "PYTHONDONTWRITEBYTECODE": "1"}

    def kill(self) -> None:
        """Kill the process, from any thread; whoever waits for its answer learns that it died."""
        process = self._process
        if process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)

    def stop(self) -> None:
        """Kill the whole process group and remove its folder; what it was doing is lost, nothing else is."""
        process, self._process = self._process, None
        if process is None:
            return
        for descriptor in (self._source, self._sink):
            os.close(descriptor)
        strays = _descendants(process.pid)
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:  # it had ended by itself
            process.poll()
        process.wait()
        for stray in strays:  # those that left the group
            with contextlib.suppress(psutil.NoSuchProcess):
                stray.kill()
        if self._folder:
            shutil.rmtree(self._folder, ignore_errors=True)

    def log_tail(self, size: int = 2000) -> str:
        """The end of what the worker printed."""
        path = self._folder / "log" if self._folder else None
        if path is None or not path.exists():
            return ""
        return path.read_bytes()[-size:].decode("utf-8", "replace").strip()

    def _died(self, op: str) -> CandidateError:
        assert self._process is not None
        try:
            code = self._process.wait(_ENDING)
        except KeyboardInterrupt:
            self.stop()
            raise
        except subprocess.TimeoutExpired:  # it closed its pipe and lives on
            self.stop()
            return DeviceFault(f"the worker's process stopped answering during {op}", signal=None)
        tail = self.log_tail()
        self.stop()
        name = signal.Signals(-code).name if code < 0 else f"exit status {code}"
        return DeviceFault(
            f"the worker's process ended with {name} during {op}. {_last_line(tail)}".strip(), signal=name
        )

    def _send(self, frame: Frame, attachments: Sequence[memoryview | bytes], deadline: float) -> None:
        for view in encode(frame, attachments):
            sent = 0
            while sent < view.nbytes:
                self._wait(self._sink, deadline, writing=True)
                sent += os.write(self._sink, view[sent : sent + _READ])

    def _receive(self, nonce: str, deadline: float, expect: int) -> tuple[dict[str, Any], list[bytearray]]:
        length = HEADER.unpack(self._read(HEADER.size, deadline))[0]
        if length > MAX_JSON:
            raise WireError(f"an answer of {length} bytes; at most {MAX_JSON} are allowed")
        document = header(self._read(length, deadline))
        if document.get("nonce") != nonce:
            raise WireError("an answer to something that was not asked")
        return document["body"], [self._read(size, deadline) for size in sizes_of(document, expect)]

    def _read(self, size: int, deadline: float) -> bytearray:
        data = bytearray(size)
        view, got = memoryview(data), 0
        while got < size:
            self._wait(self._source, deadline, writing=False)
            count = os.readv(self._source, [view[got : got + _READ]])
            if count == 0:
                raise EOFError
            got += count
        return data

    def _wait(self, descriptor: int, deadline: float, *, writing: bool) -> None:
        while True:
            left = deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError
            wanted = [descriptor]
            readable, writable, _ = select.select(
                [] if writing else wanted, wanted if writing else [], [], min(left, _WATCH)
            )
            if readable or writable:
                return
            self._check_memory()

    def _check_memory(self) -> None:
        try:
            used = psutil.Process(self.pid).memory_info().rss if self.pid else 0
        except psutil.NoSuchProcess:
            return
        if used > self.limits.memory:
            self.stop()
            limit = self.limits.memory
            raise OutOfMemory(f"the worker used {used} bytes; its limit is {limit}", needed=used, limit=limit)


def _widen(pipe: int) -> None:
    """Let a pipe hold as much as Linux grants: 64 KiB at a time, large outputs wait for two processes to take turns."""
    if hasattr(fcntl, "F_SETPIPE_SZ"):
        with contextlib.suppress(OSError):  # the user's share of pipe memory is used up: slower, and nothing else
            fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, _READ)


def _descendants(pid: int) -> list[psutil.Process]:
    try:
        return psutil.Process(pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def _sweep() -> None:
    """Remove folders of engines that were killed before they could."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*-*"):
        owner = folder.name.removeprefix(_PREFIX).partition("-")[0]
        if owner.isdigit() and not psutil.pid_exists(int(owner)):
            shutil.rmtree(folder, ignore_errors=True)


def _timed_out(op: str, limit: float) -> CandidateError:
    if op == "compile":
        return CompileTimeout(f"the compiler did not finish within {limit:g} s", limit=limit)
    return RunTimeout(f"the kernel did not finish within {limit:g} s", limit=limit)


def _last_line(text: str) -> str:
    lines = [line for line in text.splitlines() if line.strip()]
    return lines[-1].strip()[:300] if lines else ""
