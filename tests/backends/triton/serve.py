"""A process that interprets: opens the interpreted device, and answers requests with what a plan computed.

Started by the tests, because a process interprets or compiles, never both. One pickle a request, one an answer.
"""

from __future__ import annotations

import os
import pickle
import sys

from kernelevolve import registry
from kernelevolve.accelerator import BufferSpec
from kernelevolve.outcome import CandidateError
from kernelevolve.plan import Role

GUARD = 64
POISON = 0xA5


def main() -> None:
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a kernel prints must not get between the answers
    made = registry.load_path(sys.argv[1], "accelerator")()
    with made.open(made.devices()[-1]) as session:
        while True:
            try:
                plan, inputs, runs = pickle.load(sys.stdin.buffer)
            except EOFError:
                return
            try:
                answer = evaluate(made, session, plan, inputs, runs)
            except CandidateError as error:
                answer = error
            pickle.dump(answer, answers)
            answers.flush()


def evaluate(made, session, plan, inputs, runs):
    """Every buffer after `runs` runs of the plan, and the names of those whose guard zones were written."""
    program = session.load(made.interpret(plan))
    buffers = {one.name: session.allocate(BufferSpec(one.nbytes, GUARD)) for one in plan.buffers}
    try:
        call = session.bind(program, plan.launches, buffers)
        results = []
        for _ in range(runs):
            for one in plan.buffers:
                session.fill(buffers[one.name], POISON, guards=True)
                if one.role is Role.INPUT:
                    session.upload(buffers[one.name], memoryview(inputs[one.name]))
            session.launch(call)
            session.synchronize()
            results.append({name: session.download(buffer) for name, buffer in buffers.items()})
        broken = []
        for name, buffer in buffers.items():
            whole = session.download(buffer, guards=True)
            if set(whole[:GUARD] + whole[-GUARD:]) != {POISON}:
                broken.append(name)
        return results, broken
    finally:
        for buffer in buffers.values():
            session.free(buffer)


if __name__ == "__main__":
    main()
