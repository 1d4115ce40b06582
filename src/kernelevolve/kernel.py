"""The kernel file: one source file in one language, with a TOML header that declares launches, scratch and tunables.

The header stands in comments between ``# /// kernel`` and ``# ///`` (``//`` in C), in the style of PEP 723. Parsing
never executes anything; every error carries file, line, what was wrong and what would be right.
"""

from __future__ import annotations

__all__ = [
    "Configuration",
    "Kernel",
    "Launch",
    "Scratch",
    "Value",
    "configuration_label",
    "parse_kernel",
    "read_kernel",
    "render_kernel",
]

import hashlib
import itertools
import json
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from attrs import evolve, field, frozen

from kernelevolve.errors import KernelFileError, suggest
from kernelevolve.expressions import Expression, ExpressionError, parse
from kernelevolve.problem import DTYPES

#: A tunable's value.
Value = int | bool | str
#: One value for each tunable of a kernel.
Configuration = Mapping[str, Value]

#: A kernel file is a page of code. The limit stops a reply that repeats itself before any parser sees it.
MAX_BYTES: Final = 256 * 1024
_OPEN = re.compile(r"^(?P<prefix>//|#) /// kernel[ \t]*$", re.MULTILINE)
_NAME = re.compile(r"[A-Za-z_]\w*", re.ASCII)
_TABLE = re.compile(r"\s*(?P<open>\[\[?)(?P<name>[^\[\]]+)\]")
_KEY = re.compile(r"""\s*(?P<name>["']?\w+["']?(\s*\.\s*["']?\w+["']?)*)\s*=""")
_TOP: Final = ("language", "when", "constraints", "tune", "scratch", "launch")
_LAUNCH: Final = ("entry", "grid", "block", "args", "local")


@frozen
class Scratch:
    """A buffer that exists for one run of the plan: poisoned before it, worth nothing after it."""

    shape: tuple[Expression, ...]
    dtype: str = "float32"


@frozen
class Launch:
    """One launch: which entry, over how many groups (`grid`) of how many items (`block`), with which arguments."""

    entry: str
    grid: tuple[Expression, ...]
    #: Empty where the language has no explicit group size (Triton).
    block: tuple[Expression, ...] = ()
    #: Parameters that no name binds, as expressions.
    args: Mapping[str, Expression] = field(factory=dict, hash=False)
    #: Local-memory parameters: how large each is.
    local: Mapping[str, Scratch] = field(factory=dict, hash=False)


@frozen
class Kernel:
    """A parsed kernel file."""

    language: str
    #: The source without its header.
    body: str
    launches: tuple[Launch, ...]
    #: Values each tunable may take; the first is the default.
    tunables: Mapping[str, tuple[Value, ...]] = field(factory=dict, hash=False)
    constraints: tuple[Expression, ...] = ()
    scratch: Mapping[str, Scratch] = field(factory=dict, hash=False)
    #: Which workloads the kernel serves; None: all.
    when: Expression | None = None
    #: What starts a comment in this language: ``//`` or ``#``.
    comment: str = "//"

    @property
    def default(self) -> dict[str, Value]:
        """The first value of each tunable."""
        return {name: values[0] for name, values in self.tunables.items()}

    @property
    def digest(self) -> str:
        """Identity of the file's content (SHA-256 of its canonical text, 16 hex digits)."""
        return hashlib.sha256(render_kernel(self).encode()).hexdigest()[:16]

    def configuration(self, values: Mapping[str, Value] | None = None) -> dict[str, Value]:
        """The default with `values` laid over it. Raises `KernelFileError` for a tunable or value the header lacks."""
        chosen = self.default
        for name, value in (values or {}).items():
            if name not in self.tunables:
                listed = ", ".join(self.tunables) or "none"
                raise KernelFileError(f"unknown tunable {name!r}; there is {listed}.{suggest(name, self.tunables)}")
            if (type(value), value) not in {(type(offered), offered) for offered in self.tunables[name]}:
                listed = ", ".join(map(repr, self.tunables[name]))
                raise KernelFileError(f"tunable {name}={value!r} is not offered; the header lists {listed}")
            chosen[name] = value
        return chosen

    def configurations(self) -> Iterator[dict[str, Value]]:
        """Every configuration, constraints not applied, the default first."""
        for values in itertools.product(*self.tunables.values()):
            yield dict(zip(self.tunables, values, strict=True))

    def with_body(self, body: str) -> Kernel:
        """The same header over another source."""
        return evolve(self, body=body)

    def with_default(self, configuration: Configuration) -> Kernel:
        """The same kernel with `configuration` as its default: chosen values stand first; unknown ones are ignored."""
        tunables: dict[str, tuple[Value, ...]] = {}
        for name, values in self.tunables.items():
            first = configuration.get(name, values[0])
            rest = tuple(value for value in values if value != first)
            tunables[name] = (first, *rest) if len(rest) < len(values) else values
        return evolve(self, tunables=tunables)

    def __str__(self) -> str:
        return render_kernel(self)


def configuration_label(configuration: Configuration) -> str:
    """``LANES=8,WORK=2``: a configuration's name in tables and stores."""
    return ",".join(f"{name}={value}" for name, value in sorted(configuration.items()))


def read_kernel(path: Path) -> Kernel:
    """Parse the file at `path`. Raises `KernelFileError` where it cannot be read or parsed."""
    try:
        if path.stat().st_size > MAX_BYTES:
            raise KernelFileError(f"{path}: {path.stat().st_size} bytes; a kernel file has at most {MAX_BYTES}")
        text = path.read_text(encoding="utf-8-sig")  # some editors start a file with a byte order mark
    except UnicodeDecodeError:
        raise KernelFileError(
            f"{path}: not UTF-8 text; a kernel file is a source file with a header in comments"
        ) from None
    except OSError as error:
        raise KernelFileError(f"{path}: cannot be read ({error.strerror}); give the path of a kernel file") from None
    return parse_kernel(text, name=str(path))


def parse_kernel(text: str, *, name: str = "<kernel>") -> Kernel:
    """Parse one kernel file. `name` stands for the file in errors. Raises `KernelFileError` and nothing else."""
    try:
        size = len(text.encode())
    except UnicodeEncodeError as error:
        line = text.count("\n", 0, error.start) + 1
        message = f"{name}:{line}: holds half of a surrogate pair, which no UTF-8 file can; remove it"
        raise KernelFileError(message) from None
    if size > MAX_BYTES:
        raise KernelFileError(f"{name}:1: larger than {MAX_BYTES} bytes; a kernel file is one page of code")
    header = _find_header(text.replace("\r\n", "\n"), name)
    try:
        table = tomllib.loads(header.toml)
    except tomllib.TOMLDecodeError as error:
        at = re.search(r"\(at line (\d+)", str(error))
        last = header.toml.count("\n") + 1  # tomllib says "at end of document" instead of a number
        line = header.first_line + (int(at[1]) if at else last) - 1
        raise KernelFileError(f"{name}:{line}: the header is not valid TOML: {error}") from None
    except ValueError as error:  # tomllib lets int() complain of a number with thousands of digits
        raise KernelFileError(f"{name}:{header.first_line}: the header cannot be read: {error}") from None
    except RecursionError:
        raise KernelFileError(f"{name}:{header.first_line}: the header is nested too deeply") from None
    return _Reader(name, header).kernel(table)


@frozen
class _Header:
    prefix: str
    toml: str
    #: Line of the file (from 1) on which the TOML starts.
    first_line: int
    body: str


def _find_header(text: str, name: str) -> _Header:
    opening = _OPEN.search(text)
    if opening is None:
        raise KernelFileError(
            f"{name}:1: no header; a kernel file starts with '# /// kernel' (or '// /// kernel') … '# ///'"
        )
    prefix = opening["prefix"]
    before = text[: opening.start()]
    first = before.count("\n") + 2
    lines = text[opening.end() + 1 :].split("\n")
    toml: list[str] = []
    for index, line in enumerate(lines):
        if line.rstrip() == f"{prefix} ///":
            body = before + "\n".join(lines[index + 1 :])
            return _Header(prefix, "\n".join(toml), first, body)
        if line.rstrip() != prefix and not line.startswith(f"{prefix} "):
            break
        toml.append(line[len(prefix) + 1 :])
    raise KernelFileError(f"{name}:{first + len(toml)}: the header is not closed; end it with the line '{prefix} ///'")


def _dotted(key: str) -> list[str]:
    return [part.strip().strip("\"'") for part in key.split(".")]


def _declared_keys(toml: str) -> Iterator[tuple[list[str], int]]:
    """For each line the full key that it declares (empty for none), and in which launch it stands, from 0."""
    table: list[str] = []
    launch = -1
    for line in toml.split("\n"):
        header, key = _TABLE.match(line), _KEY.match(line)
        if header:
            table = _dotted(header["name"])
            launch += header["open"] == "[[" and table == ["launch"]
            yield table, launch
        else:
            yield [*table, *_dotted(key["name"])] if key else [], launch


@frozen
class _Reader:
    """Turns the header's TOML into a `Kernel`; knows the file, so that every error says where."""

    name: str
    header: _Header

    def fail(self, key: str, message: str, *, index: int = 0) -> KernelFileError:
        return KernelFileError(f"{self.name}:{self.line(key, index)}: {message}")

    def line(self, key: str, index: int = 0) -> int:
        """The file's line that declares `key`, or the nearest table around it; else the header's first line."""
        path = _dotted(re.sub(r"^launch\[\d+\]", "launch", key))
        best, found = 0, self.header.first_line
        for offset, (declared, launch) in enumerate(_declared_keys(self.header.toml)):
            fits = declared == path[: len(declared)] and (path[0] != "launch" or max(launch, 0) == index)
            if fits and len(declared) > best:
                best, found = len(declared), self.header.first_line + offset
        return found

    def kernel(self, table: dict[str, Any]) -> Kernel:
        self.only(table, _TOP, "", "header")
        language = table.get("language")
        if not isinstance(language, str) or not _NAME.fullmatch(language):
            raise self.fail("language", 'language is missing or no name; write language = "opencl"')
        launches = table.get("launch")
        if not isinstance(launches, list) or not launches or not all(isinstance(one, dict) for one in launches):
            raise self.fail("launch", "no [[launch]]; declare at least one with entry and grid")
        when = table.get("when")
        return Kernel(
            language=language,
            body=self.header.body,
            launches=tuple(self.launch(one, index) for index, one in enumerate(launches)),
            tunables=self.tunables(self.table(table, "tune")),
            constraints=self.expressions(table.get("constraints", []), "constraints"),
            scratch={k: self.scratch(v, f"scratch.{k}") for k, v in self.table(table, "scratch").items()},
            when=None if when is None else self.expression(when, "when"),
            comment=self.header.prefix,
        )

    def table(self, parent: dict[str, Any], key: str, where: str = "", index: int = 0) -> dict[str, Any]:
        value = parent.get(key, {})
        if not isinstance(value, dict):
            raise self.fail(where + key, f"{where}{key}: a table is needed, not {type(value).__name__}", index=index)
        for name in value:
            if not _NAME.fullmatch(name):
                raise self.fail(
                    where + key, f"{where}{key}: {name!r} is no name; use letters, digits and _", index=index
                )
        return value

    def only(self, table: dict[str, Any], known: Sequence[str], where: str, what: str, index: int = 0) -> None:
        for key in table:
            if key not in known:
                listed = ", ".join(known)
                message = f"unknown key {where + key!r}; a {what} has {listed}.{suggest(key, known)}"
                raise self.fail(where + key, message, index=index)

    def launch(self, table: dict[str, Any], index: int) -> Launch:
        where = f"launch[{index}]."
        self.only(table, _LAUNCH, where, "launch", index)
        entry = table.get("entry")
        if not isinstance(entry, str) or not _NAME.fullmatch(entry):
            raise self.fail(where + "entry", f"{where}entry is missing or no name; name a kernel function", index=index)
        grid = self.expressions(table.get("grid"), where + "grid", index)
        block = self.expressions(table.get("block", []), where + "block", index)
        if not 1 <= len(grid) <= 3:
            raise self.fail(where + "grid", f"{where}grid has {len(grid)} dimensions; 1 to 3 are needed", index=index)
        if len(block) not in (0, len(grid)):
            message = f"{where}block has {len(block)} dimensions and grid has {len(grid)}; they must agree"
            raise self.fail(where + "block", message, index=index)
        args = self.table(table, "args", where, index)
        local = self.table(table, "local", where, index)
        both = [key for key in args if key in local]
        if both:
            message = f"{where}args and {where}local both bind {both[0]!r}; remove one"
            raise self.fail(f"{where}local.{both[0]}", message, index=index)
        return Launch(
            entry=entry,
            grid=grid,
            block=block,
            args={key: self.expression(value, f"{where}args.{key}", index) for key, value in args.items()},
            local={key: self.scratch(value, f"{where}local.{key}", index) for key, value in local.items()},
        )

    def scratch(self, value: object, where: str, index: int = 0) -> Scratch:
        if not isinstance(value, dict) or "shape" not in value:
            message = f'{where}: a shape is needed, as in {{ shape = ["rows", "8"], dtype = "float32" }}'
            raise self.fail(where, message, index=index)
        self.only(value, ("shape", "dtype"), where + ".", "buffer", index)
        dtype = value.get("dtype", "float32")
        if not isinstance(dtype, str) or dtype not in DTYPES:
            message = f"{where}.dtype: unknown dtype {dtype!r}; there is {', '.join(DTYPES)}"
            raise self.fail(f"{where}.dtype", message, index=index)
        return Scratch(shape=self.expressions(value["shape"], f"{where}.shape", index), dtype=dtype)

    def tunables(self, table: dict[str, Any]) -> dict[str, tuple[Value, ...]]:
        tunables: dict[str, tuple[Value, ...]] = {}
        for name, values in table.items():
            where = f"tune.{name}"
            if not isinstance(values, list) or not values:
                raise self.fail(where, f"{where}: a list of at least one value is needed, the default first")
            if not all(isinstance(value, bool | int | str) for value in values):
                raise self.fail(where, f"{where}: values are whole numbers, true, false or text")
            if len({(type(value), value) for value in values}) != len(values) or len(set(map(type, values))) != 1:
                raise self.fail(where, f"{where}: values must be of one type, each listed once")
            tunables[name] = tuple(values)
        return tunables

    def expressions(self, values: object, where: str, index: int = 0) -> tuple[Expression, ...]:
        if not isinstance(values, list):
            raise self.fail(where, f'{where}: a list of expressions is needed, as in ["cdiv(rows, 4)"]', index=index)
        return tuple(self.expression(value, where, index) for value in values)

    def expression(self, value: object, where: str, index: int = 0) -> Expression:
        if isinstance(value, bool) or not isinstance(value, int | str):
            raise self.fail(where, f"{where}: an expression is text or a whole number, not {value!r}", index=index)
        try:
            return parse(str(value))
        except ExpressionError as error:
            raise self.fail(where, f"{where}: {error}", index=index) from None


def render_kernel(kernel: Kernel) -> str:
    """The file's canonical text: ``parse_kernel(render_kernel(k)) == k``."""
    prefix = kernel.comment
    lines = [f"{prefix} /// kernel", *(f"{prefix} {line}".rstrip() for line in _header_lines(kernel)), f"{prefix} ///"]
    return "\n".join(lines) + "\n" + kernel.body


def _header_lines(kernel: Kernel) -> Iterator[str]:
    yield f"language = {_text(kernel.language)}"
    if kernel.when is not None:
        yield f"when = {_text(kernel.when.text)}"
    if kernel.constraints:
        yield f"constraints = {_texts(kernel.constraints)}"
    if kernel.tunables:
        yield "[tune]"
        for name, values in kernel.tunables.items():
            listed = ", ".join(_value(value) for value in values)
            yield f"{name} = [{listed}]"
    for name, scratch in kernel.scratch.items():
        yield f"[scratch.{name}]"
        yield f"shape = {_texts(scratch.shape)}"
        yield f"dtype = {_text(scratch.dtype)}"
    for launch in kernel.launches:
        yield "[[launch]]"
        yield from _launch_lines(launch)


def _launch_lines(launch: Launch) -> Iterator[str]:
    yield f"entry = {_text(launch.entry)}"
    yield f"grid = {_texts(launch.grid)}"
    if launch.block:
        yield f"block = {_texts(launch.block)}"
    if launch.args:
        args = ", ".join(f"{name} = {_text(value.text)}" for name, value in launch.args.items())
        yield f"args = {{ {args} }}"
    if launch.local:
        local = ", ".join(
            f"{name} = {{ shape = {_texts(value.shape)}, dtype = {_text(value.dtype)} }}"
            for name, value in launch.local.items()
        )
        yield f"local = {{ {local} }}"


def _texts(expressions: Sequence[Expression]) -> str:
    return f"[{', '.join(_text(expression.text) for expression in expressions)}]"


def _value(value: Value) -> str:
    return _text(value) if isinstance(value, str) else json.dumps(value)


def _text(text: str) -> str:
    """A TOML basic string. JSON's is one too, but for DEL, which TOML wants escaped."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
