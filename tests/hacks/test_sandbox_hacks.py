"""Rows E1 to E14, and A3, A4, A6: attacks on the harness.

What no kernel can do in a worker, an accelerator with a bad habit does there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import psutil
import pytest
from attrs import evolve

from kernelevolve import Workload, parse_kernel, registry
from kernelevolve.errors import KernelFileError
from kernelevolve.evaluation.confirm import Side, SideError, confirm
from kernelevolve.evaluation.isolation import Limits
from kernelevolve.evaluation.measure import Protocol, Verdict
from kernelevolve.evaluation.pipeline import Evaluator, Settings
from kernelevolve.evaluation.wire import HEADER
from kernelevolve.outcome import Implausible, Outcome, Rejected
from kernelevolve.testing import samples

from .conftest import ROW, Judge, X, Y, file, open_evaluator
from .conftest import affine as opencl_affine

ROGUES = Path(__file__).parents[1] / "evaluation"
PATH = "rogue_accelerators:Rogue"
GOOD = parse_kernel(samples.GOOD)
FAST = Protocol(screen_rounds=6, warmup=1, confirm_rounds=12, seconds=1.0)
SETTINGS = Settings(limits=Limits(run_seconds=1.0, compile_seconds=2.0, memory=700 << 20), protocol=FAST)
WORKLOAD = Workload.parse("rows=16,cols=32")


@pytest.fixture
def rogue(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Evaluator]]:
    """Evaluators on an accelerator with a bad habit."""
    monkeypatch.syspath_prepend(str(ROGUES))
    monkeypatch.setenv("PYTHONPATH", str(ROGUES))
    with ExitStack() as stack:

        def make(habit: str = "") -> Evaluator:
            made = registry.load_path(PATH, "rogue")(habit)
            device = made.devices()[0]
            opened = Evaluator(
                samples.problem(), made, device, workloads=[WORKLOAD], path=PATH, settings=SETTINGS, secret=5
            )
            return stack.enter_context(opened)

        yield make


def statement(line: str) -> str:
    return samples.kernel_text(f'COST = "rows * cols * 10"\n\n\n{samples._ROW}    {line}\n')


def forged(body: str) -> str:
    text = f'{{"nonce": "x", "body": {body}, "sizes": []}}'.encode()
    return (HEADER.pack(len(text)) + text).hex()


@pytest.mark.parametrize("body", ['{"samples": [{"seconds": 1e-300}]}', "{}"], ids=["A6-1e-300", "E1-success"])
def test_a_forged_answer_on_the_pipe_is_noticed_by_its_nonce(rogue: Callable[..., Evaluator], body: str) -> None:
    found = rogue(f"write:{forged(body)}").evaluate(GOOD)
    assert (found.outcome, found.fitness) == (Outcome.PLUGIN_BUG, 0.0)


def test_a6_a_pickle_on_the_pipe_is_never_loaded(rogue: Callable[..., Evaluator], tmp_path: Path) -> None:
    import pickle

    class Bomb:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "loaded",))

    data = pickle.dumps(Bomb())
    found = rogue(f"write:{(HEADER.pack(len(data)) + data).hex()}").evaluate(GOOD)
    assert found.outcome is Outcome.PLUGIN_BUG
    assert not (tmp_path / "loaded").exists()


def test_a4_a_clock_that_admits_a_thousandth_is_implausible_to_the_engines_own(rogue: Callable[..., Evaluator]) -> None:
    evaluator = rogue("clock:0.02")
    sides = [Side(name, GOOD, {}) for name in ("incumbent", "candidate")]
    with pytest.raises(SideError) as caught:
        confirm(evaluator, WORKLOAD, sides, baselines=["incumbent"])
    assert isinstance(caught.value.error, Implausible)
    assert caught.value.error.details["measured"] < caught.value.error.details["floor"] / 100


def test_a4_an_honest_clock_convinces_the_same_witness(rogue: Callable[..., Evaluator]) -> None:
    evaluator = rogue("honest-clock:0.004")
    sides = [Side(name, GOOD, {}) for name in ("incumbent", "candidate")]
    found = confirm(evaluator, WORKLOAD, sides, baselines=["incumbent"])
    assert found.comparisons["incumbent", "candidate"].verdict in (Verdict.SAME, Verdict.UNCLEAR)


def test_e2_an_exit_hook_has_nobody_left_to_write_to(rogue: Callable[..., Evaluator]) -> None:
    evaluator = rogue("exit-hook")
    assert evaluator.evaluate(GOOD).outcome is Outcome.CORRECT
    evaluator.worker.stop()
    assert evaluator.evaluate(GOOD).outcome is Outcome.CORRECT


@pytest.mark.parametrize(
    "line", ['say("PASS")', 'say("{\\"nonce\\": \\"x\\", \\"body\\": {}}")'], ids=["B20-pass", "E3-frame"]
)
def test_what_a_candidate_prints_reaches_the_log_and_no_verdict(rogue: Callable[..., Evaluator], line: str) -> None:
    evaluator = rogue()
    wrong = statement(f"{line}\n    y[row] = 0.0")
    assert evaluator.evaluate(parse_kernel(wrong)).outcome is Outcome.WRONG_RESULT
    assert evaluator.evaluate(parse_kernel(statement(line))).outcome is Outcome.CORRECT


def test_e4_modules_in_the_current_folder_shadow_nothing(
    rogue: Callable[..., Evaluator], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("numpy", "attrs", "signal"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('shadowed')\n")
    monkeypatch.chdir(tmp_path)
    assert rogue().evaluate(GOOD).outcome is Outcome.CORRECT


def test_e5_e12_a_failure_stays_with_its_candidate_and_its_process(rogue: Callable[..., Evaluator]) -> None:
    evaluator = rogue()
    for outcome in (Outcome.DEVICE_FAULT, Outcome.DEVICE_LOST):
        generation = evaluator.worker.generation
        assert evaluator.evaluate(parse_kernel(samples.FAILING[outcome])).outcome is outcome
        assert evaluator.evaluate(GOOD).outcome is Outcome.CORRECT
        assert evaluator.worker.generation > generation


@pytest.mark.opencl
def test_e12_a_segmentation_fault_on_a_real_device_is_not_the_next_candidates(judge: Judge) -> None:
    crash = file(f"{ROW} if (r == 0) y[(long)1 << 42] = 1;")
    assert [judge(text).outcome for text in (crash, file(ROW))] == [Outcome.DEVICE_FAULT, Outcome.CORRECT]


@pytest.mark.parametrize(
    "call", ["getenv", "ptrace", "sysconf", "mmap", "read", "write", "socket", "connect", "unlink"]
)
def test_e1_e7_e9_e10_e11_device_code_has_no_system_calls(call: str) -> None:
    with pytest.raises(Rejected) as caught:
        registry.language("opencl").gate(f"__kernel void k({X}, {Y}) {{ {call}(0); }}")
    assert (caught.value.details["rule"], caught.value.details["line"]) == ("call", 1)


@pytest.mark.parametrize("name", ["__import__", "open", "globals", "eval", "getattr", "vars", "input", "breakpoint"])
def test_e6_e7_python_kernels_reach_no_dangerous_builtin(name: str) -> None:
    with pytest.raises(Rejected):
        registry.language("reference").gate(f"def k(x, y):\n    {name}('x')\n")


def test_e12_a_process_that_an_earlier_candidate_corrupted_is_not_the_next_ones_fault(
    rogue: Callable[..., Evaluator],
) -> None:
    evaluator = rogue("corrupted-by-the-first")
    assert evaluator.evaluate(GOOD).outcome is Outcome.CORRECT
    assert evaluator.evaluate(parse_kernel(samples.SLOW)).outcome is Outcome.CORRECT
    assert evaluator.worker.generation == 2


def test_e12_a_candidate_that_crashes_in_a_fresh_process_too_is_to_blame(rogue: Callable[..., Evaluator]) -> None:
    evaluator = rogue()
    crash = parse_kernel(samples.FAILING[Outcome.DEVICE_FAULT])
    assert evaluator.evaluate(crash).outcome is Outcome.DEVICE_FAULT
    assert evaluator.worker.generation == 1
    assert evaluator.evaluate(GOOD).outcome is Outcome.CORRECT
    assert evaluator.evaluate(crash).outcome is Outcome.DEVICE_FAULT
    assert evaluator.worker.generation == 3


def test_e8_a_memory_bomb_is_out_of_memory(rogue: Callable[..., Evaluator]) -> None:
    evaluator = rogue(f"eat:{800 << 20}")
    evaluator.worker.limits = evolve(SETTINGS.limits, run_seconds=20.0)
    assert evaluator.evaluate(GOOD).outcome is Outcome.OUT_OF_MEMORY


@pytest.mark.parametrize("habit", ["deaf", "child", "child-of-its-own-session"])
def test_e8_a3_children_and_deaf_workers_end_with_their_candidate(rogue: Callable[..., Evaluator], habit: str) -> None:
    evaluator = rogue(habit)
    evaluator.evaluate(GOOD)
    family = [psutil.Process(evaluator.worker.pid)]
    family += family[0].children(recursive=True)
    found = evaluator.evaluate(parse_kernel(samples.FAILING[Outcome.RUN_TIMEOUT]))
    assert found.outcome is Outcome.RUN_TIMEOUT
    _, still = psutil.wait_procs(family, timeout=1)
    assert [one for one in still if one.status() != psutil.STATUS_ZOMBIE] == []


@pytest.mark.opencl
def test_e8_an_endless_kernel_on_a_real_device_is_stopped(judge: Judge) -> None:
    found = judge(
        file(f"{ROW} while (cols > 0) y[0] = 1;".replace("y[0] = 1", "((volatile __global float *)y)[0] = 1"))
    )
    assert found.outcome is Outcome.RUN_TIMEOUT
    assert judge(file(ROW)).outcome is Outcome.CORRECT


@pytest.mark.opencl
def test_e9_keys_of_the_environment_are_not_in_a_real_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ANTHROPIC_API_KEY", "OPENAI_API_KEY", "GITHUB_TOKEN", "AWS_SECRET_ACCESS_KEY", "HTTP_PROXY"):
        monkeypatch.setenv(name, "planted")
    with open_evaluator(opencl_affine()) as evaluator:
        evaluator.worker.start()
        assert "planted" not in psutil.Process(evaluator.worker.pid).environ().values()


def test_e13_sides_keep_their_names_whatever_order_they_run_in(rogue: Callable[..., Evaluator]) -> None:
    evaluator = rogue()
    slow = parse_kernel(samples.SLOW)
    for names in (("a", "b"), ("b", "a")):
        kernels = {"a": GOOD, "b": slow}
        found = confirm(evaluator, WORKLOAD, [Side(name, kernels[name], {}) for name in names], baselines=["b"])
        assert found.comparisons["b", "a"].ratio == pytest.approx(2.0, rel=0.01)
        assert found.comparisons["b", "a"].verdict is Verdict.FASTER


def test_e13_the_baselines_samples_are_the_baselines(rogue: Callable[..., Evaluator]) -> None:
    evaluator = rogue()
    found = confirm(
        evaluator,
        WORKLOAD,
        [Side("seed", parse_kernel(samples.SLOW), {}), Side("best", GOOD, {})],
        baselines=["seed"],
    )
    assert found.timings["seed"].seconds == pytest.approx(2 * found.timings["best"].seconds, rel=0.01)


@pytest.mark.parametrize(
    "text",
    [
        "// /// kernel\n// x = " + "[" * 20_000 + "\n// ///\n",
        "x" * (300 << 10),
        "// /// kernel\n" + "// [a]\n" * 30_000,
    ],
    ids=["nested", "enormous", "repetitive"],
)
def test_e14_an_enormous_or_nested_file_is_refused_before_any_parser_suffers(text: str) -> None:
    with pytest.raises(KernelFileError):
        parse_kernel(text)


def test_e14_a_nested_answer_is_refused(rogue: Callable[..., Evaluator]) -> None:
    found = rogue(f"write:{(HEADER.pack(30_000) + b'[' * 30_000).hex()}").evaluate(GOOD)
    assert found.outcome is Outcome.PLUGIN_BUG
