"""What a Triton kernel can reach: tables made from the public names of Triton 3.6 and 3.9, then gone through by hand.

Left out of ``triton.language``, on purpose: what prints (``device_print``, ``static_print``, ``device_assert``), embeds
code of another language (``inline_asm_elementwise``), waits on memory without end (``atomic_poll``), makes a pointer of
a number (``pointer_type``, ``pi32_t``), asks where it runs (``target_info``, ``extra.cuda``, ``extra.hip``), or belongs
to the compiler itself (``core``, ``standard``, ``random``, ``semantic``, ``str_to_ty``, and the classes of its types).
"""

from __future__ import annotations

__all__ = ["ADVICE", "ATTRIBUTES", "BUILTINS", "LIBDEVICE", "MATH", "TL", "TRITON"]

from collections.abc import Mapping
from typing import Final

from kernelevolve.languages.python_kernels import Kind, Namespace, Reachable, namespace, words

#: Floating-point functions that ``tl``, ``tl.math`` and tensors have alike.
_ELEMENTWISE: Final = "abs ceil cos erf exp exp2 floor log log2 rsqrt sin sqrt sqrt_rn"
_ATOMIC: Final = """atomic_add atomic_and atomic_cas atomic_load atomic_max atomic_min atomic_or atomic_store
    atomic_xchg atomic_xor"""
#: Functions of shape, reduction and scan that ``tl`` and tensors have alike.
_SHAPED: Final = """advance argmax argmin associative_scan broadcast_to cast cdiv cumprod cumsum expand_dims flip gather
    histogram max min permute ravel reduce reduce_or reshape sigmoid softmax sort split store sum trans view xor_sum"""

#: ``math`` of Python: on numbers that are known when the kernel is compiled. Nothing whose result can be of any length.
MATH: Final[Namespace] = namespace(
    functions="""acos asin atan atan2 ceil cos cosh erf erfc exp exp2 fabs floor log log10 log1p log2 pow sin sinh sqrt
        tan tanh trunc""",
    values="e inf nan pi tau",
)
#: ``libdevice``: pure functions of numbers; each toolchain has most of them (``gelu`` and ``sigmoid``: MTIA's alone).
LIBDEVICE: Final[Namespace] = namespace(
    functions="""abs acos acosh add_rd add_rn add_ru add_rz asin asinh atan atan2 atanh brev byte_perm cbrt ceil clz
        copysign cos cosh cospi cyl_bessel_i0 cyl_bessel_i1 div_rd div_rn div_ru div_rz double2float_rd double2float_rn
        double2float_ru double2float_rz double2hiint double2int_rd double2int_rn double2int_ru double2int_rz
        double2ll_rd double2ll_rn double2ll_ru double2ll_rz double2loint double2uint_rd double2uint_rn double2uint_ru
        double2uint_rz double2ull_rd double2ull_rn double2ull_ru double2ull_rz double_as_longlong erf erfc erfcinv
        erfcx erfinv exp exp10 exp2 expm1 fast_cosf fast_dividef fast_exp10f fast_expf fast_log10f fast_log2f fast_logf
        fast_powf fast_sinf fast_tanf fast_tanhf fdim ffs finitef float2int_rd float2int_rn float2int_ru float2int_rz
        float2ll_rd float2ll_rn float2ll_ru float2ll_rz float2uint_rd float2uint_rn float2uint_ru float2uint_rz
        float2ull_rd float2ull_rn float2ull_ru float2ull_rz float_as_int float_as_uint floor fma fma_rd fma_rn fma_ru
        fma_rz fmod gelu hadd hiloint2double hypot ilogb int2double_rn int2float_rd int2float_rn int2float_ru
        int2float_rz int_as_float isfinited isinf isnan j0 j1 jn ldexp lgamma ll2double_rd ll2double_rn ll2double_ru
        ll2double_rz ll2float_rd ll2float_rn ll2float_ru ll2float_rz llrint llround log log10 log1p log2 logb
        longlong_as_double mul24 mul_rd mul_rn mul_ru mul_rz mulhi nearbyint nextafter norm3d norm4d normcdf normcdfinv
        popc pow rcbrt rcp64h rcp_rd rcp_rn rcp_ru rcp_rz remainder rhadd rhypot rint rnorm3d rnorm4d round rsqrt
        rsqrt_rn sad saturatef scalbn sigmoid signbit sin sinh sinpi sqrt sqrt_rd sqrt_rn sqrt_ru sqrt_rz sub_rd sub_rn
        sub_ru sub_rz tan tanh tgamma trunc uint2double_rn uint2float_rd uint2float_rn uint2float_ru uint2float_rz
        uint_as_float ull2double_rd ull2double_rn ull2double_ru ull2double_rz ull2float_rd ull2float_rn ull2float_ru
        ull2float_rz y0 y1 yn"""
)
_INNER: Final[Mapping[str, Reachable]] = {
    "constexpr": Kind.TYPE,
    "tensor": Kind.ANNOTATION,
    "range": Kind.LOOP,
    "static_range": Kind.UNROLLED,
    "PropagateNan": namespace(values="ALL NONE"),
    "extra": {"libdevice": LIBDEVICE},
    "math": namespace(functions=f"{_ELEMENTWISE} div_rn fdiv fma umulhi"),
}
#: ``triton.language``.
TL: Final[Namespace] = namespace(
    functions=f"""{_ELEMENTWISE} {_ATOMIC} {_SHAPED}
        add arange assume bitonic_merge broadcast cat clamp condition debug_barrier div_rn dot dot_scaled expect_zero
        fdiv fma full interleave join load load_tensor_descriptor make_block_ptr make_tensor_descriptor map_elementwise
        max_constancy max_contiguous maximum minimum mul multiple_of num_programs pair_uniform_to_normal philox
        philox_impl program_id rand rand4x randint randint4x randn randn4x squeeze static_assert
        store_tensor_descriptor sub swizzle2d to_tensor topk uint_to_uniform_float umulhi unsqueeze where zeros
        zeros_like""",
    types="""bfloat16 float16 float32 float64 float8e4b15 float8e4b8 float8e4nv float8e5 float8e5b16 int1 int16 int32
        int64 int8 uint16 uint32 uint64 uint8""",
    values="TRITON_MAX_TENSOR_NUMEL",
    inner=_INNER,
)
#: ``triton`` itself.
TRITON: Final[Namespace] = namespace(functions="cdiv next_power_of_2", inner={"jit": Kind.DECORATOR, "language": TL})
#: Attributes and methods of tensors, descriptors, element types and shapes. On Python's own objects none of them leads
#: on; what hands out a compiler's object (``handle``, ``to_ir``, ``value``, ``name``) is left out.
ATTRIBUTES: Final = words(
    f"""{_ELEMENTWISE} {_ATOMIC} {_SHAPED}
    T dtype item load logical_and logical_or numel scatter shape strides to type
    block_shape block_type element_ty itemsize nbytes primitive_bitwidth scalar
    exponent_bias fp_mantissa_width get_int_max_value get_int_min_value int_bitwidth
    is_bf16 is_block is_bool is_floating is_fp16 is_fp32 is_fp64 is_fp8 is_fp8e4b15 is_fp8e4b8 is_fp8e4nv is_fp8e5
    is_fp8e5b16 is_int is_int1 is_int16 is_int32 is_int64 is_int8 is_int_signed is_int_unsigned is_ptr
    is_standard_floating is_uint16 is_uint32 is_uint64 is_uint8"""
)
#: Of Python's functions, those that Triton gives kernels, without ``getattr`` and what prints.
BUILTINS: Final = words("float int len max min range")
_SILENT: Final = "Kernels do not print; store what you want to see."
#: What would be right instead of what is asked for most.
ADVICE: Final[Mapping[str, str]] = {
    "print": _SILENT,
    "device_print": _SILENT,
    "static_print": _SILENT,
    "device_assert": "Use tl.static_assert for what is known at compile time, and masks for the rest.",
    "inline_asm_elementwise": "Inline assembly is not allowed; there are tl.… and libdevice.… functions.",
    "inline_asm": "Inline assembly is not allowed; there are tl.… and libdevice.… functions.",
    "pointer_type": "Pointers come as arguments; load with the type they have, and convert values with .to(…).",
    "autotune": "List tunables under [tune] in the header.",
    "isinstance": "Compare element types instead: x.dtype == tl.float32.",
    "abs": "Write tl.abs(…).",
    "sum": "Write tl.sum(…).",
    "pow": "Write tl.exp2(y * tl.log2(x)), or multiply.",
    "round": "Write libdevice.rint(…).",
    "bool": "Write x != 0.",
    "value": "Use the constant by its name; it is a number where one is needed.",
}
