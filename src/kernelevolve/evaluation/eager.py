"""The baseline a user knows: the problem's reference, run by PyTorch eagerly on the host's own processor.

It runs in the engine's process (no candidate code ever does), single shots on the host clock, allocation of the outputs
included, since that is what eager PyTorch does.
"""

from __future__ import annotations

__all__ = ["Eager"]

import time
from collections.abc import Callable, Sequence
from typing import Any

from kernelevolve.accelerator import Sample, Source
from kernelevolve.evaluation.casebook import PreparedCase


class Eager:
    """One problem on rotating inputs. `threads` is set for PyTorch while a sample is taken; `flush_bytes` evicts
    caches.
    """

    def __init__(self, call: Callable[[PreparedCase], Any], *, threads: int, flush_bytes: int) -> None:
        import torch  # noqa: PLC0415  # importing it takes seconds; only timing needs it

        self._call, self.threads = call, threads
        self._torch = torch
        self._flusher = torch.zeros(max(flush_bytes, 1) // 4 + 1, dtype=torch.int32)

    @property
    def description(self) -> str:
        """What this baseline is, for reports."""
        return f"PyTorch {self._torch.__version__} eager, CPU, {self.threads} threads"

    def warm_up(self, cases: Sequence[PreparedCase]) -> None:
        """Run each case once, untimed."""
        for case in cases:
            self.sample(case, flush=False)

    def sample(self, case: PreparedCase, *, flush: bool) -> Sample:
        """One timed run of the reference."""
        torch = self._torch
        before = torch.get_num_threads()
        torch.set_num_threads(self.threads)
        try:
            with torch.inference_mode():
                if flush:
                    self._flusher.add_(1)
                begin = time.perf_counter()
                self._call(case)
                seconds = time.perf_counter() - begin
        finally:
            torch.set_num_threads(before)
        return Sample(seconds, Source.HOST_WALL, 1, seconds)
