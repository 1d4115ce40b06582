"""The `Language` plugin for Triton."""

from __future__ import annotations

__all__ = ["TritonLanguage", "is_gluon"]

import ast
from collections.abc import Collection, Mapping
from typing import Final

from kernelevolve.kernel import Value
from kernelevolve.language import Parameter, ParameterKind
from kernelevolve.languages.python_kernels import (
    check_name,
    check_value,
    normal_form,
    plain_arguments,
    read,
    refuse,
    too_deep,
)
from kernelevolve.languages.triton_lang.gate import CONSTEXPR, DIALECT, TritonGate, is_jitted

#: Tunables that the compiler takes beside a kernel's own, and what each may be.
LAUNCH_OPTIONS: Final[Mapping[str, Collection[Value] | range]] = {
    "num_warps": (1, 2, 4, 8, 16, 32),  # a block has at most 1024 threads, a warp 32
    "num_stages": range(17),
    "num_ctas": (1, 2, 4, 8, 16),  # 16 blocks are the largest cluster of any GPU
    "maxnreg": range(16, 256),  # registers that an NVIDIA thread can have
    "waves_per_eu": range(17),
    "matrix_instr_nonkdim": (0, 4, 16, 32),
    "kpack": (1, 2),
}


class TritonLanguage:
    """Triton and Gluon. Entries are jitted functions that return nothing; the gate is in `triton_lang.gate`."""

    name: str = "triton"
    comment: str = "#"
    suffix: str = ".py"

    def entries(self, body: str) -> Mapping[str, tuple[Parameter, ...]]:
        """Every top-level jitted function without a ``return`` of a value, with its parameters in order.

        A helper that returns nothing is listed too: nothing in the source tells it from a kernel. Raises `Rejected`
        where the source cannot be read, or a parameter is a ``*`` one.
        """
        found: dict[str, tuple[Parameter, ...]] = {}
        try:
            for node in read(body).tree.body:
                if isinstance(node, ast.FunctionDef) and is_jitted(node) and not _returns(node):
                    if node.name in found:
                        raise refuse(node.lineno, "redefined", f"{node.name} is defined twice; give one another name")
                    found[node.name] = tuple(_parameter(argument) for argument in plain_arguments(node))
        except RecursionError:
            raise too_deep() from None
        return found

    def gate(self, body: str) -> None:
        """Return if the source may be executed, traced and run; raise `Rejected` with rule, line and reason."""
        TritonGate(read(body)).check()

    def check_tunable(self, name: str, value: Value) -> None:
        """Return if the compiler may be given the tunable, as a ``tl.constexpr`` argument or a launch option."""
        check_name(name, DIALECT.reserved)
        check_value(name, value, LAUNCH_OPTIONS.get(name))

    def normalize(self, body: str) -> str:
        """The source without comments, docstrings and layout."""
        return normal_form(body)


def is_gluon(body: str) -> bool:
    """Whether `body`, a source that the gate admits, is written in Gluon: for one kind of GPU, and no interpreter."""
    imports = (node for node in ast.parse(body).body if isinstance(node, ast.ImportFrom))
    return any(node.module == "triton.experimental" for node in imports)


def _returns(node: ast.FunctionDef) -> bool:
    return any(isinstance(inner, ast.Return) and inner.value is not None for inner in ast.walk(node))


def _parameter(argument: ast.arg) -> Parameter:
    written = "" if argument.annotation is None else ast.unparse(argument.annotation)
    constant = written in CONSTEXPR
    return Parameter(argument.arg, ParameterKind.CONSTEXPR if constant else ParameterKind.ANY, written)
