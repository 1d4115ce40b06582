"""One page of knowledge: Markdown with a front matter that says what it is about; `docs/how-to/write-knowledge.md`."""

from __future__ import annotations

__all__ = ["KINDS", "LANGUAGES", "MAX_LINES", "MEASURED", "Kind", "Page", "PageError", "Phase", "parse_page"]

import enum
import re
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, Final

from attrs import field, frozen

from kernelevolve.errors import KernelEvolveError, suggest
from kernelevolve.knowledge.bottleneck import Bottleneck
from kernelevolve.knowledge.hardware import CHIPS, FAMILIES, family_of

#: A page is read by a model that pays for every line of it.
MAX_LINES: Final = 150
#: How a source begins that is a file of this project.
MEASURED: Final = "measured by this project: "
LANGUAGES: Final = ("opencl", "triton", "numba")
_MAX_TITLE: Final = 100
_ID: Final = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*(/[a-z0-9]+(-[a-z0-9]+)*)*")
_FENCE: Final = re.compile(r"\A---[ \t]*\r?\n(?P<header>.*?)^---[ \t]*\r?$\n?", re.DOTALL | re.MULTILINE)


class PageError(KernelEvolveError):
    """A page that cannot be used; the text names file and field."""


class Kind(enum.StrEnum):
    """What a page is."""

    CONSTRAINT = "constraint"
    """What a kernel must or must not do; shown always where it applies."""
    GUIDANCE = "guidance"
    ARCHITECTURE = "architecture"
    OPTIMIZATION = "optimization"
    DEBUGGING = "debugging"
    EXAMPLE = "example"
    LANGUAGE = "language"


class Phase(enum.StrEnum):
    """What a proposal is for."""

    DRAFT = "draft"
    IMPROVE = "improve"
    REPAIR = "repair"
    TUNE = "tune"


#: The folder of each kind; the last four stand in a hardware family's.
KINDS: Final[Mapping[str, Kind]] = {
    "constraints": Kind.CONSTRAINT,
    "guidance": Kind.GUIDANCE,
    "languages": Kind.LANGUAGE,
    "architecture": Kind.ARCHITECTURE,
    "optimization": Kind.OPTIMIZATION,
    "debugging": Kind.DEBUGGING,
    "examples": Kind.EXAMPLE,
}


@frozen
class Page:
    """One page. Where a tuple of facets is empty, the page holds for all of them."""

    #: Its path below the folder of pages, without ``.md``.
    id: str
    title: str
    kind: Kind
    #: Markdown, without the front matter.
    body: str = field(repr=False)
    languages: tuple[str, ...] = ()
    #: Families and chips, as `kernelevolve.knowledge.hardware` names them.
    hardware: tuple[str, ...] = ()
    bottlenecks: tuple[Bottleneck, ...] = ()
    phases: tuple[Phase, ...] = ()
    #: Problems that it is specially about: they raise its rank and exclude nothing.
    problems: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    #: ``key=value`` words that hold for every kernel block of the page.
    examples: str = ""
    #: The file that it was read from, and the line of that file on which `body` begins.
    origin: str = ""
    first_line: int = 1

    @property
    def text(self) -> str:
        """What is shown of it: title, id, body."""
        title = "" if re.match(r"\s*# ", self.body) else f"# {self.title}\n\n"
        return f"<!-- {self.id} -->\n{title}{self.body.strip()}\n"

    @property
    def about(self) -> str:
        """Its facets in a few words; empty where it holds for everything."""
        facets = (self.languages, self.hardware, self.bottlenecks, self.phases)
        return "; ".join(", ".join(facet) for facet in facets if facet)


def parse_page(text: str, id: str, *, origin: str = "") -> Page:  # noqa: A002  (the page's own word)
    """The page in `text`. Raises `PageError` with the file, the field, and what would be right."""
    where = origin or f"{id}.md"
    if not _ID.fullmatch(id):
        raise PageError(f"{where}: a page's path is of lower-case letters, digits and hyphens, not {id!r}")
    metadata, body, first_line = _split(text, where)
    header = _Header(metadata, where)
    kind = Kind(header.one("kind", _values(Kind)))
    _check_place(id, kind, where)
    page = Page(
        id=id,
        title=header.title(),
        kind=kind,
        body=body,
        languages=header.several("languages", LANGUAGES),
        hardware=header.hardware(_own_family(id)),
        bottlenecks=tuple(Bottleneck(one) for one in header.several("bottleneck", _values(Bottleneck))),
        phases=tuple(Phase(one) for one in header.several("phase", _values(Phase))),
        problems=header.words("problems"),
        sources=header.sources(),
        examples=header.text("examples"),
        origin=origin,
        first_line=first_line,
    )
    if not body.strip():
        raise PageError(f"{where}: the page has a front matter and no text")
    if text.count("\n") >= MAX_LINES:
        raise PageError(f"{where}: {text.count(chr(10)) + 1} lines; a page has less than {MAX_LINES}, so split it")
    family = _own_family(id)
    if family and not any(one == family or family_of(one) == family or one.startswith(family) for one in page.hardware):
        raise PageError(f"{where}: hardware: a page under hardware/{family}/ names {family} or a chip of it")
    return page


def _split(text: str, where: str) -> tuple[Mapping[str, Any], str, int]:
    import frontmatter  # noqa: PLC0415
    import yaml  # type: ignore[import-untyped]  # noqa: PLC0415

    match = _FENCE.match(text)
    if match is None:
        raise PageError(f"{where}: a page begins with a front matter: a line ---, then title, kind …, then a line ---")
    try:
        metadata, _ = frontmatter.parse(match[0])
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = "" if mark is None else f":{mark.line + 1}"  # marks count from 0
        what = getattr(error, "problem", None) or "not YAML"
        raise PageError(f"{where}{line}: the front matter is not YAML: {what}") from None
    return metadata, text[match.end() :], match[0].count("\n") + 1


def _own_family(id: str) -> str | None:  # noqa: A002
    parts = id.split("/")
    return parts[1] if parts[0] == "hardware" and len(parts) > 2 else None


def _check_place(id: str, kind: Kind, where: str) -> None:  # noqa: A002
    """The folders that have a meaning hold pages of their kind; a user's other folders hold any."""
    parts = id.split("/")
    folder = parts[2] if parts[0] == "hardware" and len(parts) > 3 else parts[0]
    expected = KINDS.get(folder) if len(parts) > 1 else None
    if expected is not None and kind is not expected:
        raise PageError(f"{where}: kind: pages in {folder}/ are of kind {expected}, not {kind}")


def _values(kind: type[enum.StrEnum]) -> tuple[str, ...]:
    return tuple(one.value for one in kind)


class _Header:
    """The front matter, read field by field."""

    FIELDS: Final = (
        "title", "kind", "languages", "hardware", "bottleneck", "phase", "problems", "sources", "examples"
    )  # fmt: skip

    def __init__(self, values: Mapping[str, Any], where: str) -> None:
        self._values, self._where = values, where
        for name in values:
            if name not in self.FIELDS:
                known = ", ".join(self.FIELDS)
                self._fail(str(name), f"no such field; there is {known}.{suggest(str(name), self.FIELDS)}")

    def _fail(self, name: str, what: str) -> Any:
        raise PageError(f"{self._where}: {name}: {what}")

    def text(self, name: str) -> str:
        value = self._values.get(name, "")
        if not isinstance(value, str) or "\n" in value.strip():
            self._fail(name, f"one line of text is needed, not {value!r}")
        return str(value).strip()

    def title(self) -> str:
        title = self.text("title")
        if not 0 < len(title) <= _MAX_TITLE:
            self._fail("title", f"what the reader learns, in 1 to {_MAX_TITLE} characters; it has {len(title)}")
        return title

    def one(self, name: str, allowed: Collection[str]) -> str:
        value = self.text(name)
        if value not in allowed:
            self._unknown(name, value, allowed)
        return value

    def words(self, name: str) -> tuple[str, ...]:
        value = self._values.get(name) or []
        if not isinstance(value, list) or not all(isinstance(one, str) and one.strip() for one in value):
            self._fail(name, f"a list of words is needed, as in [{name[0]}…, …], not {value!r}")
        return tuple(dict.fromkeys(one.strip() for one in value))

    def several(self, name: str, allowed: Collection[str]) -> tuple[str, ...]:
        return self._each(name, lambda one: one in allowed, allowed)

    def hardware(self, own: str | None) -> tuple[str, ...]:
        def known(one: str) -> bool:
            return one in FAMILIES or family_of(one) is not None or (own is not None and one.startswith(own))

        chips = [f"{family} chips like {pattern.pattern}" for family, pattern in CHIPS.items()]
        return self._each("hardware", known, (*FAMILIES, *chips))

    def sources(self) -> tuple[str, ...]:
        found = self.words("sources")
        if not found:
            self._fail("sources", f"a list of https:// addresses, or of files as in {MEASURED + 'docs/…'!r}")
        for one in found:
            if not one.startswith(("https://", MEASURED)):
                self._fail("sources", f"{one!r} is neither an https:// address nor '{MEASURED}PATH'")
        return found

    def _each(self, name: str, known: Callable[[str], bool], allowed: Collection[str]) -> tuple[str, ...]:
        found = self.words(name)
        for one in found:
            if not known(one):
                self._unknown(name, one, allowed)
        return found

    def _unknown(self, name: str, value: str, allowed: Iterable[str]) -> None:
        listed = ", ".join(allowed)
        self._fail(name, f"{value!r} is not one of {listed}.{suggest(value, allowed)}")
