"""What is particular to Numba: ``@cuda.jit``, constants that any module has, and dynamic shared memory."""

from __future__ import annotations

__all__ = ["DIALECT", "NumbaGate", "is_device", "jit_mark"]

import ast
from typing import Final

from kernelevolve.languages.numba_lang.names import (
    ADVICE,
    ATTRIBUTES,
    BFLOAT16,
    BUILTINS,
    CUDA,
    HALF,
    LIBDEVICE,
    MATH,
    TYPES,
)
from kernelevolve.languages.numba_lang.shared import dynamic_arrays, dynamic_parameter
from kernelevolve.languages.python_kernels import Dialect, Gate, Kind, Namespace, namespace, refuse, words
from kernelevolve.languages.python_kernels.constants import Constant

_HALVES: Final[Namespace] = {**TYPES, **namespace(types="float16")}
_ALL: Final[Namespace] = {**_HALVES, **namespace(types="bfloat16")}
DIALECT: Final = Dialect(
    name="numba",
    imports={"math": ("math", MATH)},
    members={
        "numba": {"cuda": CUDA, "types": _HALVES, **TYPES},
        "numba.types": _HALVES,
        "numba.cuda": {
            "bf16": BFLOAT16,
            "fp16": HALF,
            "libdevice": LIBDEVICE,
            "types": _ALL,
            **namespace(types="bfloat16"),
            **TYPES,
        },
        "numba.cuda.types": _ALL,
        "numba.cuda.bf16": BFLOAT16,
    },
    builtins=BUILTINS,
    attributes=ATTRIBUTES,
    advice=ADVICE,
    free=True,
    stores=True,
)
#: Options of ``@cuda.jit`` that say how to compile, and neither link, print, cache nor check.
_SWITCHES: Final = words("device fastmath forceinline inline lineinfo opt")
#: Options that take a number, or a tunable.
_NUMBERS: Final = words("launch_bounds max_registers")


def jit_mark(node: ast.FunctionDef) -> ast.expr | None:
    """The decorator ``@cuda.jit`` or ``@cuda.jit(…)`` of a function, if it has one."""
    for mark in node.decorator_list:
        called = mark.func if isinstance(mark, ast.Call) else mark
        if isinstance(called, ast.Attribute) and ast.unparse(called) == "cuda.jit":
            return mark
    return None


def is_device(mark: ast.expr) -> bool:
    """Whether the decorator makes a function that only kernels call."""
    given = mark.keywords if isinstance(mark, ast.Call) else []
    return any(
        option.arg == "device" and not (isinstance(option.value, ast.Constant) and not option.value.value)
        for option in given
    )


class NumbaGate(Gate):
    """Walks one Numba source."""

    dialect = DIALECT
    example = "NAME = 4"

    def decorated(self, node: ast.FunctionDef) -> None:
        mark = jit_mark(node)
        if mark is None or len(node.decorator_list) != 1:
            what = f"{node.name} needs one decorator, @cuda.jit, or @cuda.jit(device=True) where kernels call it"
            raise refuse(node.lineno, "decorator", what)
        called = mark.func if isinstance(mark, ast.Call) else mark
        assert isinstance(called, ast.Attribute)
        self.attribute(called)
        if isinstance(mark, ast.Call):
            if mark.args:
                what = "@cuda.jit has a signature; types come from the workload, leave it out"
                raise refuse(mark.lineno, "decorator", what)
            for option in mark.keywords:
                self._jit_option(option)
        if "shared" in self.source.text:
            known = self.whole_numbers()
            if is_device(mark) and (array := next(dynamic_arrays(node, known), None)):
                what = "dynamic shared memory belongs to the kernel; make the array there and pass it on"
                raise refuse(array.lineno, "shared", what)
            dynamic_parameter(node, known)

    def _jit_option(self, option: ast.keyword) -> None:
        value, line = option.value, option.value.lineno
        if option.arg in _NUMBERS:
            self.constants.read(value)
        elif option.arg in _SWITCHES:
            literal = value.value if isinstance(value, ast.Constant) else None
            if not isinstance(literal, bool) and not (option.arg == "inline" and literal in ("always", "never")):
                raise refuse(line, "decorator", f"option {option.arg} of @cuda.jit is True or False, written out")
        else:
            listed = ", ".join(sorted(_SWITCHES | _NUMBERS))
            what = f"option {option.arg or '**'} of @cuda.jit is not allowed; there is {listed}"
            raise refuse(line, "decorator", what)

    def annotation(self, node: ast.expr, where: str) -> None:
        raise refuse(node.lineno, "annotation", f"{where} is annotated; types come from the workload, leave it out")

    def annotated(self, node: ast.AnnAssign) -> None:
        self.annotation(node.annotation, "a variable")

    def module_constant(self, name: str, value: ast.expr) -> Constant:
        """Numbers, tuples of numbers, types, and what is computed from them and from tunables."""
        del name
        return self.constants.read(value)

    def option(self, kind: Kind, keyword: ast.keyword) -> None:
        del kind
        raise refuse(keyword.value.lineno, "loop", "range takes no named arguments; write range(start, stop, step)")
