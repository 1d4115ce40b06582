"""How much code a toolchain would have to write out: unrolled loops and calls of the file's own functions, multiplied.

Bounds that only the configuration knows count once; what those make of a kernel ends at the compiler's time limit.
"""

from __future__ import annotations

__all__ = ["MAX_TRACED", "Tracing"]

import ast
from collections import defaultdict
from typing import Final

from attrs import define, field

from kernelevolve.languages.python_kernels.source import refuse

#: Statements, each as often as it is written out. Triton traces some tens of thousands in ten seconds.
MAX_TRACED: Final = 20_000


@define
class Tracing:
    """Counts the statements of one source."""

    #: How often the compiler writes out the statement that is being walked.
    weight: int = 1
    _lines: dict[str, int] = field(factory=dict)
    _costs: dict[str, int] = field(factory=lambda: defaultdict(int))
    _calls: dict[str, list[tuple[str, int]]] = field(factory=lambda: defaultdict(list))
    _name: str = ""

    def enter(self, node: ast.FunctionDef) -> None:
        """Begin a function."""
        self._name, self.weight = node.name, 1
        self._lines[node.name] = node.lineno

    def statement(self, node: ast.stmt) -> None:
        """Count one statement."""
        self._costs[self._name] += self.weight
        if self._costs[self._name] > MAX_TRACED:
            raise refuse(node.lineno, "unroll", _too_much("loops"))

    def calls(self, name: str, weight: int) -> None:
        """Count a call of a function of the file, at a place that is written out `weight` times."""
        self._calls[self._name].append((name, weight))

    def check(self) -> None:
        """Raise `Rejected` where a function calls itself, or its calls add up to too much code."""
        totals: dict[str, int] = {}
        for name in self._lines:
            self._total(name, totals, ())

    def _total(self, name: str, totals: dict[str, int], above: tuple[str, ...]) -> int:
        if name in above:
            what = f"{name} calls itself; kernels have loops and no recursion"
            raise refuse(self._lines[name], "recursion", what)
        if name not in totals:
            path = (*above, name)
            inner = sum(weight * self._total(callee, totals, path) for callee, weight in self._calls[name])
            totals[name] = self._costs[name] + inner
            if totals[name] > MAX_TRACED:
                raise refuse(self._lines[name], "unroll", _too_much(f"calls in {name}"))
        return totals[name]


def _too_much(what: str) -> str:
    return f"the {what} unroll to over {MAX_TRACED} statements; use a loop that runs on the device"
