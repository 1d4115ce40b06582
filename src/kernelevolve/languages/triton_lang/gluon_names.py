"""What a Gluon kernel can reach: tables made from the public names of Triton 3.6 and 3.9, then gone through by hand.

Gluon (``triton.experimental.gluon``) is Triton's lower level: the same front end, where a kernel says itself how
tensors lie in registers and shared memory, which warps do what, and what they wait for. Left out is what is left out of
``triton.language`` (`kernelevolve.languages.triton_lang.names`), and what chips other than NVIDIA's Hopper have.

Four names changed between these versions. Kernels write the newer ones, `RENAMED`; where an older Triton is installed,
`kernelevolve.backends._triton.gluon` gives them to it.
"""

from __future__ import annotations

__all__ = ["GL", "GLUON", "GLUON_ATTRIBUTES", "HOPPER", "RENAMED"]

from collections.abc import Mapping
from typing import Final

from kernelevolve.languages.python_kernels import Kind, Namespace, namespace, words

#: ``triton.experimental.gluon.language``.
GL: Final[Namespace] = namespace(
    functions="""abs ceil cos div_rn erf exp exp2 fdiv floor fma log log2 rsqrt sin sqrt sqrt_rn umulhi
        atomic_add atomic_and atomic_cas atomic_max atomic_min atomic_or atomic_xchg atomic_xor
        add allocate_shared_memory arange associative_scan assume barrier broadcast cast cdiv convert_layout dot_fma
        expand_dims full full_like gather histogram join load map_elementwise max max_constancy max_contiguous maximum
        min minimum mul multiple_of num_ctas num_programs num_warps permute program_id ravel reduce reduce_or reshape
        set_auto_layout split static_assert store sub sum to_tensor warp_specialize where xor_sum zeros zeros_like
        AutoLayout BlockedLayout CoalescedLayout DistributedLinearLayout DotOperandLayout NVMMADistributedLayout
        NVMMASharedLayout PaddedSharedLayout SharedLinearLayout SliceLayout SwizzledSharedLayout""",
    types="""bfloat16 float16 float32 float64 float8e4b15 float8e4b8 float8e4nv float8e5 float8e5b16 int1 int16 int32
        int64 int8 uint16 uint32 uint64 uint8""",
    inner={"constexpr": Kind.TYPE, "tensor": Kind.ANNOTATION, "static_range": Kind.UNROLLED},
)
#: ``triton.experimental.gluon``.
GLUON: Final[Namespace] = {"jit": Kind.DECORATOR}
#: ``triton.experimental.gluon.language.nvidia.hopper``: what ``sm_90`` has.
HOPPER: Final[Namespace] = namespace(
    functions="fence_async_shared warpgroup_mma warpgroup_mma_init warpgroup_mma_wait",
    inner={
        "async_copy": namespace(functions="async_load commit_group mbarrier_arrive wait_group"),
        "mbarrier": namespace(functions="MBarrierLayout arrive expect init invalidate wait"),
        "tma": namespace(functions="async_load async_store make_tensor_descriptor store_wait"),
    },
)
#: Attributes and methods of shared memory, beside those of tensors.
GLUON_ATTRIBUTES: Final = words("index layout slice")
#: From a module to today's names of its functions, each with the name that it had before.
RENAMED: Final[Mapping[str, Mapping[str, str]]] = {
    "triton.experimental.gluon.language": {"barrier": "thread_barrier"},
    "triton.experimental.gluon.language.nvidia.ampere.async_copy": {"async_load": "async_copy_global_to_shared"},
    "triton.experimental.gluon.language.nvidia.hopper.tma": {
        "async_load": "async_copy_global_to_shared",
        "async_store": "async_copy_shared_to_global",
    },
}
