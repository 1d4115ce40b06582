from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from kernelevolve.store import Run, Store, sqlite_url


@pytest.fixture
def url(tmp_path: Path) -> str:
    return sqlite_url(tmp_path / "store.db")


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    with Store.open(url) as opened:
        yield opened


@pytest.fixture
def run(store: Store) -> Run:
    return store.create_run(
        Run(
            problem="softmax",
            fingerprint="0123456789abcdef",
            accelerator="opencl",
            device="a processor",
            language="opencl",
            policy="map-elites",
            proposer="rewriting",
            seed=7,
            description={"realm": "hardware", "facts": {"num_units": 2}},
        )
    )
