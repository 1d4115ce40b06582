"""What decides a binary: signatures read from plan and source alone, and keys that share what can be shared."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from kernelevolve.accelerator import Target
from kernelevolve.backends._triton.signature import TYPE_NAMES, read_signatures
from kernelevolve.backends.triton_cuda import TritonCUDA
from kernelevolve.backends.triton_rocm import TritonROCm
from kernelevolve.plan import LaunchPlan
from kernelevolve.problem import DTYPES, ScalarSpec

from .conftest import make

CUDA, ROCM = TritonCUDA(), TritonROCm()
BODY = """@triton.jit
def k(x, y, n, eps, B: tl.constexpr):
    o = tl.program_id(0) * B + tl.arange(0, B)
    tl.store(y + o, tl.load(x + o, mask=o < n) + eps, mask=o < n)
"""


def plan_of(sizes: str = "n=100", grid: str = '"cdiv(n, B)"', **values: Any) -> LaunchPlan:
    header = "[tune]\nB = [64, 128]\nnum_warps = [4, 8]\nwaves_per_eu = [0, 1]\nunused = [1, 2]"
    return make(
        BODY, tensors="x:n;y:n", sizes=sizes, header=header, grid=grid, scalars=(ScalarSpec("eps", 0.5),), values=values
    )


def key(plan: LaunchPlan) -> str:
    return json.dumps(CUDA.compile_key(plan), sort_keys=True)


def test_workloads_with_the_same_assumptions_share_a_binary() -> None:
    assert key(plan_of("n=100")) == key(plan_of("n=101")) == key(plan_of("n=1"))
    assert key(plan_of("n=160")) == key(plan_of("n=16")) != key(plan_of("n=100"))
    assert key(plan_of("n=3000000000")) not in (key(plan_of("n=16")), key(plan_of("n=100")))
    target = Target("cuda:sm_90")
    assert CUDA.compile(plan_of("n=100"), target).stages == CUDA.compile(plan_of("n=7"), target).stages
    assert CUDA.compile(plan_of("n=100"), target).stages != CUDA.compile(plan_of("n=16"), target).stages


def test_keys_differ_where_binaries_do() -> None:
    base = key(plan_of())
    others = [plan_of(B=128), plan_of(num_warps=8), plan_of("n=100,x:float16"), plan_of("n=100,y:bfloat16")]
    assert len({base, *(key(one) for one in others)}) == 5


def test_what_the_compiler_never_sees_is_not_in_the_key() -> None:
    base = key(plan_of())
    assert key(plan_of(unused=2)) == base
    assert key(plan_of(waves_per_eu=1)) == base  # AMD's
    assert key(plan_of(grid='"7"')) == base
    assert ROCM.compile_key(plan_of(waves_per_eu=1)) != ROCM.compile_key(plan_of())


def test_small_buffers_are_an_assumption_on_amd_alone() -> None:
    small, large = plan_of("n=536870911"), plan_of("n=536870913")  # 2 GiB of float32, and four bytes more
    assert key(small) == key(large)
    assert ROCM.compile_key(small) != ROCM.compile_key(large)


@given(
    dtype=st.sampled_from([name for name in DTYPES if name in TYPE_NAMES]),
    size=st.one_of(st.integers(1, 300), st.integers(2**31 - 20, 2**31 + 20), st.integers(2**40, 2**41)),
    step=st.sampled_from([0, 1]),
)
def test_types_and_assumptions_follow_the_rules(dtype: str, size: int, step: int) -> None:
    plan = plan_of(f"n={size},x:{dtype}", grid='"1"')
    signature = read_signatures(plan, short_pointers=bool(step))["k"]
    assert signature.types == {
        "x": "*" + TYPE_NAMES[dtype],
        "y": "*fp32",
        "n": "i32" if size < 2**31 else "i64",
        "eps": "fp32",
        "B": "constexpr",
    }
    assert signature.constants == {"B": 64}
    assert (("tt.divisibility", 16) in signature.hints["n"]) is (size % 16 == 0)
    assert signature.hints["eps"] == ()
    nbytes = size * DTYPES[dtype]
    assert (("tt.pointer_range", 32) in signature.hints["x"]) is (bool(step) and nbytes < 2**31)
    assert signature.arguments == ("x", "y", "n", "eps")


def test_launches_of_one_entry_share_what_holds_for_all() -> None:
    body = "@triton.jit\ndef k(x, y, shift, other):\n    tl.store(y + shift, tl.load(x) + other)\n"
    launches = "\n".join(
        f'[[launch]]\nentry = "k"\ngrid = ["1"]\nargs = {{ shift = "{shift}", other = "{other}" }}'
        for shift, other in ((16, 32), (2**31 + 16, 7))
    )
    plan = make(body, tensors="x:n;y:n", sizes="n=4", header=launches)
    signature = read_signatures(plan, short_pointers=False)["k"]
    assert signature.types == {"x": "*fp32", "y": "*fp32", "shift": "i64", "other": "i32"}
    assert signature.hints["shift"] == (("tt.divisibility", 16),)
    assert signature.hints["other"] == ()


def test_annotations_and_the_decorator_are_heeded() -> None:
    body = """@triton.jit(do_not_specialize=["m"], do_not_specialize_on_alignment=(0,))
def k(x, y, n: tl.int64, m):
    tl.store(y, tl.load(x) + n + m)
"""
    plan = make(body, tensors="x:n;y:n", sizes="n=32,m=64")
    signature = read_signatures(plan, short_pointers=False)["k"]
    assert signature.types == {"x": "*fp32", "y": "*fp32", "n": "i64", "m": "i32"}
    assert [name for name, hints in signature.hints.items() if hints] == ["y", "n"]
    artifact = CUDA.compile(plan, Target("cuda:sm_90"))
    assert artifact.extra["entries"]["k"]["layout"][2] == {"kind": "scalar", "of": "n", "type": "i64"}
    assert artifact.stages["ttir:k"].count(b"tt.divisibility = 16") == 2
