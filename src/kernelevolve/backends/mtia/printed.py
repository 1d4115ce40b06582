"""What only a printed MLIR module tells: attributes' numbers, constants' contents, successors, lines.

A printed module has one operation a line; an operation with regions begins with a line that ends in ``{`` and ends with
a line that begins with ``}``. Read so that an operation follows what it encloses, the order is that of a walk.
"""

from __future__ import annotations

__all__ = ["OpText", "constant", "parameter_names", "print_order"]

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

import numpy as np
from attrs import field, frozen

from kernelevolve.backends._triton.floats import SOFT, decode
from kernelevolve.outcome import ToolchainError

#: ``%0 = dialect.name`` or ``%0:2 = "dialect.name"``, or an operation without results.
_HEAD: Final = re.compile(r'\s*(?:%[^=]* = )?"?([a-z_][\w]*\.[\w.]+)"?')
_LOCATION: Final = re.compile(r"\s*loc\((?P<what>.*)\)\s*$")
_ALIAS: Final = re.compile(r"^(#loc\d*) = loc\((.*)\)$")
_REFERENCE: Final = re.compile(r"#loc\d*")
_FILE_LINE: Final = re.compile(r'"([^"]+)":(\d+):\d+')
_VALUE: Final = (
    r'array<i\d+(?:: ?(?P<list>[-\d, ]*))?>|"(?P<text>(?:[^"\\]|\\.)*)"|(?P<number>-?\d+)(?= :|[,\s})])'
    r"|(?P<word>[A-Za-z_]\w*)"
)
_ATTRIBUTE: Final = re.compile(rf"(?<![%\w.])(?P<name>[A-Za-z_][\w.]*) = (?:{_VALUE})")
_SUCCESSOR: Final = re.compile(r"\^bb(\d+)")
#: Attributes that are printed as the first word after the name.
_FIRST_WORD: Final = {
    "arith.cmpi": "predicate",
    "arith.cmpf": "predicate",
    "tt.get_program_id": "axis",
    "tt.get_num_programs": "axis",
    "tt.atomic_rmw": "operation",
    "tt.descriptor_reduce": "operation",
}
#: Attributes whose presence alone says something.
_FLAGS: Final = {"scf.for": ("unsigned",)}
_AXES: Final = {"x": 0, "y": 1, "z": 2}


@frozen
class OpText:
    """One operation as it is printed."""

    name: str
    text: str
    #: Line in the kernel's own file; 0 where none is known.
    line: int
    attributes: Mapping[str, Any] = field(factory=dict)

    @property
    def successors(self) -> tuple[int, ...]:
        """Positions of the blocks that a branch leads to."""
        return tuple(int(number) for number in _SUCCESSOR.findall(self.text))


def print_order(text: str) -> Iterator[OpText]:
    """The operations of a module printed with locations, each one after those that it encloses; not the module."""
    aliases = {match[1]: match[2] for match in map(_ALIAS.match, text.splitlines()) if match}
    file = _kernel_file(text, aliases)
    opened: list[tuple[str, str]] = []
    for line in text.splitlines():
        if line.startswith(("#", "module")) or not line.strip() or line.lstrip().startswith(("^", "//")):
            continue
        body, location = _split(line)
        bare = body.strip()
        if bare.startswith("}"):
            if bare.endswith("{"):  # } else {, } do {, }, {
                continue
            if not opened:
                continue  # the module's own end
            name, head = opened.pop()
            yield _op(name, f"{head} {bare}", _line(location, aliases, file))
            continue
        match = _HEAD.match(body)
        if not match:
            raise ToolchainError(f"Triton printed a line that is no operation: {bare[:200]}", log=bare)
        if bare.endswith("{"):
            opened.append((match[1], bare))
        else:
            yield _op(match[1], bare, _line(location, aliases, file))


def parameter_names(text: str) -> tuple[str, ...]:
    """Names of the public function's parameters, as in the source."""
    aliases = {match[1]: match[2] for match in map(_ALIAS.match, text.splitlines()) if match}
    head = next(line for line in text.splitlines() if line.startswith("  tt.func public"))
    names: list[str] = []
    for argument in re.split(r"(?=%[\w$.-]+: )", head[head.index("(") + 1 :])[1:]:
        location = re.search(r"loc\((.*?)\)+", argument)
        named = re.findall(r'"([^"]+)"\(', _resolve(location[1], aliases)) if location else []
        names.append(named[-1] if named else f"arg{len(names)}")  # assignments wrap further names around it
    return tuple(names)


def _split(line: str) -> tuple[str, str]:
    """A line without the location at its end, and that location."""
    start = line.rfind(" loc(")
    if start < 0 or not line.rstrip().endswith(")"):
        return line, ""
    return line[:start], line[start + len(" loc(") : -1]


def _kernel_file(text: str, aliases: Mapping[str, str]) -> str | None:
    """The file that the public function is in."""
    lines = iter(text.splitlines())
    for line in lines:
        if line.startswith("  tt.func public"):
            break
    for line in lines:
        if line.startswith("  }"):
            files = _FILE_LINE.findall(_resolve(_split(line)[1], aliases))
            return files[0][0] if files else None
    return None


def _resolve(location: str, aliases: Mapping[str, str]) -> str:
    while True:
        expanded = _REFERENCE.sub(lambda match: aliases.get(match[0], "unknown"), location)
        if expanded == location:
            return location
        location = expanded


def _line(location: str, aliases: Mapping[str, str], file: str | None) -> int:
    """The innermost line of the kernel's own file: a location lists callees before their callers."""
    for name, line in _FILE_LINE.findall(_resolve(location, aliases)):
        if name == file:
            return int(line)
    return 0


def _op(name: str, text: str, line: int) -> OpText:
    attributes: dict[str, Any] = {}
    if name not in ("arith.constant", "tt.func"):
        rest = text[text.index(name) + len(name) :].lstrip('"')
        attributes = {match["name"]: _value(match) for match in _ATTRIBUTE.finditer(rest)}
        if name in _FIRST_WORD:
            word = rest.split()[0].rstrip(",")
            attributes[_FIRST_WORD[name]] = _AXES[word] if _FIRST_WORD[name] == "axis" else word
        for flag in _FLAGS.get(name, ()):
            if flag in rest.split(" {")[0].split():
                attributes[flag] = True
    return OpText(name, text, line, attributes)


def _value(match: re.Match[str]) -> Any:
    if match["text"] is not None:
        return match["text"]
    if match["number"] is not None:
        return int(match["number"])
    if match["word"] is not None:
        return {"true": True, "false": False}.get(match["word"], match["word"])
    return [int(item) for item in (match["list"] or "").split(",") if item.strip()]


def constant(text: str, dtype: str, floating: bool) -> Any:
    """The contents of an ``arith.constant``: a number, or the flat list of a dense constant that is no splat."""
    start = text.index("arith.constant") + len("arith.constant")
    value = re.sub(r"^\s*(?:\{[^}]*\}\s*)?", "", text[start:])
    dense = re.match(r"dense<(.*)> : ", value)
    if not dense:
        return _number(value.split(" : ")[0].strip(), dtype, floating)
    inside = dense[1]
    if inside.startswith('"0x'):
        return _raw(bytes.fromhex(inside.strip('"')[2:]), dtype)
    items = [item for item in re.split(r"[\[\],\s]+", inside) if item]
    numbers = [_number(item, dtype, floating) for item in items]
    return numbers if inside.startswith("[") else numbers[0]


def _number(item: str, dtype: str, floating: bool) -> Any:
    if item in ("true", "false"):
        return item == "true"
    if not floating:
        return int(item, 0)
    if item.lower().startswith("0x"):  # the bit pattern, for what has no short decimal form
        width = {"fp64": 8, "fp32": 4, "fp16": 2, "bf16": 2}.get(dtype, 1)
        return _raw(int(item, 16).to_bytes(width, "little"), dtype)[0]
    return float(item)


def _raw(data: bytes, dtype: str) -> list[Any]:
    """Elements from their bytes, as MLIR keeps them."""
    if dtype in SOFT:
        bits = np.frombuffer(data, np.uint16 if SOFT[dtype] == 16 else np.uint8)
        return [float(value) for value in decode(bits, dtype)]
    names = {"fp64": "<f8", "fp32": "<f4", "fp16": "<f2", "i1": "?"}
    values = np.frombuffer(data, names.get(dtype, f"<i{int(dtype[1:]) // 8}" if dtype[0] == "i" else "?"))
    return list(values.tolist())
