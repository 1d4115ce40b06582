"""The tables against the Triton that is installed: what they allow is there, and leads no further."""

from __future__ import annotations

import inspect
import linecache
import math
import sys
import textwrap
import types
from collections.abc import Iterator, Mapping

import pytest

from kernelevolve.languages.python_kernels import Kind, Reachable
from kernelevolve.languages.triton_lang import DIALECT, RENAMED
from kernelevolve.languages.triton_lang.gluon_names import GL, GLUON, GLUON_ATTRIBUTES, HOPPER
from kernelevolve.languages.triton_lang.names import ADVICE, ATTRIBUTES, BUILTINS, LIBDEVICE, MATH, TL, TRITON

from .honest import HONEST

triton = pytest.importorskip("triton")
tl = pytest.importorskip("triton.language")

#: Public names of ``triton.language`` that kernels must do without, and why.
DENIED = {
    "aggregate_replace": "classes",
    "atomic_poll": "waits without end",
    "block_type": "the compiler's",
    "const": "pointers are the workload's",
    "constexpr_type": "the compiler's",
    "device_assert": "prints",
    "device_print": "prints",
    "dtype": "the compiler's",
    "inline_asm_elementwise": "code of another language",
    "pi32_t": "a pointer of a number",
    "pointer_type": "a pointer of a number",
    "slice": "the compiler's",
    "static_print": "prints",
    "target_info": "asks where it runs",
    "tensor_descriptor": "the compiler's",
    "tuple": "the compiler's",
    "void": "the compiler's",
}
#: Names that one of the versions this was made for lacks.
NOT_EVERYWHERE = {"advance", "atomic_load", "atomic_store", "expect_zero", "squeeze", "to_tensor", "unsqueeze"}


def leaves(found: Mapping[str, Reachable], path: str = "") -> Iterator[tuple[str, Kind]]:
    for name, inner in found.items():
        if isinstance(inner, Kind):
            yield f"{path}{name}", inner
        else:
            yield from leaves(inner, f"{path}{name}.")


def test_every_public_name_of_triton_language_is_allowed_or_denied_on_purpose() -> None:
    undecided = set(tl.__all__) - set(TL) - set(DENIED)
    assert undecided == set(), "a new Triton has names that nobody has looked at"
    assert set(TL) & set(DENIED) == set()


@pytest.mark.parametrize(("path", "kind"), [entry for entry in leaves(TL) if not entry[0].startswith("extra.")])
def test_a_name_of_the_table_is_what_it_says(path: str, kind: Kind) -> None:
    if path in NOT_EVERYWHERE and not hasattr(tl, path):
        pytest.skip("not in this version")
    found = tl
    for name in path.split("."):
        found = getattr(found, name)
    assert not isinstance(found, types.ModuleType)
    if kind is Kind.TYPE and path != "constexpr":
        assert isinstance(found, tl.dtype)
    elif kind is Kind.FUNCTION:
        assert callable(found)
        assert not isinstance(found, type) or path == "condition"
    elif path == "TRITON_MAX_TENSOR_NUMEL":
        assert isinstance(found, int)


def test_libdevice_is_functions_of_its_own_module_and_of_the_emulated_chip() -> None:
    from triton.language.extra import libdevice

    from kernelevolve.backends.mtia.triton_backend.libdevice import LOOKUP

    stubs = {name for name, found in vars(libdevice).items() if inspect.isfunction(found) and not name.startswith("_")}
    assert set(LIBDEVICE) == stubs | set(LOOKUP)


#: Public names of Gluon's language that kernels must do without: what prints, embeds code, waits, or is the compiler's.
GLUON_DENIED = {
    *(
        "aggregate_replace",
        "base_type",
        "base_value",
        "block_type",
        "dtype",
        "pointer_type",
        "tuple",
        "tuple_type",
        "void",
    ),
    *("distributed_type", "shared_memory_descriptor", "shared_memory_descriptor_type", "CachePolicy"),
    *("atomic_poll", "device_assert", "device_print", "static_print", "inline_asm", "inline_asm_elementwise"),
    *("bank_conflicts", "to_linear_layout"),
}
#: What Gluon has for other chips or other types, or in one of the versions; nobody has asked for it yet.
GLUON_ELSEWHERE = {
    "fp4_to_fp",
    "thread_barrier",
    "atomic_load",
    "atomic_store",
    "clamp",
    "cumprod",
    "cumsum",
    "expect_zero",
}


def gluon_modules() -> dict[str, tuple[types.ModuleType, Mapping[str, Reachable]]]:
    gl = pytest.importorskip("triton.experimental.gluon.language")
    from triton.experimental import gluon
    from triton.experimental.gluon.language.nvidia import hopper

    return {"gl": (gl, GL), "gluon": (gluon, GLUON), "hopper": (hopper, HOPPER)}


def test_every_public_name_of_gluon_is_allowed_or_denied_on_purpose() -> None:
    gl, table = gluon_modules()["gl"]
    public = {name for name, found in vars(gl).items() if name[0] != "_" and not inspect.ismodule(found)}
    assert public - set(table) - GLUON_DENIED - GLUON_ELSEWHERE == set()
    assert set(table) & GLUON_DENIED == set()


@pytest.mark.parametrize("module", ["gl", "gluon", "hopper"])
def test_a_name_of_gluons_tables_is_what_it_says(module: str) -> None:
    from kernelevolve.backends._triton.gluon import use_new_names

    use_new_names()
    owner, table = gluon_modules()[module]
    for path, kind in leaves(table):
        found = owner
        for name in path.split("."):
            found = getattr(found, name)
        assert not isinstance(found, types.ModuleType), path
        if kind is Kind.TYPE and path != "constexpr":
            assert isinstance(found, tl.dtype), path
        elif kind is Kind.FUNCTION:
            assert callable(found), path


def test_an_older_triton_has_the_former_names_of_what_was_renamed() -> None:
    for path, renamed in RENAMED.items():
        module = pytest.importorskip(path)
        for new, old in renamed.items():
            assert hasattr(module, new) or hasattr(module, old), f"{path}: {new}"


def test_shared_memory_has_the_methods_that_the_table_says() -> None:
    gl, _ = gluon_modules()["gl"]
    assert set(dir(gl.shared_memory_descriptor)) >= GLUON_ATTRIBUTES


def test_math_is_functions_and_numbers_of_bounded_size() -> None:
    for name, kind in MATH.items():
        found = getattr(math, name)
        assert isinstance(found, float) if kind is Kind.VALUE else callable(found)
    assert not {"factorial", "comb", "perm", "prod", "lcm", "isqrt", "fsum"} & set(MATH)


def test_triton_itself_has_what_the_table_says() -> None:
    assert all(hasattr(triton, name) for name in TRITON)


def test_tensors_have_the_methods_that_the_table_says() -> None:
    owners = (tl.tensor, tl.dtype, tl.core.block_type, tl.core.tensor_descriptor, tl.core.tensor_descriptor_base)
    declared = {name for owner in owners for name in dir(owner)}
    set_by_init = {"shape", "numel", "type", "dtype", "element_ty", "itemsize", "primitive_bitwidth", "strides"}
    numbers = {"exponent_bias", "fp_mantissa_width", "int_bitwidth"}
    assert ATTRIBUTES - declared - set_by_init - numbers <= NOT_EVERYWHERE | {"cat", "to"}


def values() -> list[object]:
    """What a value can be while Triton traces a kernel, or its interpreter runs one."""
    gl = pytest.importorskip("triton.experimental.gluon.language")
    block = tl.core.block_type(tl.float32, [16])
    lying = gl.NVMMASharedLayout(128, 16, 2)
    shared = gl.shared_memory_descriptor(None, tl.float16, [64, 64], lying, [64, 64])
    plain = [1, 1.5, True, None, "text", (1, 2), [1], slice(None), len, lambda: None]
    jitted = triton.jit(textwrap.dedent)  # any function of a file will do
    known = [jitted, tl.float32, block, tl.constexpr(3), tl.tensor(None, block), tl.PropagateNan.ALL]
    return [*plain, *known, lying, shared, math.sqrt, tl.load, tl.sum]


@pytest.mark.parametrize("value", values(), ids=lambda value: type(value).__name__)
def test_no_chain_of_allowed_attributes_leads_from_a_value_to_a_module_or_a_namespace(value: object) -> None:
    reached, ahead = {id(value): value}, [(value, "value")]
    while ahead:
        here, path = ahead.pop()
        assert not isinstance(here, types.ModuleType | types.FrameType | types.CodeType | dict | type), path
        for name in DIALECT.attributes:
            try:
                found = getattr(here, name, None)
            except (AssertionError, NotImplementedError, ValueError):  # a property that only the tracer answers
                continue
            if found is not None and id(found) not in reached and path.count(".") < 4:
                reached[id(found)] = found
                ahead.append((found, f"{path}.{name}"))


def test_python_s_functions_are_those_that_triton_gives() -> None:
    from triton.compiler.code_generator import CodeGenerator

    given = set(CodeGenerator.builtin_namespace)
    assert given >= BUILTINS
    assert given - BUILTINS == {"list", "isinstance", "getattr", "hasattr", "print"}


def test_advice_is_for_what_is_not_allowed() -> None:
    assert not set(ADVICE) & (set(TL) | ATTRIBUTES | BUILTINS) - {"abs", "sum"}  # those are functions of tl's


@pytest.mark.slow
@pytest.mark.parametrize("name", HONEST)
def test_an_honest_kernel_is_one_for_the_real_compiler(name: str) -> None:
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    sample = HONEST[name]
    if "make_block_ptr" in sample.source and not hasattr(tl, "advance"):
        pytest.skip("this Triton has no block pointers any more")
    file = f"<{name}>"
    linecache.cache[file] = (len(sample.source), None, sample.source.splitlines(keepends=True), file)
    module = types.ModuleType(f"honest_{abs(hash(name))}")
    module.__file__ = file
    sys.modules[module.__name__] = module
    try:
        exec(compile(sample.source, file, "exec"), module.__dict__)
        function = getattr(module, sample.entry)
        given = iter(sample.signature.split())
        signature = {
            parameter: "constexpr" if parameter in sample.constants else next(given) for parameter in function.arg_names
        }
        constants = {(function.arg_names.index(key),): value for key, value in sample.constants.items()}
        compiled = triton.compile(ASTSource(function, signature, constants), target=GPUTarget("cuda", 90, 32))
        assert "cubin" in compiled.asm
    finally:
        del sys.modules[module.__name__], linecache.cache[file]
