"""Finds accelerators, languages, proposers and problems: entry points, listed without importing and loaded on first
use.

A broken plugin is a status line with its traceback, and the others go on. A name that two distributions claim is an
error that names both.
"""

from __future__ import annotations

__all__ = [
    "Plugin",
    "PluginError",
    "accelerator",
    "accelerator_names",
    "find_device",
    "language",
    "load",
    "load_path",
    "names",
    "plugins",
    "problem",
    "problem_names",
    "register",
    "unregister",
]

import importlib
import importlib.metadata
import importlib.util
import sys
import traceback
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

from attrs import frozen

from kernelevolve.accelerator import API, Accelerator, Device
from kernelevolve.errors import KernelEvolveError, ProblemError, UnknownNameError
from kernelevolve.language import Language
from kernelevolve.problem import Problem

#: Entry-point groups, by kind.
GROUPS: Final = {
    "accelerator": "kernelevolve.accelerators",
    "language": "kernelevolve.languages",
    "proposer": "kernelevolve.proposers",
    "problem": "kernelevolve.problems",
}


@frozen
class Plugin:
    """One plugin as it is declared: nothing of it has been imported."""

    kind: str
    name: str
    #: ``module:attribute``.
    path: str
    #: Who declares it, ``distribution version``.
    origin: str


class PluginError(KernelEvolveError):
    """A plugin that could not be loaded; `trace` holds why."""

    def __init__(self, message: str, trace: str = "") -> None:
        self.trace = trace
        super().__init__(message)


_registered: dict[tuple[str, str], tuple[Plugin, Any]] = {}


def register(kind: str, name: str, value: Any, *, path: str | None = None) -> Plugin:
    """Add a plugin in this process: ``register("accelerator", "mychip", MyChip)``.

    `path` (``module:attribute``) lets worker processes import it; it is taken from `value` where that is a class or
    function of an importable module. Raises `PluginError` where the name is taken.
    """
    if (kind, name) in _registered or name in _declared(kind):
        holder = _registered[kind, name][0].origin if (kind, name) in _registered else _declared(kind)[name].origin
        raise PluginError(f"{kind} {name!r} is already provided by {holder}; choose another name")
    module, qualname = getattr(value, "__module__", ""), getattr(value, "__qualname__", "")
    plugin = Plugin(kind, name, path or f"{module}:{qualname}", "registered in this process")
    _registered[kind, name] = (plugin, value)
    return plugin


def unregister(kind: str, name: str) -> None:
    """Take back what `register` added."""
    _registered.pop((kind, name), None)
    if kind == "accelerator":
        _accelerators.pop(name, None)
    if kind == "language":
        language.cache_clear()


@lru_cache(maxsize=8)
def _declared(kind: str) -> dict[str, Plugin]:
    found: dict[str, Plugin] = {}
    for entry in importlib.metadata.entry_points(group=GROUPS[kind]):
        origin = f"{entry.dist.name} {entry.dist.version}" if entry.dist else "unknown"
        plugin = Plugin(kind, entry.name, entry.value, origin)
        other = found.get(entry.name)
        if other is not None and other.path != plugin.path:
            raise PluginError(
                f"{kind} {entry.name!r} is provided by both {other.origin} ({other.path}) and {origin} "
                f"({plugin.path}); uninstall one of them"
            )
        found[entry.name] = plugin
    return dict(sorted(found.items()))


def plugins(kind: str) -> tuple[Plugin, ...]:
    """Every plugin of `kind`, by name; imports none of them."""
    here = [plugin for (of, _), (plugin, _) in _registered.items() if of == kind]
    return tuple(sorted([*_declared(kind).values(), *here], key=lambda plugin: plugin.name))


def names(kind: str) -> tuple[str, ...]:
    """The names of every plugin of `kind`."""
    return tuple(plugin.name for plugin in plugins(kind))


def load(kind: str, name: str) -> Any:
    """The plugin's object. Raises `UnknownNameError` with the list, or `PluginError` with the traceback."""
    if (kind, name) in _registered:
        return _registered[kind, name][1]
    declared = _declared(kind)
    if name not in declared:
        raise UnknownNameError(kind, name, names(kind))
    return load_path(declared[name].path, f"{kind} {name!r}")


def load_path(path: str, what: str) -> Any:
    """The object at ``module:attribute``. Raises `PluginError` where it cannot be imported."""
    module, _, attribute = path.partition(":")
    try:
        value: Any = importlib.import_module(module)
        for part in attribute.split("."):
            value = getattr(value, part)
    except Exception as error:  # a plugin's import may raise anything; it becomes a status line
        message = f"{what} ({path}) cannot be loaded: {type(error).__name__}: {error}"
        raise PluginError(message, traceback.format_exc()) from error
    return value


def _made(value: Any, what: str) -> Any:
    """An instance where `value` is a class. Raises `PluginError` where it cannot be made."""
    if not isinstance(value, type):
        return value
    try:
        return value()
    except Exception as error:  # a plugin's constructor may raise anything; it becomes a status line
        message = f"{what} cannot be made: {type(error).__name__}: {error}"
        raise PluginError(message, traceback.format_exc()) from error


_accelerators: dict[str, Accelerator] = {}


def accelerator(name: str) -> Accelerator:
    """The accelerator called `name`, made once.

    Raises as `load`, or `PluginError` where it was written for another version of the contract.
    """
    if name not in _accelerators:
        made = _made(load("accelerator", name), f"accelerator {name!r}")
        if not isinstance(made, Accelerator):
            raise PluginError(
                f"accelerator {name!r} lacks part of the Accelerator protocol; see docs/how-to/write-an-accelerator.md"
            )
        if made.api[0] != API[0]:
            raise PluginError(f"accelerator {name!r} was written for API {made.api[0]}.x and this is {API[0]}.{API[1]}")
        _accelerators[name] = made
    return _accelerators[name]


def accelerator_names() -> tuple[str, ...]:
    """Every accelerator's name."""
    return names("accelerator")


def find_device(made: Accelerator, wanted: str | None = None) -> Device:
    """A device by index or by part of its name; the first without `wanted`. Raises `UnknownNameError` with the list."""
    devices = made.devices()
    if not devices:
        raise KernelEvolveError(
            f"accelerator {made.name!r} has no device here: {made.probe().message or 'none was found'}"
        )
    if wanted is None:
        return devices[0]
    by_index = (device for device in devices if wanted == str(device.index))
    by_name = (device for device in devices if wanted.lower() in device.name.lower())
    found = next(by_index, None) or next(by_name, None)  # "1" is an index before it is part of "A100"
    if found is not None:
        return found
    raise UnknownNameError("device", wanted, [f"{device.index}: {device.name}" for device in devices])


@lru_cache(maxsize=16)
def language(name: str) -> Language:
    """The language called `name`. Raises as `load`."""
    made = _made(load("language", name), f"language {name!r}")
    if not isinstance(made, Language):
        raise PluginError(
            f"language {name!r} lacks part of the Language protocol; it needs entries, gate and normalize"
        )
    return made


def problem_names() -> tuple[str, ...]:
    """Every built-in or plugged-in problem's name."""
    return names("problem")


def problem(reference: str) -> Problem:
    """A problem by name, or from a user's file: ``path/to/file.py:name``.

    Raises `UnknownNameError` with the list of names, or `ProblemError` that names the file and what is wrong with it.
    """
    if ".py" in reference:
        path, _, attribute = reference.rpartition(":") if ".py:" in reference else (reference, "", "")
        return _from_file(Path(path), attribute)
    value = load("problem", reference)
    made = value if isinstance(value, Problem) else value()
    if not isinstance(made, Problem):
        raise ProblemError(f"problem {reference!r} is a {type(made).__name__}, not a Problem")
    return made


def _from_file(path: Path, attribute: str) -> Problem:
    if not path.is_file():
        raise ProblemError(f"{path}: no such file; give path/to/file.py:name")
    spec = importlib.util.spec_from_file_location(f"kernelevolve_user_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise ProblemError(f"{path}: not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        what = str(error) if isinstance(error, KernelEvolveError) else f"{type(error).__name__}: {error}"
        raise ProblemError(f"{path}:{_line_in(path, error)}: {what}") from error
    found = {name: value for name, value in vars(module).items() if isinstance(value, Problem)}
    if not attribute and len(found) == 1:
        return next(iter(found.values()))
    if attribute not in found:
        wanted = attribute or "(none given)"
        raise UnknownNameError("problem", wanted, found, where=str(path))
    return found[attribute]


def _line_in(path: Path, error: Exception) -> int:
    """The innermost line of the file at `path` that took part in `error`."""
    if isinstance(error, SyntaxError) and error.lineno:
        return error.lineno
    frames = reversed(traceback.extract_tb(error.__traceback__))
    return next((frame.lineno or 1 for frame in frames if Path(frame.filename).resolve() == path.resolve()), 1)


def worker_path(name: str) -> str:
    """How a worker process finds the accelerator called `name`: by that name, or by the path it was registered with."""
    registered = _registered.get(("accelerator", name))
    return registered[0].path if registered else name
