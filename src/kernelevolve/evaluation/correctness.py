"""The one rule by which an output counts as right: `docs/explanation/correctness.md` gives the reasons.

Float outputs are compared element by element with a float64 oracle, in units of a local scale. Integers and booleans
must be equal. There is no share of elements that may be wrong.
"""

from __future__ import annotations

__all__ = ["Comparison", "Expected", "ExpectedOutput", "compare", "expect_output", "tensor_from_bytes", "wrong_result"]

import math
from collections.abc import Mapping
from typing import Any, Final

import torch
from attrs import field, frozen

from kernelevolve.errors import UnknownNameError
from kernelevolve.outcome import WrongResult
from kernelevolve.problem import Tolerance, itemsize

#: Unit roundoff of float32: what honest kernels accumulate in, whatever they store.
FLOAT32_UNIT: Final = 2.0**-24
FLOAT64_UNIT: Final = 2.0**-53
#: Fewer elements than this on the last axis say little about a typical magnitude.
BLOCK: Final = 8
#: Longest reduction whose rounding in a plain serial float32 loop is granted (the error of longer ones is a defect).
LONGEST: Final = 2**16
#: Elements compared at a time: their float64 fits a second-level cache, and PyTorch computes fewer than 2**15 on one
#: thread, so that a comparison never waits for a busy core (up to 50 ms for every operation where it did).
_PIECE: Final = 2**14
#: The same on a GPU, where a piece only bounds the memory for temporaries.
_GPU_PIECE: Final = 2**26


@frozen(eq=False)
class ExpectedOutput:
    """What one output must be, and by how much each element may differ."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    #: The oracle, flat: float64 for float outputs, int64 for integers and booleans. On the device that computed it.
    values: torch.Tensor = field(repr=False)
    #: Float outputs: the largest permitted difference per element, in the output's own units; NaN where the value is
    #: not finite in the output's type and must match in kind.
    slack: torch.Tensor | None = field(repr=False)
    #: The permitted difference in units of the local scale.
    allowed: float
    #: The largest difference of a native-precision PyTorch run, in the same units.
    native_error: float

    @property
    def total(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)


@frozen(eq=False)
class Expected:
    """What all outputs of one input case must be. It never leaves the process that judges."""

    outputs: Mapping[str, ExpectedOutput]
    #: The workload's label and the distribution, for messages.
    workload: str
    distribution: str


@frozen
class Comparison:
    """How one output compared."""

    output: str
    ok: bool
    #: The largest difference among elements that are finite on both sides, and the same in units of the local scale.
    max_abs: float
    max_rel: float
    #: The permitted `max_rel`; 0 for integers and booleans.
    allowed: float
    #: The first wrong element, with what was found and what belongs there; None where all are right.
    first_bad_index: tuple[int, ...] | None
    got: float | None
    want: float | None
    #: How many elements are wrong, of how many.
    count: int
    total: int
    #: What is wrong: ``value``, ``nonfinite``, ``zeros``, ``integer`` or ``size``; empty where nothing is.
    kind: str


def tensor_from_bytes(data: bytes | bytearray | memoryview, dtype: str, shape: tuple[int, ...]) -> torch.Tensor:
    """The tensor that `data` holds (contiguous, little endian). Raises ValueError where the sizes disagree.

    A boolean is true where its byte is not zero.
    """
    wanted = math.prod(shape) * itemsize(dtype)
    if len(data) != wanted:
        raise ValueError(f"{len(data)} bytes for {dtype} of shape {shape}; {wanted} are needed")
    if not wanted:
        return torch.empty(shape, dtype=getattr(torch, dtype))
    raw = torch.frombuffer(bytearray(data) if isinstance(data, bytes) else data, dtype=torch.uint8)
    return ((raw != 0) if dtype == "bool" else raw.view(getattr(torch, dtype))).reshape(shape)


def expect_output(
    name: str, dtype: str, oracle: torch.Tensor, native: torch.Tensor, tolerance: Tolerance, longest_axis: int = 1
) -> ExpectedOutput:
    """Turn an oracle (float64, or exact integers) and a native-precision run into per-element bounds.

    `longest_axis` bounds how many terms a serial loop may add up.
    """
    shape = tuple(oracle.shape)
    if not oracle.dtype.is_floating_point:
        return ExpectedOutput(name, dtype, shape, oracle.reshape(-1).to(torch.int64).cpu(), None, 0.0, 0.0)
    oracle = oracle.to(torch.float64)
    kind = torch.finfo(getattr(torch, dtype))
    finite = torch.isfinite(oracle.to(getattr(torch, dtype)))
    magnitude = torch.where(finite, oracle, 0.0).abs_()
    scale = _scale(magnitude, finite, kind.eps)
    native_error = _native_error(oracle, native, scale, finite)
    allowed = _allowed(tolerance, dtype, native_error, longest_axis)
    # The smallest number of the type, or float32's and bfloat16's smallest normal one: devices may flush below it.
    floor = kind.tiny if dtype in ("float32", "bfloat16") else kind.tiny * kind.eps
    slack = scale.mul_(allowed).add_(floor).masked_fill_(~finite, math.nan)
    return ExpectedOutput(name, dtype, shape, oracle.reshape(-1), slack.reshape(-1), allowed, native_error)


def _scale(magnitude: torch.Tensor, finite: torch.Tensor, eps: float) -> torch.Tensor:
    """``max(|want|, RMS of the row)``; the tensor's RMS where rows are short, eps times it where a row is all zero."""
    overall = _rms(magnitude, finite, dim=None)
    wide = magnitude.dim() > 0 and magnitude.shape[-1] >= BLOCK
    block = _rms(magnitude, finite, dim=-1) if wide else overall
    return torch.maximum(magnitude, torch.where(block > 0, block, eps * overall))


def _rms(magnitude: torch.Tensor, finite: torch.Tensor, dim: int | None) -> torch.Tensor:
    dims = tuple(range(magnitude.dim())) if dim is None else (dim,)
    if not dims:
        return magnitude.clone()
    # The norm is taken of magnitudes over their peak, so that 1e200 does not overflow when squared.
    peak = magnitude.amax(dims, keepdim=True)
    count = finite.sum(dims, keepdim=True).clamp_(min=1)
    share = magnitude / torch.where(peak > 0, peak, 1.0)
    return peak * (share.square_().sum(dims, keepdim=True) / count).sqrt_()


def _native_error(oracle: torch.Tensor, native: torch.Tensor, scale: torch.Tensor, finite: torch.Tensor) -> float:
    wide = native.to(torch.float64)
    error = (wide - oracle).abs_().div_(torch.where(scale > 0, scale, 1.0))
    usable = finite & torch.isfinite(wide)
    return float(torch.where(usable, error, 0.0).max()) if error.numel() else 0.0


def _allowed(tolerance: Tolerance, dtype: str, native_error: float, longest_axis: int) -> float:
    output_unit = torch.finfo(getattr(torch, dtype)).eps / 2
    compute_unit = FLOAT64_UNIT if dtype == "float64" else FLOAT32_UNIT
    # A serial sum of n terms of either sign errs by sqrt(n/6) units; 4 sqrt(n) holds for the worst of many millions.
    roundings = max(tolerance.compute_roundings, tolerance.summation_roundings * math.sqrt(min(longest_axis, LONGEST)))
    granted = max(roundings * compute_unit, tolerance.native_multiple * native_error)
    return min(tolerance.ceiling, tolerance.output_roundings * output_unit + granted)


def compare(got: bytes | bytearray | memoryview, expected: Expected, output: str) -> Comparison:
    """Judge one output's raw bytes. Raises `UnknownNameError` for an output that `expected` does not have."""
    if output not in expected.outputs:
        raise UnknownNameError("output", output, expected.outputs)
    wanted = expected.outputs[output]
    if len(got) != wanted.total * itemsize(wanted.dtype):
        return _failure(wanted, "size", count=wanted.total)
    if wanted.slack is None:
        return _compare_exact(got, wanted)
    return _compare_float(tensor_from_bytes(got, wanted.dtype, (wanted.total,)), wanted, wanted.slack)


def _compare_exact(got: bytes | bytearray | memoryview, wanted: ExpectedOutput) -> Comparison:
    # A boolean is stored as 0 or 1; any other byte is wrong, so bytes are compared and not truth values.
    found = tensor_from_bytes(got, "uint8" if wanted.dtype == "bool" else wanted.dtype, (wanted.total,))
    values = wanted.values.to(found.dtype)
    if torch.equal(found, values):
        return _success(wanted, 0.0, 0.0)
    difference = (found.to(torch.float64) - wanted.values.to(torch.float64)).abs_()
    return _failure(wanted, "integer", bad=found != values, found=found, max_abs=float(difference.max()))


def _compare_float(found: torch.Tensor, wanted: ExpectedOutput, slack: torch.Tensor) -> Comparison:
    found = found.to(slack.device)
    max_abs, worst = _extremes(found, wanted.values, slack)
    if worst <= 1.0:
        if not _blank(found) or not bool(wanted.values.to(found.dtype).any()):
            return _success(wanted, max_abs, worst * wanted.allowed)
        return _failure(wanted, "zeros", bad=wanted.values != 0, found=found)
    wide = found.to(torch.float64)
    difference = (wide - wanted.values).abs_()
    ratio = difference / slack
    good = ratio <= 1.0
    bad = ~good & ~_same_kind(wide, found.dtype, wanted, slack)
    usable = torch.isfinite(ratio)
    max_abs = float(torch.where(usable, difference, 0.0).max())
    max_rel = float(torch.where(usable, ratio, 0.0).max()) * wanted.allowed
    if not bool(bad.any()):
        return _success(wanted, max_abs, max_rel)
    first = int(torch.argmax(bad.to(torch.uint8)))
    strange = not math.isfinite(float(wide[first])) or math.isnan(float(slack[first]))
    return _failure(wanted, "nonfinite" if strange else "value", bad=bad, found=found, max_abs=max_abs, max_rel=max_rel)


def _extremes(found: torch.Tensor, values: torch.Tensor, slack: torch.Tensor) -> tuple[float, float]:
    """The largest difference, and the largest share of its bound; NaN where any is NaN.

    Runs over pieces whose temporaries stay in the cache.
    """
    differences, shares = [], []
    size = _piece(found)
    for start in range(0, found.numel(), size):
        piece = slice(start, start + size)
        difference = torch.sub(found[piece].to(torch.float64), values[piece]).abs_()
        differences.append(difference.max())
        shares.append(difference.div_(slack[piece]).max())
    if not shares:
        return 0.0, 0.0
    return float(torch.stack(differences).max()), float(torch.stack(shares).max())


def _blank(found: torch.Tensor) -> bool:
    size = _piece(found)
    return not any(bool(found[start : start + size].any()) for start in range(0, found.numel(), size))


def _piece(tensor: torch.Tensor) -> int:
    return _GPU_PIECE if tensor.is_cuda else _PIECE


def _same_kind(wide: torch.Tensor, dtype: torch.dtype, wanted: ExpectedOutput, slack: torch.Tensor) -> torch.Tensor:
    """Where NaN stands for NaN and an infinity for the same infinity.

    An oracle value within its tolerance of where the type overflows may round to either side.
    """
    want = wanted.values.to(dtype).to(torch.float64)
    same = (want == wide) & torch.isinf(want) | (torch.isnan(want) & torch.isnan(wide))
    largest = torch.finfo(dtype).max
    edge = torch.isfinite(wanted.values) & ((wanted.values.abs() / largest - 1.0).abs() <= 2 * wanted.allowed)
    across = edge & (wide.abs() >= largest * (1 - 2 * wanted.allowed)) & (wide.sign() == wanted.values.sign())
    return same | (across & (torch.isinf(wide) | torch.isnan(slack)))


def _success(wanted: ExpectedOutput, max_abs: float, max_rel: float) -> Comparison:
    return Comparison(wanted.name, True, max_abs, max_rel, wanted.allowed, None, None, None, 0, wanted.total, "")


def _failure(
    wanted: ExpectedOutput,
    kind: str,
    *,
    bad: torch.Tensor | None = None,
    found: torch.Tensor | None = None,
    max_abs: float = math.inf,
    max_rel: float = math.inf,
    count: int = 0,
) -> Comparison:
    index: tuple[int, ...] | None = None
    got = want = None
    if bad is not None and found is not None:
        first = int(torch.argmax(bad.to(torch.uint8)))
        index = tuple(int(part) for part in torch.unravel_index(torch.tensor(first), wanted.shape or (1,)))
        got, want, count = found[first].item(), wanted.values[first].item(), int(bad.sum())
    return Comparison(wanted.name, False, max_abs, max_rel, wanted.allowed, index, got, want, count, wanted.total, kind)


_REASONS: Final[Mapping[str, str]] = {
    "value": "differs from the reference by more than rounding explains",
    "nonfinite": "has NaN or infinity in other places than the reference",
    "zeros": "is zero everywhere and the reference is not",
    "integer": "differs from the reference, and integers must be equal",
    "size": "has another size than the problem declares",
}


def wrong_result(comparison: Comparison, expected: Expected) -> WrongResult:
    """The failure that a comparison describes, in a sentence and in fields. Raises ValueError for one that is right."""
    if comparison.ok:
        raise ValueError(f"output {comparison.output!r} is right; there is no failure to describe")
    place = ", ".join(map(str, comparison.first_bad_index or ()))
    example = f"; first at [{place}]: got {comparison.got!r}, want {comparison.want!r}" if place else ""
    message = (
        f"output {comparison.output!r} {_REASONS[comparison.kind]} for {expected.workload} "
        f"({expected.distribution} inputs): {comparison.count} of {comparison.total} elements are wrong{example}"
    )
    return WrongResult(
        message,
        output=comparison.output,
        max_abs=_json_number(comparison.max_abs),
        max_rel=_json_number(comparison.max_rel),
        allowed=comparison.allowed,
        first_bad_index=list(comparison.first_bad_index) if comparison.first_bad_index is not None else None,
        got=_json_number(comparison.got),
        want=_json_number(comparison.want),
        count=comparison.count,
        total=comparison.total,
        workload=expected.workload,
        distribution=expected.distribution,
        kind=comparison.kind,
    )


def _json_number(value: Any) -> Any:
    """JSON has no NaN and no infinity; they travel as text."""
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value
