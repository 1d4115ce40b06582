"""A run's profile as JSON values: what a person, a report or a proposer reads."""

from __future__ import annotations

__all__ = ["profile_record"]

from typing import Any, Final

from kernelevolve.backends.mtia.launching import Run
from kernelevolve.backends.mtia.model import MODEL, VERSION, ChipParameters, Estimate

#: Lines of the kernel, of diagnostics and of prints that are kept.
_LINES: Final = 8
_PRINTS: Final = 20


def profile_record(estimate: Estimate, run: Run, chip: ChipParameters) -> dict[str, Any]:
    """Cycles are those of the mean element unless said otherwise; bytes are those of the whole chip."""
    profile = estimate.profile
    total = sum(profile.lines.values())
    return {
        "bottleneck": profile.bottleneck,
        "model": f"{MODEL}-{VERSION}",
        "cycles": estimate.cycles,
        "units": {
            name: {"busy": round(use.busy), "stall": round(use.stall), "share": round(use.busy / estimate.cycles, 4)}
            for name, use in sorted(profile.units.items(), key=lambda item: -item[1].busy)
        },
        "memory_bytes": {
            level: {"read": moved.read, "written": moved.written} for level, moved in profile.memory.items()
        },
        "local_memory": {"high_water_bytes": profile.local_high_water, "bytes": chip.local_bytes},
        "circular_buffers": {"used": profile.circular_buffers, "available": chip.circular_buffers},
        "programs": profile.programs,
        "elements": {"busy": profile.elements, "available": chip.elements},
        "launch_cycles": round(profile.launch_cycles),
        "lines": {str(line): round(work / total, 4) for line, work in list(profile.lines.items())[:_LINES] if work > 0},
        "diagnostics": [finding.sentence for finding in run.findings][:_LINES],
        "prints": run.prints[:_PRINTS],
    }
