"""What honest kernels of the suite may do: sum in another order, round what lies between to the type of the inputs.

And what they may not: sums in half precision, TF32, another function.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable
from itertools import pairwise

import pytest
import torch
import torch.nn.functional as F

from kernelevolve.evaluation.cases import InputCase, expect, make_inputs, tensor_bytes
from kernelevolve.evaluation.correctness import compare
from kernelevolve.problem import Workload


def case_of(name: str, sizes: str, distribution: str = "normal", seed: int = 3) -> InputCase:
    problem = importlib.import_module(f"kernelevolve.problems.{name}").problem
    return InputCase(problem, Workload.parse(sizes), distribution, seed)


def flash(
    q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, *, block: int = 32, sums: torch.dtype = torch.float32
) -> torch.Tensor:
    """FlashAttention's forward pass: probabilities rounded to the inputs' type before the second product."""
    dtype, length = q.dtype, q.shape[-2]
    rows = torch.arange(length)
    peak = torch.full(q.shape[:-1], -math.inf)
    total, result = torch.zeros(q.shape[:-1]), torch.zeros(q.shape)
    for start in range(0, length, block):
        keys = torch.arange(start, min(start + block, length))
        logits = q.float() @ k.float()[..., keys, :].mT / math.sqrt(q.shape[-1])
        logits = logits.masked_fill(keys > rows.unsqueeze(1), -math.inf)
        new = torch.maximum(peak, logits.amax(-1))
        share = torch.exp(logits - new.unsqueeze(-1))
        rescale, peak = torch.exp(peak - new), new
        total = total * rescale + share.sum(-1)
        result = (result * rescale.unsqueeze(-1)).to(sums).float()
        for key in keys.tolist() if sums != torch.float32 else ():
            product = share[..., key - start, None].to(dtype).float() * v[..., key, None, :].float()
            result = (result + product).to(sums).float()
        if sums == torch.float32:
            result = result + share.to(dtype).float() @ v.float()[..., keys, :]
    return (result / total.unsqueeze(-1)).to(dtype)


def tf32(x: torch.Tensor) -> torch.Tensor:
    """Ten bits of mantissa, as tensor cores read float32 operands in TF32."""
    return ((x.contiguous().view(torch.int32) + 0x1000) & ~0x1FFF).view(torch.float32)


def halves(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """A product whose sums are rounded to float16 after each term."""
    total = torch.zeros(*a.shape[:-1], b.shape[-1])
    for term in range(a.shape[-1]):
        total = (total + a[..., term, None].float() * b[..., term, None, :].float()).half().float()
    return total.half()


ATTENTION = [
    "batch=1,heads=2,length=129,dim=128,q:bfloat16,k:bfloat16,v:bfloat16,o:bfloat16",
    "batch=1,heads=2,length=131,dim=96,q:float16,k:float16,v:float16,o:float16",
    "batch=1,heads=2,length=131,dim=64",
]


@pytest.mark.parametrize("sizes", ATTENTION)
@pytest.mark.parametrize("kind", ["normal", "large", "constant", "adversarial"])
def test_flash_attention_is_right(sizes: str, kind: str) -> None:
    case = case_of("attention", sizes, kind)
    inputs = make_inputs(case)

    assert compare(tensor_bytes(flash(**inputs)), expect(case, inputs), "o").ok


@pytest.mark.parametrize(
    ("sizes", "sums"), list(zip(ATTENTION, [torch.bfloat16, torch.float16, torch.float16], strict=True))
)
def test_attention_that_adds_up_in_half_precision_is_wrong(sizes: str, sums: torch.dtype) -> None:
    case = case_of("attention", sizes)
    inputs = make_inputs(case)

    assert not compare(tensor_bytes(flash(**inputs, sums=sums)), expect(case, inputs), "o").ok


@pytest.mark.parametrize("kind", ["normal", "large", "adversarial"])
def test_float32_attention_in_tf32_is_wrong(kind: str) -> None:
    case = case_of("attention", ATTENTION[2], kind)
    inputs = make_inputs(case)
    cut = {name: tf32(tensor) for name, tensor in inputs.items()}

    assert not compare(tensor_bytes(flash(**cut)), expect(case, inputs), "o").ok


FM16 = "batch=2,n=23,d=224,k=131,x:float16,y:float16,out:float16"


@pytest.mark.parametrize("kind", ["normal", "large", "constant", "adversarial"])
@pytest.mark.parametrize("rounded", [True, False])
def test_either_association_is_right_with_what_lies_between_rounded_or_not(kind: str, *, rounded: bool) -> None:
    case = case_of("factorization_machine", FM16, kind)
    inputs = make_inputs(case)
    expected = expect(case, inputs)
    x, y = inputs["x"].float(), inputs["y"].float()

    def between(value: torch.Tensor) -> torch.Tensor:
        return value.half().float() if rounded else value

    assert compare(tensor_bytes((between(x @ x.mT) @ y).half()), expected, "out").ok
    assert compare(tensor_bytes((x @ between(x.mT @ y)).half()), expected, "out").ok


def test_a_factorization_machine_that_adds_up_in_half_precision_is_wrong() -> None:
    case = case_of("factorization_machine", FM16)
    inputs = make_inputs(case)
    x, y = inputs["x"], inputs["y"]

    assert not compare(tensor_bytes(halves(x, halves(x.mT, y))), expect(case, inputs), "out").ok
    assert not compare(tensor_bytes(halves(halves(x, x.mT), y)), expect(case, inputs), "out").ok


PFFN = "batch=2,tokens=33,width=129,hidden=131"
PFFN16 = PFFN + ",x:float16,w1:float16,g1:float16,w2:float16,g2:float16,y:float16"


def pffn(
    inputs: dict[str, torch.Tensor],
    product: Callable[[torch.Tensor, torch.Tensor], torch.Tensor] = torch.matmul,
    between: Callable[[torch.Tensor], torch.Tensor] = lambda value: value,
    gelu: str = "none",
) -> bytes:
    x, w1, g1, w2, g2 = (inputs[name].float() for name in ("x", "w1", "g1", "w2", "g2"))
    inner = F.rms_norm(F.gelu(product(x, w1).float(), approximate=gelu), g1.shape, g1, 1e-6)
    outer = F.rms_norm(product(between(inner), w2).float(), g2.shape, g2, 1e-6)
    return bytes(tensor_bytes(outer.to(inputs["x"].dtype)))


@pytest.mark.parametrize("kind", ["normal", "large", "constant", "adversarial"])
def test_a_feed_forward_layer_is_right_with_what_lies_between_rounded_or_not(kind: str) -> None:
    case = case_of("pffn", PFFN16, kind)
    inputs = make_inputs(case)
    expected = expect(case, inputs)

    assert compare(pffn(inputs), expected, "y").ok
    assert compare(pffn(inputs, between=lambda value: value.half().float()), expected, "y").ok


def test_a_feed_forward_layer_in_lower_precision_or_with_another_gelu_is_wrong() -> None:
    half, single = case_of("pffn", PFFN16), case_of("pffn", PFFN)
    inputs = make_inputs(single)

    assert not compare(pffn(make_inputs(half), halves), expect(half), "y").ok
    assert not compare(pffn(inputs, lambda a, b: tf32(a) @ tf32(b)), expect(single), "y").ok
    assert not compare(pffn(inputs, gelu="tanh"), expect(single), "y").ok


CONV = "batch=2,cin=97,cout=31,length=67,taps=3"


@pytest.mark.parametrize("kind", ["normal", "large", "adversarial"])
def test_a_convolution_in_lower_precision_or_with_its_taps_reversed_is_wrong(kind: str) -> None:
    half, single = case_of("conv1d", CONV + ",x:float16,weight:float16,y:float16", kind), case_of("conv1d", CONV, kind)
    inputs, halved = make_inputs(single), make_inputs(half)
    reversed_taps = F.conv1d(inputs["x"], inputs["weight"].flip(-1), padding="same")
    terms = F.pad(halved["x"], (1, 1)).unfold(-1, 3, 1).permute(0, 1, 3, 2).reshape(2, 97 * 3, 67)
    sums = halves(halved["weight"].reshape(31, 97 * 3).expand(2, -1, -1), terms)

    assert not compare(tensor_bytes(reversed_taps), expect(single), "y").ok
    assert not compare(
        tensor_bytes(F.conv1d(tf32(inputs["x"]), tf32(inputs["weight"]), padding=1)), expect(single), "y"
    ).ok
    assert kind == "adversarial" or not compare(tensor_bytes(sums), expect(half), "y").ok


@pytest.mark.parametrize(
    "sizes", ["batch=1,cin=257,cout=3,length=131,taps=9", "batch=1,cin=768,cout=5,length=61,taps=3"]
)
def test_a_convolution_may_add_up_all_its_terms_one_after_the_other(sizes: str) -> None:
    case = case_of("conv1d", sizes)
    inputs = make_inputs(case)
    taps = case.workload.axes["taps"]
    padded = F.pad(inputs["x"], (taps // 2, taps // 2)).unfold(-1, taps, 1)[0]
    total = torch.zeros(inputs["weight"].shape[0], padded.shape[1])
    for channel in range(padded.shape[0]):
        for tap in range(taps):
            total += inputs["weight"][:, channel, tap, None] * padded[channel, :, tap]

    assert compare(tensor_bytes(total), expect(case), "y").ok


def test_bags_that_add_up_in_half_precision_are_wrong() -> None:
    case = case_of("embedding_bag", "entries=509,dim=96,bags=11,count=2047,table:float16,out:float16")
    inputs = make_inputs(case)
    offsets = inputs["offsets"].tolist()
    out = torch.zeros(11, 96, dtype=torch.float16)
    for bag, (first, last) in enumerate(pairwise(offsets)):
        for index in inputs["indices"][first:last].tolist():
            out[bag] += inputs["table"][index]

    assert not compare(tensor_bytes(out), expect(case), "out").ok
