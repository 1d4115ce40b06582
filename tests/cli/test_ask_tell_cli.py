"""``start``, ``ask``, ``tell``, ``evaluate-batch`` and ``finish`` as they are typed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer
from click.testing import Result
from typer.testing import CliRunner

from kernelevolve import Store, registry
from kernelevolve.accelerator import Status
from kernelevolve.api.results import read_results, write_results
from kernelevolve.cli.asking import register
from kernelevolve.errors import KernelEvolveError, UnknownNameError
from kernelevolve.outcome import Outcome
from kernelevolve.testing import samples


def run(*words: object, status: int = 0) -> Result:
    """One command in this process; its status is `status`."""
    app = typer.Typer()
    register(app)
    result = CliRunner().invoke(app, [str(word) for word in words])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == status, result.output
    return result


def document(*words: object, status: int = 0) -> dict[str, Any]:
    """The one JSON document on standard output."""
    found: dict[str, Any] = json.loads(run(*words, "--json", status=status).stdout)
    return found


def variant(cost: int) -> str:
    """A right kernel that costs so many cycles per element; the seed's is 10."""
    return samples.GOOD.replace("cols * 10", f"cols * {cost}")


@pytest.fixture
def kernel(tmp_path: Path) -> Path:
    path = tmp_path / "kernel.ref"
    path.write_text(variant(5))
    return path


@pytest.fixture
def begun(affine: str) -> str:
    """The id of a run without drafts."""
    return run("start", affine, "-a", "reference", "--drafts", 0, "--no-knowledge").stdout.strip()


def test_start_prints_the_run_s_id_and_nothing_else_on_standard_output(begun: str) -> None:
    with Store.open() as store:
        assert [one.id for one in store.runs()] == [begun]


def test_ask_prints_the_context_and_how_to_answer(begun: str) -> None:
    text = run("ask", begun).stdout

    assert "# The problem: affine" in text
    assert 'entry = "affine"' in text
    assert f"    kernelevolve tell {begun} " in text
    assert text.endswith("--decline 'why'\n")
    assert "--predicted FACTOR" in text


def test_what_is_asked_is_told_and_listed_while_it_is_open(begun: str, kernel: Path) -> None:
    first, second = document("ask", begun, "--count", 2)["proposals"]
    record = document("tell", begun, first["proposal"], kernel, "--note", "half", "--predicted", 1.5)

    assert {section["key"] for section in first["context"]["stable"]} >= {"contract", "language", "problem"}
    assert (record["status"], record["outcome"], record["candidate"]) == ("evaluated", "CORRECT", 1)
    assert record["gain"] == pytest.approx(2.0, rel=0.1)
    assert record["predicted"] == 1.5
    assert [one["proposal"] for one in document("ask", begun, "--open")["open"]] == [second["proposal"]]
    again = run("tell", begun, first["proposal"], kernel).stdout
    assert "(recorded before)" in again
    assert "2.00× its parent (predicted 1.50×)" in again


def test_a_failed_kernel_is_recorded_and_a_file_that_is_none_is_refused_with_status_1(
    begun: str, tmp_path: Path
) -> None:
    one = document("ask", begun)["proposals"][0]["proposal"]
    file = tmp_path / "kernel.ref"
    file.write_text("no kernel")
    refused = document("tell", begun, one, file, status=1)
    assert refused["status"] == "refused"
    assert "no header" in refused["error"]

    file.write_text(samples.FAILING[Outcome.REJECTED])
    assert document("tell", begun, one, file)["outcome"] == "REJECTED"


def test_a_file_that_is_not_there_and_a_proposal_that_nobody_asked_for_are_errors(begun: str, kernel: Path) -> None:
    one = document("ask", begun)["proposals"][0]["proposal"]
    with pytest.raises(KernelEvolveError, match=r"nowhere\.ref: no such file"):
        run("tell", begun, one, "nowhere.ref")
    with pytest.raises(UnknownNameError, match=f"unknown proposal 'other'; there is {one}"):
        run("tell", begun, "other", kernel)


@pytest.mark.parametrize("words", [[], ["id"], ["id", "file", "--decline", "why"], ["id", "--results", "file"]])
def test_tell_wants_one_kind_of_answer(words: list[str]) -> None:
    assert "PROPOSAL --decline REASON" in run("tell", "run", *words, status=2).output.replace("\n", " ")


def test_a_proposal_is_declined_with_a_reason(begun: str, kernel: Path) -> None:
    one = document("ask", begun)["proposals"][0]["proposal"]

    assert document("tell", begun, one, "--decline", "no idea")["status"] == "declined"
    assert "was declined (no idea)" in document("tell", begun, one, kernel, status=1)["error"]


def test_ask_answers_no_when_the_budget_is_spent(affine: str) -> None:
    begun = document("start", affine, "-a", "reference", "-n", 2, "--no-knowledge")["run"]
    run("ask", begun)

    assert "the budget of 2 evaluations is spent" in document("ask", begun, status=1)["error"]


def test_a_batch_goes_out_as_a_folder_and_comes_back_as_a_file(begun: str, tmp_path: Path) -> None:
    folder, out = tmp_path / "batch", tmp_path / "results.json"
    proposals = [one["proposal"] for one in document("ask", begun, "--count", 2, "--to", folder)["proposals"]]
    assert "evaluate-batch FOLDER" in (folder / f"{proposals[0]}.md").read_text()
    for index, one in enumerate(proposals):
        (folder / f"{one}.ref").write_text(variant(5 + index))
    (folder / "stray.ref").write_text(variant(9))

    batch = run("evaluate-batch", folder, "--out", out, "-a", "reference")
    assert batch.stdout.startswith(f"{out}: 3 kernels on reference:0")
    assert len(batch.stderr.strip().splitlines()) == 3
    assert "measured before" in run("evaluate-batch", folder, "--out", out, "-a", "reference").stderr
    found = document("tell", begun, "--results", out)
    assert [(one["proposal"], one["status"]) for one in found["told"]] == [
        (one, "evaluated") for one in sorted(proposals)
    ]
    assert list(found["left"]) == ["stray.ref"]


def test_a_run_on_a_device_that_is_away_lives_on_results_alone(affine: str, tmp_path: Path) -> None:
    import attrs

    folder, out = tmp_path / "batch", tmp_path / "results.json"
    folder.mkdir()
    (folder / "first.ref").write_text(variant(5))
    run("evaluate-batch", folder, "--out", out, "-p", affine, "-a", "reference")
    found = read_results(out)
    write_results(out, attrs.evolve(found, device=attrs.evolve(found.device, name="another card")))

    begun = run("start", affine, "--results", out).stdout.strip()
    one = document("ask", begun)["proposals"][0]["proposal"]
    waits = document("tell", begun, one, folder / "first.ref")
    assert waits["status"] == "pending"
    assert "another card is not here" in waits["message"]
    assert document("tell", begun, "--results", out)["told"][0]["outcome"] == "CORRECT"


def test_the_best_of_what_was_told_is_confirmed_and_written(begun: str, kernel: Path, tmp_path: Path) -> None:
    one = document("ask", begun)["proposals"][0]["proposal"]
    run("tell", begun, one, kernel)
    result = document("finish", begun, "--no-eager", "--out", tmp_path / "best.ref")

    assert result["best"] == 1
    assert result["speedup"] == pytest.approx(2.0, rel=0.1)
    assert (tmp_path / "best.ref").read_text() == result["kernel"]


def test_finish_tunes_as_much_as_it_is_told_to(begun: str, kernel: Path) -> None:
    kernel.write_text(samples.TUNED)
    run("tell", begun, document("ask", begun)["proposals"][0]["proposal"], kernel)

    assert document("finish", begun, "--no-eager", "--tune", 0)["evaluations"] == 2
    assert document("finish", begun, "--no-eager", "--tune", 4)["evaluations"] == 6
    assert "--tune" in run("finish", begun, "--tune", -1, status=2).output


@pytest.mark.opencl
@pytest.mark.slow
def test_the_installed_command_drives_a_run_on_a_real_device(tmp_path: Path) -> None:
    if registry.accelerator("opencl").probe().status is not Status.OK:
        pytest.skip("needs an OpenCL device")

    def kernelevolve(*words: object) -> dict[str, Any]:
        command = [sys.executable, "-m", "kernelevolve", *map(str, words), "--json"]
        for _ in range(3):
            done = subprocess.run(command, check=False, capture_output=True, text=True, env=os.environ)
            if "seed kernel is UNSTABLE" not in done.stderr:  # which is what it should say on a busy machine
                break
        assert done.returncode == 0, done.stderr
        found: dict[str, Any] = json.loads(done.stdout)
        return found

    begun = kernelevolve("start", "softmax", "-w", "rows=512,cols=512")["run"]
    one = kernelevolve("ask", begun)["proposals"][0]["proposal"]
    file = tmp_path / "kernel.cl"
    seed = registry.problem("softmax").seeds["opencl"]
    file.write_text(seed.replace("/ total;", "/ (2.0f * total);"))
    assert kernelevolve("tell", begun, one, file)["outcome"] == "WRONG_RESULT"
    two = kernelevolve("ask", begun)["proposals"][0]["proposal"]
    file.write_text(seed.replace("#define GROUP 64", "#define GROUP 32").replace('block = ["64"]', 'block = ["32"]'))
    right = kernelevolve("tell", begun, two, file)
    assert right["outcome"] in ("CORRECT", "UNSTABLE")  # a busy machine may say so
    assert kernelevolve("tell", begun, two, file) == right | {"repeated": True}
