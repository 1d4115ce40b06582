"""A home of each test's own, and the sample problem as a file that commands and other processes find."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("KERNELEVOLVE_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("KERNELEVOLVE_STORE", raising=False)
    return tmp_path / "home"


@pytest.fixture
def affine(tmp_path: Path) -> str:
    """A reference to the sample problem, for the accelerator ``reference``."""
    path = tmp_path / "affine.py"
    path.write_text("from kernelevolve.testing import samples\n\naffine = samples.problem()\n")
    return f"{path}:affine"
