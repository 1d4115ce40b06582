"""The compile cache remembers what will not change, whole or not at all."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from kernelevolve import parse_kernel, registry
from kernelevolve.accelerator import Artifact, Target
from kernelevolve.evaluation.cache import CompileCache, _decode, _encode, compile_digest
from kernelevolve.evaluation.gate import Gate
from kernelevolve.outcome import CompileError, CompileTimeout, ResourceExceeded, ToolchainError
from kernelevolve.plan import LaunchPlan
from kernelevolve.problem import Workload
from kernelevolve.testing import samples
from kernelevolve.testing.accelerator import ReferenceAccelerator

KEY = "ab" * 32
ARTIFACT = Artifact(
    {"ir": b"text", "binary": bytes(range(256))}, {"k": {"registers": 9}}, {"cc": "1"}, "fine", {"a": 1}
)
ERROR = CompileError("line 3: no", stage="build", log="no", line=3)


def plan(text: str = samples.TUNED, workload: str = "rows=4,cols=8", **configuration: int) -> LaunchPlan:
    made = registry.accelerator("reference")
    kernel = parse_kernel(text)
    return Gate(samples.problem(), made.devices()[0].facts).plan(
        kernel, {**kernel.default, **configuration}, Workload.parse(workload)
    )


@pytest.mark.parametrize("folder", [True, False], ids=["on disk", "in memory"])
def test_an_artifact_is_found_again_whole(tmp_path: Path, folder: bool) -> None:
    cache = CompileCache(tmp_path if folder else None)
    cache.put(KEY, ARTIFACT)
    assert cache.get(KEY) == ARTIFACT
    assert cache.get("other") is None
    found = CompileCache(tmp_path).get(KEY)
    assert found == (ARTIFACT if folder else None)


@given(
    st.dictionaries(st.text(max_size=5), st.binary(max_size=40), max_size=4),
    st.dictionaries(st.text(max_size=5), st.dictionaries(st.text(max_size=5), st.integers(), max_size=2), max_size=2),
    st.text(max_size=20),
)
def test_what_is_written_is_what_is_read(stages: dict, resources: dict, log: str) -> None:
    artifact = Artifact(stages, resources, {}, log, {})
    assert _decode(_encode(artifact)) == artifact
    assert list(_decode(_encode(artifact)).stages) == list(stages)  # type: ignore[union-attr]


def test_a_compile_error_is_remembered_with_its_fields(tmp_path: Path) -> None:
    CompileCache(tmp_path).put(KEY, ERROR)
    found = CompileCache(tmp_path).get(KEY)
    assert isinstance(found, CompileError)
    assert found.to_record() == ERROR.to_record()


@pytest.mark.parametrize(
    "error",
    [
        CompileTimeout("slow", limit=1.0),
        ToolchainError("broke", log=""),
        ResourceExceeded("large", resource="registers", needed=2, limit=1),
    ],
    ids=lambda error: type(error).__name__,
)
def test_failures_that_may_pass_are_not_remembered(tmp_path: Path, error) -> None:
    cache = CompileCache(tmp_path)
    cache.put(KEY, error)
    assert cache.get(KEY) is None
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("keep", [0, 1, 3, 4, 20, 100, -1])
def test_a_torn_entry_counts_as_none_and_is_removed(tmp_path: Path, keep: int) -> None:
    CompileCache(tmp_path).put(KEY, ARTIFACT)
    path = tmp_path / KEY
    path.write_bytes(path.read_bytes()[:keep])
    assert CompileCache(tmp_path).get(KEY) is None
    assert not path.exists()


@given(st.integers(0, 10_000), st.integers(1, 255))
def test_a_flipped_byte_anywhere_is_noticed(place: int, flip: int) -> None:
    data = bytearray(_encode(ARTIFACT))
    data[place % len(data)] ^= flip
    with pytest.raises(ValueError, match="torn"):
        _decode(bytes(data))


def test_rubbish_in_the_folder_is_no_entry(tmp_path: Path) -> None:
    for name, data in {
        "a" * 64: b"\xff" * 300,
        "b" * 64: b"\x02\x00\x00\x00[]",
        "c" * 64: b"\x02\x00\x00\x00{}",
    }.items():
        (tmp_path / name).write_bytes(data)
        assert CompileCache(tmp_path).get(name) is None


def test_the_key_changes_with_everything_that_changes_the_binary() -> None:
    made = registry.accelerator("reference")

    class OtherTools(ReferenceAccelerator):
        def toolchain(self):
            return {**super().toolchain(), "reference": "2"}

    class OtherName(ReferenceAccelerator):
        name = "twin"

    target = made.targets()[0]
    variants = {
        "base": compile_digest(made, plan(), target),
        "source": compile_digest(made, plan(samples.TUNED.replace("+ 1", "+ 2")), target),
        "configuration": compile_digest(made, plan(LANES=2), target),
        "target": compile_digest(made, plan(), Target("reference:2")),
        "options": compile_digest(made, plan(), evolve(target, options={"fast": "1"})),
        "toolchain": compile_digest(OtherTools(), plan(), target),
        "accelerator": compile_digest(OtherName(), plan(), target),
        "entries": compile_digest(made, plan(samples.TWO_LAUNCHES), target),
    }
    assert len(set(variants.values())) == len(variants)
    assert all(len(digest) == 64 for digest in variants.values())


def test_the_key_stays_with_what_changes_nothing() -> None:
    made = registry.accelerator("reference")
    target = made.targets()[0]
    assert compile_digest(made, plan(), target) == compile_digest(made, plan(workload="rows=16,cols=32"), target)


WRITER = """
import sys
from pathlib import Path
from kernelevolve.accelerator import Artifact
from kernelevolve.evaluation.cache import CompileCache
cache = CompileCache(Path(sys.argv[1]))
for turn in range(60):
    cache.put("{key}", Artifact({{"binary": sys.argv[2].encode() * 200_000}}))
"""


def test_concurrent_writers_leave_a_whole_entry_of_one_of_them(tmp_path: Path) -> None:
    command = [sys.executable, "-c", WRITER.format(key=KEY), str(tmp_path)]
    writers = [subprocess.Popen([*command, letter]) for letter in "xy"]
    seen = set()
    while any(writer.poll() is None for writer in writers):
        found = CompileCache(tmp_path).get(KEY)
        if isinstance(found, Artifact):
            seen.add(found.stages["binary"][:1] * 200_000 == found.stages["binary"])
    assert [writer.returncode for writer in writers] == [0, 0]
    assert seen <= {True}
    last = CompileCache(tmp_path).get(KEY)
    assert isinstance(last, Artifact)
    assert len(set(last.stages["binary"])) == 1
    assert [entry.name for entry in tmp_path.iterdir()] == [KEY]


def test_the_oldest_entries_go_when_the_cache_is_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    cache = CompileCache(tmp_path)
    for age, name in enumerate(["new", "middle", "old"]):
        cache.put(name, ARTIFACT)
        os.utime(tmp_path / name, (1e9 - age, 1e9 - age))
    size = (tmp_path / "new").stat().st_size
    monkeypatch.setattr("kernelevolve.evaluation.cache.MAX_BYTES", 2 * size)
    CompileCache(tmp_path)
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["middle", "new"]
