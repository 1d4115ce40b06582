"""Launch options of MTIA as tunables: they decide when things happen, and never what is computed."""

from __future__ import annotations

__all__ = ["circular_buffers", "dual_core"]

from collections.abc import Iterator
from functools import partial
from typing import Final

from attrs import evolve

from kernelevolve.kernel import Kernel, Value
from kernelevolve.proposers.rewriting.triton_rules.view import TritonView, triton_views
from kernelevolve.proposers.rewriting.view import Site

#: One core for transfers and one for everything else, or one for both; the chip's default comes second.
_CORES: Final = (1, 0)
#: Depths of circular buffers, in multiples of the usual one; more hide more latency and take more local memory.
_BUFFERS: Final = (2, 1, 4, 8)


def dual_core(view: TritonView) -> Iterator[Site]:
    """One core issues transfers while the other one computes."""
    yield from _offer(view, "use_dual_core", _CORES)


def circular_buffers(view: TritonView) -> Iterator[Site]:
    """More tiles in flight, where a loop moves any."""
    every = triton_views(view.kernel, view.problem)
    if any(one.memory.effects(*loop.body).loads for one in every for loop in one.loops):
        yield from _offer(view, "cb_multiplier", _BUFFERS)


def _offer(view: TritonView, option: str, values: tuple[Value, ...]) -> Iterator[Site]:
    """Offer a launch option, once for a kernel whatever number of entries it has."""
    is_first = view.name == view.kernel.launches[0].entry
    if is_first and option not in view.kernel.tunables:
        yield Site(f"offer {option}", partial(_offered, view.kernel, option, values))


def _offered(kernel: Kernel, option: str, values: tuple[Value, ...]) -> Kernel:
    return evolve(kernel, tunables={**kernel.tunables, option: values})
