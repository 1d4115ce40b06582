"""Plugins are listed without importing; a broken one is its own error; names that clash or are unknown say so."""

from __future__ import annotations

import sys

import pytest

from kernelevolve import registry
from kernelevolve.accelerator import API
from kernelevolve.errors import KernelEvolveError, ProblemError, UnknownNameError
from kernelevolve.problem import Problem
from kernelevolve.registry import PluginError
from kernelevolve.testing import samples
from kernelevolve.testing.accelerator import ReferenceAccelerator
from kernelevolve.testing.language import ReferenceLanguage


@pytest.fixture
def distribution(tmp_path, monkeypatch):
    """Install a distribution that declares entry points, for the length of a test."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def install(name, group, entries, modules=None):
        info = tmp_path / f"{name}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n", encoding="utf-8")
        lines = "\n".join(f"{key} = {value}" for key, value in entries.items())
        (info / "entry_points.txt").write_text(f"[{group}]\n{lines}\n", encoding="utf-8")
        for module, text in (modules or {}).items():
            (tmp_path / f"{module}.py").write_text(text, encoding="utf-8")
        registry._declared.cache_clear()

    yield install
    registry._declared.cache_clear()
    registry.language.cache_clear()


@pytest.fixture
def registered():
    """Register plugins that go away after the test."""
    added = []

    def add(kind, name, value, **how):
        plugin = registry.register(kind, name, value, **how)
        added.append((kind, name))
        return plugin

    yield add
    for kind, name in added:
        registry.unregister(kind, name)


def test_the_accelerators_that_ship_are_listed_with_their_origin():
    plugins = {plugin.name: plugin for plugin in registry.plugins("accelerator")}
    assert {"opencl", "reference", "replay"} <= set(plugins)
    assert plugins["reference"].path == "kernelevolve.testing.accelerator:ReferenceAccelerator"
    assert plugins["reference"].origin.startswith("kernelevolve ")
    assert registry.accelerator_names() == tuple(sorted(plugins))


def test_listing_imports_nothing(distribution):
    distribution(
        "lazy", "kernelevolve.accelerators", {"lazychip": "lazy_module:Chip"}, {"lazy_module": "raise OSError"}
    )
    assert "lazychip" in registry.names("accelerator")
    assert "lazy_module" not in sys.modules


def test_a_broken_plugin_is_an_error_with_its_traceback_and_the_others_go_on(distribution):
    distribution(
        "broken",
        "kernelevolve.accelerators",
        {"sick": "sick_module:Chip", "gone": "no_such_module:Chip", "empty": "empty_module:Chip"},
        {"sick_module": "def boot():\n    raise OSError('no driver')\nboot()\n", "empty_module": ""},
    )
    with pytest.raises(
        PluginError, match=r"accelerator 'sick' \(sick_module:Chip\) cannot be loaded: OSError: no driver"
    ) as sick:
        registry.accelerator("sick")
    assert "in boot" in sick.value.trace
    with pytest.raises(PluginError, match="ModuleNotFoundError: No module named 'no_such_module'"):
        registry.accelerator("gone")
    with pytest.raises(PluginError, match="AttributeError: module 'empty_module' has no attribute 'Chip'"):
        registry.accelerator("empty")
    assert isinstance(registry.accelerator("reference"), ReferenceAccelerator)


def test_a_name_that_two_distributions_claim_names_both(distribution):
    distribution("impostor", "kernelevolve.languages", {"reference": "other_module:Language"})
    with pytest.raises(PluginError) as caught:
        registry.names("language")
    message = str(caught.value)
    assert message.startswith("language 'reference' is provided by both ")
    assert "impostor 1.0 (other_module:Language)" in message
    assert "(kernelevolve.testing.language:ReferenceLanguage); uninstall one of them" in message or (
        "(kernelevolve.testing.language:ReferenceLanguage) and impostor" in message
    )


def test_a_registered_plugin_is_found_until_it_is_taken_back(registered):
    class Mine(ReferenceAccelerator):
        name = "mine"

    plugin = registered("accelerator", "mine", Mine)
    assert plugin.path.endswith(":test_a_registered_plugin_is_found_until_it_is_taken_back.<locals>.Mine")
    made = registry.accelerator("mine")
    assert isinstance(made, Mine)
    assert registry.accelerator("mine") is made
    assert "mine" in registry.accelerator_names()
    registry.unregister("accelerator", "mine")
    with pytest.raises(UnknownNameError):
        registry.accelerator("mine")


@pytest.mark.parametrize("taken", ["reference", "mine"])
def test_a_taken_name_cannot_be_registered_again(registered, taken):
    registered("accelerator", "mine", ReferenceAccelerator)
    with pytest.raises(PluginError, match=f"accelerator '{taken}' is already provided by .*; choose another name"):
        registry.register("accelerator", taken, ReferenceAccelerator)


def test_an_unknown_name_lists_what_there_is_and_suggests_the_nearest():
    with pytest.raises(UnknownNameError) as caught:
        registry.accelerator("referense")
    assert "unknown accelerator 'referense'; there is " in str(caught.value)
    assert str(caught.value).endswith("Did you mean 'reference'?")
    with pytest.raises(UnknownNameError, match="unknown problem 'sofmax'"):
        registry.problem("sofmax")


class Clumsy(ReferenceAccelerator):
    def __init__(self):
        raise OSError("no such bus")


class Outdated(ReferenceAccelerator):
    api = (API[0] + 1, 0)


class Partial:
    name = "partial"


class Empty(ReferenceAccelerator):
    def devices(self):
        return ()


@pytest.mark.parametrize(
    ("value", "says"),
    [
        (Clumsy, "accelerator 'mine' cannot be made: OSError: no such bus"),
        (Outdated, f"accelerator 'mine' was written for API {API[0] + 1}.x and this is {API[0]}.{API[1]}"),
        (Partial, "accelerator 'mine' lacks part of the Accelerator protocol"),
    ],
)
def test_an_accelerator_that_cannot_be_used_says_why(registered, value, says):
    registered("accelerator", "mine", value)
    with pytest.raises(PluginError) as caught:
        registry.accelerator("mine")
    assert says in str(caught.value)


def test_a_language_comes_as_an_instance_and_an_incomplete_one_is_refused(registered):
    assert isinstance(registry.language("reference"), ReferenceLanguage)
    registered("language", "mine", Partial)
    with pytest.raises(PluginError, match="language 'mine' lacks part of the Language protocol"):
        registry.language("mine")


def test_a_device_is_found_by_index_and_by_part_of_its_name():
    made = ReferenceAccelerator()
    device = made.devices()[0]
    assert [registry.find_device(made, wanted) for wanted in (None, "0", "MADE-UP")] == [device] * 3
    with pytest.raises(UnknownNameError, match="unknown device 'a100'; there is 0: reference device"):
        registry.find_device(made, "a100")
    with pytest.raises(KernelEvolveError, match="accelerator 'reference' has no device here: always here"):
        registry.find_device(Empty())


class TestProblemFiles:
    SOURCE = "from kernelevolve.testing.samples import problem\nfirst = problem()\n"

    def test_a_problem_is_found_by_name_by_value_and_in_a_file(self, registered, tmp_path):
        registered("problem", "affine", samples.problem)
        registered("problem", "affine_value", samples.problem())
        path = tmp_path / "mine.py"
        path.write_text(self.SOURCE, encoding="utf-8")
        for reference in ("affine", "affine_value", f"{path}:first", str(path)):
            assert registry.problem(reference).name == "affine"

    def test_a_plugin_that_is_no_problem_is_refused(self, registered):
        registered("problem", "odd", lambda: 3)
        with pytest.raises(ProblemError, match="problem 'odd' is a int, not a Problem"):
            registry.problem("odd")

    def test_a_name_that_the_file_lacks_lists_what_it_has(self, tmp_path):
        path = tmp_path / "mine.py"
        path.write_text(self.SOURCE + "second = problem()\n", encoding="utf-8")
        with pytest.raises(UnknownNameError) as caught:
            registry.problem(f"{path}:frist")
        assert str(caught.value) == f"{path}: unknown problem 'frist'; there is first, second. Did you mean 'first'?"
        with pytest.raises(UnknownNameError, match=r"unknown problem '\(none given\)'; there is first, second"):
            registry.problem(str(path))

    def test_a_missing_file_says_so(self, tmp_path):
        with pytest.raises(ProblemError, match=r"no such file; give path/to/file\.py:name"):
            registry.problem(f"{tmp_path}/absent.py:problem")

    @pytest.mark.parametrize(
        ("source", "line", "says"),
        [
            ("x = 1\n\ny = x +\n", 3, "SyntaxError: invalid syntax"),
            ("def f():\n    return 1 // 0\n\nf()\n", 2, "ZeroDivisionError: integer division or modulo by zero"),
            ("import no_such_thing\n", 1, "ModuleNotFoundError: No module named 'no_such_thing'"),
            (
                "from kernelevolve.problem import Workload\n\nbad = Workload.parse('rows')\n",
                3,
                "workload 'rows': cannot read 'rows'",
            ),
        ],
    )
    @pytest.mark.parametrize("relative", [False, True])
    def test_a_fault_in_the_file_names_its_file_and_line(self, tmp_path, monkeypatch, source, line, says, relative):
        (tmp_path / "mine.py").write_text(source, encoding="utf-8")
        monkeypatch.chdir(tmp_path)
        path = "mine.py" if relative else str(tmp_path / "mine.py")
        with pytest.raises(ProblemError) as caught:
            registry.problem(f"{path}:p")
        assert str(caught.value).startswith(f"{path}:{line}: {says}")

    def test_a_file_with_one_problem_needs_no_name(self, tmp_path):
        path = tmp_path / "one.py"
        path.write_text(self.SOURCE, encoding="utf-8")
        assert isinstance(registry.problem(str(path)), Problem)
