"""Assignments that nothing reads any more are taken out after a rewrite."""

from __future__ import annotations

__all__ = ["tidied"]

from collections.abc import Collection, Iterator

import libcst as cst

from kernelevolve.proposers.rewriting.python_edits import Apply, Edit, children, module_of, walk
from kernelevolve.proposers.rewriting.python_flow import Definition, Flow, Kind
from kernelevolve.proposers.rewriting.triton_rules.calls import call_name, is_pure_call

#: Each round may make further assignments useless.
_ROUNDS = 6


def tidied(text: str, entries: Collection[str]) -> str:
    """The source without assignments of `entries` that only compute what nothing reads."""
    for _ in range(_ROUNDS):
        module = module_of(text)
        dead = [
            node
            for one in module.body
            if isinstance(one, cst.FunctionDef) and one.name.value in entries
            for node in _dead(one)
        ]
        if not dead:
            break
        parents = {child: node for node in walk(module) for child in children(node)}
        text = Apply([Edit(node, text="") for node in dead], parents).module(module).code
    return text


def _dead(function: cst.FunctionDef) -> Iterator[cst.SimpleStatementLine]:
    flow = Flow(function)
    parents = {child: node for node in walk(function) for child in children(node)}
    for one in flow.definitions:
        if one.kind not in (Kind.VALUE, Kind.AUGMENTED) or isinstance(one.node, cst.NamedExpr) or one.is_read:
            continue
        line = parents[one.node]
        block = parents[line]
        if not isinstance(line, cst.SimpleStatementLine) or not isinstance(block, cst.IndentedBlock):
            continue
        if len(flow.made[one.node]) == 1 and len(block.body) > 1 and _is_pure(one):
            yield line


def _is_pure(one: Definition) -> bool:
    assert one.value is not None
    calls = [node for node in walk(one.value) if isinstance(node, cst.Call)]
    return all(call_name(call) == "tl.load" or is_pure_call(call) for call in calls)
