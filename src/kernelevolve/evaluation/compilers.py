"""Compiling beside the device: processes that only compile, several at a time, so that a device never waits for one.

For accelerators whose compiler needs no open device (`kernelevolve.accelerator.CompilesOnHost`). A compiler that
crashes or hangs takes nothing along: what is prepared on the device stays there.
"""

from __future__ import annotations

__all__ = ["Compilers"]

import os
import queue
import threading
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final

from kernelevolve.accelerator import Accelerator, Artifact, Target
from kernelevolve.evaluation.cache import CompileCache, compile_digest
from kernelevolve.evaluation.isolation import Limits, Worker
from kernelevolve.evaluation.wire import unstructure
from kernelevolve.outcome import CandidateError
from kernelevolve.plan import LaunchPlan

#: Processes at most: each holds a toolchain in memory (Triton with PyTorch's allocator some 400 MiB).
_MOST: Final = 16
#: Bytes of log and stages an artifact may have.
MAX_ARTIFACT: Final = 256 << 20


class Compilers:
    """Up to `count` compiling processes (default: one per core), started when they are first needed."""

    def __init__(
        self, made: Accelerator, *, path: str, limits: Limits, cache: CompileCache, count: int | None = None
    ) -> None:
        self._made, self._cache = made, cache
        count = count or min(_MOST, len(os.sched_getaffinity(0)))
        self._workers = [Worker(made, None, path=path, limits=limits) for _ in range(count)]
        self._idle: queue.LifoQueue[Worker] = queue.LifoQueue()  # the warmest first
        for worker in self._workers:
            self._idle.put(worker)
        self._threads = ThreadPoolExecutor(count, thread_name_prefix="compile")
        self._lock = threading.Lock()
        self._pending: dict[str, Future[Artifact]] = {}
        # What no process has begun with, in the order in which it was asked for: what somebody waits for, and the rest.
        self._soon: dict[str, tuple[LaunchPlan, Target]] = {}
        self._later: dict[str, tuple[LaunchPlan, Target]] = {}

    def compile(self, plan: LaunchPlan, target: Target, digest: str | None = None) -> Artifact:
        """The artifact, from the cache or once it is compiled; `digest` is its key there, where that is known already.

        Raises what the compile failed with.
        """
        return self._ask(plan, target, digest, soon=True).result()

    def prefetch(self, plans: Iterable[LaunchPlan], target: Target, *, soon: bool = False) -> None:
        """Begin to compile these; `compile` finds them finished or under way. Failures wait for whoever asks.

        `soon`: before everything that was asked for ahead of its time.
        """
        for plan in plans:
            self._ask(plan, target, soon=soon)

    def stop(self) -> None:
        """Kill every process. What was under way is lost."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        with self._lock:
            for digest in (*self._soon, *self._later):
                self._pending[digest].cancel()
        for worker in self._workers:
            worker.kill()
        self._threads.shutdown(wait=True)
        for worker in self._workers:
            worker.stop()

    def _ask(self, plan: LaunchPlan, target: Target, digest: str | None = None, *, soon: bool) -> Future[Artifact]:
        digest = digest or compile_digest(self._made, plan, target)
        with self._lock:
            known = self._cache.get(digest)
            if known is not None:
                return _settled(known)
            if digest not in self._pending:
                self._pending[digest] = Future()
                self._later[digest] = plan, target
                self._threads.submit(self._next)
            if soon and digest in self._later:
                self._soon[digest] = self._later.pop(digest)
            return self._pending[digest]

    def _next(self) -> None:
        """Compile the first of what is waited for, or else of the rest; every call finds one."""
        with self._lock:
            waiting = self._soon or self._later
            digest = next(iter(waiting))
            plan, target = waiting.pop(digest)
            future = self._pending[digest]
        future.set_running_or_notify_cancel()
        try:
            future.set_result(self._compile(digest, plan, target))
        except BaseException as error:  # raised where the result is asked for
            future.set_exception(error)

    def _compile(self, digest: str, plan: LaunchPlan, target: Target) -> Artifact:
        worker = self._idle.get()
        result: Artifact | CandidateError
        try:
            body = {"plan": unstructure(plan), "target": unstructure(target)}
            answer, blobs = worker.request("compile", body, expect=MAX_ARTIFACT)
            stages = {name: bytes(blob) for name, blob in zip(answer["stages"], blobs, strict=True)}
            result = Artifact(stages, answer["resources"], answer["toolchain"], answer["log"], answer["extra"])
        except CandidateError as error:
            result = error
        finally:
            self._idle.put(worker)
        with self._lock:
            self._cache.put(digest, result)
            self._pending.pop(digest, None)
        if isinstance(result, CandidateError):
            raise result
        return result


def _settled(known: Artifact | CandidateError) -> Future[Artifact]:
    future: Future[Artifact] = Future()
    if isinstance(known, CandidateError):
        future.set_exception(known)
    else:
        future.set_result(known)
    return future
