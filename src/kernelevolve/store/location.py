"""Where a store lives when nobody says."""

from __future__ import annotations

__all__ = ["HOME_VARIABLE", "default_url", "home", "sqlite_url"]

import os
from pathlib import Path
from typing import Final

from platformdirs import user_data_path

#: Environment variable that moves everything kernelevolve keeps.
HOME_VARIABLE: Final = "KERNELEVOLVE_HOME"


def home() -> Path:
    """The folder for everything kernelevolve keeps: ``$KERNELEVOLVE_HOME``, or the platform's folder for user data."""
    chosen = os.environ.get(HOME_VARIABLE)
    return Path(chosen).expanduser() if chosen else user_data_path("kernelevolve", appauthor=False)


def sqlite_url(path: Path) -> str:
    """The URL of a SQLite store at `path`."""
    return f"sqlite:///{path.absolute()}"


def default_url() -> str:
    """The URL of the store that is used when none is named."""
    return sqlite_url(home() / "store.db")
