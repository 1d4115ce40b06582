"""From a launch plan to what Triton compiles: the type of each parameter, compile-time values, and what may be assumed.

Read from the plan and the source's text alone, so that a key can be made where Triton is not imported. The rules are
those of Triton's own launcher, but for one: an argument that equals 1 stays an argument (fewer variants).
"""

from __future__ import annotations

__all__ = ["TYPE_NAMES", "EntrySignature", "check_tunables", "read_signatures"]

import ast
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, Final

from attrs import evolve, frozen

from kernelevolve.language import Parameter, ParameterKind
from kernelevolve.languages.triton_lang import TritonLanguage
from kernelevolve.outcome import CompileError
from kernelevolve.plan import (
    Argument,
    BufferArgument,
    LaunchPlan,
    LocalArgument,
    PlannedLaunch,
    ScalarArgument,
    TextArgument,
)

#: Triton's name of each element type (``triton._utils.type_canonicalisation_dict``; booleans are one byte in memory).
TYPE_NAMES: Final[Mapping[str, str]] = {
    "float64": "fp64",
    "float32": "fp32",
    "float16": "fp16",
    "bfloat16": "bf16",
    "float8_e4m3fn": "fp8e4nv",
    "float8_e5m2": "fp8e5",
    "int64": "i64",
    "int32": "i32",
    "int16": "i16",
    "int8": "i8",
    "uint8": "u8",
    "bool": "i1",
}
#: Annotations that fix the type of a number.
_ANNOTATIONS: Final = {
    **{f"{sign}int{bits}": f"{sign or 'i'}{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)},
    "float16": "fp16",
    "float32": "fp32",
    "float64": "fp64",
}
_CONSTEXPR: Final = "constexpr"
#: What Triton's launcher tests addresses and integers for (``BaseBackend.get_arg_specialization``).
_DIVISOR: Final = 16
_DIVISIBLE: Final = ("tt.divisibility", _DIVISOR)
#: AMD: offsets into a smaller buffer fit 32 bits, which lets the compiler use buffer instructions.
_SHORT: Final = ("tt.pointer_range", 32)
_SHORT_LIMIT: Final = 2**31 - 1
_INT32: Final = 2**31
_INT64: Final = 2**63


@frozen
class EntrySignature:
    """What decides the binary of one entry, beside the source and the options."""

    name: str
    #: Triton's type of each parameter in order: ``*fp32``, ``i32``, ``constexpr``.
    types: Mapping[str, str]
    constants: Mapping[str, int | float | str]
    #: What the compiler may assume of a parameter, as Triton's attributes.
    hints: dict[str, tuple[tuple[str, int], ...]]

    @property
    def arguments(self) -> tuple[str, ...]:
        """The parameters that exist at run time."""
        return tuple(name for name, kind in self.types.items() if kind != _CONSTEXPR)

    def describe(self) -> dict[str, Any]:
        """The same as JSON values."""
        return {
            "types": [[name, kind] for name, kind in self.types.items()],
            "constants": dict(self.constants),
            "hints": {name: [list(one) for one in hints] for name, hints in self.hints.items() if hints},
        }


def read_signatures(plan: LaunchPlan, *, short_pointers: bool) -> dict[str, EntrySignature]:
    """The signature of each entry that `plan` launches; `short_pointers` says whether the target profits from them.

    Raises `CompileError` where an argument has no Triton type, or two launches of one entry do not fit one binary.
    """
    entries, tree = _read(plan.source)
    signatures: dict[str, EntrySignature] = {}
    for launch in plan.launches:
        new = _signature(plan, launch, entries[launch.entry], short_pointers=short_pointers)
        for name in _unspecialised(tree, launch.entry, tuple(new.types)):
            new.hints.pop(name, None)
        old = signatures.get(launch.entry)
        signatures[launch.entry] = _merged(old, new) if old else new
    return signatures


@lru_cache(maxsize=64)
def _read(source: str) -> tuple[Mapping[str, tuple[Parameter, ...]], ast.Module]:
    """Entries and syntax tree; one evaluation asks dozens of times."""
    return TritonLanguage().entries(source), ast.parse(source)


def _unspecialised(tree: ast.Module, entry: str, names: Sequence[str]) -> set[str]:
    """Parameters that the entry's decorator wants no binaries of their own for, whatever their values."""
    found: set[str] = set()
    node = next(one for one in tree.body if isinstance(one, ast.FunctionDef) and one.name == entry)
    for decorator in node.decorator_list:
        for keyword in decorator.keywords if isinstance(decorator, ast.Call) else ():
            if keyword.arg in ("do_not_specialize", "do_not_specialize_on_alignment"):
                listed = ast.literal_eval(keyword.value)
                found |= {names[one] if isinstance(one, int) else str(one) for one in listed}
    return found


def check_tunables(plan: LaunchPlan) -> None:
    """Raise `CompileError` where a tunable is also a constant of the source: its value would change nothing."""
    for node in ast.parse(plan.source).body:
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        for target in targets:
            if isinstance(target, ast.Name) and target.id in plan.configuration:
                message = (
                    f"line {node.lineno}: {target.id} is a tunable and a constant of the source, which would always "
                )
                message += f"win; make it a parameter, {target.id}: tl.constexpr"
                raise CompileError(message, stage="signature", log="", line=node.lineno)


def _signature(
    plan: LaunchPlan, launch: PlannedLaunch, parameters: Sequence[Parameter], *, short_pointers: bool
) -> EntrySignature:
    bound = {argument.parameter: argument for argument in launch.arguments}
    types: dict[str, str] = {}
    constants: dict[str, int | float | str] = {}
    hints: dict[str, tuple[tuple[str, int], ...]] = {}
    for parameter in parameters:
        name, argument = parameter.name, bound[parameter.name]
        if parameter.kind is ParameterKind.CONSTEXPR:
            assert isinstance(argument, ScalarArgument | TextArgument)  # the plan binds no buffer to a constexpr
            types[name], constants[name] = _CONSTEXPR, argument.value
        else:
            types[name] = _type(plan, launch.entry, parameter, argument)
            hints[name] = tuple(_hints(plan, argument, types[name], short_pointers=short_pointers))
    return EntrySignature(launch.entry, types, constants, hints)


def _type(plan: LaunchPlan, entry: str, parameter: Parameter, argument: Argument) -> str:
    where = f"{entry}: parameter {parameter.name!r}"
    annotation = parameter.type.strip("\"' ").removeprefix("tl.")
    match argument:
        case BufferArgument(buffer=name):
            return "*" + TYPE_NAMES[plan.buffer(name).dtype]
        case ScalarArgument(value=value, dtype=dtype):
            if annotation in _ANNOTATIONS:
                return _ANNOTATIONS[annotation]
            if isinstance(value, float) or (dtype or "").startswith(("float", "bfloat")):
                return "fp64" if dtype == "float64" else "fp32"
            if not -_INT64 <= value < _INT64:
                raise _refused(f"{where} gets {value}, which no 64-bit integer holds")
            return "i32" if -_INT32 <= value < _INT32 and dtype != "int64" else "i64"
        case LocalArgument():
            raise _refused(f"{where} gets local memory; Triton allocates shared memory itself")
    raise AssertionError(argument)  # texts go to compile-time parameters


def _hints(plan: LaunchPlan, argument: Argument, kind: str, *, short_pointers: bool) -> list[tuple[str, int]]:
    if isinstance(argument, BufferArgument):  # sessions align every payload
        short = short_pointers and plan.buffer(argument.buffer).nbytes <= _SHORT_LIMIT
        return [_DIVISIBLE, _SHORT] if short else [_DIVISIBLE]
    assert isinstance(argument, ScalarArgument)
    return [_DIVISIBLE] if kind[0] in "iu" and argument.value % _DIVISOR == 0 else []


def _merged(old: EntrySignature, new: EntrySignature) -> EntrySignature:
    """One signature that serves two launches of the same entry."""
    for name, value in new.constants.items():
        if old.constants[name] != value or type(old.constants[name]) is not type(value):
            message = (
                f"{new.name} is launched with {name} = {old.constants[name]} and with {value}; a compile-time value "
            )
            message += "is one for all launches: make it an argument, or write a second function"
            raise _refused(message)
    types = dict(old.types)
    for name, kind in new.types.items():
        if kind != old.types[name]:
            if {kind, old.types[name]} != {"i32", "i64"}:
                message = (
                    f"{new.name} is launched with {name} as {old.types[name]} and as {kind}; write a second function"
                )
                raise _refused(message)
            types[name] = "i64"
    hints = {name: tuple(one for one in old.hints[name] if one in new.hints[name]) for name in old.hints}
    return evolve(old, types=types, hints=hints)


def _refused(message: str) -> CompileError:
    return CompileError(message, stage="signature", log="", line=None)
