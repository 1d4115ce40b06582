"""Parts for tests of knowledge: pages in files, devices without hardware, records as runs leave them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from kernelevolve.accelerator import Device, Peaks, Realm, Target
from kernelevolve.store import Store, sqlite_url

HEADER = {"title": "A title", "kind": "guidance", "sources": "[https://example.org]"}


@pytest.fixture(scope="session")
def page_text() -> Callable[..., str]:
    """Makes a page's file; a field that is None is left out."""

    def make(body: str = "# A title\n\nText.\n", **fields: str | None) -> str:
        header = {**HEADER, **fields}
        return "\n".join(["---", *(f"{k}: {v}" for k, v in header.items() if v is not None), "---", body])

    return make


@pytest.fixture
def write(tmp_path: Path, page_text: Callable[..., str]) -> Callable[..., Path]:
    """Writes a page into a folder of pages, and returns the folder."""

    def make(page: str, text: str | None = None, *, folder: str = "own", **fields: str | None) -> Path:
        path = tmp_path / folder / f"{page}.md"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(page_text(**fields) if text is None else text, encoding="utf-8")
        return tmp_path / folder

    return make


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(sqlite_url(tmp_path / "store.db")) as opened:
        yield opened


@pytest.fixture(scope="session")
def h100() -> Device:
    """With the peaks that its driver and its data sheet give."""
    return Device(
        accelerator="triton-cuda",
        index=0,
        name="NVIDIA H100 80GB HBM3",
        target=Target("cuda:sm_90"),
        realm=Realm.HARDWARE,
        facts={"num_units": 132},
        peaks=Peaks(3.35e12, 2.14e15, "operations: 132 units x 8192 per cycle (FP8 tensor cores)"),
    )


@pytest.fixture(scope="session")
def cpu() -> Device:
    """Two threads of a server processor, with peaks as the `opencl` accelerator states them."""
    return Device(
        accelerator="opencl",
        index=0,
        name="cpu",
        target=Target("opencl:pocl:0"),
        realm=Realm.HARDWARE,
        facts={"num_units": 2},
        peaks=Peaks(1.329e12, 6.646e11, "per core and cycle two 512-bit loads and two 512-bit FMAs (AVX-512)"),
        host_threads=2,
    )
