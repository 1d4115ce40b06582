"""Every subcommand on this machine's processor, with tiny settings: each line runs before it costs device time."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from benchmarks.gpu import kernels
from benchmarks.gpu.__main__ import main
from benchmarks.gpu.results import load
from benchmarks.gpu.throughput import renamed

from kernelevolve import Workload, parse_kernel, registry
from kernelevolve.evaluation.gate import Gate
from kernelevolve.problems.seeds import seed

SMALL = Workload.parse("rows=64,cols=256")
Bench = Callable[..., list[dict[str, Any]]]


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """Run one subcommand on softmax and PoCL; the records of its file."""

    def run(command: str, *more: str, out: str = "r.json") -> list[dict[str, Any]]:
        where = ["--out", str(tmp_path / out), "--kernels", str(tmp_path / "kernels")]
        common = ["--accelerators", "opencl", "--quick", "--ring-seconds", "0.1", *where]
        assert main([command, *more, *common]) == 0
        return list(load(tmp_path / out)["records"])

    return run


_ON_SMALL = ("--problems", "softmax", "--workloads", SMALL.label)


@pytest.mark.opencl
def test_environment_measures_a_copy_and_a_product(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    tiny = ("--copy-bytes", "65536", "--matrix", "32", "--matrix-dtype", "float32")
    copy, product = bench("environment", *tiny)
    assert (copy["problem"], product["problem"]) == ("copy", "product")
    assert copy["bytes_per_second"] == pytest.approx(2 * 65536 / copy["seconds"], rel=1e-3)
    assert product["operations_per_second"] == pytest.approx(2 * 32**3 / product["seconds"], rel=1e-3)
    assert len(copy["samples"]) == 30
    assert copy["source"] == "host-wall"
    assert "GB/s" in capsys.readouterr().out


@pytest.mark.opencl
def test_the_table_pairs_seed_and_best_with_pytorch_and_is_not_measured_twice(
    bench: Bench, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fast = parse_kernel(seed("softmax.cl").replace("GROUP 64", "GROUP 32").replace('block = ["64"]', 'block = ["32"]'))
    kernels.save(tmp_path / "kernels", "opencl", "softmax", SMALL, fast, {})
    (record,) = bench("table", *_ON_SMALL, "--modes", "eager")
    assert {name: one["outcome"] for name, one in record["evaluated"].items()} == {"best": "CORRECT", "seed": "CORRECT"}
    assert record["evaluated"]["best"]["digest"] == fast.digest
    assert {(one["implementation"], one["kernel"]) for one in record["ratios"]} == {
        ("eager", "best"),
        ("eager", "seed"),
    }
    assert record["best_torch"] == "eager"
    assert len(record["torch"]["eager"]["samples"]) >= 6
    assert record["bytes"] == 2 * 64 * 256 * 4
    assert record["torch_settings"]["TF32 in matmul"] == "False"
    assert capsys.readouterr().out.splitlines()[-1].startswith("softmax")
    assert bench("table", *_ON_SMALL, "--modes", "eager") == [record]
    (tmp_path / "new.json").write_text('{"schema": 1, "runs": {}, "records": []}')
    known = ("--known", str(tmp_path / "r.json"))
    assert bench("table", *_ON_SMALL, "--modes", "eager", *known, out="new.json") == []


@pytest.mark.opencl
def test_what_is_wrong_or_missing_becomes_a_record_and_the_call_goes_on(bench: Bench, tmp_path: Path) -> None:
    wrong = parse_kernel(seed("softmax.cl").replace("exp(", "2.0f*exp(", 1))
    kernels.save(tmp_path / "kernels", "opencl", "softmax", SMALL, wrong, {})
    (record,) = bench("table", *_ON_SMALL, "--modes")
    assert record["evaluated"]["best"]["outcome"] == "WRONG_RESULT"
    assert record["evaluated"]["seed"]["outcome"] == "CORRECT"
    assert set(record["kernels"]) == {"seed"}
    assert main(["table", "--accelerators", "no-such-chip", "--out", str(tmp_path / "none.json")]) == 0
    assert not (tmp_path / "none.json").exists()
    assert main(["table", "--accelerators", "opencl", "--problems", "no-such-problem"]) == 2


@pytest.mark.opencl
@pytest.mark.slow
def test_evolution_starts_from_the_fastest_and_keeps_what_it_finds(bench: Bench, tmp_path: Path) -> None:
    hand = tmp_path / "hand" / "softmax"
    hand.mkdir(parents=True)
    (hand / "mine.cl").write_text(seed("softmax.cl"))
    (hand / "notes.md").write_text("not a kernel")
    store = ("--store", str(tmp_path / "runs.db"), "--starts", str(hand.parent))
    (record,) = bench("evolve", *_ON_SMALL, "--evolve-seconds", "20", "--evaluations", "3", *store)
    assert {one["origin"] for one in record["starts"]} == {"seed", "hand-written softmax/mine.cl"}
    assert record["start"] in ("seed", "hand-written softmax/mine.cl")
    assert record["evaluations"] == 3
    assert sum(record["outcomes"].values()) == 3
    kept = kernels.best(tmp_path / "kernels", "opencl", registry.problem("softmax"), SMALL)
    assert kept is not None
    assert kept.kernel.digest == record["digest"] == parse_kernel(record["kernel"]).digest


@pytest.mark.opencl
@pytest.mark.slow
def test_hand_written_kernels_are_tuned_ranked_and_marked_as_such(bench: Bench, tmp_path: Path) -> None:
    hand = tmp_path / "hand"
    hand.mkdir()
    tuned = seed("softmax.cl").replace(
        '// language = "opencl"', '// language = "opencl"\n// [tune]\n// EXTRA = [1, 2, 3]'
    )
    (hand / "softmax__tuned.cl").write_text(tuned)
    (hand / "softmax.cl").write_text(seed("softmax.cl").replace("exp(", "2.0f*exp(", 1))
    (record,) = bench("candidates", str(hand), *_ON_SMALL, "--modes", "eager", "--tune", "2", "--keep")
    first, last = record["ranked"]
    assert (first["origin"], first["outcome"], first["tried"]) == ("softmax__tuned.cl", "CORRECT", 3)
    assert (last["origin"], last["outcome"], last["seconds"]) == ("softmax.cl", "WRONG_RESULT", None)
    assert record["origin"] == "hand-written"
    assert [one["kernel"] for one in record["ratios"]] == ["softmax__tuned.cl"]
    kept = kernels.best(tmp_path / "kernels", "opencl", registry.problem("softmax"), SMALL)
    assert kept is not None
    assert kept.kernel.tunables["EXTRA"][0] == first["configuration"]["EXTRA"]
    assert record["kept"] == {"origin": "softmax__tuned.cl", "digest": kept.kernel.digest}
    (named,) = bench("candidates", str(hand), *_ON_SMALL, "--modes", "--names", "softmax", out="named.json")
    assert [one["origin"] for one in named["ranked"]] == ["softmax.cl"]
    assert "kept" not in named
    assert main(["candidates", str(hand), "--accelerators", "opencl", *_ON_SMALL, "--names", "no-such-name"]) == 2


@pytest.mark.opencl
@pytest.mark.slow
def test_throughput_counts_right_candidates_and_warmth_pairs_processes(bench: Bench) -> None:
    (throughput,) = bench("throughput", "--count", "2", "--cold", "1", out="t.json")
    assert throughput["new_kernels"]["count"] == 2
    assert throughput["new_kernels"]["outcomes"] == {"CORRECT": 2}
    assert throughput["new_kernels"]["per_second"] <= 2 / sum(throughput["new_kernels"]["seconds_each"])
    assert throughput["cold"]["median"] > throughput["warm"]["median"] > 0
    (short,) = bench("throughput", "--count", "50", "--cold", "9", "--part-seconds", "0.1", out="s.json")
    assert [short[part]["count"] for part in ("configurations", "new_kernels")] == [1, 1]
    assert [len(short[part]["seconds_each"]) for part in ("warm", "cold")] == [1, 1]
    (warmth,) = bench("warmth", *_ON_SMALL, "--rounds", "6", "--processes", "2", out="w.json")
    assert [len(one["warm"]) for one in warmth["processes"]] == [6, 6]
    assert warmth["low"] <= warmth["ratio"] <= warmth["high"]
    (resolution,) = bench("resolution", "--batches", "1", out="a.json")
    assert resolution["resolution"] >= 0


@pytest.mark.parametrize("language", ["opencl", "triton", "numba"])
def test_a_renamed_kernel_is_the_same_to_the_gate_and_new_to_caches(language: str) -> None:
    problem = registry.problem("softmax")
    if language not in problem.seeds:
        pytest.skip(f"softmax has no seed in {language}")
    kernel = parse_kernel(problem.seeds[language])
    other = renamed(kernel, "x1")
    gate = Gate(problem, {"num_units": 132, "warp_size": 32, "max_group_size": 1024})
    plan, old = (gate.plan(one, one.default, SMALL) for one in (other, kernel))
    assert {launch.entry for launch in plan.launches}.isdisjoint({launch.entry for launch in old.launches})
    assert [(launch.grid, launch.block) for launch in plan.launches] == [(o.grid, o.block) for o in old.launches]
    assert other.digest != kernel.digest


def test_the_best_kernel_of_a_workload_is_its_own_then_the_problems_then_anothers(tmp_path: Path) -> None:
    problem, other = registry.problem("softmax"), Workload.parse("rows=1,cols=1")
    kernel = parse_kernel(seed("softmax.cl"))
    assert kernels.best(tmp_path, "opencl", problem, SMALL) is None
    for number, path in enumerate(["softmax__rows-1-cols-1.cl", "softmax.cl", "softmax__rows-64-cols-256.cl"]):
        (tmp_path / "opencl").mkdir(exist_ok=True)
        (tmp_path / "opencl" / path).write_text(str(kernel.with_body(f"{kernel.body}\n// {number}\n")))
        found = kernels.best(tmp_path, "opencl", problem, SMALL)
        assert found is not None
        assert found.origin == path
    elsewhere = kernels.best(tmp_path, "opencl", problem, other)
    assert elsewhere is not None
    assert elsewhere.origin == "softmax__rows-1-cols-1.cl"
