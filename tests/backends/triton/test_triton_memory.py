"""The interpreted device's memory: addresses that cannot reach anything but what they were made for."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernelevolve.accelerator import BufferSpec
from kernelevolve.backends._triton.memory import Memory, StrayAccess
from kernelevolve.backends._triton.races import RaceFound, Tracker


def located(memory: Memory, addresses: list[int], mask: list[bool] | None = None, itemsize: int = 4) -> np.ndarray:
    active = np.array(mask if mask is not None else [True] * len(addresses))
    return memory.locate(np.array(addresses, np.uint64), active, itemsize, "load")


@given(
    nbytes=st.integers(1, 300),
    guard=st.integers(0, 80),
    offset=st.integers(-(2**39), 2**39 - 1),
    itemsize=st.sampled_from([1, 2, 4, 8]),
)
def test_an_access_is_inside_or_found(nbytes: int, guard: int, offset: int, itemsize: int) -> None:
    memory = Memory()
    other, buffer = memory.allocate(BufferSpec(64)), memory.allocate(BufferSpec(nbytes, guard))
    memory.expose({"o": other, "b": buffer}, track=False)
    assert buffer.payload.ctypes.data % 256 == 0
    assert buffer.address % 256 == 0
    for place in (offset, offset % (nbytes + 20) - 10):
        if 0 <= place <= nbytes - itemsize:
            real = located(memory, [buffer.address + place], itemsize=itemsize)
            assert int(real[0]) == buffer.payload.ctypes.data + place
        else:
            with pytest.raises(StrayAccess) as caught:
                located(memory, [buffer.address + place], itemsize=itemsize)
            found = caught.value
            assert (found.buffer, found.offset, found.nbytes) == ("b", place, nbytes)
            assert found.side == ("front" if place < 0 else "back")


def test_lanes_of_several_buffers_and_masked_ones() -> None:
    memory = Memory()
    a, b = memory.allocate(BufferSpec(8)), memory.allocate(BufferSpec(8))
    memory.expose({"a": a, "b": b}, track=False)
    real = located(memory, [b.address + 4, 12345, a.address, a.address + 400], [True, False, True, False])
    assert real.tolist() == [b.payload.ctypes.data + 4, 0, a.payload.ctypes.data, 0]
    assert located(memory, [0, 1], [False, False]).tolist() == [0, 0]
    with pytest.raises(StrayAccess) as caught:
        located(memory, [a.address, b.address + 8])
    assert caught.value.buffer == "b"


def test_what_is_freed_or_not_the_launchs_belongs_to_nobody() -> None:
    memory = Memory()
    a, b = memory.allocate(BufferSpec(8)), memory.allocate(BufferSpec(8))
    memory.expose({"a": a}, track=True)
    for address in (b.address, 0, 2**64 - 8, a.payload.ctypes.data):
        with pytest.raises(StrayAccess, match="load") as caught:
            located(memory, [address])
        assert caught.value.buffer is None
        assert "belongs to no buffer" in caught.value.sentence
    memory.free(a)
    with pytest.raises(StrayAccess):
        located(memory, [a.address])


def tracker() -> Tracker:
    return Tracker("b", np.zeros(16, np.uint8))


def store(tracked: Tracker, offsets: list[int], values: list[int], program: int) -> None:
    """What a store does: it is announced, then done."""
    places, data = np.array(offsets), np.array(values, np.int32)
    tracked.store(places, data, program)
    for place, value in zip(offsets, data, strict=True):
        tracked.payload[place : place + 4] = np.frombuffer(value.tobytes(), np.uint8)
    tracked.stored(places, data)


def test_a_program_may_do_what_it_likes_with_its_own_bytes() -> None:
    tracked = tracker()
    for program, place in ((0, 0), (1, 4), (0, 0)):
        tracked.load(np.array([place]), 4, program)
        store(tracked, [place], [program + 5], program)
        tracked.load(np.array([place]), 4, program)


def test_each_race_is_named() -> None:
    tracked = tracker()
    store(tracked, [4], [1], 0)
    with pytest.raises(RaceFound, match="reads what another program of the same launch wrote: byte 4 of buffer 'b'"):
        tracked.load(np.array([4]), 4, 1)
    with pytest.raises(RaceFound, match="overwrites what another program of the same launch wrote"):
        store(tracked, [4], [2], 1)
    store(tracked, [4], [1], 2)  # the same value
    tracked.load(np.array([8]), 4, 3)
    with pytest.raises(RaceFound, match="changes what another program of the same launch reads: byte 8"):
        store(tracked, [8], [7], 4)
    tracked.load(np.array([8]), 4, 5)
    with pytest.raises(RaceFound, match="changes what another"):
        store(tracked, [8], [7], 5)  # it read it itself, and so did others
    with pytest.raises(RaceFound, match="different values to one place at once: byte 12"):
        store(tracked, [12, 12], [1, 2], 6)


@given(places=st.lists(st.tuples(st.integers(0, 3), st.integers(0, 2), st.booleans()), max_size=12))
def test_a_race_is_found_whenever_two_programs_meet_and_one_changes(places: list[tuple[int, int, bool]]) -> None:
    """Against a plain account of who touched which word: reads and writes of fresh values, in any order."""
    tracked = tracker()
    readers: dict[int, set[int]] = {}
    writers: dict[int, set[int]] = {}
    for value, (word, program, writes) in enumerate(places, start=1):
        foreign = writers.get(word, set()) - {program} or (writes and readers.get(word, set()) - {program})
        try:
            if writes:
                store(tracked, [4 * word], [value], program)
            else:
                tracked.load(np.array([4 * word]), 4, program)
        except RaceFound:
            assert foreign
            return
        assert not foreign
        (writers if writes else readers).setdefault(word, set()).add(program)
