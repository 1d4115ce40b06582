"""Every kernel on a page is what the page says: it compiles, it is right, or it fails in the way that is shown."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from attrs import evolve, frozen

from kernelevolve import registry
from kernelevolve.accelerator import Accelerator, CompilesOnHost, Device, Interprets, Realm, Status
from kernelevolve.evaluation.cache import CompileCache
from kernelevolve.evaluation.compilers import Compilers
from kernelevolve.evaluation.gate import Gate
from kernelevolve.evaluation.isolation import Limits, Worker
from kernelevolve.evaluation.measure import Protocol
from kernelevolve.evaluation.pipeline import Evaluator, Settings
from kernelevolve.evaluation.runner import Runner
from kernelevolve.kernel import parse_kernel
from kernelevolve.knowledge import Check, Example, PageError, examples_of, parse_page
from kernelevolve.knowledge.library import PAGES
from kernelevolve.outcome import CandidateError, Outcome
from kernelevolve.problem import Problem, Workload


def all_examples() -> Iterator[Example]:
    """Of all pages that can be read; the others are reported by the tests of pages."""
    for path in sorted(PAGES.rglob("*.md")):
        with contextlib.suppress(PageError):
            name = path.relative_to(PAGES).with_suffix("").as_posix()
            yield from examples_of(parse_page(path.read_text(encoding="utf-8"), name))


EXAMPLES = list(all_examples())
#: Checks are small and few, and times are looked at by nobody: a busy machine must not fail a page.
QUICK = Settings(
    limits=Limits(run_seconds=60.0, compile_seconds=60.0),
    protocol=Protocol(
        warmup=0, first_look=1, screen_rounds=1, screen_seconds=0.01, confirm_rounds=1, unstable=1e9, flush=False
    ),
    check_bytes=32 << 10,
    check_seconds=4.0,
)
SECRET = 20_26


@frozen
class Ended:
    outcome: Outcome | None
    message: str


class Benches:
    """Accelerators with the processes that are worth keeping between examples: their start takes most of the time."""

    def __init__(self, stack: ExitStack) -> None:
        self.stack = stack
        self._compilers: dict[str, Compilers] = {}
        self._workers: dict[tuple[str, str], Worker] = {}

    def open(self, example: Example) -> tuple[Accelerator, Device]:
        made = registry.accelerator(example.accelerator)
        status = made.probe()
        if status.status is not Status.OK:
            pytest.skip(f"{example.accelerator}: {status.message}")
        target = next((one for one in made.targets() if one.name == example.target), None)
        if example.target is not None and target is None:
            pytest.fail(f"{example.label}: {example.accelerator} has no target {example.target}")
        if isinstance(made, Interprets):
            assert target is not None
            return made, made.stand_in(target)
        return made, next(one for one in made.devices() if target is None or one.target == target)

    def compile(self, made: Accelerator, device: Device, example: Example, problem: Problem) -> Ended:
        try:
            kernel = parse_kernel(example.text, name=example.label)
            gate = Gate(problem, device.facts)
            gate.admit(kernel)
            plan = gate.plan(kernel, kernel.default, workload_of(example, problem))
            compilers = self._compilers_of(made)
            if compilers is None:
                made.compile(plan, device.target)
            else:
                compilers.compile(plan, device.target)
        except CandidateError as error:
            return Ended(error.outcome, error.message)
        return Ended(None, "")

    def _compilers_of(self, made: Accelerator) -> Compilers | None:
        if not (isinstance(made, CompilesOnHost) and made.compiles_on_host):
            return None
        if made.name not in self._compilers:
            path = registry.worker_path(made.name)
            one = Compilers(made, path=path, limits=QUICK.limits, cache=CompileCache(), count=1)
            self.stack.callback(one.stop)
            self._compilers[made.name] = one
        return self._compilers[made.name]

    def _worker(self, made: Accelerator, device: Device) -> Worker:
        key = (made.name, device.target.name)
        if key not in self._workers:
            one = Worker(made, device, path=registry.worker_path(made.name), limits=QUICK.limits)
            self.stack.callback(one.stop)
            self._workers[key] = one
        return self._workers[key]

    def evaluate(self, made: Accelerator, device: Device, example: Example, problem: Problem) -> Ended:
        kernel = parse_kernel(example.text, name=example.label)
        evaluator = Evaluator(
            problem,
            made,
            device,
            workloads=[workload_of(example, problem)],
            path=registry.worker_path(made.name),
            settings=QUICK,
            secret=SECRET,
        )
        evaluator.worker, evaluator.compilers = self._worker(made, device), self._compilers_of(made)
        evaluator.runner = Runner(evaluator.worker, device.target, CompileCache(), evaluator.compilers)
        found = evaluator.evaluate(kernel)
        evaluator.release_anchors()
        return Ended(found.outcome, found.message)


def workload_of(example: Example, problem: Problem) -> Workload:
    if example.workload:
        chosen = Workload.parse(example.workload)
        problem.check(chosen)
        return chosen
    return min(problem.workloads, key=problem.compulsory_bytes)


@pytest.fixture(scope="module")
def benches() -> Iterator[Benches]:
    with ExitStack() as stack:
        yield Benches(stack)


@pytest.mark.slow
@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.label)
def test_a_page_s_kernel_is_what_the_page_says(example: Example, benches: Benches) -> None:
    problem = registry.problem(example.problem)
    made, device = benches.open(example)
    assert example.language in made.languages
    if example.check is Check.COMPILE:
        ended = benches.compile(made, device, example, problem)
        assert ended == Ended(None, "")
        return
    ended = benches.evaluate(made, device, example, problem)
    if example.check is Check.FAILS:
        assert ended.outcome is example.outcome, ended.message
        assert example.says in ended.message
    else:
        wanted = Outcome.UNMEASURED if device.realm is Realm.INTERPRETED else Outcome.CORRECT
        assert ended.outcome is wanted, ended.message


def test_a_kernel_that_is_not_what_its_page_says_is_found(benches: Benches) -> None:
    """The test above can fail: a wrong kernel, one that does not compile, and one that fails in another way."""
    seed = registry.problem("softmax").seeds["opencl"]
    page = page_with(f"```opencl problem=softmax check=evaluate workload=rows=8,cols=16\n{seed}\n```")
    right = examples_of(page)[0]
    made, device = benches.open(right)
    problem = registry.problem("softmax")
    assert benches.evaluate(made, device, right, problem).outcome is Outcome.CORRECT
    assert benches.compile(made, device, right, problem) == Ended(None, "")

    wrong = evolve(right, text=seed.replace("exp(", "exp2(").replace("native_exp2(", "native_exp("))
    assert wrong.text != seed
    assert benches.evaluate(made, device, wrong, problem).outcome is Outcome.WRONG_RESULT
    broken = evolve(right, text=seed + "\nint f(void) { return nothing; }\n")
    assert benches.compile(made, device, broken, problem).outcome in (Outcome.COMPILE_ERROR, Outcome.REJECTED)


def page_with(body: str, **fields: str):  # type: ignore[no-untyped-def]
    header = {"title": "t", "kind": "guidance", "sources": "[https://example.org]", **fields}
    text = "\n".join(["---", *(f"{name}: {value}" for name, value in header.items()), "---", body, ""])
    return parse_page(text, "guidance/own", origin="own.md")


def test_words_of_a_block_override_those_of_its_page() -> None:
    blocks = (
        "```triton check=evaluate workload=rows=4,cols=8\nA\n```",
        '```opencl says="a_b" check=fails=REJECTED\nB\n```',
    )
    body = "\n\n".join(("text", *blocks))
    page = page_with(body, examples="problem=softmax check=compile", hardware="[mtia]")
    first, second = examples_of(page)
    assert (first.problem, first.check, first.accelerator, first.target) == (
        "softmax", Check.EVALUATE, "mtia", "mtia:mtia2i",
    )  # fmt: skip
    assert (first.workload, first.text, first.line) == ("rows=4,cols=8", "A\n", 10)
    assert (second.check, second.outcome, second.says, second.accelerator) == (
        Check.FAILS, Outcome.REJECTED, "a b", "opencl",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("hardware", "language", "accelerator", "target"),
    [
        ("[]", "triton", "triton-cuda", "cuda:sm_90"),
        ("[nvidia, amd]", "triton", "triton-cuda", "cuda:sm_90"),
        ("[sm_100]", "triton", "triton-cuda", "cuda:sm_100"),
        ("[amd]", "triton", "triton-rocm", "hip:gfx942"),
        ("[gfx950]", "triton", "triton-rocm", "hip:gfx950"),
        ("[mtia300]", "triton", "mtia", "mtia:mtia300"),
        ("[sm_80]", "numba", "numba-cuda", "cuda:sm_80"),
        ("[opencl-cpu]", "opencl", "opencl", None),
    ],
)
def test_a_block_runs_where_its_page_s_hardware_is(
    hardware: str, language: str, accelerator: str, target: str | None
) -> None:
    page = page_with(f"```{language} problem=softmax\nA\n```", hardware=hardware)
    (example,) = examples_of(page)
    assert (example.accelerator, example.target) == (accelerator, target)


@pytest.mark.parametrize(
    ("info", "says"),
    [
        ("triton", "names its problem"),
        ("triton problem=softmax checkz=compile", "no such key 'checkz'.*Did you mean 'check'"),
        ("triton problem=softmax check=run", "compile, evaluate, or fails=OUTCOME"),
        ("triton problem=softmax check=fails", "fails=OUTCOME"),
        ("triton problem=softmax check=fails=SLOW", "fails=OUTCOME"),
        ("triton problem=softmax check=compile=CORRECT", "fails=OUTCOME"),
        ("triton softmax", "'softmax' is not of the form key=value"),
    ],
)
def test_words_that_mean_nothing_are_an_error_with_file_and_line(info: str, says: str) -> None:
    with pytest.raises(PageError, match=f"own.md:7: .*{says}"):
        examples_of(page_with(f"text\n```{info}\nA\n```"))


def test_other_blocks_are_no_kernels() -> None:
    assert examples_of(page_with("```python\nx = 1\n```\n```\ntext\n```\n```c\nint x;\n```")) == ()
