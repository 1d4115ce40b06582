"""What every operator returns: a changed kernel with a note; and when a change is none."""

from __future__ import annotations

__all__ = ["FOREIGN_OPTIONS", "Change", "accepted", "identity"]

from collections.abc import Iterable, Mapping
from typing import Final

from attrs import frozen

from kernelevolve.errors import KernelFileError
from kernelevolve.kernel import Kernel, parse_kernel, render_kernel
from kernelevolve.language import Language
from kernelevolve.outcome import Rejected

#: Launch options of a language that mean nothing to an accelerator which speaks it, by the accelerator's name.
FOREIGN_OPTIONS: Final[Mapping[str, tuple[str, ...]]] = {"mtia": ("num_warps", "num_ctas", "maxnreg")}


@frozen
class Change:
    """One changed kernel, and what was changed."""

    kernel: Kernel
    note: str


def identity(kernel: Kernel, language: Language) -> str:
    """Equal for kernels that differ in comments, layout and the order of offered values only. Raises `Rejected`."""
    launches = [(launch, dict(launch.args), dict(launch.local)) for launch in kernel.launches]
    tunables = {name: frozenset(values) for name, values in sorted(kernel.tunables.items())}
    header = (tunables, launches, kernel.constraints, sorted(kernel.scratch.items()), kernel.when)
    return f"{header!r}\n{language.normalize(kernel.body)}"


def accepted(kernel: Kernel, language: Language, others: Iterable[Kernel]) -> bool:
    """Whether `kernel` passes the gate, survives being written and read, and is none of `others`."""
    try:
        language.gate(kernel.body)
        entries = language.entries(kernel.body)
        if parse_kernel(render_kernel(kernel)) != kernel:
            return False
        mine = identity(kernel, language)
        known = {identity(other, language) for other in others}
    except (Rejected, KernelFileError):
        return False
    return all(launch.entry in entries for launch in kernel.launches) and mine not in known
