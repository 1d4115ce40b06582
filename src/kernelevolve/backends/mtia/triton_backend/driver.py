"""The driver class that Triton asks for with each backend. There is no chip: the emulator's session runs programs."""

from __future__ import annotations

__all__ = ["MTIADriver"]

import os
from typing import Any, Final

from triton.backends.compiler import GPUTarget
from triton.backends.driver import DriverBase

#: Set to 1 to have Triton take the emulator as its active driver, as a default target for `triton.compile`.
SWITCH: Final = "KERNELEVOLVE_MTIA_ACTIVE"
_DEFAULT_CHIP: Final = "mtia2i"


class MTIADriver(DriverBase):  # type: ignore[misc]  # Triton carries no types
    """Answers what is compiled for, and runs nothing: use `kernelevolve.backends.mtia` for that."""

    @classmethod
    def is_active(cls) -> bool:
        """Never, unless the user asks for it: two active drivers keep Triton from starting."""
        return os.environ.get(SWITCH) == "1"

    def map_python_to_cpp_type(self, ty: str) -> str:
        """The C++ type of a kernel argument (for launchers written in C++)."""
        if ty.startswith("*"):
            return "uint64_t"
        widths = {
            "i1": "int8_t",
            "u1": "uint8_t",
            "fp16": "double",
            "bf16": "double",
            "fp32": "double",
            "fp64": "double",
        }
        return widths.get(ty) or f"{'u' if ty[0] == 'u' else ''}int{ty[1:]}_t"

    def get_current_target(self) -> Any:
        """MTIA 2i."""
        return GPUTarget("mtia", _DEFAULT_CHIP, 1)

    def get_active_torch_device(self) -> Any:
        """The host: the emulator's buffers are host memory."""
        import torch  # noqa: PLC0415

        return torch.device("cpu")

    def get_benchmarker(self) -> Any:
        """None exists: an emulator's wall time is no kernel's."""
        raise NotImplementedError("the MTIA emulator gives cycles through kernelevolve, not through triton.testing")
