"""The machine model: what must hold for any numbers, and what each mechanism does to a time."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Any

import attrs
import numpy as np
import pytest
import triton
import triton.language as tl
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from triton.language.extra import libdevice

from kernelevolve.backends.mtia.model import CHIPS, Estimate, ModelOptions, Placement, combine, estimate
from kernelevolve.backends.mtia.model.parameters import ChipParameters, Origin, origins
from kernelevolve.backends.mtia.model.schedule import ModelOptions as Options
from kernelevolve.backends.mtia.trace import Trace
from kernelevolve.outcome import ResourceExceeded

if TYPE_CHECKING:
    from conftest import Emulate


@triton.jit
def product(a, b, c, m, n, k, TM: tl.constexpr, TN: tl.constexpr, TK: tl.constexpr):
    across = n // TN
    tile = tl.program_id(0)
    rows = tile // across * TM + tl.arange(0, TM)
    cols = tile % across * TN + tl.arange(0, TN)
    total = tl.zeros((TM, TN), tl.float32)
    for start in range(0, k, TK):
        terms = start + tl.arange(0, TK)
        left = tl.load(a + rows[:, None] * k + terms[None, :])
        right = tl.load(b + terms[:, None] * n + cols[None, :])
        total = tl.dot(left, right, total)
    tl.store(c + rows[:, None] * n + cols[None, :], total.to(tl.float16))


@triton.jit
def softmax(x, y, cols, BLOCK: tl.constexpr, TABLE: tl.constexpr):
    row = tl.program_id(0) * cols
    lanes = tl.arange(0, BLOCK)
    value = tl.load(x + row + lanes, mask=lanes < cols, other=float("-inf"))
    value -= tl.max(value, axis=0)
    share = libdevice.exp(value) if TABLE else tl.exp(value)
    tl.store(y + row + lanes, share / tl.sum(share, axis=0), mask=lanes < cols)


@triton.jit
def gather(x, index, y, BLOCK: tl.constexpr):
    place = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    tl.store(y + place, tl.load(x + tl.load(index + place)))


@triton.jit
def sums(x, y, count, programs, BLOCK: tl.constexpr, TIMES: tl.constexpr):
    total = tl.zeros((BLOCK,), tl.float32)
    for _ in range(TIMES):
        for start in range(tl.program_id(0) * BLOCK, count, programs * BLOCK):
            total += tl.load(x + start + tl.arange(0, BLOCK))
    tl.store(y + tl.program_id(0) * BLOCK + tl.arange(0, BLOCK), total)


@triton.jit
def wrapped(x, y, count, BLOCK: tl.constexpr, MODULO: tl.constexpr):
    place = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    source = place % count if MODULO else place
    tl.store(y + place, tl.load(x + source))


@triton.jit
def many(x, y, PARTS: tl.constexpr, BLOCK: tl.constexpr):
    lanes = tl.arange(0, BLOCK)
    for _ in range(4):
        for part in tl.static_range(PARTS):
            tl.store(y + part * BLOCK + lanes, tl.load(x + part * BLOCK + lanes) * 2.0)


@triton.jit
def triangle(x, y, BLOCK: tl.constexpr):
    lanes = tl.arange(0, BLOCK)
    total = tl.zeros((BLOCK,), tl.float32)
    for block in range(tl.program_id(0) + 1):
        total += tl.load(x + block * BLOCK + lanes)
    tl.store(y + tl.program_id(0) * BLOCK + lanes, total)


def zeros(*shape: int, dtype: Any = np.float32) -> Any:
    return np.zeros(shape, dtype)


@pytest.fixture
def traces(emulate: Emulate) -> Mapping[str, Trace]:
    return _traces(emulate)


class Traces(dict[str, Trace]):
    """Shown in short where an example fails."""

    def __repr__(self) -> str:
        return f"Traces({', '.join(self)})"


@cache
def _made() -> Traces:
    return Traces()


def _traces(emulate: Emulate) -> Mapping[str, Trace]:
    made = _made()
    if not made:
        half = zeros(256, 256, dtype=np.float16)
        tiles = {"TM": 64, "TN": 64, "TK": 32}
        made["product"] = emulate(product, (16,), a=half, b=half.copy(), c=half.copy(), m=256, n=256, k=256, **tiles)
        for name, table in (("softmax", False), ("tabled", True)):
            x = zeros(200, 500)
            made[name] = emulate(softmax, (200,), x=x, y=x.copy(), cols=500, BLOCK=512, TABLE=table)
        index = np.random.default_rng(0).integers(0, 50_000, 16384, np.int32)
        made["gather"] = emulate(gather, (32,), x=zeros(50_000), index=index, y=zeros(16384), BLOCK=512)
        made["triangle"] = emulate(triangle, (100,), x=zeros(100 * 256), y=zeros(100 * 256), BLOCK=256)
    return made


NAMES = ("product", "softmax", "tabled", "gather", "triangle")
#: More of these is never slower.
RATES = (
    "local_bytes_per_cycle", "buffer_depth", "dot_macs_2byte", "reduce_elements", "accumulator_bytes", "simd_elements",
    "lookup_elements", "vector_bytes", "layout_bytes", "dma_bytes", "shared_bytes", "shared_bytes_per_second",
    "dram_bytes_per_second", "dram_efficiency", "broadcast_column",
)  # fmt: skip
#: Less of these is never slower. (Not the fabric's piece: a gather finds more neighbours in larger ones.)
COSTS = (
    "job_launch_seconds", "job_replace_seconds", "dot_issue_cycles", "vector_math_cycles", "scalar_cycles",
    "issue_cycles", "dma_issue_cycles", "gather_cycles", "local_latency_cycles",
    "shared_latency_seconds", "dram_latency_seconds", "hop_cycles",
)  # fmt: skip


def timed(
    trace: Trace, chip: ChipParameters, options: Options | None = None, placement: Placement | None = None
) -> Estimate:
    return estimate(trace.program, trace, chip, options, placement)


def scaled(chip: ChipParameters, name: str, factor: float) -> ChipParameters:
    value = getattr(chip, name)
    number: Any = max(1, round(value * factor)) if isinstance(value, int) else value * factor
    return attrs.evolve(chip, **{name: number})


options_strategy = st.builds(
    ModelOptions,
    num_stages=st.integers(1, 4),
    cb_multiplier=st.sampled_from((1, 2, 8)),
    use_dual_core=st.booleans(),
)
quickly = settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@quickly
@given(
    name=st.sampled_from(NAMES),
    parameter=st.sampled_from((*RATES, *COSTS)),
    chip=st.sampled_from(("mtia2i", "mtia300")),
    before=st.sampled_from((0.25, 0.5, 1.0, 3.0)),
    factor=st.sampled_from((1.1, 2.0, 4.0, 16.0)),
    options=options_strategy,
    cold=st.booleans(),
)
def test_a_better_chip_is_hardly_ever_slower(
    traces: Mapping[str, Trace],
    name: str,
    parameter: str,
    chip: str,
    before: float,
    factor: float,
    options: Options,
    cold: bool,
) -> None:
    start = scaled(CHIPS[chip], parameter, before)
    if isinstance(getattr(start, parameter), int):
        factor = max(2.0, factor)  # sizes stay powers of two
    better = scaled(start, parameter, factor if parameter in RATES else 1 / factor)
    placement = Placement(cold=cold)
    try:
        slow = timed(traces[name], start, options, placement)
        fast = timed(traces[name], better, options, placement)
    except ResourceExceeded:  # deeper buffers need more local memory
        return
    # Operations are taken in order, each as soon as its unit is free, as the chip does it. Such schedules have
    # anomalies: a unit that is free sooner may take what had better waited (Graham, "Bounds on multiprocessing timing
    # anomalies", 1969). They stay small.
    assert fast.cycles <= 1.03 * slow.cycles + 1


@quickly
@given(name=st.sampled_from(NAMES), chip=st.sampled_from(("mtia2i", "mtia300")), options=options_strategy)
def test_cycles_and_bytes_add_up(traces: Mapping[str, Trace], name: str, chip: str, options: Options) -> None:
    trace = traces[name]
    found = timed(trace, CHIPS[chip], options)
    profile = found.profile
    assert found.seconds == pytest.approx(found.cycles / CHIPS[chip].clock_hertz)
    for use in profile.units.values():
        assert 0 <= use.busy <= found.cycles
        assert use.busy + use.stall == pytest.approx(found.cycles)
    fabric, shared, dram = (profile.memory[level] for level in ("fabric", "shared", "dram"))
    stores = {access.op: "store" in trace.index.ops[access.op].name for access in trace.accesses}
    useful = {kind: sum(int(a.nbytes.sum()) for a in trace.accesses if stores[a.op] is kind) for kind in (False, True)}
    assert fabric.read >= useful[False]
    assert fabric.written >= useful[True]
    assert dram.written <= fabric.written
    assert shared.written == fabric.written + dram.read
    assert shared.read <= fabric.read + dram.written
    floor = (dram.read + dram.written) / CHIPS[chip].dram_bytes_per_second
    assert found.seconds >= floor


@pytest.mark.parametrize("name", NAMES)
def test_equal_launches_have_equal_times(traces: Mapping[str, Trace], name: str) -> None:
    assert timed(traces[name], CHIPS["mtia2i"]) == timed(traces[name], CHIPS["mtia2i"])


@quickly
@given(name=st.sampled_from(NAMES), options=options_strategy, chip=st.sampled_from(("mtia2i", "mtia300")))
def test_a_second_core_and_deeper_buffers_cost_no_time(
    traces: Mapping[str, Trace], name: str, options: Options, chip: str
) -> None:
    plain = timed(traces[name], CHIPS[chip], options).cycles
    if options.cb_multiplier < 8:
        deeper = attrs.evolve(options, cb_multiplier=options.cb_multiplier * 2)
        assert timed(traces[name], CHIPS[chip], deeper).cycles <= plain + 1
    assert timed(traces[name], CHIPS[chip], attrs.evolve(options, use_dual_core=True)).cycles <= plain + 1


def test_every_number_has_a_unit_an_origin_and_a_source() -> None:
    for name, (unit, origin, source) in origins().items():
        assert unit, name
        assert isinstance(origin, Origin)
        assert source, name
    assert set(origins()) == {one.name for one in attrs.fields(ChipParameters)} - {"name"}


@pytest.mark.parametrize(("name", "peak"), [("mtia2i", 177e12), ("mtia300", 560e12), ("mtia1", 51.2e12)])
def test_derived_rates_give_the_published_peaks(name: str, peak: float) -> None:
    chip = CHIPS[name]
    assert 2 * chip.dot_macs_2byte * chip.elements * chip.clock_hertz == pytest.approx(peak)
    assert chip.dma_bytes * chip.elements * chip.clock_hertz == pytest.approx(chip.shared_bytes_per_second)


def test_the_compulsory_traffic_of_a_product_comes_once(traces: Mapping[str, Trace]) -> None:
    memory = timed(traces["product"], CHIPS["mtia2i"]).profile.memory
    tensor = 256 * 256 * 2
    assert (memory["dram"].read, memory["dram"].written) == (2 * tensor, tensor)
    # 16 programs read a strip of each operand: 4 share each strip at a time, which one broadcast serves
    assert memory["fabric"].read == 16 * 2 * 64 * 256 * 2
    assert memory["shared"].read == 2 * tensor + memory["dram"].written


def test_a_small_cache_reads_again(emulate: Emulate) -> None:
    count, programs = 1 << 19, 64
    x = zeros(count)
    trace = emulate(sums, (programs,), x=x, y=zeros(programs * 512), count=count, programs=programs, BLOCK=512, TIMES=4)
    whole = timed(trace, CHIPS["mtia2i"])
    small = attrs.evolve(CHIPS["mtia2i"], shared_bytes=x.nbytes // 2, shared_granularity=4096)
    again = timed(trace, small)
    assert whole.profile.memory["dram"].read == x.nbytes
    assert again.profile.memory["dram"].read == pytest.approx(4 * x.nbytes, rel=0.05)
    assert again.cycles > 2 * whole.cycles


def test_what_an_earlier_launch_left_in_the_cache_is_not_read_again(traces: Mapping[str, Trace]) -> None:
    chip = CHIPS["mtia2i"]
    first = timed(traces["softmax"], chip)
    second = timed(traces["softmax"], chip, None, Placement(first.resident))
    assert first.resident == {"x": 200 * 500 * 4, "y": 200 * 500 * 4}
    assert second.profile.memory["dram"].read == 0
    assert second.profile.memory["dram"].written == first.profile.memory["dram"].written
    both = combine([first, second], chip)
    barrier = chip.barrier_seconds * chip.clock_hertz
    assert both.cycles == pytest.approx(first.cycles + second.cycles + barrier, abs=1)
    assert both.profile.programs == 400


def test_warm_caches_and_scratch_keep_dram_out(traces: Mapping[str, Trace]) -> None:
    chip = CHIPS["mtia2i"]
    warm = timed(traces["softmax"], chip, None, Placement(cold=False)).profile.memory["dram"]
    scratch = timed(traces["softmax"], chip, None, Placement(scratch=frozenset({"y"}))).profile.memory["dram"]
    assert (warm.read, warm.written) == (0, 0)
    assert (scratch.read, scratch.written) == (200 * 500 * 4, 0)


def test_lookup_tables_beat_software(traces: Mapping[str, Trace]) -> None:
    warm = Placement(cold=False)
    for chip in ("mtia2i", "mtia300"):
        table = timed(traces["tabled"], CHIPS[chip], None, warm)
        software = timed(traces["softmax"], CHIPS[chip], None, warm)
        assert table.cycles < software.cycles
        assert table.profile.units["core B"].busy < software.profile.units["core B"].busy


def test_a_remainder_in_an_address_becomes_a_gather(emulate: Emulate) -> None:
    found = {}
    for modulo in (False, True):
        x = zeros(1 << 16)
        trace = emulate(wrapped, (64,), x=x, y=x.copy(), count=1 << 16, BLOCK=1024, MODULO=modulo)
        found[modulo] = timed(trace, CHIPS["mtia2i"])
    assert found[True].profile.memory["fabric"].read > 4 * found[False].profile.memory["fabric"].read
    assert found[True].cycles > found[False].cycles


def test_one_program_for_each_element_saves_replacing_jobs(emulate: Emulate) -> None:
    count, chip = 1 << 18, CHIPS["mtia2i"]
    cycles = {}
    for programs in (64, 512):
        arrays = {"x": zeros(count), "y": zeros(programs * 512)}
        trace = emulate(sums, (programs,), **arrays, count=count, programs=programs, BLOCK=512, TIMES=1)
        profile = timed(trace, chip).profile
        cycles[programs] = profile.launch_cycles
        assert profile.elements == 64
    replaced = 7 * chip.job_replace_seconds * chip.clock_hertz
    assert cycles[512] - cycles[64] == pytest.approx(replaced)


def test_uneven_programs_take_as_long_as_the_last_one(traces: Mapping[str, Trace]) -> None:
    trace, chip = traces["triangle"], CHIPS["mtia2i"]
    assert len(trace.classes) == 100
    one = attrs.evolve(chip, rows=1, columns=1)
    assert timed(trace, one).cycles > 20 * timed(trace, chip).cycles


def test_the_bottleneck_names_what_is_short(traces: Mapping[str, Trace]) -> None:
    chip = CHIPS["mtia2i"]
    slow_dram = scaled(chip, "dram_bytes_per_second", 0.01)
    assert "DRAM bandwidth" in timed(traces["softmax"], slow_dram).profile.bottleneck
    slow_dot = scaled(chip, "dot_macs_2byte", 0.01)
    sentence = timed(traces["product"], slow_dot).profile.bottleneck
    assert "dot engine" in sentence
    assert "16 of 64 elements" in sentence


def test_lines_name_the_expensive_statement(traces: Mapping[str, Trace]) -> None:
    lines = timed(traces["softmax"], CHIPS["mtia2i"]).profile.lines
    source = traces["softmax"].program
    exp = next(op.line for op in source.walk() if op.name == "math.exp")
    assert exp in list(lines)[:2]
    assert list(lines.values()) == sorted(lines.values(), reverse=True)


def test_too_many_circular_buffers_are_refused(emulate: Emulate) -> None:
    fine = emulate(many, (1,), x=zeros(7 * 64), y=zeros(7 * 64), PARTS=7, BLOCK=64)
    assert timed(fine, CHIPS["mtia2i"]).profile.circular_buffers == 14
    trace = emulate(many, (1,), x=zeros(8 * 64), y=zeros(8 * 64), PARTS=8, BLOCK=64)
    with pytest.raises(ResourceExceeded, match="circular-buffers") as refused:
        timed(trace, CHIPS["mtia2i"])
    assert (refused.value.details["needed"], refused.value.details["limit"]) == (16, 14)


def test_tiles_that_exceed_local_memory_are_refused_with_the_bytes(emulate: Emulate) -> None:
    half = zeros(256, 256, dtype=np.float16)
    trace = emulate(product, (1,), a=half, b=half.copy(), c=half.copy(), m=256, n=256, k=256, TM=256, TN=256, TK=128)
    # the sum stays for the whole loop: 256 KiB; each operand has two slots of 64 KiB
    with pytest.raises(ResourceExceeded, match="local-memory") as refused:
        timed(trace, CHIPS["mtia2i"])
    assert refused.value.details["needed"] == (256 + 2 * 2 * 64) * 1024
    assert refused.value.details["limit"] == 384 * 1024
    assert timed(trace, CHIPS["mtia300"]).profile.local_high_water == (256 + 2 * 2 * 64) * 1024


def test_the_record_is_json_with_the_model_and_its_version(traces: Mapping[str, Trace]) -> None:
    import json

    record = json.loads(json.dumps(timed(traces["product"], CHIPS["mtia2i"]).record()))
    assert record["model"] == "kernelevolve-mtia-2"
    assert record["cycles"] > 0
    assert record["profile"]["units"]["dot engine"]["busy"] > 0
