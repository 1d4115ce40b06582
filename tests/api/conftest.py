"""A store, and a home folder for locks and caches, of each test's own; and a run whose seed has been evaluated."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from kernelevolve.api.running import SearchSettings
from kernelevolve.api.starting import start
from kernelevolve.store import Run, Store
from kernelevolve.testing import samples


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("KERNELEVOLVE_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("KERNELEVOLVE_STORE", raising=False)
    return tmp_path / "home"


@pytest.fixture(scope="session")
def begun(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of a store that holds one run of the sample problem, started from outside: no drafts, no knowledge."""
    folder = tmp_path_factory.mktemp("begun")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KERNELEVOLVE_HOME", str(folder / "home"))
        with Store.open(f"sqlite:///{folder / 'store.db'}") as store:
            start(samples.problem(), "reference", search=SearchSettings(drafts=0, knowledge=False), store=store)
    return folder / "store.db"


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'store.db'}"


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    with Store.open(url) as opened:
        yield opened


@pytest.fixture
def run(begun: Path, tmp_path: Path, url: str) -> Run:
    """The run that `begun` holds, in this test's own store."""
    shutil.copy(begun, tmp_path / "store.db")
    with Store.open(url) as opened:
        return opened.runs()[0]
