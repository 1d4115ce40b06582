"""Kernels compiled by Triton for the emulator and run by its executor; the backend is registered where it is not."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import pytest

from kernelevolve.backends._triton.signature import EntrySignature, read_signatures
from kernelevolve.backends._triton.sources import load_source
from kernelevolve.backends.mtia.executor import Memory, Options, execute, prepare
from kernelevolve.backends.mtia.program import Program, from_json
from kernelevolve.backends.mtia.trace import Trace
from kernelevolve.plan import BufferArgument, LaunchPlan, Role, ScalarArgument

_NAMES = {
    "float64": "fp64", "float32": "fp32", "float16": "fp16", "int64": "i64", "int32": "i32", "int16": "i16",
    "int8": "i8", "uint8": "u8", "uint16": "u16", "uint32": "u32", "uint64": "u64", "bool": "i1",
}  # fmt: skip


@pytest.fixture(scope="session")
def triton_backend(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Triton with the backend ``mtia`` among its own, and a cache folder that is not the user's."""
    import triton.backends as installed

    from kernelevolve.backends.mtia.triton_backend import compiler, driver

    added = "mtia" not in installed.backends
    if added:
        installed.backends["mtia"] = installed.Backend(compiler.MTIABackend, driver.MTIADriver)
    before = os.environ.get("TRITON_CACHE_DIR")
    os.environ["TRITON_CACHE_DIR"] = str(tmp_path_factory.mktemp("triton"))
    yield
    if before is None:
        del os.environ["TRITON_CACHE_DIR"]
    else:
        os.environ["TRITON_CACHE_DIR"] = before
    if added:
        del installed.backends["mtia"]


@pytest.fixture
def compile_for_mtia(triton_backend: None) -> Callable[..., Any]:
    """``compile_for_mtia(function, types, constants, hints, **options)``: what ``triton.compile`` returns."""
    return compiled


def compiled(
    function: Any, types: Mapping[str, str], constants: Mapping[str, Any], hints: Any = None, **options: Any
) -> Any:
    """What ``triton.compile`` makes of a jitted function for MTIA 2i."""
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    names = list(function.arg_names)
    source = ASTSource(
        function,
        {name: types.get(name, "constexpr") for name in names},
        {(names.index(name),): value for name, value in constants.items()},
        hints or {},
    )
    return triton.compile(source, target=GPUTarget("mtia", "mtia2i", 1), options=options)


def program_of(function: Any, types: Mapping[str, str], constants: Mapping[str, Any], **options: Any) -> Program:
    """The program of a jitted function."""
    return from_json(compiled(function, types, constants, **options).asm["mtia"])


Emulate = Callable[..., Trace]


@pytest.fixture
def emulate(triton_backend: None) -> Emulate:
    """``emulate(function, grid, x=array, n=3, BLOCK=constexpr(8))``: run a jitted function on NumPy arrays, in place.

    Numbers are int32 or float32; upper-case names are compile-time values. `kinds` gives an array's Triton type where
    NumPy has none (a uint16 array as ``bf16``).
    """

    def run(
        function: Any,
        grid: tuple[int, ...],
        *,
        kinds: Mapping[str, str] | None = None,
        options: Options | None = None,
        compile_options: Mapping[str, Any] | None = None,
        unwritten: tuple[str, ...] = (),
        **given: Any,
    ) -> Trace:
        types: dict[str, str] = {}
        constants: dict[str, Any] = {}
        arguments: dict[str, Any] = {}
        buffers: dict[str, Memory] = {}
        for name, value in given.items():
            if name.isupper():
                constants[name] = value
            elif isinstance(value, np.ndarray):
                types[name] = "*" + ((kinds or {}).get(name) or _NAMES[value.dtype.name])
                payload = value.reshape(-1).view(np.uint8)
                buffers[name] = Memory.unwritten(payload) if name in unwritten else Memory(payload)
                arguments[name] = name
            else:
                types[name] = (kinds or {}).get(name) or ("fp32" if isinstance(value, float) else "i32")
                arguments[name] = value
        program = program_of(function, types, constants, **(compile_options or {}))
        return execute(program, arguments, grid, buffers, options=options)

    return run


RunPlan = Callable[[LaunchPlan, Mapping[str, bytes]], tuple[dict[str, bytes], list[Trace]]]


@pytest.fixture
def run_plan(triton_backend: None) -> RunPlan:
    """``run_plan(plan, inputs)``: every buffer's bytes afterwards, and a trace for each launch."""
    return _run_plan


def _run_plan(plan: LaunchPlan, inputs: Mapping[str, bytes]) -> tuple[dict[str, bytes], list[Trace]]:
    """Compile and execute a launch plan; the contents of every buffer afterwards, and a trace for each launch."""
    buffers = {one.name: _buffer(one.role, one.nbytes, inputs.get(one.name)) for one in plan.buffers}
    signatures = read_signatures(plan, short_pointers=False)
    with load_source(plan.source) as module:
        codes = {name: prepare(_program(module, signature)) for name, signature in signatures.items()}
    traces = []
    for launch in plan.launches:
        code = codes[launch.entry]
        arguments: dict[str, Any] = {}
        for argument in launch.arguments:
            if isinstance(argument, BufferArgument):
                arguments[argument.parameter] = argument.buffer
            elif isinstance(argument, ScalarArgument):
                arguments[argument.parameter] = argument.value
        traces.append(execute(code, arguments, launch.grid, buffers))
    return {name: memory.payload.tobytes() for name, memory in buffers.items()}, traces


def _buffer(role: Role, nbytes: int, data: bytes | None) -> Memory:
    if data is not None:
        return Memory(np.frombuffer(bytearray(data), np.uint8))
    poison = np.full(nbytes, 0xA5, np.uint8)
    return Memory.unwritten(poison) if role is Role.SCRATCH else Memory(poison)


def _program(module: Any, signature: EntrySignature) -> Program:
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    index = {name: (position,) for position, name in enumerate(signature.types)}
    hints = {index[name]: [list(one) for one in hints] for name, hints in signature.hints.items() if hints}
    source = ASTSource(getattr(module, signature.name), dict(signature.types), dict(signature.constants), hints)
    made = triton.compile(source, target=GPUTarget("mtia", "mtia2i", 1))
    return from_json(made.asm["mtia"])
