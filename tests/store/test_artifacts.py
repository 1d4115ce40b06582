from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kernelevolve.store import ArtifactError, Artifacts


@given(content=st.binary(max_size=2000))
@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_content_comes_back_under_the_name_of_its_hash(tmp_path: Path, content: bytes) -> None:
    artifacts = Artifacts(tmp_path)
    name = artifacts.put(content)
    assert name == hashlib.sha256(content).hexdigest()
    assert artifacts.get(name) == content
    assert name in artifacts


def test_the_same_content_is_written_once(tmp_path: Path) -> None:
    artifacts = Artifacts(tmp_path)
    path = artifacts.path(artifacts.put(b"same"))
    before = path.stat()
    artifacts.put(b"same")
    assert (path.stat().st_ino, path.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert [file for file in tmp_path.rglob("*") if file.is_file()] == [path]


def test_damage_is_found_on_reading(tmp_path: Path) -> None:
    artifacts = Artifacts(tmp_path)
    name = artifacts.put(b"binary")
    artifacts.path(name).write_bytes(b"binarz")
    with pytest.raises(ArtifactError, match="not the ones stored"):
        artifacts.get(name)


def test_a_file_cut_short_is_written_anew(tmp_path: Path) -> None:
    artifacts = Artifacts(tmp_path)
    name = artifacts.put(b"binary")
    artifacts.path(name).write_bytes(b"")
    assert artifacts.put(b"binary") == name
    assert artifacts.get(name) == b"binary"


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="a" * 64):
        Artifacts(tmp_path).get("a" * 64)


@pytest.mark.parametrize("name", ["", "../../etc/passwd", "A" * 64, "a" * 63])
def test_only_a_hash_is_a_name(tmp_path: Path, name: str) -> None:
    with pytest.raises(ArtifactError, match="is no artifact"):
        Artifacts(tmp_path).get(name)
