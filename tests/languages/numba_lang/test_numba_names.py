"""The tables against the numba-cuda that is installed: what they allow exists, and honest kernels compile."""

from __future__ import annotations

import importlib
import math
import types
from collections.abc import Iterator, Mapping

import numpy as np
import pytest

from kernelevolve.languages.numba_lang import DIALECT
from kernelevolve.languages.numba_lang.names import ADVICE, ATTRIBUTES, BFLOAT16, BUILTINS, CUDA, HALF, LIBDEVICE, MATH
from kernelevolve.languages.python_kernels import Kind, Reachable

from .honest import HONEST

pytest.importorskip("numba_cuda")
cuda = pytest.importorskip("numba.cuda")


def leaves(found: Mapping[str, Reachable], path: str = "") -> Iterator[tuple[str, Kind]]:
    for name, inner in found.items():
        if isinstance(inner, Kind):
            yield f"{path}{name}", inner
        else:
            yield from leaves(inner, f"{path}{name}.")


def test_numba_cuda_has_every_name_of_its_table() -> None:
    importlib.import_module("numba.cuda.fp16")
    for path, kind in leaves(CUDA):
        found = cuda
        for name in path.split("."):
            found = getattr(found, name)
        assert not isinstance(found, types.ModuleType), path
        assert kind is not Kind.FUNCTION or callable(found), path


@pytest.mark.parametrize(
    ("module", "table"),
    [("libdevice", LIBDEVICE), ("bf16", BFLOAT16), ("fp16", HALF)],
    ids=["libdevice", "bf16", "fp16"],
)
def test_a_module_of_functions_has_every_name_of_its_table(module: str, table: Mapping[str, Reachable]) -> None:
    found = importlib.import_module(f"numba.cuda.{module}")
    assert {name for name in table if not callable(getattr(found, name, None)) and name != "bfloat16"} == set()


@pytest.mark.parametrize("module", DIALECT.members)
def test_what_may_be_imported_from_a_module_is_there(module: str) -> None:
    found = importlib.import_module(module)
    for name, reachable in DIALECT.members[module].items():
        here = getattr(found, name, None) or importlib.import_module(f"{module}.{name}")
        assert isinstance(here, types.ModuleType) == isinstance(reachable, Mapping), f"{module}.{name}"


def test_math_is_functions_and_numbers() -> None:
    assert {
        name for name, kind in MATH.items() if isinstance(getattr(math, name), float) != (kind is Kind.VALUE)
    } == set()
    assert not {"factorial", "comb", "perm", "prod", "lcm", "isqrt", "fsum"} & set(MATH)


def test_nothing_of_the_host_is_in_the_table() -> None:
    from numba.cuda import api, args
    from numba.cuda.cudadrv import driver

    for module in (api, args, driver):
        public = {name for name in vars(module) if not name.startswith("_")}
        own = {name for name in public if getattr(vars(module)[name], "__module__", "") == module.__name__}
        assert own & set(CUDA) == set(), module.__name__


@pytest.mark.parametrize(
    "value", [1, 1.5, "text", (1, 2), np.zeros(3), np.float32(1), np.dtype("float32"), len, math.sqrt, cuda.grid]
)
def test_no_chain_of_allowed_attributes_leads_from_a_value_to_a_module_or_a_namespace(value: object) -> None:
    reached, ahead = {id(value): value}, [(value, "value")]
    while ahead:
        here, path = ahead.pop()
        assert not isinstance(here, types.ModuleType | types.FrameType | types.CodeType | dict | type), path
        for name in ATTRIBUTES:
            found = getattr(here, name, None)
            if found is not None and id(found) not in reached and path.count(".") < 4:
                reached[id(found)] = found
                ahead.append((found, f"{path}.{name}"))


def test_advice_is_for_what_is_not_allowed() -> None:
    assert not set(ADVICE) & (set(CUDA) | ATTRIBUTES | BUILTINS)


@pytest.mark.slow
@pytest.mark.parametrize("name", HONEST)
def test_an_honest_kernel_is_one_for_the_real_compiler(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    sample = HONEST[name]
    device = types.SimpleNamespace(compute_capability=(9, 0))
    monkeypatch.setattr("numba.cuda.dispatcher.get_current_device", lambda: device)  # it is asked what to compile for
    namespace = dict(sample.tunables)
    exec(compile(sample.source, f"<{name}>", "exec"), namespace)
    signature = eval(sample.signature, dict(vars(importlib.import_module("numba.types"))))
    ptx, _ = cuda.compile_ptx(namespace[sample.entry].py_func, signature, cc=(9, 0))
    assert f"{sample.entry}" in ptx
