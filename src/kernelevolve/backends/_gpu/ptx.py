"""PTX of our own, and what a PTX text says about the driver it needs."""

from __future__ import annotations

__all__ = ["BLOCKING_KERNEL", "BLOCKING_SYMBOL", "needed_cuda"]

import re
from collections.abc import Mapping
from typing import Final

BLOCKING_SYMBOL: Final = "kernelevolve_gate"
#: One thread that spins until the first word at `flag` is not 0. After `limit` nanoseconds it writes 1 to the second
#: word and ends, so that a device can never hang in it. PTX 6.0 has what it needs, and every driver here takes that.
BLOCKING_KERNEL: Final = f"""\
.version 6.0
.target sm_70
.address_size 64

.visible .entry {BLOCKING_SYMBOL}(.param .u64 flag, .param .u64 limit)
.maxntid 1, 1, 1
{{
    .reg .pred %stop;
    .reg .b32 %word;
    .reg .b64 %address, %limit, %begin, %now;

    ld.param.u64 %address, [flag];
    ld.param.u64 %limit, [limit];
    mov.u64 %begin, %globaltimer;
WAIT:
    ld.relaxed.sys.global.u32 %word, [%address];
    setp.ne.u32 %stop, %word, 0;
    @%stop bra DONE;
    mov.u64 %now, %globaltimer;
    sub.u64 %now, %now, %begin;
    setp.lt.u64 %stop, %now, %limit;
    @%stop bra WAIT;
    mov.u32 %word, 1;
    st.relaxed.sys.global.u32 [%address+4], %word;
DONE:
    ret;
}}
"""
_VERSION: Final = re.compile(rb"^\s*\.version\s+(\d+)\.(\d+)", re.MULTILINE)
#: The first toolkit of each architecture that is younger than CUDA 12.0 (release notes of the CUDA toolkit).
_FIRST_TOOLKIT: Final[Mapping[str, str]] = {
    "sm_100": "12.8",
    "sm_101": "12.8",
    "sm_120": "12.8",
    "sm_103": "12.9",
    "sm_121": "12.9",
}


def needed_cuda(stages: Mapping[str, bytes], architecture: str) -> str | None:
    """The CUDA version whose driver takes these stages: that of the PTX text among them, else the first that knew the
    architecture; None where neither says anything.

    PTX 8.0 came with CUDA 12.0 and so on; 8.5 with 12.5 and 12.6, from where they are one apart until 9.0, CUDA 13.0
    ("PTX ISA", release notes).
    """
    for name, stage in stages.items():
        match = _VERSION.search(stage) if name.partition(":")[0] == "ptx" else None
        if match:
            major, minor = int(match[1]), int(match[2])
            return f"{major + 4}.{minor + (major == 8 and minor > 5)}"
    return _FIRST_TOOLKIT.get(architecture.rstrip("af"))
