"""One at a time: whoever times on a device holds its lock, and whoever changes a run holds the run's.

The locks are files in the folder that kernelevolve keeps (`kernelevolve.store.home`), held with ``flock``: the
operating system gives one back when its holder dies, however it dies. They bind processes of one machine and one home
folder.
"""

from __future__ import annotations

__all__ = ["device_lock", "run_lock"]

import fcntl
import hashlib
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from kernelevolve.accelerator import Device, Realm
from kernelevolve.store import home

#: Is told once, in one sentence, whom a lock is waited for.
Waiting = Callable[[str], None]

_NAME: Final = 16

#: The locks that this thread holds: who has one may take it again.
_mine = threading.local()


def _silent(_: str) -> None:
    """Nobody wants to know."""


@contextmanager
def device_lock(device: Device, waiting: Waiting = _silent) -> Iterator[None]:
    """Be alone on `device` among the processes of this machine; a time is honest only where nothing else runs.

    Emulated and recorded times are the same whatever else runs, so nobody waits for those.
    """
    if device.realm is not Realm.HARDWARE:
        yield
        return
    with _held(f"device {_key(device)}", f"{device.label} is being timed by", waiting):
        yield


@contextmanager
def run_lock(run: str, purpose: str, waiting: Waiting = _silent) -> Iterator[None]:
    """Be alone with one `purpose` (``ask``, ``tell``) on the run: its numbers and its events keep their order."""
    with _held(f"run {run} {purpose}", f"run {run} is in the hands of", waiting):
        yield


def _key(device: Device) -> str:
    """What must not be used twice at a time: the host's processor, whichever accelerator drives it; else one card."""
    if device.host_threads is not None:
        return "host"
    # By name alone: an index depends on the accelerator, and on what a mask leaves visible. Of two cards of one kind
    # one may wait for the other; that costs time, and no number.
    return device.name


@contextmanager
def _held(name: str, sentence: str, waiting: Waiting) -> Iterator[None]:
    held: set[str] = _mine.__dict__.setdefault("held", set())
    if name in held:
        yield
        return
    folder = home() / "locks"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{hashlib.sha256(name.encode()).hexdigest()[:_NAME]}.lock"
    with path.open("a+", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            waiting(f"{sentence} process {file.read() or '(unknown)'}; waiting for it")
            fcntl.flock(file, fcntl.LOCK_EX)
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        held.add(name)
        try:
            yield
        finally:
            held.discard(name)
