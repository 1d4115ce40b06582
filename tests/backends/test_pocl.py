"""The one mend for PoCL: a processor that its LLVM does not know gets the name of one that it does."""

from __future__ import annotations

import ctypes

import pytest

from kernelevolve.backends._pocl import name_processor, processor_for

AVX512 = {"avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl", "clwb"}
AVX2 = {"avx2", "fma", "f16c", "bmi1", "bmi2"}


@pytest.mark.parametrize(
    ("flags", "name"),
    [
        (AVX512 | AVX2 | {"avx", "sse4_2"}, "skylake-avx512"),
        (AVX512 - {"clwb"} | AVX2, "haswell"),
        (AVX2 | {"avx", "sse4_2"}, "haswell"),
        (AVX2 - {"fma"} | {"avx", "sse4_2"}, "sandybridge"),
        ({"sse2"}, "x86-64"),
        (set(), "x86-64"),
    ],
)
def test_the_best_name_whose_instructions_are_there_is_chosen(flags: set[str], name: str) -> None:
    assert processor_for(flags) == name


class Record:
    """A device record as PoCL lays it out: the target triple's address, then the processor's."""

    def __init__(self, triple: bytes, cpu: bytes, place: int = 79) -> None:
        self.strings = [ctypes.create_string_buffer(text) for text in (triple, cpu)]
        self.words = (ctypes.c_uint64 * 512)()
        self.place = place + 1
        self.words[place], self.words[place + 1] = (ctypes.addressof(text) for text in self.strings)

    @property
    def address(self) -> int:
        return ctypes.addressof(self.words)

    @property
    def cpu(self) -> bytes:
        return ctypes.string_at(self.words[self.place])


@pytest.mark.parametrize("place", [0, 79, 510])
def test_the_word_generic_beside_a_triple_is_replaced_wherever_it_stands(place: int) -> None:
    record = Record(b"x86_64-pc-linux-gnu", b"generic", place)
    name = name_processor(record.address)
    assert name is not None
    assert record.cpu == name.encode()
    assert name_processor(record.address) is None


@pytest.mark.parametrize(
    ("triple", "cpu"),
    [
        (b"x86_64-pc-linux-gnu", b"znver3"),
        (b"x86_64-pc-linux-gnu", b"generic-rv64"),
        (b"aarch64-linux-gnu", b"generic"),
        (b"nothing", b"generic"),
    ],
)
def test_nothing_is_touched_where_nothing_is_wrong(triple: bytes, cpu: bytes) -> None:
    record = Record(triple, cpu)
    before = bytes(record.words)
    assert name_processor(record.address) is None
    assert bytes(record.words) == before
    assert record.cpu == cpu


def test_nothing_happens_on_other_systems(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.platform", "darwin")
    record = Record(b"x86_64-apple-darwin", b"generic")
    assert name_processor(record.address) is None
    assert record.cpu == b"generic"
