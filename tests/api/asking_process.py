"""A child for the tests of asking: tells a kernel on the reference accelerator, or holds a device's lock, as told to.

``tell URL RUN PROPOSAL FILE [die]`` prints the outcome; with ``die`` it is killed once the evaluation is kept and
before anything else is. ``hold`` holds the reference device's lock until its standard input ends.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from attrs import evolve

from kernelevolve import Store, registry
from kernelevolve.accelerator import Realm
from kernelevolve.api.asking import tell
from kernelevolve.api.locks import device_lock
from kernelevolve.evolution.loop import Progress
from kernelevolve.testing import samples


def die(progress: Progress) -> None:
    if progress.activity.startswith("candidate"):
        os.kill(os.getpid(), signal.SIGKILL)


def say(sentence: str) -> None:
    print(sentence, flush=True)


def main() -> None:
    match sys.argv[1:]:
        case ["tell", url, run, proposal, file, *how]:
            print("ready", flush=True)
            with Store.open(url) as store:
                told = tell(
                    run,
                    proposal,
                    Path(file),
                    problem=samples.problem(),
                    store=store,
                    observer=die if how else lambda _: None,
                    waiting=say,
                )
            print(told.status.value, told.candidate, told.repeated, flush=True)
        case ["hold"]:
            made = registry.accelerator("reference").devices()[0]
            with device_lock(evolve(made, realm=Realm.HARDWARE), say):
                print("held", flush=True)
                sys.stdin.read()


if __name__ == "__main__":
    main()
