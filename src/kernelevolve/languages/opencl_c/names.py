"""The words of OpenCL C: keywords, types, and the functions a kernel may call (OpenCL C 3.0, sections 6.3 to 6.15).

An allow-list: a name that is missing here is a function that no kernel of a candidate reaches.
"""

from __future__ import annotations

__all__ = [
    "BUILTINS",
    "FORBIDDEN",
    "KEYWORDS",
    "NATIVE",
    "PURE",
    "QUALIFIERS",
    "RESERVED_OK",
    "SCALARS",
    "TYPES",
    "WIDTHS",
    "words",
]

from typing import Final


def words(text: str) -> tuple[str, ...]:
    """The words of `text`."""
    return tuple(text.split())


WIDTHS: Final = ("2", "3", "4", "8", "16")
SCALARS: Final = (
    *("char", "uchar", "short", "ushort", "int", "uint", "long", "ulong"),
    *("float", "double", "half"),
)
_ALIASES: Final = frozenset(words("void bool size_t ptrdiff_t intptr_t uintptr_t unsigned signed"))
#: Every type name of the language; images, samplers, events, pipes and queues are not among them.
TYPES: Final = frozenset((*SCALARS, *(f"{scalar}{width}" for scalar in SCALARS for width in WIDTHS))) | _ALIASES

#: Address spaces and access qualifiers, and what the C grammar is shown in their place.
QUALIFIERS: Final = {
    **dict.fromkeys(("__global", "global", "__local", "local", "__constant", "constant"), "const"),
    **dict.fromkeys(("__private", "private", "__generic", "generic"), "const"),
    **dict.fromkeys(("__kernel", "kernel"), "static"),
    **dict.fromkeys(("__restrict", "__restrict__"), "restrict"),
}

KEYWORDS: Final = frozenset(
    words(
        "if else for while do switch case default break continue return sizeof struct union enum typedef "
        "const volatile restrict inline static extern auto register goto defined"
    )
) | frozenset(QUALIFIERS)

_UNARY = (
    "acos acosh acospi asin asinh asinpi atan atanh atanpi cbrt ceil cos cosh cospi erf erfc exp exp2 exp10 expm1 fabs "
    "floor lgamma log log2 log10 log1p logb rint round rsqrt sin sinh sinpi sqrt tan tanh tanpi tgamma trunc degrees "
    "radians sign"
)
_BINARY = "atan2 atan2pi copysign fdim fmax fmin fmod hypot ldexp nextafter pow pown powr remainder rootn maxmag minmag"
_TERNARY = "fma mad clamp mix smoothstep step max min nan"
_INTEGER = "abs abs_diff add_sat hadd rhadd clz ctz mad_hi mad_sat mul_hi rotate sub_sat upsample popcount mad24 mul24"
_GEOMETRIC = "cross dot distance length normalize fast_distance fast_length fast_normalize"
_RELATIONAL = (
    "isequal isnotequal isgreater isgreaterequal isless islessequal islessgreater isfinite isinf isnan isnormal "
    "isordered isunordered signbit any all bitselect select"
)
NATIVE: Final = tuple(
    f"{prefix}_{name}"
    for prefix in ("native", "half")
    for name in words("cos divide exp exp2 exp10 log log2 log10 powr recip rsqrt sin sqrt tan")
)
_ITEM = (
    "get_work_dim get_global_size get_global_id get_local_size get_enqueued_local_size get_local_id get_num_groups "
    "get_group_id get_global_offset get_global_linear_id get_local_linear_id"
)
_SYNCHRONISE = (
    "barrier work_group_barrier sub_group_barrier mem_fence read_mem_fence write_mem_fence atomic_work_item_fence"
)
_POINTERS = (
    "fract frexp lgamma_r modf remquo sincos prefetch async_work_group_copy async_work_group_strided_copy "
    "wait_group_events"
)
_SHUFFLES = "shuffle shuffle2 vec_step"
_ATOMICS = tuple(
    f"{prefix}_{name}"
    for prefix in ("atomic", "atom")
    for name in words("add sub xchg inc dec cmpxchg min max and or xor")
) + tuple(
    f"atomic_{name}{explicit}"
    for name in words(
        "store load exchange compare_exchange_strong compare_exchange_weak "
        "fetch_add fetch_sub fetch_or fetch_xor fetch_and fetch_min fetch_max init"
    )
    for explicit in ("", "_explicit")
)
_GROUP = tuple(
    f"{scope}_{name}"
    for scope in ("work_group", "sub_group")
    for name in words(
        "all any broadcast reduce_add reduce_min reduce_max scan_exclusive_add scan_exclusive_min scan_exclusive_max "
        "scan_inclusive_add scan_inclusive_min scan_inclusive_max"
    )
)
_SUBGROUP = (
    "get_sub_group_size get_max_sub_group_size get_num_sub_groups get_enqueued_num_sub_groups get_sub_group_id "
    "get_sub_group_local_id sub_group_shuffle sub_group_shuffle_xor sub_group_shuffle_up sub_group_shuffle_down "
    "sub_group_elect sub_group_ballot sub_group_broadcast_first sub_group_non_uniform_broadcast"
)
_ROUNDINGS: Final = ("", "_rte", "_rtz", "_rtp", "_rtn")
_VECTOR = ("", *WIDTHS)
_CONVERT = tuple(
    f"convert_{scalar}{width}{saturate}{rounding}"
    for scalar in SCALARS
    for width in _VECTOR
    for saturate in ("", "_sat")
    for rounding in _ROUNDINGS
)
_AS = tuple(f"as_{scalar}{width}" for scalar in SCALARS for width in _VECTOR)
_LOADS = tuple(f"vload{width}" for width in WIDTHS) + tuple(
    f"vload{align}_half{width}" for align in ("", "a") for width in _VECTOR
)
_STORES = tuple(f"vstore{width}" for width in WIDTHS) + tuple(
    f"vstore{align}_half{width}{rounding}" for align in ("", "a") for width in _VECTOR for rounding in _ROUNDINGS
)

#: Functions whose value depends on their arguments alone.
PURE: Final = frozenset(
    words(f"{_UNARY} {_BINARY} {_TERNARY} {_INTEGER} {_GEOMETRIC} {_RELATIONAL} {_ITEM} {_SHUFFLES}")
) | frozenset((*NATIVE, *_CONVERT, *_AS))

#: Every function that a kernel may call beside its own.
BUILTINS: Final = (
    PURE
    | frozenset(words(f"{_SYNCHRONISE} {_POINTERS} {_SUBGROUP}"))
    | frozenset((*_ATOMICS, *_GROUP, *_LOADS, *_STORES))
)

#: Reserved identifiers (two underscores, or one and a capital) that are no more than what they say.
RESERVED_OK: Final = frozenset(QUALIFIERS) | frozenset(
    words(
        "__attribute__ __OPENCL_VERSION__ __OPENCL_C_VERSION__ __FAST_RELAXED_MATH__ __ENDIAN_LITTLE__ "
        "__opencl_c_fp64 __opencl_c_subgroups __opencl_c_int64"
    )
)

#: Words that no kernel needs, with the rule each breaks and what to do instead.
FORBIDDEN: Final = {
    **dict.fromkeys(("asm", "__asm", "__asm__"), ("assembly", "inline assembly is not portable; write OpenCL C")),
    "goto": ("control-flow", "use loops, break and continue"),
    "setjmp": ("control-flow", "use loops, break and continue"),
    "printf": ("output", "a kernel's only output is its output buffers"),
    "extern": ("linkage", "define what is used in this file"),
    "enqueue_kernel": ("device-queue", "launches are declared in the header"),
    **dict.fromkeys(
        words(
            "pipe read_only write_only read_write __read_only __write_only __read_write image1d_t image2d_t image3d_t "
            "image2d_array_t image1d_array_t image1d_buffer_t sampler_t queue_t ndrange_t clk_event_t reserve_id_t"
        ),
        ("object-types", "buffers are plain pointers here; pipes, images and queues do not exist"),
    ),
}
