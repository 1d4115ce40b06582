"""The normal form: what is left of a source without comments, explanations and layout."""

from __future__ import annotations

__all__ = ["normal_form"]

import ast

from kernelevolve.languages.python_kernels.source import parse, read, too_deep
from kernelevolve.outcome import Rejected


def normal_form(body: str) -> str:
    """`body` in one layout, without comments and texts that stand as statements. Raises `Rejected`."""
    read(body)
    tree = parse(body)  # not the one that readers share: this one is taken apart
    try:
        for node in ast.walk(tree):
            for name in ("body", "orelse"):
                if isinstance(statements := getattr(node, name, None), list):
                    _strip(statements, needed=name == "body" and not isinstance(node, ast.Module))
        return ast.unparse(tree)
    except RecursionError:
        raise too_deep() from None
    except ValueError as error:  # an f-string that no quotes fit around
        raise Rejected(f"the source has no normal form: {error}", rule="syntax", line=1) from None


def _strip(statements: list[ast.stmt], *, needed: bool) -> None:
    kept = [node for node in statements if not _explains(node)]
    statements[:] = kept or ([ast.Pass()] if needed else [])


def _explains(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
