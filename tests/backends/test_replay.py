"""The replay accelerator gives back what was recorded: times, and failures as they were recorded."""

from __future__ import annotations

import gzip
import json

import attrs
import pytest

from kernelevolve import registry
from kernelevolve.accelerator import Accelerator, BufferSpec, Realm, Session, Source, Status, Target
from kernelevolve.backends.replay import FOLDER_VARIABLE, Replay, recorded_kernel, recorded_problem
from kernelevolve.errors import KernelEvolveError
from kernelevolve.kernel import parse_kernel, render_kernel
from kernelevolve.languages.replay import ReplayLanguage
from kernelevolve.outcome import (
    CompileError,
    ConstraintViolated,
    LaunchError,
    Outcome,
    PluginBug,
    Rejected,
    RunTimeout,
    ToolchainError,
    WrongResult,
)
from kernelevolve.plan import make_plan

RESULTS = [
    ({"block": 16, "unroll": 0.0, "mode": "a"}, "compile", []),
    ({"block": 32, "unroll": 0.0, "mode": "a"}, "correct", [3.0, 1.0, 2.0]),
    ({"block": 32, "unroll": 1.0, "mode": "a"}, "correct", [1.5]),
    ({"block": 32, "unroll": 2.0, "mode": "a"}, "runtime", []),
    ({"block": 64, "unroll": 0.0, "mode": "b"}, "timeout", []),
    ({"block": 64, "unroll": 1.0, "mode": "b"}, "correctness", [0.1]),
    ({"block": 64, "unroll": 2.0, "mode": "b"}, "constraints", []),
]


def write_space(folder, name="convolution_RTX_3090_T4.json.gz", results=RESULTS):
    document = {
        "metadata": {"timeunit": "miliseconds"},
        "results": [
            {"configuration": configuration, "invalidity": outcome, "times": {"runtimes": times}}
            for configuration, outcome, times in results
        ],
    }
    data = json.dumps(document).encode()
    path = folder / name
    path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    return path


@pytest.fixture
def space(tmp_path):
    return write_space(tmp_path)


def plan_of(path, **configuration):
    kernel, problem = recorded_kernel(path), recorded_problem(path)
    chosen = kernel.configuration(configuration)
    return make_plan(kernel, problem, problem.workloads[0], chosen, ReplayLanguage().entries(kernel.body), {})


def compiled(path, **configuration):
    made = Replay(path.parent)
    return made.compile(plan_of(path, **configuration), made.targets()[0])


def bound(session, artifact):
    return session.bind(session.load(artifact), (), {})


def test_it_satisfies_the_protocols_and_is_found_by_name(space):
    assert isinstance(registry.accelerator("replay"), Replay)
    assert isinstance(registry.language("replay"), ReplayLanguage)
    made = Replay(space.parent)
    assert isinstance(made, Accelerator)
    with made.open(made.devices()[0]) as session:
        assert isinstance(session, Session)


@pytest.mark.parametrize("folder", [None, "absent", "empty"])
def test_without_recordings_it_says_how_to_set_the_folder(folder, tmp_path, monkeypatch):
    monkeypatch.delenv(FOLDER_VARIABLE, raising=False)
    (tmp_path / "empty").mkdir()
    if folder:
        monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path / folder))
    made = Replay()
    availability = made.probe()
    assert availability.status is Status.MISSING
    assert availability.message.endswith("set KERNELEVOLVE_SPACES to a folder of T4 files")
    assert (made.devices(), made.targets()) == ((), ())


def test_each_file_of_the_folder_is_a_device_of_the_replay_realm(space, monkeypatch):
    write_space(space.parent, "other.json")
    (space.parent / "notes.txt").write_text("no recording", encoding="utf-8")
    monkeypatch.setenv(FOLDER_VARIABLE, str(space.parent))
    devices = Replay().devices()
    assert [device.name for device in devices] == ["recorded: convolution on RTX 3090", "recorded: other"]
    assert [device.index for device in devices] == [0, 1]
    assert {device.realm for device in devices} == {Realm.REPLAY}
    assert [device.target for device in devices] == list(Replay().targets())
    assert Replay().probe().message == "2 recorded tuning spaces; nothing is run"


def test_the_kernel_lists_the_recorded_tunables_and_its_default_ran_right(space):
    kernel = recorded_kernel(space)
    assert dict(kernel.tunables) == {"block": (32, 16, 64), "unroll": (0, 1, 2), "mode": ("a", "b")}
    assert parse_kernel(render_kernel(kernel)) == kernel
    assert compiled(space).extra == {"configuration": {"block": 32, "unroll": 0, "mode": "a"}}


def test_values_that_a_header_cannot_hold_become_text(tmp_path):
    results = [({"x": 0.5, "y": True}, "correct", [1.0]), ({"x": 1.0, "y": False}, "correct", [2.0])]
    path = write_space(tmp_path, results=results)
    assert dict(recorded_kernel(path).tunables) == {"x": ("0.5", "1.0"), "y": (True, False)}
    made = Replay(tmp_path)
    with made.open(made.devices()[0]) as session:
        assert session.time(bound(session, compiled(path, x="1.0", y=False))).seconds == 2e-3


def test_the_problem_has_the_recorded_workload_only_and_no_reference(space):
    problem = recorded_problem(space)
    assert problem.name == "convolution_RTX_3090_T4"
    assert [workload.label for workload in (*problem.workloads, *problem.hidden)] == ["recording=1"] * 2
    assert parse_kernel(problem.seeds["replay"]) == recorded_kernel(space)
    with pytest.raises(KernelEvolveError, match="times and no data: its results cannot be computed"):
        problem.reference()


def test_a_time_is_the_recorded_median_in_seconds_and_says_that_it_was_recorded(space):
    made = Replay(space.parent)
    with made.open(made.devices()[0]) as session:
        sample = session.time(bound(session, compiled(space)), launches=5)
        assert (sample.seconds, sample.source, sample.launches) == (2e-3, Source.RECORDED, 5)
        assert session.time(bound(session, compiled(space, unroll=1))).seconds == 1.5e-3


def test_a_recorded_compile_failure_fails_to_compile(space):
    with pytest.raises(CompileError, match="recorded: block=16,mode=a,unroll=0 did not compile") as caught:
        compiled(space, block=16)
    assert caught.value.details["stage"] == "recorded"


@pytest.mark.parametrize(
    ("configuration", "says"),
    [
        ({"block": 64, "unroll": 2, "mode": "b"}, "was recorded as breaking a constraint in convolution"),
        ({"block": 64}, "block=64,mode=a,unroll=0 was not recorded in convolution"),
    ],
)
def test_membership_replaces_constraints(space, configuration, says):
    with pytest.raises(ConstraintViolated, match=says):
        compiled(space, **configuration)


@pytest.mark.parametrize(
    ("configuration", "kind", "outcome"),
    [
        ({"unroll": 2}, LaunchError, Outcome.LAUNCH_ERROR),
        ({"block": 64, "mode": "b"}, RunTimeout, Outcome.RUN_TIMEOUT),
        ({"block": 64, "unroll": 1, "mode": "b"}, WrongResult, Outcome.WRONG_RESULT),
    ],
)
def test_a_recorded_run_failure_fails_at_launch_and_has_no_time(space, configuration, kind, outcome):
    made = Replay(space.parent)
    with made.open(made.devices()[0]) as session:
        call = bound(session, compiled(space, **configuration))
        for use in (session.launch, session.time):
            with pytest.raises(kind, match="recorded: ") as caught:
                use(call)
            assert caught.value.outcome is outcome


def test_buffers_hold_what_is_written_and_no_launch_touches_them(space):
    made = Replay(space.parent)
    with made.open(made.devices()[0]) as session:
        buffer = session.allocate(BufferSpec(4, guard=2))
        session.fill(buffer, 7, guards=True)
        session.upload(buffer, memoryview(b"abcd"))
        session.launch(bound(session, compiled(space)))
        session.synchronize()
        assert session.download(buffer, guards=True) == b"\7\7abcd\7\7"
        session.fill(buffer, 1, guards=False)
        assert session.download(buffer) == b"\1\1\1\1"
        session.free(buffer)


def test_the_toolchain_follows_the_files_and_the_key_the_configuration(space):
    made = Replay(space.parent)
    before, key = made.toolchain(), made.compile_key(plan_of(space))
    assert key == {"configuration": {"block": 32, "unroll": 0, "mode": "a"}}
    write_space(space.parent, results=RESULTS[1:])
    assert made.toolchain()[f"recording of replay:{space.name}"] != before[f"recording of replay:{space.name}"]


def test_a_configuration_that_vanished_after_the_compile_is_no_candidates_fault(space):
    artifact = compiled(space)
    write_space(space.parent, results=RESULTS[2:])
    made = Replay(space.parent)
    with made.open(made.devices()[0]) as session, pytest.raises(PluginBug, match="no longer holds the configuration"):
        session.load(artifact)


def test_files_that_cannot_be_replayed_are_named(tmp_path):
    write_space(tmp_path, results=[({"a-b": 1}, "correct", [1.0])])
    made = Replay(tmp_path)
    path = next(tmp_path.iterdir())
    with pytest.raises(KernelEvolveError, match="tunable 'a-b' is no name; use letters, digits and _"):
        recorded_kernel(path)
    write_space(tmp_path, results=[({"a": 1}, "correct", [1.0]), ({"a": 1.0}, "correct", [1.0])])
    with pytest.raises(
        KernelEvolveError, match=r"two configurations differ in the type of a value only|repeats results"
    ):
        recorded_kernel(path)
    write_space(tmp_path)
    plan = plan_of(path)
    path.write_bytes(b"{")
    with pytest.raises(KernelEvolveError, match="is not JSON"):
        recorded_kernel(path)
    with pytest.raises(ToolchainError, match="is not JSON"):
        made.compile(plan, made.targets()[0])


def test_a_target_or_device_that_was_not_recorded_lists_what_was(space):
    made = Replay(space.parent)
    says = "no recording for target 'replay:x'; there is replay:convolution_RTX_3090_T4.json.gz"
    with pytest.raises(KernelEvolveError, match=says):
        made.compile(plan_of(space), Target("replay:x"))
    foreign = attrs.evolve(made.devices()[0], target=Target("replay:x"))
    with pytest.raises(KernelEvolveError, match=says), made.open(foreign):
        pytest.fail("a foreign device was opened")


def test_a_replayed_kernel_has_no_source():
    language = ReplayLanguage()
    assert dict(language.entries("# a comment\n\n")) == {"recorded": ()}
    assert language.normalize("# a comment\n") == language.normalize("\n# another\n") == ""
    with pytest.raises(Rejected) as caught:
        language.gate("# fine\nint main;\n")
    assert caught.value.details == {"rule": "body", "line": 2}


def test_a_worker_process_inherits_the_folder_as_an_absolute_path(space, monkeypatch):
    monkeypatch.delenv(FOLDER_VARIABLE, raising=False)
    assert Replay().environment() == {}
    monkeypatch.chdir(space.parent.parent)
    monkeypatch.setenv(FOLDER_VARIABLE, space.parent.name)
    assert Replay().environment() == {FOLDER_VARIABLE: str(space.parent)}
