"""Sanitizing in Oclgrind: real runs where it is installed, and the reading of its reports everywhere."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from kernelevolve import registry
from kernelevolve.backends._oclgrind import announce, raise_findings
from kernelevolve.errors import KernelEvolveError
from kernelevolve.outcome import Nondeterministic, OutOfBounds

installed = pytest.mark.skipif(
    shutil.which("oclgrind") is None, reason="Oclgrind is not installed (apt install oclgrind)"
)

REPORT = """
Invalid write of size 4 at global memory address 0x1000000000010
\tKernel: softmax_rows
\tEntity: Global(0,0,0) Local(0,0,0) Group(0,0,0)
\t  store float %0, float addrspace(1)* %arrayidx
\tAt line 9 (column 52) of input.cl:
\t  (source not available)
"""
RACE = """
Write-write data race at local memory address 0x1000000000000
\tKernel: softmax_rows
\tAt line 4 (column 3) of input.cl:
"""


def sanitize(tmp_path: Path, change: tuple[str, str] | None) -> dict[str, Any]:
    """What ``evaluate --sanitize`` says of the softmax seed after one change."""
    text = registry.problem("softmax").seeds["opencl"]
    if change is not None:
        assert change[0] in text
        text = text.replace(*change)
    file = tmp_path / "kernel.cl"
    file.write_text(text)
    command = [sys.executable, "-m", "kernelevolve", "evaluate", str(file), "-p", "softmax", "--sanitize", "--json"]
    found = subprocess.run([*command, "-w", "rows=3,cols=7"], capture_output=True, text=True, check=False)
    result: dict[str, Any] = json.loads(found.stdout)
    return result


@installed
@pytest.mark.opencl
def test_a_clean_kernel_is_right_and_has_no_time(tmp_path: Path) -> None:
    found = sanitize(tmp_path, None)
    assert (found["outcome"], found["realm"]) == ("UNMEASURED", "interpreted")
    assert found["time_seconds"] is None


@installed
@pytest.mark.opencl
def test_a_read_far_outside_that_changes_no_result_is_found_with_its_line(tmp_path: Path) -> None:
    read = "const int lane = get_local_id(0);\n  if (x[start0 + 4096] > 1e30f) y[0] = 1.0f;"
    text = ("const int lane = get_local_id(0);", read.replace("start0", "(size_t)get_group_id(0) * cols"))
    found = sanitize(tmp_path, text)
    assert found["outcome"] == "OUT_OF_BOUNDS"
    assert "Invalid read of size 4" in found["message"]
    assert found["message"].startswith("line ")


@installed
@pytest.mark.opencl
def test_k1_a_write_behind_the_guard_zones_is_found(tmp_path: Path) -> None:
    write = "const int lane = get_local_id(0);\n  if (lane == 0) y[get_num_groups(0) * (size_t)cols + 2100] = 3.0f;"
    found = sanitize(tmp_path, ("const int lane = get_local_id(0);", write))
    assert found["outcome"] == "OUT_OF_BOUNDS"
    assert "Invalid write of size 4" in found["message"]


@installed
@pytest.mark.opencl
def test_a_missing_barrier_is_a_race(tmp_path: Path) -> None:
    found = sanitize(tmp_path, ("partial[lane] = peak;\n  barrier(CLK_LOCAL_MEM_FENCE);", "partial[lane] = peak;"))
    assert found["outcome"] in ("NONDETERMINISTIC", "WRONG_RESULT")


def test_a_report_of_an_access_is_out_of_bounds_with_its_line(tmp_path: Path) -> None:
    report = tmp_path / "report"
    report.write_text(REPORT)
    with pytest.raises(OutOfBounds, match=r"line 9: Invalid write of size 4 at global memory address") as caught:
        raise_findings(report)
    assert caught.value.details["side"] == "write"
    raise_findings(report)  # read once: the next candidate is not blamed


def test_a_report_of_a_race_is_nondeterministic(tmp_path: Path) -> None:
    report = tmp_path / "report"
    report.write_text(RACE)
    with pytest.raises(Nondeterministic, match=r"line 4: Write-write data race at local memory"):
        raise_findings(report)


def test_an_empty_report_raises_nothing(tmp_path: Path) -> None:
    report = tmp_path / "report"
    raise_findings(report)
    report.write_text("Oclgrind: 3 warnings\n")
    raise_findings(report)
    assert report.exists()


def test_without_oclgrind_the_message_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: None)
    with pytest.raises(KernelEvolveError, match="apt install oclgrind"):
        announce()
