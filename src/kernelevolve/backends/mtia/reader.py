"""From Triton's MLIR module to a `Program`, through Triton's own bindings.

Operations, operands, results, types, regions and blocks come from the bindings. They give no numbers out of attributes
in every version of Triton, no contents of dense constants, no successors of branches, and no location of an operation
without results: for these the printed module is read too (`texts`), an operation's text found by its place in the walk.
"""

from __future__ import annotations

__all__ = ["read_module"]

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from kernelevolve.backends.mtia.mlir_types import read_type
from kernelevolve.backends.mtia.printed import OpText, constant, parameter_names, print_order
from kernelevolve.backends.mtia.program import Block, Function, Kind, Op, Program, Region, Type
from kernelevolve.outcome import CompileError, ToolchainError

#: Attributes that the bindings do give, as strings.
_STRINGS: Final = {"tt.assert": ("message",), "tt.print": ("prefix",), "tt.call": ()}
_BRANCHES: Final = ("cf.br", "cf.cond_br")


def read_module(module: Any) -> Program:
    """The program that an ``ir.module`` with one public ``tt.func`` is.

    Raises `CompileError` for a type that programs do not have, `ToolchainError` where the module is printed in an
    unexpected way.
    """
    return _Reader(module).read()


class _Texts:
    """The printed operations, with a look at the next one."""

    def __init__(self, texts: Iterator[OpText]) -> None:
        self._texts = texts
        self._next = next(texts, None)

    def take(self) -> OpText | None:
        """The next one, or None at the end."""
        found, self._next = self._next, next(self._texts, None)
        return found

    def ahead(self, name: str) -> bool:
        """Whether the next one has this name and no operands."""
        return self._next is not None and self._next.name == name and self._next.text == name


class _Reader:
    def __init__(self, module: Any) -> None:
        self._module = module
        self._types: dict[int, Type] = {}
        self._numbers: dict[int, int] = {}  # the binding's identity of a value -> our number
        self._blocks: dict[int, list[tuple[int, Any]]] = {}  # region -> its blocks so far, each with identity
        self._ops: dict[int, list[Op]] = {}  # block -> its operations so far
        self._functions: dict[str, Function] = {}

    def read(self) -> Program:
        printed = self._module.str()
        texts = _Texts(print_order(printed))
        entry = str(self._module.get_entry_func_name())
        operations: list[tuple[Any, OpText]] = []

        def visit(operation: Any) -> None:
            name = str(operation.get_name())
            if name == "builtin.module":
                return
            if name == "scf.yield" and not operation.get_num_operands() and not texts.ahead("scf.yield"):
                operations.append((operation, OpText(name, "", 0)))  # most are not printed
                return
            text = texts.take()
            if text is None or text.name != name:
                found = text.name if text else "nothing"
                raise ToolchainError(
                    f"Triton printed {found} where its module has {name}", log=text.text if text else ""
                )
            operations.append((operation, text))

        self._module.walk(visit)
        self._number(operations)
        for operation, text in operations:
            self._operation(operation, text)
        kernel = self._functions[entry]
        names = parameter_names(printed)
        if len(kernel.arguments) != len(names):
            raise ToolchainError(f"{entry} has {len(kernel.arguments)} parameters; printed are {list(names)}", log="")
        return Program({entry: kernel, **self._functions}, entry, dict(self._types), names)

    def _number(self, operations: Sequence[tuple[Any, OpText]]) -> None:
        """Give every block's arguments and every result a number, in the order of the walk."""
        for operation, text in operations:
            block = operation.get_block()
            if block is not None and block.id() not in self._ops:
                self._ops[block.id()] = []
                region = block.get_parent()
                self._blocks.setdefault(region.id(), []).append((block.id(), block))
                for index in range(block.get_num_arguments()):
                    self._value(block.get_argument(index), text)
            for index in range(operation.get_num_results()):
                self._value(operation.get_result(index), text)

    def _value(self, value: Any, text: OpText) -> None:
        number = self._numbers.setdefault(value.id(), len(self._numbers))
        try:
            self._types[number] = read_type(str(value.get_type()))
        except ValueError as error:
            where = f"line {text.line}: " if text.line else ""
            message = f"{where}{text.name}: {error}"
            raise CompileError(message, stage="mtia", log="", line=text.line or None) from None

    def _operation(self, operation: Any, text: OpText) -> None:
        """Walks are in post-order: what an operation encloses is complete by now."""
        regions = tuple(self._region(operation.get_region(index)) for index in range(operation.get_num_regions()))
        if text.name == "tt.func":
            self._function(operation, regions[0])
            return
        op = Op(
            name=text.name,
            operands=tuple(
                self._numbers[operation.get_operand(index).id()] for index in range(operation.get_num_operands())
            ),
            results=tuple(
                self._numbers[operation.get_result(index).id()] for index in range(operation.get_num_results())
            ),
            attributes=self._attributes(operation, text),
            regions=regions,
            line=text.line,
        )
        self._ops[operation.get_block().id()].append(op)

    def _region(self, region: Any) -> Region:
        blocks = self._blocks.get(region.id(), ())
        return Region(tuple(Block(self._arguments(block), tuple(self._ops[key])) for key, block in blocks))

    def _arguments(self, block: Any) -> tuple[int, ...]:
        return tuple(self._numbers[block.get_argument(index).id()] for index in range(block.get_num_arguments()))

    def _function(self, operation: Any, body: Region) -> None:
        name = str(operation.get_str_attr("sym_name"))
        if not body.blocks:
            raise CompileError(f"the function {name} has no body", stage="mtia", log="", line=None)
        last = [block.ops[-1] for block in body.blocks if block.ops[-1].name == "tt.return"]
        results = tuple(self._types[value] for value in last[0].operands) if last else ()
        self._functions[name] = Function(name, body.blocks[0].arguments, body, results)

    def _attributes(self, operation: Any, text: OpText) -> Mapping[str, Any]:
        attributes = dict(text.attributes)
        if text.name == "arith.constant":
            type_ = self._types[self._numbers[operation.get_result(0).id()]]
            return {"value": constant(text.text, type_.dtype, type_.kind is Kind.FLOAT)}
        for name in _STRINGS.get(text.name, ()):
            attributes[name] = str(operation.get_str_attr(name))
        if text.name == "tt.call":
            attributes["callee"] = str(operation.get_flat_symbol_ref_attr("callee"))
        if text.name in _BRANCHES:
            attributes["successors"] = list(text.successors)
        return attributes
