"""What a Numba kernel can reach: tables made from the public names of numba-cuda 0.30, then gone through by hand.

Left out of ``numba.cuda``, on purpose: everything of the host (devices, streams, events, copies, arrays made from
Python, compilers, linkers), ``declare_device``, ``const.array_like`` and ``literal_unroll`` (they take the host's
objects), ``nanosleep``, the random generators, whose state the host would have to make, and what prints.
"""

from __future__ import annotations

__all__ = [
    "ADVICE",
    "ATTRIBUTES",
    "BFLOAT16",
    "BUILTINS",
    "CUDA",
    "HALF",
    "LIBDEVICE",
    "MATH",
    "TYPES",
]

from collections.abc import Mapping
from typing import Final

from kernelevolve.languages.python_kernels import Kind, Namespace, namespace, words

#: ``math``: what the CUDA target compiles.
MATH: Final[Namespace] = namespace(
    functions="""acos acosh asin asinh atan atan2 atanh ceil copysign cos cosh degrees erf erfc exp exp2 expm1 fabs
        floor fmod frexp gamma hypot isfinite isinf isnan ldexp lgamma log log10 log1p log2 modf nextafter pow radians
        remainder sin sinh sqrt tan tanh trunc""",
    values="e inf nan pi tau",
)
#: ``numba.cuda.libdevice``: pure functions of numbers, those of double precision and (with an f) of single.
LIBDEVICE: Final[Namespace] = namespace(
    functions="""
        abs acos acosf acosh acoshf asin asinf asinh asinhf atan atan2 atan2f atanf atanh atanhf brev brevll
        byte_perm cbrt cbrtf ceil ceilf clz clzll copysign copysignf cos cosf cosh coshf cospi cospif dadd_rd
        dadd_rn dadd_ru dadd_rz ddiv_rd ddiv_rn ddiv_ru ddiv_rz dmul_rd dmul_rn dmul_ru dmul_rz double2float_rd
        double2float_rn double2float_ru double2float_rz double2hiint double2int_rd double2int_rn double2int_ru
        double2int_rz double2ll_rd double2ll_rn double2ll_ru double2ll_rz double2loint double2uint_rd
        double2uint_rn double2uint_ru double2uint_rz double2ull_rd double2ull_rn double2ull_ru double2ull_rz
        double_as_longlong drcp_rd drcp_rn drcp_ru drcp_rz dsqrt_rd dsqrt_rn dsqrt_ru dsqrt_rz erf erfc erfcf
        erfcinv erfcinvf erfcx erfcxf erff erfinv erfinvf exp exp10 exp10f exp2 exp2f expf expm1 expm1f fabs
        fabsf fadd_rd fadd_rn fadd_ru fadd_rz fast_cosf fast_exp10f fast_expf fast_fdividef fast_log10f
        fast_log2f fast_logf fast_powf fast_sincosf fast_sinf fast_tanf fdim fdimf fdiv_rd fdiv_rn fdiv_ru
        fdiv_rz ffs ffsll finitef float2half_rn float2int_rd float2int_rn float2int_ru float2int_rz float2ll_rd
        float2ll_rn float2ll_ru float2ll_rz float2uint_rd float2uint_rn float2uint_ru float2uint_rz float2ull_rd
        float2ull_rn float2ull_ru float2ull_rz float_as_int floor floorf fma fma_rd fma_rn fma_ru fma_rz fmaf
        fmaf_rd fmaf_rn fmaf_ru fmaf_rz fmax fmaxf fmin fminf fmod fmodf fmul_rd fmul_rn fmul_ru fmul_rz frcp_rd
        frcp_rn frcp_ru frcp_rz frexp frexpf frsqrt_rn fsqrt_rd fsqrt_rn fsqrt_ru fsqrt_rz fsub_rd fsub_rn
        fsub_ru fsub_rz hadd half2float hiloint2double hypot hypotf ilogb ilogbf int2double_rn int2float_rd
        int2float_rn int2float_ru int2float_rz int_as_float isfinited isinfd isinff isnand isnanf j0 j0f j1 j1f
        jn jnf ldexp ldexpf lgamma lgammaf ll2double_rd ll2double_rn ll2double_ru ll2double_rz ll2float_rd
        ll2float_rn ll2float_ru ll2float_rz llabs llmax llmin llrint llrintf llround llroundf log log10 log10f
        log1p log1pf log2 log2f logb logbf logf longlong_as_double max min modf modff mul24 mul64hi mulhi
        nearbyint nearbyintf nextafter nextafterf normcdf normcdff normcdfinv normcdfinvf popc popcll pow powf
        powi powif rcbrt rcbrtf remainder remainderf remquo remquof rhadd rint rintf round roundf rsqrt rsqrtf
        sad saturatef scalbn scalbnf signbitd signbitf sin sincos sincosf sincospi sincospif sinf sinh sinhf
        sinpi sinpif sqrt sqrtf tan tanf tanh tanhf tgamma tgammaf trunc truncf uhadd uint2double_rn
        uint2float_rd uint2float_rn uint2float_ru uint2float_rz ull2double_rd ull2double_rn ull2double_ru
        ull2double_rz ull2float_rd ull2float_rn ull2float_ru ull2float_rz ullmax ullmin umax umin umul24
        umul64hi umulhi urhadd usad y0 y0f y1 y1f yn ynf"""
)
#: ``numba.cuda.bf16``.
BFLOAT16: Final[Namespace] = namespace(
    functions="""
        bfloat16_as_int16 bfloat16_as_uint16 bfloat16_to_float32 bfloat16_to_int16_rd
        bfloat16_to_int16_rn bfloat16_to_int16_ru bfloat16_to_int16_rz bfloat16_to_int32_rd bfloat16_to_int32_rn
        bfloat16_to_int32_ru bfloat16_to_int32_rz bfloat16_to_int64_rd bfloat16_to_int64_rn bfloat16_to_int64_ru
        bfloat16_to_int64_rz bfloat16_to_int8_rz bfloat16_to_uint16_rd bfloat16_to_uint16_rn
        bfloat16_to_uint16_ru bfloat16_to_uint16_rz bfloat16_to_uint32_rd bfloat16_to_uint32_rn
        bfloat16_to_uint32_ru bfloat16_to_uint32_rz bfloat16_to_uint64_rd bfloat16_to_uint64_rn
        bfloat16_to_uint64_ru bfloat16_to_uint64_rz bfloat16_to_uint8_rz float32_to_bfloat16
        float32_to_bfloat16_rd float32_to_bfloat16_rn float32_to_bfloat16_ru float32_to_bfloat16_rz
        float64_to_bfloat16 habs hadd hadd_rn hadd_sat hceil hcos hdiv heq hequ hexp hexp10 hexp2 hfloor hfma
        hfma_relu hfma_sat hge hgeu hgt hgtu hisinf hisnan hle hleu hlog hlog10 hlog2 hlt hltu hmax hmax_nan
        hmin hmin_nan hmul hmul_rn hmul_sat hne hneg hneu hrcp hrint hrsqrt hsin hsqrt hsub hsub_rn hsub_sat
        htanh htanh_approx htrunc int16_as_bfloat16 int16_to_bfloat16_rd int16_to_bfloat16_rn
        int16_to_bfloat16_ru int16_to_bfloat16_rz int32_to_bfloat16_rd int32_to_bfloat16_rn int32_to_bfloat16_ru
        int32_to_bfloat16_rz int64_to_bfloat16_rd int64_to_bfloat16_rn int64_to_bfloat16_ru int64_to_bfloat16_rz
        uint16_as_bfloat16 uint16_to_bfloat16_rd uint16_to_bfloat16_rn uint16_to_bfloat16_ru
        uint16_to_bfloat16_rz uint32_to_bfloat16_rd uint32_to_bfloat16_rn uint32_to_bfloat16_ru
        uint32_to_bfloat16_rz uint64_to_bfloat16_rd uint64_to_bfloat16_rn uint64_to_bfloat16_ru
        uint64_to_bfloat16_rz""",
    types="bfloat16",
)
#: ``numba.cuda.fp16``.
HALF: Final[Namespace] = namespace(
    functions="""
        habs hadd hceil hcos hdiv heq hexp hexp10 hexp2 hfloor hfma hge hgt hle hlog hlog10 hlog2 hlt hmax hmin
        hmul hne hneg hrcp hrint hrsqrt hsin hsqrt hsub htanh htanh_approx htrunc"""
)
_SCALARS: Final = """bool_ boolean float32 float64 int16 int32 int64 int8 intc intp uint16 uint32 uint64 uint8 uintc
    uintp"""
#: Element types that ``numba`` itself has; ``numba.types`` has ``float16`` too, ``numba.cuda`` has ``bfloat16``.
TYPES: Final[Namespace] = namespace(types=_SCALARS)
_SYNCHRONISE: Final = "syncthreads syncthreads_and syncthreads_count syncthreads_or syncwarp"
_FENCE: Final = "threadfence threadfence_block threadfence_system"
_WARP: Final = """activemask all_sync any_sync ballot_sync eq_sync lanemask_lt match_all_sync match_any_sync
    shfl_down_sync shfl_sync shfl_up_sync shfl_xor_sync"""
#: Loads and stores with a cache hint.
_CACHE: Final = "ldca ldcg ldcs ldcv ldlu stcg stcs stwb stwt"
_BITS: Final = "brev cbrt clz ffs fma popc selp"
_VECTORS: Final = """
    char1 char2 char3 char4 double1 double2 double3 double4 float1 float2 float3 float32x1 float32x2
        float32x3 float32x4 float4 float64x1 float64x2 float64x3 float64x4 int1 int16x1 int16x2 int16x3 int16x4
        int2 int3 int32x1 int32x2 int32x3 int32x4 int4 int64x1 int64x2 int64x3 int64x4 int8x1 int8x2 int8x3
        int8x4 long1 long2 long3 long4 longlong1 longlong2 longlong3 longlong4 short1 short2 short3 short4
        uchar1 uchar2 uchar3 uchar4 uint1 uint16x1 uint16x2 uint16x3 uint16x4 uint2 uint3 uint32x1 uint32x2
        uint32x3 uint32x4 uint4 uint64x1 uint64x2 uint64x3 uint64x4 uint8x1 uint8x2 uint8x3 uint8x4 ulong1
        ulong2 ulong3 ulong4 ulonglong1 ulonglong2 ulonglong3 ulonglong4 ushort1 ushort2 ushort3 ushort4"""
#: ``numba.cuda``.
CUDA: Final[Namespace] = namespace(
    functions=f"grid gridsize {_SYNCHRONISE} {_FENCE} {_WARP} {_CACHE} {_BITS}",
    types=f"{_SCALARS} bfloat16 {_VECTORS}",
    values="blockDim blockIdx gridDim laneid threadIdx warpsize",
    inner={
        "jit": Kind.DECORATOR,
        "shared": namespace(functions="array"),
        "local": namespace(functions="array"),
        "atomic": namespace(functions="add and_ cas compare_and_swap dec exch inc max min nanmax nanmin or_ sub xor"),
        "cg": namespace(functions="this_grid"),
        "libdevice": LIBDEVICE,
        "fp16": HALF,
    },
)
#: Attributes and methods of arrays, vectors, indices and the grid. What leads to memory or the host (``ctypes``,
#: ``base``, ``data``, ``flat``), or makes a new array, is left out.
ATTRIBUTES: Final = words("dtype itemsize ndim shape size strides sync w x y z")
#: Of Python's functions, those that the CUDA target compiles and that do not print.
BUILTINS: Final = words("abs bool float int len max min pow range round")
_HOST: Final = "That is for the host, and there is no host code: the header declares buffers and launches."
_SILENT: Final = "Kernels do not print; store what you want to see."
#: What would be right instead of what is asked for most.
ADVICE: Final[Mapping[str, str]] = {
    **dict.fromkeys(
        words(
            """current_context device_array device_array_like event external_stream from_cuda_array_interface gpus
            list_devices managed_array mapped mapped_array pinned pinned_array select_device stream synchronize
            to_device"""
        ),
        _HOST,
    ),
    "print": _SILENT,
    "const": "Write a tuple of numbers as a module constant, and index it.",
    "nanosleep": "Kernels do not wait for a time.",
    "declare_device": "Nothing is linked to a kernel; define the function in this file with @cuda.jit(device=True).",
    "sum": "Add in a loop.",
    "enumerate": "Write for i in range(len(x)).",
    "zip": "Write for i in range(len(x)).",
    "float16": "Write from numba.types import float16.",
}
