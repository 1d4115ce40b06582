"""All pages together: the built-in ones and folders of a user's own, filtered by what they are about and searched."""

from __future__ import annotations

__all__ = ["PAGES", "VARIABLE", "Library", "Match"]

import os
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import cached_property
from itertools import groupby
from pathlib import Path
from typing import Any, Final

from attrs import field, frozen

from kernelevolve.errors import KernelEvolveError, UnknownNameError
from kernelevolve.knowledge.bottleneck import Bottleneck
from kernelevolve.knowledge.hardware import family_of
from kernelevolve.knowledge.page import Kind, Page, PageError, Phase, parse_page

#: The built-in pages.
PAGES: Final = Path(__file__).with_name("pages")
#: Folders of a user's own, separated as in PATH.
VARIABLE: Final = "KERNELEVOLVE_KNOWLEDGE"
_WORD: Final = re.compile(r"[a-z0-9]+")
#: Words without a meaning of their own; a page has them whatever it is about.
_COMMON: Final = frozenset(
    _WORD.findall(
        "a an and are as at be by can do does for from has have how if in into is it its no not of on one or so than "
        "that the then there this to use used what when where which with you your"
    )
)
#: How often the title counts beside the body: BM25 has no fields, and a title says what a page is about.
_TITLE_WEIGHT: Final = 4
#: Digits of a score that count: below is rounding, which must not decide a rank.
_DIGITS: Final = 4


@frozen
class Match:
    """A page that was found, and how well it fits; comparable within one search only."""

    page: Page
    score: float


@frozen(slots=False, eq=False)
class Library:
    """Pages by id. Immutable: what changes on disk afterwards changes nothing here."""

    pages: Mapping[str, Page] = field(repr=lambda pages: f"<{len(pages)} pages>")

    @classmethod
    def load(cls, folders: Iterable[Path] = (), *, builtin: bool = True, environment: bool = True) -> Library:
        """The built-in pages, those of `folders`, and those that the variable KERNELEVOLVE_KNOWLEDGE names.

        A later page replaces an earlier one with the same id. Raises `PageError` for a page that cannot be used,
        `KernelEvolveError` for a folder that is not there.
        """
        named = os.environ.get(VARIABLE, "").split(os.pathsep) if environment else []
        own = [*(Path(name) for name in named if name), *folders]
        for folder in own:
            if not folder.is_dir():
                raise KernelEvolveError(f"there is no folder of knowledge at {folder}")
        pages: dict[str, Page] = {}
        for folder in (*((PAGES,) if builtin else ()), *own):
            pages |= {page.id: page for page in _read(folder)}
        return cls(dict(sorted(pages.items())))

    def __len__(self) -> int:
        return len(self.pages)

    def page(self, id: str) -> Page:  # noqa: A002  (the page's own word)
        """The page called `id`, or the only one whose path ends so. Raises `UnknownNameError` with near ones."""
        name = id.removesuffix(".md").strip("/")
        if name in self.pages:
            return self.pages[name]
        ending = [page for page in self.pages.values() if page.id.endswith(f"/{name}")]
        if len(ending) == 1:
            return ending[0]
        near = [page.id for page in ending] or [match.page.id for match in self.search(name, limit=5)]
        raise UnknownNameError("page", id, near or list(self.pages)[:10])

    def select(
        self,
        *,
        kind: Kind | None = None,
        language: str | None = None,
        hardware: Collection[str] | None = None,
        bottleneck: Bottleneck | None = None,
        phase: Phase | None = None,
    ) -> tuple[Page, ...]:
        """The pages that hold for all facets which are given, by id. A page without a facet holds for all of them.

        `hardware` is every name that a device answers to (`hardware_names`). A family alone also finds the pages on
        its chips.
        """

        def holds(facet: Sequence[str], wanted: str | None) -> bool:
            return wanted is None or not facet or wanted in facet

        return tuple(
            page
            for page in self.pages.values()
            if (kind is None or page.kind is kind)
            and holds(page.languages, language)
            and holds(page.bottlenecks, bottleneck)
            and holds(page.phases, phase)
            and (hardware is None or _fits(page.hardware, hardware))
        )

    def search(self, query: str, *, among: Iterable[Page] | None = None, limit: int = 10) -> tuple[Match, ...]:
        """The pages that fit `query` best (BM25), at most `limit`; equals by id. Pages without any of its words are
        not found.
        """
        tokens = _tokens(query)
        if not tokens or not self.pages:
            return ()
        allowed = None if among is None else {page.id for page in among}
        scores = self._index.get_scores(tokens)
        found = [
            Match(page, round(float(score), _DIGITS))
            for page, score in zip(self.pages.values(), scores, strict=True)
            if allowed is None or page.id in allowed
        ]
        return tuple(sorted((one for one in found if one.score > 0), key=lambda one: (-one.score, one.page.id))[:limit])

    def index(self) -> str:
        """The page of all pages, by folder: id, title, what each is about."""
        lines = [f"# Knowledge: {len(self.pages)} pages"]
        for folder, pages in groupby(self.pages.values(), key=lambda page: page.id.rpartition("/")[0]):
            lines += ["", f"## {folder or 'pages'}"]
            lines += [f"- `{page.id}`: {page.title}{f' ({page.about})' if page.about else ''}" for page in pages]
        return "\n".join(lines) + "\n"

    @cached_property
    def _index(self) -> Any:
        import bm25s  # type: ignore[import-untyped]  # noqa: PLC0415

        index = bm25s.BM25()
        index.index([_tokens(_document(page)) for page in self.pages.values()], show_progress=False)
        return index


def _read(folder: Path) -> list[Page]:
    pages = []
    for path in sorted(folder.rglob("*.md")):
        inside = path.relative_to(folder)
        if path.name == "README.md" or any(part.startswith(".") for part in inside.parts):
            continue
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise PageError(f"{path}: cannot be read: {error}") from None
        pages.append(parse_page(text, inside.with_suffix("").as_posix(), origin=str(path)))
    return pages


def _fits(page: Sequence[str], names: Collection[str]) -> bool:
    return not page or any(one in names or _chip_of(one, names) for one in page)


def _chip_of(chip: str, names: Collection[str]) -> bool:
    """Whether `chip` is of a family in `names`, none of whose chips is there: who asks for a family asks for all."""
    family = family_of(chip)
    return family in names and not any(family_of(name) == family for name in names)


def _document(page: Page) -> str:
    facets = (*page.languages, *page.hardware, *page.bottlenecks, *page.problems)
    return " ".join([*[page.title] * _TITLE_WEIGHT, page.id, *facets, page.body])


def _tokens(text: str) -> list[str]:
    """Words in lower case, without the commonest ones and common endings: ``Spilled registers`` → spill, register."""
    return [_stem(word) for word in _WORD.findall(text.lower().replace("_", " ")) if word not in _COMMON]


def _stem(word: str) -> str:
    """A crude stem, the same for query and page: no stemmer knows words like ``constexpr``, and none is needed here."""
    least = 4
    for ending in ("ing", "ed", "es", "s", "e"):
        if word.endswith(ending) and len(word) - len(ending) >= least and not word.endswith("ss"):
            return word.removesuffix(ending)
    return word
