"""The `Language` plugin for Numba."""

from __future__ import annotations

__all__ = ["NumbaLanguage"]

import ast
from collections.abc import Mapping

from kernelevolve.kernel import Value
from kernelevolve.language import Parameter, ParameterKind
from kernelevolve.languages.numba_lang.gate import DIALECT, NumbaGate, is_device, jit_mark
from kernelevolve.languages.numba_lang.shared import dynamic_parameter
from kernelevolve.languages.python_kernels import (
    check_name,
    check_value,
    normal_form,
    plain_arguments,
    read,
    refuse,
    too_deep,
)
from kernelevolve.languages.python_kernels.constants import whole


class NumbaLanguage:
    """Numba for CUDA. Entries are ``@cuda.jit`` functions without ``device=True``."""

    name: str = "numba"
    comment: str = "#"
    suffix: str = ".py"

    def entries(self, body: str) -> Mapping[str, tuple[Parameter, ...]]:
        """Every kernel, with its parameters in order.

        A kernel that makes an array of dynamic shared memory, ``tile = cuda.shared.array(0, float32)``, has one
        parameter more, the last: ``tile``, of kind ``local``. The header's ``local`` says how large it is; no argument
        is passed for it. Raises `Rejected` where the source cannot be read, a parameter is a ``*`` one, or there are
        several such arrays.
        """
        try:
            return _entries(read(body).tree)
        except RecursionError:
            raise too_deep() from None

    def gate(self, body: str) -> None:
        """Return if the source may be executed, compiled and run; raise `Rejected` with rule, line and reason."""
        NumbaGate(read(body)).check()

    def check_tunable(self, name: str, value: Value) -> None:
        """Return if a module may be given the tunable as a constant."""
        taken = next((module for module, table in DIALECT.members.items() if name in table), None)
        check_name(name, DIALECT.reserved if taken is None else (name,))
        check_value(name, value)

    def normalize(self, body: str) -> str:
        """The source without comments, docstrings and layout."""
        return normal_form(body)


def _entries(tree: ast.Module) -> Mapping[str, tuple[Parameter, ...]]:
    found: dict[str, tuple[Parameter, ...]] = {}
    known: dict[str, int] = {}
    for node in tree.body:
        match node:
            case ast.Assign(targets=[ast.Name(id=name)]) if (number := whole(node.value, known)) is not None:
                known[name] = number
            case ast.FunctionDef(name=name) if (mark := jit_mark(node)) is not None and not is_device(mark):
                if name in found:
                    raise refuse(node.lineno, "redefined", f"{name} is defined twice; give one another name")
                parameters = [Parameter(argument.arg, ParameterKind.ANY) for argument in plain_arguments(node)]
                dynamic = dynamic_parameter(node, known)
                found[name] = (*parameters, *([dynamic] if dynamic else ()))
    return found
