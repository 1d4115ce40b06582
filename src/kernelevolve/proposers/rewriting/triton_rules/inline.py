"""Device functions of the file, written out where an entry calls them: a rewrite sees one body.

What cannot be written out (several returns, recursion, a call that not every path evaluates) stays a call, of which
nothing is assumed.
"""

from __future__ import annotations

__all__ = ["inlined"]

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Final

import libcst as cst
from attrs import define, field

from kernelevolve.languages.python_kernels.names import BUILTINS
from kernelevolve.proposers.rewriting.python_edits import (
    Edit,
    Statement,
    assigned,
    block_of,
    module_of,
    names_in,
    targets_of,
    walk,
)
from kernelevolve.proposers.rewriting.python_view import PythonView

#: Calls written out in one entry; more would be no page of code.
MAX_CALLS: Final = 24


def inlined(view: PythonView) -> cst.Module:
    """The module with the entry's calls of other functions of the file written out, and functions nobody calls gone."""
    module, name = view.module, view.name
    entries = {launch.entry for launch in view.kernel.launches}
    for _ in range(MAX_CALLS):
        functions = {one.name.value: one for one in module.body if isinstance(one, cst.FunctionDef)}
        current = PythonView(view.kernel, module, functions[name], view.taken)
        edits = next(_calls(current, functions), None)
        if edits is None:
            break
        made = current.edited(edits).body
        module = module_of(made)
    return module if module is view.module else _without_unused(module, entries)


def _without_unused(module: cst.Module, entries: set[str]) -> cst.Module:
    while True:
        called = {name.value for one in module.body for name in names_in(one) if not _is_head(one, name)}
        kept = [
            one for one in module.body if not isinstance(one, cst.FunctionDef) or one.name.value in entries | called
        ]
        if len(kept) == len(module.body):
            return module
        module = module_of(module.with_changes(body=kept).code)


def _is_head(one: cst.CSTNode, name: cst.Name) -> bool:
    return isinstance(one, cst.FunctionDef) and one.name is name


def _calls(view: PythonView, functions: Mapping[str, cst.FunctionDef]) -> Iterator[list[Edit]]:
    """The edits that write out one call, for each that can be."""
    for call in view.find(cst.Call):
        if not isinstance(call.func, cst.Name) or call.func.value not in functions:
            continue
        callee = functions[call.func.value]
        recursive = any(name.value in (callee.name.value, view.name) for name in names_in(callee.body))
        if recursive or not _is_plain(callee) or not _is_always_evaluated(view, call):
            continue
        edits = _Inlining(view, call, callee).edits()
        if edits is not None:
            yield edits


def _is_plain(callee: cst.FunctionDef) -> bool:
    """Whether the function returns at its end only, and takes its arguments one by one."""
    body = block_of(callee.body)
    returns = [node for node in walk(*body) if isinstance(node, cst.Return)]
    last = body[-1].body[-1] if body and isinstance(body[-1], cst.SimpleStatementLine) else None
    params = callee.params
    simple = not (params.star_kwarg or params.kwonly_params or params.posonly_params)
    decorated = all(isinstance(one.decorator, cst.Attribute) for one in callee.decorators)
    ends = not returns or (len(returns) == 1 and returns[0] is last)
    return ends and simple and decorated and not isinstance(params.star_arg, cst.Param)


def _is_always_evaluated(view: PythonView, call: cst.Call) -> bool:
    for one in view.around(call):
        if isinstance(one, cst.IfExp | cst.BooleanOperation | cst.Lambda | cst.BaseComp | cst.While | cst.NamedExpr):
            return False
        if isinstance(one, cst.If) and isinstance(view.parents[one], cst.If):
            return False  # the test of an `elif`
        if isinstance(one, Statement):
            return True
    return False


@define(slots=False, eq=False)
class _Inlining:
    view: PythonView
    call: cst.Call
    callee: cst.FunctionDef
    _used: set[str] = field(factory=set)

    def edits(self) -> list[Edit] | None:
        """The body before the calling statement, and the value in place of the call."""
        arguments = self._arguments()
        if arguments is None:
            return None
        body = block_of(self.callee.body)
        if self.callee.get_docstring() is not None:
            body = body[1:]
        result = body[-1].body[-1] if isinstance(body[-1], cst.SimpleStatementLine) else None
        result = result if isinstance(result, cst.Return) else None
        body = body[:-1] if result is not None else body
        statement = self.view.statement(self.call)
        line = statement.body[0] if isinstance(statement, cst.SimpleStatementLine) else None
        whole = isinstance(line, cst.Assign | cst.Expr) and line.value is self.call
        if not whole and (_has_effects(body) or result is None or isinstance(result.value, cst.Tuple)):
            return None
        before, names = self._prologue(arguments, body)
        before += self.view.lines(body, names)
        value = None if result is None or result.value is None else self.view.changed(result.value, names)
        if isinstance(line, cst.Expr) and whole:
            return [Edit(statement, text=before or "pass\n")]
        if value is None:
            return None
        if isinstance(line, cst.Assign) and whole:
            made = self._assignments(line, result, names, value)
            return None if made is None else [Edit(statement, text=before + made)]
        return [Edit(statement, before=before), Edit(self.call, text=f"({value})")]

    def _fresh(self, wanted: str) -> str:
        """`wanted` where the entry does not know the name, else with a number behind it."""
        made = wanted if wanted not in self._known else self.view.fresh(wanted)
        number = 1
        while made in self._used:
            number += 1
            made = self.view.fresh(f"{wanted}_{number}")
        self._used.add(made)
        return made

    @cached_property
    def _known(self) -> frozenset[str]:
        """Names that mean something in the entry."""
        view = self.view
        outside = [one for one in view.module.body if not isinstance(one, cst.FunctionDef)]
        functions = {one.name.value for one in view.module.body if isinstance(one, cst.FunctionDef)}
        inside = {name.value for name in names_in(view.function, *outside)}
        return frozenset({*inside, *functions, *view.parameters, *view.taken, *view.kernel.tunables, *BUILTINS})

    def _arguments(self) -> dict[str, cst.BaseExpression] | None:
        params = self.callee.params.params
        found: dict[str, cst.BaseExpression] = {}
        for index, argument in enumerate(self.call.args):
            if argument.star or (argument.keyword is None and index >= len(params)):
                return None
            found[params[index].name.value if argument.keyword is None else argument.keyword.value] = argument.value
        for one in params:
            if one.name.value not in found:
                if one.default is None:
                    return None
                found[one.name.value] = one.default
        return found if set(found) == {one.name.value for one in params} else None

    def _prologue(
        self, arguments: Mapping[str, cst.BaseExpression], body: Sequence[Statement]
    ) -> tuple[str, list[Edit]]:
        """Assignments of arguments, and edits that rename what the function names."""
        changed = assigned(*body)
        names: dict[str, str] = {name: self._fresh(name) for name in sorted(changed)}
        before = ""
        for one in self.callee.params.params:
            name, text = one.name.value, self.view.text(arguments[one.name.value])
            constant = one.annotation is not None and "constexpr" in self.view.text(one.annotation.annotation)
            direct = isinstance(arguments[name], cst.Name | cst.Integer | cst.Float) or constant
            if direct and name not in changed:
                names[name] = text
            else:
                names.setdefault(name, self._fresh(name))
                before += f"{names[name]} = {text}\n"
        renamed = [Edit(node, text=names[node.value]) for node in names_in(self.callee.body) if node.value in names]
        return before, renamed

    def _assignments(self, line: cst.Assign, result: cst.Return | None, names: list[Edit], value: str) -> str | None:
        targets = [self.view.text(one.target) for one in line.targets]
        if len(targets) != 1:
            return None
        target = line.targets[0].target
        if not isinstance(target, cst.Tuple) or result is None or not isinstance(result.value, cst.Tuple):
            return f"{targets[0]} = {value}\n"
        wanted = [name.value for name in targets_of(target)]
        values = [self.view.changed(one.value, names) for one in result.value.elements]
        if len(wanted) != len(values) or len(target.elements) != len(wanted):
            return None
        given = {name.value for argument in self.call.args for name in names_in(argument)}
        if not given & set(wanted):
            return "".join(f"{name} = {one}\n" for name, one in zip(wanted, values, strict=True))
        kept = [self._fresh(name) for name in wanted]
        first = "".join(f"{name} = {one}\n" for name, one in zip(kept, values, strict=True))
        return first + "".join(f"{name} = {one}\n" for name, one in zip(wanted, kept, strict=True))


def _has_effects(body: Sequence[Statement]) -> bool:
    """Whether a function may write memory; calls of anything that is not plainly a value count."""
    written = ("store", "atomic", "barrier", "print", "assert", "asm")
    return any(
        isinstance(node, cst.Attribute) and any(word in node.attr.value for word in written) for node in walk(*body)
    )
