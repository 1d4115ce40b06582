"""The process that runs launch plans on the interpreted device: it reads pickled requests and answers them.

A process interprets or compiles, never both; the tests compile, so this is another one.
"""

from __future__ import annotations

import os
import pickle
import sys
from typing import Any

from kernelevolve.accelerator import BufferSpec
from kernelevolve.backends.triton_cuda import TritonCUDA
from kernelevolve.outcome import CandidateError
from kernelevolve.plan import LaunchPlan, Role

GUARD = 64
POISON = 0xA5


def main() -> None:
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what the interpreter prints is no answer
    accelerator = TritonCUDA()
    with accelerator.open(accelerator.devices()[-1]) as session:
        while True:
            try:
                plan, inputs = pickle.load(sys.stdin.buffer)
            except EOFError:
                return
            try:
                answer: Any = run(accelerator, session, plan, inputs)
            except CandidateError as error:
                answer = error
            pickle.dump(answer, answers)
            answers.flush()


def run(accelerator: TritonCUDA, session: Any, plan: LaunchPlan, inputs: dict[str, bytes]) -> dict[str, bytes]:
    """What every buffer holds after one run of the plan. Raises `OutOfBounds` and the like, as the session does."""
    program = session.load(accelerator.interpret(plan))
    buffers = {one.name: session.allocate(BufferSpec(one.nbytes, GUARD)) for one in plan.buffers}
    try:
        for one in plan.buffers:
            session.fill(buffers[one.name], POISON, guards=True)
            if one.role is Role.INPUT:
                session.upload(buffers[one.name], memoryview(inputs[one.name]))
        session.launch(session.bind(program, plan.launches, buffers))
        session.synchronize()
        return {name: session.download(buffer) for name, buffer in buffers.items()}
    finally:
        for buffer in buffers.values():
            session.free(buffer)


if __name__ == "__main__":
    main()
