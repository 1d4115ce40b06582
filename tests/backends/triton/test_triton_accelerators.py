"""What the two accelerators say of themselves, and what they need for it: neither Triton nor PyTorch, and no device."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from kernelevolve.accelerator import (
    Accelerator,
    CompilesOnHost,
    Device,
    Interprets,
    Realm,
    Sanitizes,
    Session,
    Status,
    Target,
)
from kernelevolve.backends._gpu.cuda import CudaDriver
from kernelevolve.backends._gpu.driver import DriverError, ErrorKind
from kernelevolve.backends._gpu.occupancy import limits
from kernelevolve.backends._triton import base, interpreter, toolchain
from kernelevolve.backends._triton.base import TritonAccelerator
from kernelevolve.backends.triton_cuda import TritonCUDA
from kernelevolve.backends.triton_rocm import TritonROCm
from kernelevolve.outcome import DeviceLost

from .conftest import make

BOTH = pytest.mark.parametrize("made", [TritonCUDA(), TritonROCm()], ids=["cuda", "hip"])


@BOTH
def test_they_satisfy_the_protocols(made: TritonAccelerator) -> None:
    assert isinstance(made, Accelerator)
    assert isinstance(made, CompilesOnHost)
    assert isinstance(made, Interprets)
    assert isinstance(made, Sanitizes)
    assert made.sanitizer().realm is Realm.INTERPRETED
    assert made.compiles_on_host
    assert made.languages == {"triton"}


def test_targets_need_no_device() -> None:
    names = [target.name for made in (TritonCUDA(), TritonROCm()) for target in made.targets()]
    assert names == [
        *(f"cuda:sm_{number}" for number in (80, 86, 89, 90, 100, 120)),
        *(f"hip:gfx{number}" for number in ("90a", 942, 950, 1100, 1201)),
    ]


@pytest.mark.parametrize("path", ["triton_cuda:TritonCUDA", "triton_rocm:TritonROCm"])
def test_questions_are_answered_fast_and_without_importing_a_toolchain(path: str) -> None:
    module, _, name = path.partition(":")
    code = f"""
import sys, time
from kernelevolve.backends.{module} import {name}
made = {name}()
begin = time.perf_counter()
found = made.probe()
spent = time.perf_counter() - begin
made.devices(), made.targets(), made.toolchain(), made.environment()
assert found.status == "ok", found
assert spent < 1, spent
assert not {{"triton", "torch", "numba"}} & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", code], check=True)


@BOTH
def test_probe_says_what_is_there_and_what_is_not(made: TritonAccelerator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(type(made), "missing_driver", lambda self: "no driver was found; install one")
    found = made.probe()
    assert found.status is Status.OK
    assert "checks in the interpreter; no GPU can be used: no driver was found; install one" in found.message
    monkeypatch.setattr(type(made), "missing_driver", lambda self: None)
    assert made.probe().message.endswith("a GPU driver is installed")
    monkeypatch.setattr(base, "triton_version", lambda: "3.5.1")
    assert made.probe().status is Status.BROKEN
    assert "older than 3.6" in made.probe().message
    monkeypatch.setattr(base, "triton_version", lambda: None)
    assert made.probe().status is Status.BROKEN
    monkeypatch.setattr(base, "installed", lambda: False)
    assert made.probe().status is Status.MISSING
    assert "pip install 'kernelevolve[triton]'" in made.probe().message


def test_the_interpreter_comes_after_the_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    made = TritonCUDA()
    gpu = Device("triton-cuda", 0, "NVIDIA H100", Target("cuda:sm_90"), Realm.HARDWARE, {})
    monkeypatch.setattr(TritonCUDA, "missing_driver", lambda self: None)
    monkeypatch.setattr(TritonCUDA, "real_devices", lambda self: [gpu])
    first, last = made.devices()
    assert first is gpu
    assert (last.index, last.realm, last.peaks) == (1, Realm.INTERPRETED, None)
    assert (last.name, last.target.name) == ("Triton interpreter", "cuda:sm_90")
    assert last.facts == {"num_units": 132, "warp_size": 32, "max_group_size": 1024}


def test_a_driver_that_fails_leaves_the_interpreter_and_its_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(self: CudaDriver) -> int:
        raise DriverError("cuInit", 999, "CUDA_ERROR_UNKNOWN", ErrorKind.OTHER)

    monkeypatch.setattr(TritonCUDA, "missing_driver", lambda self: None)
    monkeypatch.setattr(CudaDriver, "device_count", fail)
    (only,) = TritonCUDA().devices()
    assert only.realm is Realm.INTERPRETED
    assert "CUDA_ERROR_UNKNOWN" in only.description["no GPU"]


def test_interpreted_chips_have_their_own_types_and_facts() -> None:
    cuda, rocm = TritonCUDA().devices()[-1], TritonROCm().devices()[-1]
    assert {"bfloat16", "float8_e4m3fn"} <= cuda.dtypes
    assert "bfloat16" in rocm.dtypes
    assert "float8_e4m3fn" not in rocm.dtypes
    assert rocm.facts["warp_size"] == 64
    assert (cuda.memory["local"], rocm.memory["local"]) == (227 * 1024, 64 * 1024)


@BOTH
def test_the_interpreter_stands_in_for_a_chip_of_any_target(made: TritonAccelerator) -> None:
    for target in made.targets():
        device = made.stand_in(target)
        assert (device.target, device.realm, device.index) == (target, Realm.INTERPRETED, made.devices()[-1].index)
        assert device.facts["warp_size"] == limits(target.name).warp_size
        assert device.facts["num_units"] > 1
    names = {made.stand_in(target).description["stands for"] for target in made.targets()}
    assert len(names) == len(made.targets())


def test_workers_get_what_chooses_devices_and_tools(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (
        "CUDA_VISIBLE_DEVICES",
        "TRITON_PTXAS_PATH",
        "HIP_VISIBLE_DEVICES",
        "TRITON_F32_DEFAULT",
        "MY_SECRET_KEY",
    ):
        monkeypatch.setenv(name, "1")
    monkeypatch.delenv("LD_LIBRARY_PATH", raising=False)
    assert set(TritonCUDA().environment()) == {"CUDA_VISIBLE_DEVICES", "TRITON_PTXAS_PATH"}
    assert set(TritonROCm().environment()) == {"HIP_VISIBLE_DEVICES"}


def test_a_tool_of_the_users_is_part_of_the_toolchain(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = TritonCUDA().toolchain()
    assert plain["triton"] == toolchain.triton_version()
    tool = tmp_path / "ptxas"
    tool.write_bytes(b"one")
    monkeypatch.setenv("TRITON_PTXAS_PATH", str(tool))
    assert TritonCUDA().toolchain()["TRITON_PTXAS_PATH"].startswith("ptxas ")
    assert TritonCUDA().toolchain() != plain


def test_a_process_that_has_imported_triton_does_not_start_to_interpret(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("triton")
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    made = TritonCUDA()
    with pytest.raises(DeviceLost, match="process of its own"), made.open(made.devices()[-1]):
        pass
    assert "TRITON_INTERPRET" not in os.environ


def test_an_interpreter_with_another_interface_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    def changed(memory: object, vendor: str) -> None:
        raise AttributeError("module 'triton.runtime.interpreter' has no attribute '_patch_lang_tensor'")

    monkeypatch.setenv("TRITON_INTERPRET", "1")
    monkeypatch.setattr(interpreter, "install", changed)
    made = TritonROCm()
    with (
        pytest.raises(DeviceLost, match=r"interpreter cannot be used: .*_patch_lang_tensor"),
        made.open(made.devices()[-1]),
    ):
        pass


def test_interpreting_needs_no_compiler_and_keeps_the_types() -> None:
    body = "@triton.jit\ndef k(x, y, n, B: tl.constexpr):\n    tl.store(y, tl.load(x) + n + B)\n"
    plan = make(body, tensors="x:n;y:n", sizes="n=5,x:bfloat16", header="[tune]\nB = [4]")
    begin = time.perf_counter()
    artifact = TritonCUDA().interpret(plan)
    assert time.perf_counter() - begin < 0.5
    assert artifact.stages == {"source": plan.source.encode()}
    assert artifact.extra["entries"]["k"]["types"] == {"x": "*bf16", "y": "*fp32", "n": "i32", "B": "constexpr"}


CODE = """
from kernelevolve.accelerator import BufferSpec, Session
from kernelevolve.backends.triton_cuda import TritonCUDA
made = TritonCUDA()
with made.open(made.devices()[-1]) as session:
    assert isinstance(session, Session)
    buffer = session.allocate(BufferSpec(10, 6))
    session.fill(buffer, 7, guards=True)
    session.upload(buffer, memoryview(bytes(range(10))))
    assert session.download(buffer, guards=True) == bytes([7] * 6) + bytes(range(10)) + bytes([7] * 6)
    session.fill(buffer, 9, guards=False)
    assert session.download(buffer, guards=True) == bytes([7] * 6 + [9] * 10 + [7] * 6)
    try:
        session.upload(buffer, memoryview(b"123"))
    except ValueError as error:
        assert "3 bytes for a buffer of 10" in str(error)
    else:
        raise AssertionError
    try:
        session.time(())
    except NotImplementedError as error:
        assert "no clock" in str(error)
    else:
        raise AssertionError
    session.free(buffer)
import sys
assert "torch" not in sys.modules
"""


def test_the_interpreters_session_keeps_the_contract_and_needs_no_pytorch() -> None:
    subprocess.run([sys.executable, "-c", CODE], check=True)
    assert Session  # the protocol that the process checked against
