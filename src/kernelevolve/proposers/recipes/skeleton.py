"""Skeletons: kernel files with slots, kept as data in ``opencl/*.cl``. `docs/reference/recipes.md` has the syntax."""

from __future__ import annotations

__all__ = ["Skeleton", "fill", "names", "read_skeleton", "vector_types"]

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from importlib import resources

from attrs import field, frozen

from kernelevolve.errors import KernelFileError, UnknownNameError

_SLOT = re.compile(r"\{\{(\w+)\}\}")
_DIRECTIVE = re.compile(r"^//: (\w+) (.*)$")
_DIRECTIVES = ("form", "note", "like", "transform", "device", "rank")


@frozen
class Skeleton:
    """One recipe's kernel file with slots."""

    name: str
    #: Which analysis fills it: ``rows``, ``elementwise``, ``contraction`` or ``search``.
    form: str
    #: What it does to the kernel, in one line.
    note: str
    template: str
    #: Parts that a form repeats, by name.
    blocks: Mapping[str, str] = field(hash=False)
    #: Rewrites of the canonical code that come before the filling.
    transforms: tuple[str, ...] = ()
    #: Whether it only pays on a device of its own, as work shared by the items of a group does not on a CPU.
    discrete_only: bool = False
    #: Recipes that promise more come first: lower ranks before higher ones.
    rank: int = 50

    def block(self, name: str, slots: Mapping[str, str]) -> str:
        """The block called `name`, filled."""
        if name not in self.blocks:
            raise KernelFileError(f"recipe {self.name}: no block {name!r}; add the line '//: block {name}'")
        return fill(self.blocks[name], slots, self.name)


@lru_cache(maxsize=1)
def names() -> tuple[str, ...]:
    """Every recipe's name (its file's, with dashes), those that promise most first."""
    files = (file.name for file in resources.files(__package__).joinpath("opencl").iterdir())
    found = (file[:-3].replace("_", "-") for file in files if re.fullmatch(r"[a-z_]+\.cl", file))
    return tuple(sorted(found, key=lambda name: (read_skeleton(name).rank, name)))


def _text(name: str) -> str:
    file = resources.files(__package__).joinpath("opencl", f"{name.replace('-', '_')}.cl")
    if not file.is_file():
        raise UnknownNameError("recipe", name, names())
    return file.read_text(encoding="utf-8")


@lru_cache(maxsize=64)
def read_skeleton(name: str) -> Skeleton:
    """The recipe called `name`. Raises `UnknownNameError`, or `KernelFileError` for a line it cannot read."""
    said: dict[str, str] = {}
    parts: dict[str, list[str]] = {"": []}
    part = ""
    for number, line in enumerate(_text(name).splitlines(), 1):
        match = _DIRECTIVE.match(line)
        if match is None:
            parts[part].append(line)
        elif match[1] == "block":
            part = match[2].strip()
            parts[part] = []
        elif match[1] in _DIRECTIVES:
            said[match[1]] = match[2].strip()
        else:
            known = ", ".join((*_DIRECTIVES, "block"))
            raise KernelFileError(f"{name}:{number}: unknown directive {match[1]!r}; there is {known}")
    texts = {key: "\n".join(lines).strip("\n") for key, lines in parts.items()}
    base = read_skeleton(said["like"]) if "like" in said else None
    template = texts.pop("") or (base.template if base else "")
    return Skeleton(
        name=name,
        form=said.get("form", base.form if base else ""),
        note=said.get("note", ""),
        template=template,
        blocks={**(base.blocks if base else {}), **texts},
        transforms=tuple(said.get("transform", "").split()),
        discrete_only=said.get("device") == "discrete",
        rank=int(said.get("rank", "50")),
    )


def fill(template: str, slots: Mapping[str, str], name: str) -> str:
    """`template` with each ``{{slot}}`` replaced; a line whose slot is empty goes. Raises `KernelFileError`."""

    def value(match: re.Match[str]) -> str:
        if match[1] not in slots:
            raise KernelFileError(f"recipe {name}: unknown slot {match[1]!r}; there is {', '.join(sorted(slots))}")
        return slots[match[1]]

    lines = []
    for line in template.split("\n"):
        filled = _SLOT.sub(value, line)
        if filled.strip() not in ("", "//") or not _SLOT.search(line):
            lines.append(filled)
    return "\n".join(lines)


def vector_types(kinds: Iterable[str], code: str) -> str:
    """What `code` uses of ``vectors.h.cl``: its macros, and its types for each element type in `kinds`."""
    if not kinds:
        return ""
    always, divide, each = re.split(r"//: \w+\n", _text("vectors.h"))
    parts = [always, divide if "DIVIDE(" in code else ""]
    parts += [_used(each.replace("KIND", kind), kind, code) for kind in sorted(set(kinds))]
    return "\n".join(part.strip() for part in parts if part)


def _used(text: str, kind: str, code: str) -> str:
    optional = (f"#define to_{kind}(", f"to_{kind}("), (f" {kind}u_t ", f"{kind}u_t"), (f" {kind}l_t;", f"{kind}l_t")
    dropped = [line for line, word in optional if word not in code]
    return "\n".join(line for line in text.split("\n") if not any(part in line for part in dropped))
