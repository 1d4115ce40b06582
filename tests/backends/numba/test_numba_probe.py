"""What the accelerator says before anything is compiled: installed or not, and none of it by importing Numba."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from kernelevolve.accelerator import Accelerator, CompilesOnHost, Interprets, Realm, Sanitizes, Status, Target
from kernelevolve.backends import numba_cuda
from kernelevolve.backends._numba import importing, toolkit
from kernelevolve.backends.numba_cuda import NumbaCUDA
from kernelevolve.outcome import ToolchainError


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    """Versions and targets are found once in a process; here, once in a test."""
    toolkit.versions.cache_clear()
    toolkit.capabilities.cache_clear()
    yield
    toolkit.versions.cache_clear()
    toolkit.capabilities.cache_clear()


def in_a_new_process(code: str, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **environment},
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_it_is_what_the_contract_asks_for() -> None:
    made = NumbaCUDA()
    for protocol in (Accelerator, CompilesOnHost, Interprets, Sanitizes):
        assert isinstance(made, protocol)
    assert made.name == "numba-cuda"
    assert made.languages == {"numba"}


def test_nothing_but_a_compile_imports_numba() -> None:
    code = """
import sys
from kernelevolve.accelerator import Target
from kernelevolve.backends.numba_cuda import NumbaCUDA
made = NumbaCUDA()
assert made.probe().status == "ok", made.probe()
made.devices(), made.targets(), made.toolchain(), made.environment()
made.stand_in(Target("cuda:sm_80")), made.sanitizer()
print("numba" in sys.modules, "llvmlite" in sys.modules)
"""
    assert in_a_new_process(code) == "False False"


def test_the_versions_are_those_of_what_takes_part() -> None:
    found = NumbaCUDA().toolchain()
    assert {"numba", "numba-cuda", "llvmlite", "numpy", "python", "nvvm", "nvrtc", "nvjitlink"} == set(found)
    assert all(value[0].isdigit() for value in found.values())
    assert found["nvvm"].count(".") == 2  # a release, not the version of an interface


@pytest.mark.parametrize("package", ["numba", "numba_cuda"])
def test_a_package_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch, package: str) -> None:
    monkeypatch.setattr(toolkit, "find_spec", lambda name: None if name == package else find_spec(name))
    found = NumbaCUDA().probe()
    assert found.status is Status.MISSING
    assert f"the package {package.replace('_', '-')} is not installed" in found.message
    assert "pip install 'kernelevolve[numba]'" in found.message


def test_libraries_that_do_not_load_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> Any:
        raise RuntimeError("Failure finding libnvvm.so\nsearched everywhere")

    monkeypatch.setattr(toolkit, "versions", fail)
    found = NumbaCUDA().probe()
    assert found.status is Status.MISSING
    assert "Failure finding libnvvm.so" in found.message
    assert "numba-cuda[cu13]" in found.message


def test_numbas_own_target_is_not_taken_for_numba_cuda(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(toolkit, "find_spec", lambda name: None if "redirector" in name else find_spec(name))
    monkeypatch.delitem(sys.modules, "numba.cuda", raising=False)
    found = NumbaCUDA().probe()
    assert found.status is Status.BROKEN
    assert "Numba's built-in target" in found.message


def test_the_import_refuses_numbas_own_target(monkeypatch: pytest.MonkeyPatch) -> None:
    class BuiltIn:
        pass

    monkeypatch.setattr(importing.importlib, "import_module", lambda name: BuiltIn())
    with pytest.raises(ToolchainError, match="the package numba-cuda is needed"):
        importing.import_cuda()


def test_a_process_compiles_or_simulates() -> None:
    code = """
from kernelevolve.backends._numba.importing import import_cuda
from kernelevolve.outcome import ToolchainError
import_cuda(simulator={first})
import_cuda(simulator={first})
try:
    import_cuda(simulator={second})
except ToolchainError as error:
    print(error)
"""
    said = in_a_new_process(code.format(first=True, second=False))
    assert said == "this process has imported Numba with the simulator; the compiler needs a process of its own"
    said = in_a_new_process(code.format(first=False, second=True))
    assert said == "this process has imported Numba with the compiler; the simulator needs a process of its own"


def test_a_numpy_without_row_stack_is_no_obstacle() -> None:
    code = """
import numpy as np
vars(np).pop("row_stack", None)
assert not hasattr(np, "row_stack")
from kernelevolve.accelerator import Target
from kernelevolve.backends.numba_cuda import NumbaCUDA
from kernelevolve.plan import BufferArgument, LaunchPlan, PlannedBuffer, PlannedLaunch, Role
source = "from numba import cuda\\n@cuda.jit\\ndef k(x):\\n    x[0] = 1\\n"
buffer = PlannedBuffer("x", Role.OUTPUT, (4,), "float32")
launch = PlannedLaunch("k", (1,), (32,), (BufferArgument("x", "x"),))
made = NumbaCUDA().compile(LaunchPlan("numba", source, {}, (buffer,), (launch,)), Target("cuda:sm_90"))
print("cubin:k" in made.stages, hasattr(np, "row_stack"))
"""
    assert in_a_new_process(code) == "True False"


@pytest.mark.parametrize(
    ("release", "toolkit_version", "said"),
    [
        ("535.104.05", "13.0", "driver 535.104 is too old for binaries of CUDA 13, which need 580 or newer"),
        ("470.57.02", "12.9", "driver 470.57 is too old for binaries of CUDA 12, which need 525 or newer"),
        ("580.159.04", "13.5", None),
        ("580.159.04", "12.9", None),
    ],
)
def test_a_driver_older_than_the_toolkit_is_told_which_one_is_needed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, release: str, toolkit_version: str, said: str | None
) -> None:
    version = tmp_path / "version"
    version.write_text(f"NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  {release}  Release Build\n")
    monkeypatch.setattr(toolkit, "_KERNEL_MODULE", version)
    monkeypatch.setattr(toolkit, "versions", lambda: {"nvjitlink": toolkit_version})
    found = toolkit.driver_shortcoming()
    assert (found is None) if said is None else found.startswith(said)
    if found:
        assert f"numba-cuda[cu{int(toolkit_version.partition('.')[0]) - 1}]" in found


def test_without_a_driver_there_is_the_interpreter_and_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(numba_cuda.CudaDriver, "missing", staticmethod(lambda: "no NVIDIA driver was found"))
    made = NumbaCUDA()
    (device,) = made.devices()
    assert device.realm is Realm.INTERPRETED
    assert device.description["no GPU"] == "no NVIDIA driver was found"
    assert {"float16", "bfloat16", "float32", "int32"} <= device.dtypes
    assert not any(dtype.startswith("float8") for dtype in device.dtypes)
    assert made.probe().status is Status.OK
    assert "no GPU can be used: no NVIDIA driver was found" in made.probe().message


def test_the_interpreter_stands_in_for_every_target() -> None:
    made = NumbaCUDA()
    for target in made.targets():
        device = made.stand_in(target)
        assert device.target == target
        assert device.realm is Realm.INTERPRETED
        assert device.facts["num_units"] > 0
        assert device.facts["max_group_size"] == 1024
    assert "bfloat16" not in made.stand_in(Target("cuda:sm_75")).dtypes


def test_a_worker_is_told_where_cuda_lies(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    monkeypatch.setenv("NUMBA_OPT", "0")
    monkeypatch.setenv("OPENAI_API_KEY", "secret")
    for name in ("CUDA_HOME", "CUDA_PATH"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(toolkit, "_PREFIX", tmp_path)
    assert "CUDA_HOME" not in NumbaCUDA().environment()
    (tmp_path / "nvvm").mkdir()
    found = NumbaCUDA().environment()
    assert found["CUDA_HOME"] == str(tmp_path)
    assert found["CUDA_VISIBLE_DEVICES"] == "1"
    assert not {"NUMBA_OPT", "OPENAI_API_KEY"} & set(found)
    monkeypatch.setenv("CUDA_HOME", "elsewhere")
    assert NumbaCUDA().environment()["CUDA_HOME"] == "elsewhere"
