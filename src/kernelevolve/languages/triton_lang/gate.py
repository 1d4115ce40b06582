"""What is particular to Triton: ``@triton.jit``, ``tl.constexpr``, the loops that ``tl`` has; and Gluon's for these."""

from __future__ import annotations

__all__ = ["CONSTEXPR", "DIALECT", "TritonGate", "is_jitted"]

import ast
from typing import Final

from kernelevolve.languages.python_kernels import Dialect, Gate, Kind, refuse
from kernelevolve.languages.python_kernels.constants import Constant, check_literal, whole
from kernelevolve.languages.triton_lang.gluon_names import GL, GLUON, GLUON_ATTRIBUTES, HOPPER
from kernelevolve.languages.triton_lang.names import ADVICE, ATTRIBUTES, BUILTINS, LIBDEVICE, MATH, TL, TRITON

DIALECT: Final = Dialect(
    name="triton",
    imports={
        "triton": ("triton", TRITON),
        "triton.language as tl": ("tl", TL),
        "triton.experimental.gluon.language as gl": ("gl", GL),
        "math": ("math", MATH),
    },
    members={
        "triton.language.extra": {"libdevice": LIBDEVICE},
        "triton.experimental": {"gluon": GLUON},
        "triton.experimental.gluon.language.nvidia.hopper": HOPPER,
    },
    builtins=BUILTINS,
    attributes=ATTRIBUTES | GLUON_ATTRIBUTES,
    advice=ADVICE,
    lists=True,
    passes=True,
    messages=frozenset({"static_assert"}),
)
#: How a compile-time constant is marked.
CONSTEXPR: Final = ("tl.constexpr", "triton.language.constexpr", "gl.constexpr")
#: How a kernel is marked.
_JIT: Final = ("triton.jit", "gluon.jit")
#: Options of ``@triton.jit`` that say nothing but how arguments are specialised and whether a helper is inlined.
_OPTIONS: Final = frozenset({"do_not_specialize", "do_not_specialize_on_alignment", "noinline"})
#: Options of ``tl.range``.
_LOOP_OPTIONS: Final = frozenset(
    ("num_stages", "loop_unroll_factor", "disallow_acc_multi_buffer", "flatten", "warp_specialize", "disable_licm")
)
#: A literal number of pipeline stages, or of copies of a loop's body.
_MAX_COPIES: Final = 64


def _chain(node: ast.expr) -> str:
    return ast.unparse(node) if isinstance(node, ast.Attribute | ast.Name) else ""


def is_jitted(node: ast.FunctionDef) -> bool:
    """Whether `node` is decorated with ``@triton.jit`` or ``@gluon.jit``, with options or without."""
    return any(_chain(mark.func if isinstance(mark, ast.Call) else mark) in _JIT for mark in node.decorator_list)


class TritonGate(Gate):
    """Walks one Triton source."""

    dialect = DIALECT
    example = "NAME = tl.constexpr(4)"

    def decorated(self, node: ast.FunctionDef) -> None:
        marks = node.decorator_list
        if len(marks) != 1 or not is_jitted(node):
            written = " ".join(ast.unparse(mark) for mark in marks)
            if "autotune" in written or "heuristics" in written:
                what = (
                    f"{node.name} tunes itself; list tunables under [tune] in the header, and leave @triton.jit alone"
                )
                raise refuse(node.lineno, "decorator", what)
            raise refuse(node.lineno, "decorator", f"{node.name} needs one decorator, @triton.jit or @gluon.jit")
        called = marks[0].func if isinstance(marks[0], ast.Call) else marks[0]
        assert isinstance(called, ast.Attribute)
        self.attribute(called)
        if isinstance(marks[0], ast.Call):
            self._jit_options(marks[0])

    def _jit_options(self, mark: ast.Call) -> None:
        if mark.args:
            raise refuse(mark.lineno, "decorator", "@triton.jit takes named options only")
        for option in mark.keywords:
            if option.arg not in _OPTIONS:
                what = f"option {option.arg} of @triton.jit is not allowed; there is {', '.join(sorted(_OPTIONS))}"
                raise refuse(mark.lineno, "decorator", what)
            values = option.value.elts if isinstance(option.value, ast.List | ast.Tuple) else [option.value]
            for value in values:
                if not isinstance(value, ast.Constant):
                    raise refuse(mark.lineno, "decorator", f"option {option.arg} of @triton.jit holds literals only")
                check_literal(value)

    def annotation(self, node: ast.expr, where: str) -> None:
        if not isinstance(node, ast.Attribute) or self.attribute(node) not in (Kind.TYPE, Kind.ANNOTATION):
            what = f"{where} is annotated with {ast.unparse(node)[:40]}; there is tl.constexpr and element types"
            raise refuse(node.lineno, "annotation", what)

    def annotated(self, node: ast.AnnAssign) -> None:
        if not isinstance(node.target, ast.Name):
            raise refuse(node.lineno, "assignment", "only a variable's name can be annotated")
        name = node.target.id
        self.annotation(node.annotation, f"variable {name}")
        self.bind(name, node.target)
        if node.value is None:
            return
        self.expression(node.value)
        value = whole(node.value, self.whole_numbers())
        if value is not None:
            self.fixed[name] = max(value, self.fixed.get(name, value))

    def module_constant(self, name: str, value: ast.expr) -> Constant:
        """Triton lets kernels read ``tl.constexpr(…)`` and nothing else that a module holds."""
        match value:
            case ast.Call(func=ast.Attribute() as called, args=[inner], keywords=[]) if _chain(called) in CONSTEXPR:
                self.attribute(called)
                return self.constants.read(inner)
        what = f"Triton reads a module's constant as {name} = tl.constexpr(…) only; write it so"
        raise refuse(value.lineno, "constant", what)

    def option(self, kind: Kind, keyword: ast.keyword) -> None:
        line, value = keyword.value.lineno, keyword.value
        if keyword.arg == "step":
            return
        if kind is Kind.UNROLLED or keyword.arg not in _LOOP_OPTIONS:
            what = f"option {keyword.arg} of a loop; tl.range has {', '.join(sorted(_LOOP_OPTIONS))}"
            raise refuse(line, "loop", what)
        copies = whole(value, self.whole_numbers())
        if copies is not None and copies > _MAX_COPIES:
            raise refuse(line, "unroll", f"{keyword.arg} = {copies}; at most {_MAX_COPIES} make sense")
