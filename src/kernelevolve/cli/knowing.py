"""``knowledge``: pages, their search, and the lessons of earlier runs."""

from __future__ import annotations

__all__ = ["knowledge_app"]

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kernelevolve.cli.output import Exit, Output

if TYPE_CHECKING:
    from kernelevolve.knowledge import Library, Page
    from kernelevolve.store import Lesson

knowledge_app = typer.Typer(
    help="What is known of hardware and languages, and what earlier runs learnt.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
lesson_app = typer.Typer(help="Change one lesson, or add one.", no_args_is_help=True, rich_markup_mode=None)
knowledge_app.add_typer(lesson_app, name="lesson")

Json = Annotated[bool, typer.Option("--json", help="One JSON document on standard output.")]
StoreUrl = Annotated[
    str | None, typer.Option("--store", envvar="KERNELEVOLVE_STORE", help="Database URL, e.g. sqlite:///runs.db")
]
Folders = Annotated[
    list[Path] | None, typer.Option("--knowledge", help="A folder of pages of your own; repeatable.", metavar="DIR")
]
KindName = Annotated[str | None, typer.Option("--kind", help="constraint, guidance, architecture …")]
Language = Annotated[str | None, typer.Option("--language", "-l", help="opencl, triton or numba.")]
Hardware = Annotated[
    str | None, typer.Option("--hardware", help="nvidia, amd, mtia, opencl-cpu, or a chip: sm_90, gfx942, mtia2i.")
]
BottleneckName = Annotated[str | None, typer.Option("--bottleneck", "-b", help="memory-bound, spilling, wrong-edges …")]
PhaseName = Annotated[str | None, typer.Option("--phase", help="draft, improve, repair or tune.")]
Problem = Annotated[str | None, typer.Option("--problem", "-p", help="Only lessons on this problem.")]
Accelerator = Annotated[str | None, typer.Option("--accelerator", "-a", help="Only lessons from this accelerator.")]
Number = Annotated[int, typer.Argument(help="A lesson's number; see: kernelevolve knowledge lessons", min=1)]


# --- pages


@knowledge_app.command("list")
def list_(
    kind: KindName = None,
    language: Language = None,
    hardware: Hardware = None,
    bottleneck: BottleneckName = None,
    phase: PhaseName = None,
    knowledge: Folders = None,
    json: Json = False,
) -> None:
    """The index of all pages, or of those that hold for what is named."""
    from kernelevolve.knowledge import Library

    output = Output(json=json)
    library = _library(knowledge)
    pages = _selected(library, kind, language, hardware, bottleneck, phase)
    if output.json:
        output.document({"pages": [_page_record(page) for page in pages]})
    else:
        output.line(Library({page.id: page for page in pages}).index().rstrip("\n"))


@knowledge_app.command()
def search(
    query: Annotated[str, typer.Argument(help="Words to look for.")],
    kind: KindName = None,
    language: Language = None,
    hardware: Hardware = None,
    bottleneck: BottleneckName = None,
    phase: PhaseName = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="Pages at most.")] = 10,
    knowledge: Folders = None,
    json: Json = False,
) -> None:
    """The pages that fit QUERY best, among those that hold for what is named. Exit status 1 where none does."""
    output = Output(json=json)
    library = _library(knowledge)
    among = _selected(library, kind, language, hardware, bottleneck, phase)
    matches = library.search(query, among=among, limit=limit)
    if output.json:
        output.document(
            {"query": query, "matches": [{"score": match.score, **_page_record(match.page)} for match in matches]}
        )
    for match in () if output.json else matches:
        output.line(f"{match.score:6.2f}  {match.page.id}: {match.page.title}")
    if not matches:
        output.note(f"none of {len(among)} pages has a word of {query!r}")
        raise typer.Exit(Exit.NO)


@knowledge_app.command()
def show(
    page: Annotated[str, typer.Argument(help="A page's id, or the end of it; see: kernelevolve knowledge list")],
    knowledge: Folders = None,
    json: Json = False,
) -> None:
    """Print one page."""
    output = Output(json=json)
    found = _library(knowledge).page(page)
    if output.json:
        output.document(_page_record(found) | {"text": found.body})
        return
    output.note(f"{found.id} ({found.kind}{f'; {found.about}' if found.about else ''})")
    output.line(found.body.strip())
    output.line("\n".join(["", "Sources:", *(f"- {source}" for source in found.sources)]))


def _library(folders: list[Path] | None) -> Library:
    from kernelevolve.knowledge import Library

    return Library.load(folders or ())


def _selected(
    library: Library,
    kind: str | None,
    language: str | None,
    hardware: str | None,
    bottleneck: str | None,
    phase: str | None,
) -> tuple[Page, ...]:
    from kernelevolve.knowledge import Bottleneck, Kind, Phase
    from kernelevolve.knowledge.hardware import family_of
    from kernelevolve.knowledge.page import LANGUAGES

    names = None if hardware is None else {hardware, family_of(hardware) or hardware}
    if hardware is not None:
        known = {one for page in library.pages.values() for one in page.hardware}
        _one_of("hardware", hardware, sorted(known | ({hardware} if family_of(hardware) else set())))
    if language is not None:
        _one_of("language", language, LANGUAGES)
    return library.select(
        kind=_member(Kind, "kind", kind),
        language=language,
        hardware=names,
        bottleneck=_member(Bottleneck, "bottleneck", bottleneck),
        phase=_member(Phase, "phase", phase),
    )


def _member(choices: Any, what: str, name: str | None) -> Any:
    return None if name is None else choices(_one_of(what, name, [one.value for one in choices]))


def _one_of(what: str, name: str, known: Any) -> str:
    from kernelevolve.errors import UnknownNameError

    if name not in known:
        raise UnknownNameError(what, name, known)
    return name


def _page_record(page: Page) -> dict[str, Any]:
    return {
        "page": page.id,
        "title": page.title,
        "kind": page.kind.value,
        "languages": list(page.languages),
        "hardware": list(page.hardware),
        "bottleneck": [one.value for one in page.bottlenecks],
        "phase": [one.value for one in page.phases],
        "problems": list(page.problems),
        "sources": list(page.sources),
        "file": page.origin,
    }


# --- lessons


@knowledge_app.command()
def lessons(
    problem: Problem = None,
    accelerator: Accelerator = None,
    all_: Annotated[bool, typer.Option("--all", help="Those that are switched off too.")] = False,
    store: StoreUrl = None,
    json: Json = False,
) -> None:
    """What earlier runs learnt, the oldest first."""
    output = Output(json=json)
    found = _lessons(store, problem, accelerator, everything=all_)
    if output.json:
        output.document({"lessons": [_lesson_record(lesson) for lesson in found]})
        return
    for lesson in found:
        output.line(f"{lesson.id:4}  {_about(lesson)}\n      {lesson.text}")
    if not found:
        output.note("no lessons yet; runs leave them behind when they end")


@knowledge_app.command()
def export(
    to: Annotated[
        Path | None, typer.Option("--to", help="Write Markdown to this file, not to standard output.")
    ] = None,
    problem: Problem = None,
    accelerator: Accelerator = None,
    all_: Annotated[bool, typer.Option("--all", help="Those that are switched off too.")] = False,
    store: StoreUrl = None,
    json: Json = False,
) -> None:
    """All lessons as Markdown, or with --json with every number that they rest on."""
    output = Output(json=json)
    found = _lessons(store, problem, accelerator, everything=all_)
    text = _markdown(found)
    if to is not None:
        _write(to, text)
        output.note(f"wrote {len(found)} lessons to {to}")
    if output.json:
        output.document(
            {"lessons": [_lesson_record(lesson) for lesson in found], "file": None if to is None else str(to)}
        )
    elif to is None:
        output.line(text.rstrip("\n"))


@lesson_app.command()
def edit(
    number: Number, text: Annotated[str, typer.Argument(help="What it says from now on.")], store: StoreUrl = None,
    json: Json = False,
) -> None:  # fmt: skip
    """Reword a lesson; its numbers stay."""
    _change(Output(json=json), store, number, text=_text(text))


@lesson_app.command()
def off(number: Number, store: StoreUrl = None, json: Json = False) -> None:
    """Keep a lesson, and show it to no later run."""
    _change(Output(json=json), store, number, active=False)


@lesson_app.command()
def on(number: Number, store: StoreUrl = None, json: Json = False) -> None:
    """Show a lesson to later runs again."""
    _change(Output(json=json), store, number, active=True)


@lesson_app.command()
def remove(number: Number, store: StoreUrl = None, json: Json = False) -> None:
    """Forget a lesson for good; it is printed once more."""
    from kernelevolve.store import Store

    with Store.open(store) as opened:
        gone = opened.lessons.remove(number)
    _print_lesson(Output(json=json), gone, done="removed")


@lesson_app.command()
def add(
    text: Annotated[str, typer.Argument(help="One or two sentences, with numbers.")],
    problem: Annotated[str, typer.Option("--problem", "-p", help="A problem's name; * for all of them.")],
    accelerator: Annotated[str, typer.Option("--accelerator", "-a", help="Holds on this one; all, if left out.")] = "",
    device: Annotated[str, typer.Option("--device", "-d", help="A device's full name; all, if left out.")] = "",
    language: Annotated[str, typer.Option("--language", "-l", help="Holds in this one; all, if left out.")] = "",
    bottleneck: Annotated[str, typer.Option("--bottleneck", "-b", help="What it helps against.")] = "",
    store: StoreUrl = None,
    json: Json = False,
) -> None:
    """Write down something that you know; later runs see it beside what runs have learnt."""
    from kernelevolve.knowledge import Bottleneck
    from kernelevolve.knowledge.page import LANGUAGES
    from kernelevolve.store import Lesson, Store

    if bottleneck:
        _one_of("bottleneck", bottleneck, [one.value for one in Bottleneck])
    if language:
        _one_of("language", language, LANGUAGES)
    lesson = Lesson(_text(text), problem, accelerator, device, language, bottleneck)
    with Store.open(store) as opened:
        kept = opened.lessons.add(lesson)
    _print_lesson(Output(json=json), kept, done="kept")


def _lessons(url: str | None, problem: str | None, accelerator: str | None, *, everything: bool) -> tuple[Lesson, ...]:
    from kernelevolve.store import Store

    with Store.open(url) as store:
        return store.lessons.all(problem=problem, accelerator=accelerator, active=None if everything else True)


def _change(output: Output, url: str | None, number: int, **values: Any) -> None:
    from kernelevolve.store import Store

    with Store.open(url) as store:
        changed = store.lessons.change(number, **values)
    _print_lesson(output, changed, done="changed")


def _print_lesson(output: Output, lesson: Lesson, *, done: str) -> None:
    if output.json:
        output.document(_lesson_record(lesson))
        return
    output.note(f"{done} lesson {lesson.id} ({_about(lesson)})")
    output.line(lesson.text)


def _text(text: str) -> str:
    from kernelevolve.errors import KernelEvolveError

    if not text.strip():
        raise KernelEvolveError("a lesson has a text; to silence one: kernelevolve knowledge lesson off NUMBER")
    return text.strip()


def _about(lesson: Lesson) -> str:
    place = ": ".join(part for part in (lesson.accelerator, lesson.device) if part) or "every device"
    what = [lesson.problem, place, lesson.language, lesson.bottleneck, f"run {lesson.run}" if lesson.run else "by hand"]
    return ", ".join(part for part in what if part) + ("" if lesson.active else ", switched off")


def _lesson_record(lesson: Lesson) -> dict[str, Any]:
    from kernelevolve.evaluation.wire import unstructure

    record: dict[str, Any] = unstructure(lesson)
    return record


def _markdown(found: tuple[Lesson, ...]) -> str:
    """By problem and device, in the order in which they were learnt."""
    groups: dict[str, list[Lesson]] = {}
    for lesson in found:
        place = ": ".join(part for part in (lesson.accelerator, lesson.device) if part) or "every device"
        groups.setdefault(f"{lesson.problem} on {place}", []).append(lesson)
    lines = [f"# Lessons: {len(found)}"]
    for title, group in groups.items():
        lines += ["", f"## {title}"]
        for lesson in group:
            origin = f"run {lesson.run}" if lesson.run else "by hand"
            state = "" if lesson.active else ", switched off"
            lines.append(f"- {lesson.text} ({origin}, lesson {lesson.id}{state})")
    return "\n".join(lines) + "\n"


def _write(path: Path, text: str) -> None:
    from kernelevolve.errors import KernelEvolveError

    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise KernelEvolveError(f"cannot write {path}: {error.strerror}") from None
