"""The compiler class of Triton's backend ``mtia``: stages ``ttir`` and ``mtia`` (a `Program` as JSON)."""

from __future__ import annotations

__all__ = ["CHIPS", "MTIABackend", "MTIAOptions"]

import hashlib
from dataclasses import dataclass, fields
from types import ModuleType
from typing import Any, Final

from triton.backends.compiler import BaseBackend, GPUTarget

#: Architectures of the target ``GPUTarget("mtia", ARCHITECTURE, 1)``.
CHIPS: Final = ("mtia1", "mtia2i", "mtia300")
#: Changes when the same source would give another program.
_REVISION: Final = 1


@dataclass(frozen=True)
class MTIAOptions:
    """Launch options. Triton's front end reads some by name; those of the chip decide its timing, not its results."""

    #: Buffers of each circular buffer, as a multiple of the usual depth.
    cb_multiplier: int = 1
    #: One core of an element issues transfers, the other one computes.
    use_dual_core: bool = False
    num_stages: int = 2
    #: Without meaning on this chip; kernels written for GPUs set them.
    num_warps: int = 1
    num_ctas: int = 1
    debug: bool = False
    sanitize_overflow: bool = False
    arch: str = ""
    backend_name: str = "mtia"
    warp_size: int = 1
    extern_libs: tuple[tuple[str, str], ...] = ()
    supported_fp8_dtypes: tuple[str, ...] = ("fp8e4nv", "fp8e5")
    deprecated_fp8_dot_operand_dtypes: tuple[str, ...] = ()
    #: float32 dots keep float32's precision unless the kernel says otherwise.
    default_dot_input_precision: str = "ieee"
    allowed_dot_input_precisions: tuple[str, ...] = ("ieee", "tf32", "tf32x3", "bf16x3", "bf16x6")
    max_num_imprecise_acc_default: int = 0
    enable_fp_fusion: bool = False
    launch_cooperative_grid: bool = False
    instrumentation_mode: str = ""
    ir_override: str | None = None

    def __post_init__(self) -> None:
        for name in ("cb_multiplier", "num_stages", "num_warps", "num_ctas"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be at least 1")

    def hash(self) -> str:
        """Identity of the options."""
        text = "_".join(f"{one.name}-{getattr(self, one.name)}" for one in fields(self))
        return hashlib.sha256(text.encode()).hexdigest()


class MTIABackend(BaseBackend):  # type: ignore[misc]  # Triton carries no types
    """From Triton's front end to the emulator's program. Needs no chip and no driver."""

    binary_ext = "mtia"

    def __init__(self, target: GPUTarget) -> None:
        super().__init__(target)
        if target.arch not in CHIPS:
            raise ValueError(f"there is no chip {target.arch!r}; there is {', '.join(CHIPS)}")
        _declare_functions()

    @staticmethod
    def supports_target(target: GPUTarget) -> bool:
        """Whether the target is this backend's."""
        return bool(target.backend == "mtia")

    def hash(self) -> str:
        """Identity of the compiler."""
        return f"mtia-{_REVISION}-{self.target.arch}"

    def get_target_name(self, options: MTIAOptions) -> str:
        """``mtia:mtia2i``."""
        del options
        return f"mtia:{self.target.arch}"

    def parse_options(self, options: dict[str, Any]) -> MTIAOptions:
        """The options as an object; those of other vendors' compilers are left out."""
        known = {one.name for one in fields(MTIAOptions)}
        wanted = {name: value for name, value in options.items() if name in known and value is not None}
        return MTIAOptions(**{**wanted, "arch": self.target.arch})

    def pack_metadata(self, metadata: Any) -> tuple[Any, ...]:
        """What launchers need beside the program."""
        return (metadata.num_warps, metadata.num_ctas, metadata.shared)

    def get_codegen_implementation(self, options: MTIAOptions) -> dict[str, Any]:
        """Hooks of the front end: a dot may have any shape."""
        del options
        return {"min_dot_size": lambda _lhs, _rhs: (1, 1, 1)}

    def get_module_map(self) -> dict[str, ModuleType]:
        """``tl.extra.libdevice`` is the lookup-table library here."""
        from kernelevolve.backends.mtia.triton_backend import libdevice  # noqa: PLC0415

        return {"triton.language.extra.libdevice": libdevice}

    def load_dialects(self, context: Any) -> None:
        """Triton's own dialects are enough."""

    def add_stages(self, stages: dict[str, Any], options: MTIAOptions, language: Any = None) -> None:
        """``ttir`` and ``mtia``. Gluon kernels, which name a GPU's layouts, are refused."""
        if language is not None and language.name != "TRITON":
            raise ValueError("the MTIA backend compiles Triton kernels, not Gluon kernels")
        stages["ttir"] = lambda module, metadata: self.make_ttir(module, metadata, options)
        stages["mtia"] = lambda module, metadata: self.make_program(module, metadata, options)

    @staticmethod
    def make_ttir(module: Any, metadata: dict[str, Any], options: MTIAOptions) -> Any:
        """The passes that Triton's other backends run on this level, none of which knows a target."""
        from triton._C.libtriton import ir, passes  # noqa: PLC0415

        del metadata, options
        manager = ir.pass_manager(module.context)
        manager.enable_debug()
        passes.common.add_inliner(manager)
        if hasattr(passes.ttir, "add_rewrite_tensor_pointer"):  # Triton 3.6 still has block pointers
            passes.ttir.add_rewrite_tensor_pointer(manager)
        passes.common.add_canonicalizer(manager)
        passes.ttir.add_combine(manager)
        passes.ttir.add_reorder_broadcast(manager)
        passes.common.add_cse(manager)
        passes.ttir.add_triton_licm(manager)
        passes.common.add_symbol_dce(manager)
        passes.ttir.add_loop_unroll(manager)
        manager.run(module, "make_ttir")
        return module

    @staticmethod
    def make_program(module: Any, metadata: dict[str, Any], options: MTIAOptions) -> bytes:
        """The program as JSON. Raises `kernelevolve.outcome.CompileError` for what the emulator cannot execute."""
        from kernelevolve.backends.mtia.executor import check_supported  # noqa: PLC0415
        from kernelevolve.backends.mtia.program import to_json  # noqa: PLC0415
        from kernelevolve.backends.mtia.reader import read_module  # noqa: PLC0415

        del options
        program = read_module(module)
        check_supported(program)
        metadata["name"] = program.entry
        metadata["shared"] = 0
        return to_json(program)


def _declare_functions() -> None:
    """Add this chip's own functions to Triton's module of stubs: Triton 3.6 wants to find them there."""
    from triton.language.extra import libdevice as stubs  # noqa: PLC0415

    from kernelevolve.backends.mtia.triton_backend import libdevice  # noqa: PLC0415

    for name in libdevice.LOOKUP:
        if not hasattr(stubs, name):
            setattr(stubs, name, getattr(libdevice, name))
