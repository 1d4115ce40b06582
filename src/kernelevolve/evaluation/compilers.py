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

    def compile(self, plan: LaunchPlan, target: Target, digest: str | None = None) -> Artifact:
        """The artifact, from the cache or once it is compiled; `digest` is its key there, where that is known already.

        Raises what the compile failed with.
        """
        return self._ask(plan, target, digest).result()

    def prefetch(self, plans: Iterable[LaunchPlan], target: Target) -> None:
        """Begin to compile these; `compile` finds them finished or under way. Failures wait for whoever asks."""
        for plan in plans:
            self._ask(plan, target)

    def stop(self) -> None:
        """Kill every process. What was under way is lost."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        for worker in self._workers:
            worker.kill()
        self._threads.shutdown(wait=True)
        for worker in self._workers:
            worker.stop()

    def _ask(self, plan: LaunchPlan, target: Target, digest: str | None = None) -> Future[Artifact]:
        digest = digest or compile_digest(self._made, plan, target)
        with self._lock:
            known = self._cache.get(digest)
            if known is not None:
                return _settled(known)
            if digest not in self._pending:
                future = self._threads.submit(self._compile, digest, plan, target)
                self._pending[digest] = future
            return self._pending[digest]

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
