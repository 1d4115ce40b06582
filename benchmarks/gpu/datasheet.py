"""Dense rates of arithmetic that a datasheet promises: one half of the roofline; the other half is measured."""

from __future__ import annotations

__all__ = ["rate_of"]

from collections.abc import Mapping
from typing import Final

from kernelevolve.problem import Problem, Workload

#: Operations per second by element type, with no sparsity: tensor cores, but for float32, which they have only as TF32.
#: NVIDIA's datasheets of the H100 and H200 Tensor Core GPUs (their rates with sparsity, halved).
_HOPPER_SXM: Final = {
    "bfloat16": 989.5e12,
    "float16": 989.5e12,
    "float8_e4m3fn": 1979e12,
    "float8_e5m2": 1979e12,
    "float32": 67e12,
    "float64": 67e12,
}
_HOPPER_PCIE: Final = {
    "bfloat16": 756.5e12,
    "float16": 756.5e12,
    "float8_e4m3fn": 1513e12,
    "float8_e5m2": 1513e12,
    "float32": 51e12,
    "float64": 51e12,
}
#: By a part of the device's name, the more special one first.
_RATES: Final[Mapping[str, Mapping[str, float]]] = {
    "H100 PCIe": _HOPPER_PCIE,
    "H100": _HOPPER_SXM,
    "H200": _HOPPER_SXM,
}


def rate_of(device: str, problem: Problem, workload: Workload) -> tuple[str, float | None]:
    """The element type that the arithmetic may be done in (the fastest among the float inputs), and its dense rate.

    None where the device is not in the table or no input is a float; then bytes alone make the roofline.
    """
    dtypes = problem.dtypes(workload)
    floats = [dtypes[spec.name] for spec in problem.inputs if dtypes[spec.name].startswith(("float", "bfloat"))]
    rates = next((rates for part, rates in _RATES.items() if part.lower() in device.lower()), None)
    if not floats:
        return dtypes[problem.inputs[0].name], None
    if rates is None:
        return floats[0], None
    best = max(floats, key=lambda dtype: rates[dtype])
    return best, rates[best]
