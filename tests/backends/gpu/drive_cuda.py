"""Drives a stand-in for libcuda through cuda-bindings and a session, and prints what came of it as JSON.

Runs in a process of its own: the loader must find the stand-in before anything else looks for a driver.
"""

from __future__ import annotations

import ctypes
import json
import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from kernelevolve.accelerator import Artifact, BufferSpec
from kernelevolve.backends._gpu.cuda import CudaDriver
from kernelevolve.backends._gpu.devices import devices
from kernelevolve.backends._gpu.driver import Attribute
from kernelevolve.backends._gpu.session import GpuSession
from kernelevolve.outcome import CandidateError
from kernelevolve.plan import BufferArgument, PlannedLaunch, ScalarArgument

ELF = b"\x7fELF\x00\x01\x00rest"
LAUNCH = PlannedLaunch(
    "add", (2, 1), (), (BufferArgument("x", "x"), BufferArgument("y", "y"), ScalarArgument("n", 1.5))
)


def artifact(binary: bytes = ELF, **entry: Any) -> Artifact:
    layout = [
        {"kind": "pointer", "of": "x"},
        {"kind": "pointer", "of": "y"},
        {"kind": "scalar", "of": "n", "type": "fp32"},
    ]
    described = {"symbol": "add", "threads": 4, "shared": 64, "cooperative": False, "layout": layout, **entry}
    stages = {"ptx:add": b"//\n.version 9.0\n.target sm_90a\n", "cubin:add": binary}
    return Artifact(stages, extra={"entries": {"add": described}})


def main(path: str) -> dict[str, Any]:
    stub = ctypes.CDLL(path)
    stub.fake_notes.restype = ctypes.c_char_p
    driver = CudaDriver()
    found: dict[str, Any] = {"missing": CudaDriver.missing()}
    (device,) = devices(driver, "triton-cuda")
    found["device"] = {
        "name": device.name,
        "target": device.target.name,
        "facts": dict(device.facts),
        "memory": dict(device.memory),
        "description": dict(device.description),
        "bytes": device.peaks.bytes_per_second if device.peaks else None,
    }
    found["attributes"] = {one.name: driver.attribute(0, one) for one in Attribute}
    session = GpuSession(device, driver)
    buffers = {name: session.allocate(BufferSpec(32, 64)) for name in "xy"}

    def noted() -> list[str]:
        lines = stub.fake_notes().decode().splitlines()
        stub.fake_clear()
        return [line for line in lines if not line.startswith("cuEventQuery")]

    def failing(name: str, code: int, work: Callable[[], Any]) -> list[Any]:
        stub.fake_fail(name.encode(), code)
        try:
            work()
        except CandidateError as error:
            return [error.outcome.value, error.message, error.details]
        return ["no failure", "", {}]

    found["opening"] = noted()
    session.upload(buffers["x"], memoryview(np.arange(8, dtype=np.float32)))
    session.fill(buffers["y"], 255, guards=True)
    call = session.bind(session.load(artifact()), [LAUNCH], buffers)
    session.launch(call)
    session.synchronize()
    found["result"] = np.frombuffer(session.download(buffers["y"]), np.float32).tolist()
    found["guards"] = session.download(buffers["y"], guards=True)[:256] == b"\xff" * 256
    found["running"] = noted()
    session.flush()
    sample = session.time(call)
    found["sample"] = [sample.seconds, sample.host_seconds, sample.source.value]
    found["timing"] = noted()
    twice = session.bind(call.program, [LAUNCH, LAUNCH], buffers)
    session.launch(twice)
    noted()
    session.time(twice, launches=3)
    session.time(twice, launches=3)
    found["graph"] = noted()
    special = session.load(artifact(cluster=[16, 1, 1], cooperative=True, shared=100_000))
    session.launch(session.bind(special, [LAUNCH], buffers))
    found["special"] = noted()
    found["refused image"] = failing("", 0, lambda: session.load(artifact(b"something else")))
    found["too old"] = failing("cuModuleLoadData", 222, lambda: session.load(artifact()))
    found["out of memory"] = failing("cuMemAlloc", 2, lambda: session.allocate(BufferSpec(100)))
    found["refused launch"] = failing("cuLaunchKernel", 701, lambda: session.launch(call))
    found["fault"] = failing("cuStreamSynchronize", 716, session.synchronize)
    found["after the fault"] = failing("", 0, session.synchronize)
    noted()
    session.close()
    found["closing a broken one"] = noted()
    other = GpuSession(device, driver)
    other.allocate(BufferSpec(8))
    noted()
    other.close()
    found["closing"] = noted()
    return found


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1])))
