"""Products of float32 matrices on the dot engine, which takes 16-bit types only."""

from __future__ import annotations

__all__ = ["split_products"]

from collections.abc import Iterator
from functools import partial
from typing import Final

import libcst as cst

from kernelevolve.kernel import Kernel
from kernelevolve.proposers.rewriting.python_edits import Edit
from kernelevolve.proposers.rewriting.triton_rules.calls import argument, literal_text
from kernelevolve.proposers.rewriting.triton_rules.view import TritonView
from kernelevolve.proposers.rewriting.view import Site

#: A float32 is the sum of three bfloat16 (8 bits of mantissa each, the same range); of the nine products of parts, the
#: three left out are below float32's own rounding. Small ones are added first. Infinities become NaN on the way.
_HELPER: Final = """
@triton.jit
def {name}(left, right, total):
    # Six products of bfloat16 parts give float32's precision on the dot engine.
    if left.dtype == tl.float32:
        left0, right0 = left.to(tl.bfloat16), right.to(tl.bfloat16)
        left, right = left - left0.to(tl.float32), right - right0.to(tl.float32)
        left1, right1 = left.to(tl.bfloat16), right.to(tl.bfloat16)
        left2 = (left - left1.to(tl.float32)).to(tl.bfloat16)
        right2 = (right - right1.to(tl.float32)).to(tl.bfloat16)
        total = tl.dot(left0, right2, total)
        total = tl.dot(left2, right0, total)
        total = tl.dot(left1, right1, total)
        total = tl.dot(left0, right1, total)
        total = tl.dot(left1, right0, total)
        total = tl.dot(left0, right0, total)
    else:
        total = tl.dot(left, right, total, input_precision="ieee")
    return total
"""
#: What a call may say beside its factors without meaning anything that the helper loses.
_KNOWN: Final = frozenset({"acc", "input_precision"})


def split_products(view: TritonView) -> Iterator[Site]:
    """Exact float32 products as six products of bfloat16 parts, where a workload has float32 at all."""
    calls = [call for call in view.called("tl.dot") if _can_split(view, call)]
    if calls:
        name = view.fresh("three_parts")
        yield Site(f"{len(calls)} products of float32 in three parts", partial(_split, view, calls, name))


def _can_split(view: TritonView, call: cst.Call) -> bool:
    precision = argument(call, 3, "input_precision")
    factors = [argument(call, position, keyword) for position, keyword in enumerate(("input", "other"))]
    if precision is None or literal_text(precision) != "ieee" or len(call.args) > 4:
        return False
    if any(one.keyword is not None and one.keyword.value not in _KNOWN for one in call.args) or None in factors:
        return False
    if any(isinstance(one, cst.If) and ".dtype" in view.flat(one.test) for one in view.around(call)):
        return False  # split already: what is left is for other types
    value = view.types.of(call)
    types = [view.types.of(factor) for factor in factors if factor is not None]
    wide = all(one is not None and "float32" in one.types for one in types)
    return value is not None and value.is_float32 and wide


def _split(view: TritonView, calls: list[cst.Call], name: str) -> Kernel:
    edits = []
    for call in calls:
        given = [argument(call, position, keyword) for position, keyword in enumerate(("input", "other", "acc"))]
        left, right = (view.text(one) for one in given[:2] if one is not None)
        total = f"tl.zeros(({left}.shape[0], {right}.shape[1]), tl.float32)"
        if given[2] is not None:
            total = view.text(given[2])
        edits.append(Edit(call, text=f"{name}({left}, {right}, {total})"))
    return view.edited(edits, functions=_HELPER.format(name=name))
