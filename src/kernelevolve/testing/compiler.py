"""The reference accelerator's compiler: gate, resolve names, read the markers, report made-up resources.

Markers are module constants that steer what is not real about this accelerator. Those that are expressions
(`kernelevolve.expressions`) see the launch's whole-number arguments, the tunables and the device facts; ``COST`` and
``WARM`` also see ``groups`` (of the launch's grid), ``items`` (groups times items per group) and ``bytes`` (of its
buffers).

- ``COST = "rows * 40"``: cycles of one launch, or a dictionary from entry to expression; left out,
  ``1000 + 20 * groups + cdiv(bytes, 8)``.
- ``WARM = "rows * 10"``: the same when no flush of the cache came before; left out, ``COST``.
- ``NOISE = 0.02``: relative spread of the clock: a sample is scaled by a factor from ``1 - NOISE`` to ``1 + NOISE``.
- ``REGISTERS = "LANES * 8"``: registers per item, over the tunables; more than `REGISTER_LIMIT` is RESOURCE_EXCEEDED.
- ``COMPILE_SECONDS = 5``: how long the compiler takes.
- ``COMPILER = "breaks"``: an internal compiler error (TOOLCHAIN_ERROR); ``"aborts"`` kills the compiling process.
"""

from __future__ import annotations

__all__ = [
    "DEFAULT_COST",
    "FACTS",
    "LOCAL_LIMIT",
    "REGISTER_LIMIT",
    "SUPPORTED_DTYPES",
    "Markers",
    "compile_plan",
    "read_markers",
    "toolchain",
]

import ast
import os
import sys
import time
from collections.abc import Iterator, Mapping
from typing import Any, Final

import numpy as np
from attrs import field, frozen

from kernelevolve.accelerator import Artifact, Target
from kernelevolve.expressions import Expression, ExpressionError, parse
from kernelevolve.kernel import Value
from kernelevolve.outcome import CompileError, Rejected, ResourceExceeded, ToolchainError
from kernelevolve.plan import LaunchPlan, LocalArgument, PlannedLaunch, ScalarArgument
from kernelevolve.testing.language import BUILTINS, MARKERS, PRIMITIVES, ReferenceLanguage, parse_source

#: A launch overhead, a cost per group, and 8 bytes a cycle: enough for plans to differ. Not a model of any chip.
DEFAULT_COST: Final = "1000 + 20 * groups + cdiv(bytes, 8)"
#: Registers per item, as on the GPUs that most kernels are written for.
REGISTER_LIMIT: Final = 255
#: What kernel expressions see of the device.
FACTS: Final[Mapping[str, int]] = {"num_units": 4, "warp_size": 8, "max_group_size": 256}
#: What cost expressions see of a launch.
COST_NAMES: Final = ("groups", "items", "bytes")
#: Bytes of local memory per group.
LOCAL_LIMIT: Final = 48 * 1024
#: Element types that NumPy has; the others of `kernelevolve.problem.DTYPES` do not compile.
SUPPORTED_DTYPES: Final = frozenset(
    {"float64", "float32", "float16", "int64", "int32", "int16", "int8", "uint8", "bool"}
)


@frozen
class Markers:
    """What a source declares about its made-up compile and clock."""

    cost: Mapping[str, Expression] = field(hash=False)
    warm: Mapping[str, Expression] = field(hash=False)
    noise: float
    registers: Expression
    compile_seconds: float
    compiler: str


def toolchain() -> dict[str, str]:
    """What takes part in a compile."""
    return {"reference": "1", "python": ".".join(map(str, sys.version_info[:3])), "numpy": np.__version__}


def compile_plan(plan: LaunchPlan, target: Target) -> Artifact:
    """Compile. Raises `CompileError`, `ToolchainError` or `ResourceExceeded`.

    The stages a `CompileError` names are ``gate``, ``markers``, ``types``, ``names`` and ``link``.
    """
    language = ReferenceLanguage()
    try:
        language.gate(plan.source)
    except Rejected as error:
        raise _failed("gate", error.message, error.details.get("line", 1)) from None
    tree = parse_source(plan.source)
    entries = {name: tuple(p.name for p in parameters) for name, parameters in language.entries(plan.source).items()}
    markers = read_markers(tree, tuple(entries))
    _misbehave(markers)
    _check_types(plan)
    _check_names(tree, plan)
    for launch in plan.launches:
        _check_launch(launch, entries)
        _check_costs(launch, markers, plan.configuration)
    return Artifact(
        stages={"ast": ast.dump(tree, indent=1).encode(), "program": plan.source.encode()},
        resources=_resources(plan, markers),
        toolchain=toolchain(),
        log=f"compiled for {target.name}",
        extra={
            "target": target.name,
            "configuration": dict(plan.configuration),
            "dtypes": {buffer.name: buffer.dtype for buffer in plan.buffers},
            "entries": {name: list(parameters) for name, parameters in entries.items()},
        },
    )


def _failed(stage: str, message: str, line: int) -> CompileError:
    return CompileError(f"{stage}: {message}", stage=stage, log=f"<kernel>:{line}: error: {message}", line=line)


def read_markers(tree: ast.Module, entries: tuple[str, ...]) -> Markers:
    """The markers of a gated source. Raises `CompileError` (stage ``markers``) for one that makes no sense."""
    found: dict[str, Any] = {}
    lines: dict[str, int] = {}
    for node in tree.body:
        match node:
            case ast.Assign(targets=[ast.Name(id=name)], value=value) if name in MARKERS:
                found[name], lines[name] = ast.literal_eval(value), node.lineno
    cost = _costs("COST", found.get("COST", DEFAULT_COST), entries, lines)
    return Markers(
        cost=cost,
        warm=_costs("WARM", found["WARM"], entries, lines) if "WARM" in found else cost,
        noise=_number("NOISE", found.get("NOISE", 0.0), lines),
        registers=_expression("REGISTERS", found.get("REGISTERS", 16), lines),
        compile_seconds=_number("COMPILE_SECONDS", found.get("COMPILE_SECONDS", 0.0), lines),
        compiler=_compiler(found.get("COMPILER", "works"), lines),
    )


def _costs(name: str, value: object, entries: tuple[str, ...], lines: Mapping[str, int]) -> dict[str, Expression]:
    table = value if isinstance(value, dict) else dict.fromkeys(entries, value)
    costs = {entry: _expression(name, table.get(entry, DEFAULT_COST), lines) for entry in entries}
    unknown = sorted(str(entry) for entry in table if entry not in entries)
    if unknown:
        raise _failed("markers", f"{name} names {unknown[0]!r}; the entries are {', '.join(entries)}", lines[name])
    return costs


def _expression(name: str, value: object, lines: Mapping[str, int]) -> Expression:
    try:
        return parse(value if isinstance(value, str) else repr(value))
    except ExpressionError as error:
        raise _failed("markers", f"{name}: {error}", lines.get(name, 1)) from None


def _number(name: str, value: object, lines: Mapping[str, int]) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1e6:
        raise _failed("markers", f"{name} = {value!r}; write a number that is not negative", lines[name])
    return float(value)


def _compiler(value: object, lines: Mapping[str, int]) -> str:
    if value not in ("works", "breaks", "aborts"):
        raise _failed("markers", f"COMPILER = {value!r}; it works, breaks or aborts", lines["COMPILER"])
    return str(value)


def _misbehave(markers: Markers) -> None:
    if markers.compile_seconds:
        time.sleep(markers.compile_seconds)
    if markers.compiler == "aborts":
        os.abort()
    if markers.compiler == "breaks":
        log = "reference compiler 1: internal error: COMPILER says so"
        raise ToolchainError("the compiler broke: internal error", log=log)


def _check_types(plan: LaunchPlan) -> None:
    for buffer in plan.buffers:
        if buffer.dtype not in SUPPORTED_DTYPES:
            listed = ", ".join(sorted(SUPPORTED_DTYPES))
            raise _failed("types", f"buffer {buffer.name!r} has dtype {buffer.dtype}; there is {listed}", 1)
    for launch in plan.launches:
        for argument in launch.arguments:
            if isinstance(argument, ScalarArgument) and argument.dtype not in {None, *SUPPORTED_DTYPES}:
                raise _failed("types", f"scalar {argument.parameter!r} has dtype {argument.dtype}", 1)


def _check_names(tree: ast.Module, plan: LaunchPlan) -> None:
    module = {name for node in tree.body for name in _assigned(node)}
    both = sorted(module & set(plan.configuration))
    if both:
        raise _failed("names", f"{both[0]!r} is a tunable and is defined in the source too; remove one", 1)
    known = {*BUILTINS, *PRIMITIVES, *plan.configuration, *module, "np", "math"}
    for function in tree.body:
        if isinstance(function, ast.FunctionDef):
            local = {argument.arg for argument in function.args.args} | {
                node.id for node in ast.walk(function) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
            }
            _check_loads(function, known | local)


def _assigned(node: ast.stmt) -> Iterator[str]:
    if isinstance(node, ast.FunctionDef):
        yield node.name
    elif isinstance(node, ast.Assign):
        yield from (target.id for target in node.targets if isinstance(target, ast.Name))


def _check_loads(function: ast.FunctionDef, known: set[str]) -> None:
    for node in ast.walk(function):
        if isinstance(node, ast.Name) and node.id not in known:
            raise _failed("names", f"{function.name} uses {node.id!r}, which nothing defines", node.lineno)


def _check_launch(launch: PlannedLaunch, entries: Mapping[str, tuple[str, ...]]) -> None:
    if launch.entry not in entries:
        raise _failed("link", f"no entry {launch.entry!r}; there is {', '.join(entries) or 'none'}", 1)
    given = tuple(argument.parameter for argument in launch.arguments)
    if given != entries[launch.entry]:
        raise _failed("link", f"{launch.entry} takes {entries[launch.entry]} and the plan gives {given}", 1)
    local = sum(argument.nbytes for argument in launch.arguments if isinstance(argument, LocalArgument))
    if local > LOCAL_LIMIT:
        message = f"{launch.entry} needs {local} bytes of local memory; a group has {LOCAL_LIMIT}"
        raise ResourceExceeded(message, resource="local memory", needed=local, limit=LOCAL_LIMIT)


def _check_costs(launch: PlannedLaunch, markers: Markers, configuration: Mapping[str, Value]) -> None:
    arguments = {a.parameter for a in launch.arguments if isinstance(a, ScalarArgument) and isinstance(a.value, int)}
    known = {*arguments, *FACTS, *COST_NAMES} | {n for n, value in configuration.items() if not isinstance(value, str)}
    for name, table in (("COST", markers.cost), ("WARM", markers.warm)):
        unknown = sorted(table[launch.entry].names - known)
        if unknown:
            listed = ", ".join(sorted(known))
            raise _failed("markers", f"{name} of {launch.entry} uses {unknown[0]!r}; it sees {listed}", 1)


def _resources(plan: LaunchPlan, markers: Markers) -> dict[str, dict[str, int]]:
    numbers = {name: int(value) for name, value in plan.configuration.items() if not isinstance(value, str)}
    try:
        registers = markers.registers.evaluate(numbers)
    except ExpressionError as error:
        raise _failed("markers", f"REGISTERS: {error}", 1) from None
    if registers > REGISTER_LIMIT:
        message = f"{registers} registers per item; there are {REGISTER_LIMIT}"
        raise ResourceExceeded(message, resource="registers", needed=registers, limit=REGISTER_LIMIT)
    return {
        launch.entry: {
            "registers": registers,
            "local_bytes": sum(a.nbytes for a in launch.arguments if isinstance(a, LocalArgument)),
        }
        for launch in plan.launches
    }
