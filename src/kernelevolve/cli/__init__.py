"""The command line: ``kernelevolve --help``."""

from __future__ import annotations

__all__ = ["main"]


def main() -> None:
    """Run the command line and exit with its status: 0 done, 1 the answer is no, 2 usage error, 3 something broke."""
    from kernelevolve.cli.app import run

    run()
