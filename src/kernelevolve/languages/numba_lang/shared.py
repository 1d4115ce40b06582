"""Dynamic shared memory: ``tile = cuda.shared.array(0, float32)``, which takes its size from the launch."""

from __future__ import annotations

__all__ = ["dynamic_arrays", "dynamic_parameter"]

import ast
from collections.abc import Iterator, Mapping

from kernelevolve.language import Parameter, ParameterKind
from kernelevolve.languages.python_kernels import refuse
from kernelevolve.languages.python_kernels.constants import whole


def dynamic_arrays(node: ast.AST, known: Mapping[str, int]) -> Iterator[ast.Call]:
    """The calls under `node` that make an array of dynamic shared memory; `known` are the file's whole numbers."""
    for inner in ast.walk(node):
        if isinstance(inner, ast.Call) and ast.unparse(inner.func) == "cuda.shared.array":
            shape = _argument(inner, 0, "shape")
            single = shape.elts[0] if isinstance(shape, ast.Tuple) and len(shape.elts) == 1 else shape
            size = None if single is None else whole(single, known)
            if size is not None and size <= 0:
                if size or single is not shape:
                    raise refuse(inner.lineno, "shared", "dynamic shared memory has the size 0; write it as 0")
                yield inner


def dynamic_parameter(function: ast.FunctionDef, known: Mapping[str, int]) -> Parameter | None:
    """The array of dynamic shared memory that `function` takes, as a parameter that the header's ``local`` binds.

    Raises `Rejected` (rule ``shared``) where there are several, or the one has no plain name of its own.
    """
    arrays = list(dynamic_arrays(function, known))
    if not arrays:
        return None
    line = arrays[-1].lineno
    if len(arrays) > 1:
        what = f"{function.name} has {len(arrays)} arrays of dynamic shared memory, which would be one; give it one"
        raise refuse(line, "shared", what)
    for statement in ast.walk(function):
        match statement:
            case ast.Assign(targets=[ast.Name(id=name)], value=value) if value is arrays[0]:
                if name in {argument.arg for argument in function.args.args}:
                    raise refuse(line, "shared", f"{name} is a parameter as well; give the array a name of its own")
                return Parameter(name, ParameterKind.LOCAL, _element_type(arrays[0]))
    raise refuse(line, "shared", "dynamic shared memory needs a name; write tile = cuda.shared.array(0, float32)")


def _element_type(call: ast.Call) -> str:
    dtype = _argument(call, 1, "dtype")
    if isinstance(dtype, ast.Attribute) and isinstance(dtype.value, ast.Name) and dtype.value.id in ("cuda", "types"):
        return dtype.attr
    return "" if dtype is None else ast.unparse(dtype)


def _argument(call: ast.Call, position: int, name: str) -> ast.expr | None:
    if len(call.args) > position:
        return call.args[position]
    return next((keyword.value for keyword in call.keywords if keyword.arg == name), None)
