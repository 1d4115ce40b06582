"""Gluon kernels among Triton's: what compiles them, and for which chips; one set of names for every Triton."""

from __future__ import annotations

__all__ = ["ast_source", "check_chip", "count_products", "use_new_names"]

import ast
import re
from importlib import import_module
from typing import Any, Final

from kernelevolve.accelerator import Target
from kernelevolve.languages.triton_lang import RENAMED
from kernelevolve.outcome import CompileError

#: A product of float32 operands on Hopper's tensor cores, which round them to TF32 whatever they are asked for.
_PRODUCT: Final = re.compile(rb"ttng\.warp_group_dot [^\n]*? : (?:!ttg\.memdesc|tensor)<[\dx]*xf32")

#: The chip of each module that is for one chip. Triton's compiler ends the process where it meets another.
_CHIPS: Final = {"triton.experimental.gluon.language.nvidia.hopper": "cuda:sm_90"}


def check_chip(source: str, target: Target) -> None:
    """Raise `CompileError` where `source` imports what `target` does not have."""
    for node in ast.parse(source).body:
        chip = _CHIPS.get(node.module or "") if isinstance(node, ast.ImportFrom) else None
        if chip is not None and chip != target.name:
            message = (
                f"line {node.lineno}: {ast.unparse(node).split()[1]} is for {chip}, and this compiles for {target.name}"
            )
            raise CompileError(message, stage="options", log="", line=node.lineno)


def ast_source(function: Any) -> Any:
    """The class that carries `function` to the compiler: Triton's ``ASTSource`` or Gluon's own."""
    if function.is_gluon():
        from triton.experimental.gluon._runtime import GluonASTSource  # noqa: PLC0415  # it has no public name

        return GluonASTSource
    from triton.compiler import ASTSource  # noqa: PLC0415

    return ASTSource


def use_new_names() -> None:
    """Give this process's Triton the names that later versions have for functions it has already."""
    for path, renamed in RENAMED.items():
        module = import_module(path)
        for new, old in renamed.items():
            if not hasattr(module, new):
                setattr(module, new, getattr(module, old))


def count_products(ttgir: bytes) -> int:
    """How many products of float32 operands are rounded to TF32 first."""
    return len(_PRODUCT.findall(ttgir))
