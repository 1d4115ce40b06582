"""What may be taken out of a loop: the same value each turn, and nothing read that no turn would read."""

from __future__ import annotations

import pytest

from kernelevolve import registry
from kernelevolve.kernel import parse_kernel
from kernelevolve.proposers.rewriting.triton_rules import TRITON_REWRITES, sites

HEADER = """# /// kernel
# language = "triton"
# [tune]
# BLOCK = [128, 64]
# FLAG = [0, 1]
# [[launch]]
# entry = "k"
# grid = ["rows"]
# ///
import triton
import triton.language as tl


@triton.jit
def k(x, y, rows, cols, BLOCK: tl.constexpr, FLAG: tl.constexpr):
    row = tl.program_id(0)
    acc = 0.0
"""
END = "    tl.store(y + row, acc)\n"


def hoisted(body: str, rewrite: str = "hoist") -> list[str]:
    """The entry's code behind its first two lines, for each place where the rewrite applies."""
    rule = next(one for one in TRITON_REWRITES if one.name == rewrite)
    found = sites(parse_kernel(HEADER + body + END), registry.problem("softmax"), rule)
    return [one.make().body.partition("acc = 0.0\n")[2] for one in found]


LOADED = """\
    for i in range(cols):
        at = tl.load(x + row).to(tl.int32)
        acc += tl.load(x + at, mask=at < cols, other=0.0)
"""
STAYS = {
    "an address from a buffer that the loop writes": """\
    for i in range(rows):
        at = tl.load(y + row).to(tl.int32)
        v = tl.load(x + at, mask=at < cols, other=0.0)
        tl.store(y + row, v + 1.0)
""",
    "an address loaded without a mask, in a loop that may have no turn": LOADED.replace("(cols)", "(cols - 1)"),
    "a flag of the compiler's that the loop sets anew": """\
    for i in range(cols):
        if FLAG:
            acc += tl.load(x + row)
        FLAG = FLAG * 0
""",
    "a branch that is taken at run time": """\
    for i in range(cols):
        if i > 3:
            acc += tl.load(x + row)
""",
    "a branch of the compiler's, in a loop that may have no turn": """\
    for i in range(cols - 1):
        if FLAG:
            acc += tl.load(x + row)
""",
}


@pytest.mark.parametrize("body", STAYS.values(), ids=STAYS)
def test_such_a_load_stays_where_it_is(body: str) -> None:
    assert hoisted(body) == []


def test_a_load_at_a_loaded_address_goes_with_the_load_of_the_address() -> None:
    (made,) = hoisted(LOADED)
    assert "x_kept_ = tl.load(x + tl.load(x + row).to(tl.int32), mask=tl.load(x + row).to(tl.int32) < cols" in made


def test_each_side_of_a_choice_of_the_compilers_keeps_its_own_load() -> None:
    (made,) = hoisted(
        "    for i in range(cols):\n        if FLAG:\n            acc += tl.load(x + row)\n"
        "        elif BLOCK > 64:\n            acc += tl.load(x + row + 1)\n"
        "        else:\n            acc += tl.load(x + row + 2)\n"
    )
    before = made.partition("    for i in")[0]
    assert before == (
        "    if FLAG:\n        x_kept = tl.load(x + row)\n"
        "    if not (FLAG):\n        if BLOCK > 64:\n            x_kept_ = tl.load(x + row + 1)\n"
        "    if not (FLAG):\n        if not (BLOCK > 64):\n            x_kept__ = tl.load(x + row + 2)\n"
    )


def test_a_pointer_does_not_start_from_what_the_loop_writes() -> None:
    moving = (
        "    for i in range(cols):\n        base = tl.load(y + row).to(tl.int32)\n"
        "        acc += tl.load(x + base + i * rows)\n        tl.store(y + row, acc)\n"
    )
    assert hoisted(moving, "walk-pointers") == []
    assert len(hoisted(moving.replace("tl.load(y + row).to(tl.int32)", "row"), "walk-pointers")) == 1
