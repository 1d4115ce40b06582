"""The ablation's tables in Markdown, and where they stand in a page."""

from __future__ import annotations

__all__ = ["BEGIN", "END", "tables", "written_into"]

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Final

from benchmarks.ablation.intervals import Mean, mean_of, paired
from benchmarks.ablation.results import Values, per_seed
from benchmarks.ablation.studies import MEMORIES, POLICIES, VARIATIONS
from kernelevolve.errors import KernelEvolveError

#: Between these a page's tables are written anew.
BEGIN: Final = "<!-- tables: python -m benchmarks.search_ablation --page -->"
END: Final = "<!-- end of tables -->"
Result = Mapping[str, Any]


def written_into(page: str, text: str) -> str:
    """`page` with `text` between its marks. Raises `KernelEvolveError` where it has none."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise KernelEvolveError(f"the page has no lines {BEGIN!r} and {END!r} to write the tables between")
    return f"{before}{begin}\n\n{text.strip()}\n\n{end}{after}"


def tables(result: Result) -> str:
    """Every table whose study is in the result."""
    made = {
        "factorial": (_landscapes, _policies, _memories, _calibration, _knowledge, _crossed),
        "restarts": (_restarts,),
        "proposers": (_proposers,),
        "sensitivity": (_sensitivity,),
    }
    studies = {arm["study"] for arm in result["arms"]}
    parts = [part(result) for study, several in made.items() if study in studies for part in several]
    return "\n\n".join(parts) + "\n"


def _table(title: str, heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [f"**{title}**", "", _line(heads), "|" + "---|" * len(heads), *map(_line, rows)]
    return "\n".join(lines)


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _places(result: Result) -> dict[int, int]:
    """The checkpoints that tables show, by evaluations: a tenth, a quarter, a half and the whole of a run."""
    points = list(result["settings"]["checkpoints"])
    wanted = {min(points, key=lambda point: abs(point - share * points[-1])) for share in (0.1, 0.25, 0.5, 1.0)}
    return {point: points.index(point) for point in sorted(wanted)}


def _cells(values: Values, places: Mapping[int, int]) -> list[str]:
    return [mean_of(values[:, place]).text() for place in places.values()]


def _labelled(label: str, arm: Mapping[str, Any]) -> bool:
    return bool(arm["label"] == label)


def _landscapes(result: Result) -> str:
    rows = [
        [
            f"`{name}`",
            about["origin"].partition(":")[0],
            str(about["points"]),
            str(about["fell"]),
            str(about["dimensions"]),
            f"{about['median_over_optimum']:.1f}",
        ]
        for name, about in result["landscapes"].items()
    ]
    heads = ("landscape", "times", "kernels", "of which fall", "dimensions", "median time over the best")
    return _table("Landscapes", heads, rows)


def _compared(
    result: Result, title: str, first: str, names: Sequence[str], pick: Callable[[str, Mapping[str, Any]], bool]
) -> str:
    """Main effects: each level averaged over everything else, and the paired difference to the first level."""
    places = _places(result)
    levels = {name: per_seed(result, "factorial", partial(pick, name)) for name in names}
    reference = levels[names[0]]
    rows = []
    for name, values in levels.items():
        early, late = list(places.values())[1], list(places.values())[-1]
        gaps = [paired(values[:, place], reference[:, place]) for place in (early, late)]
        shown = ["", ""] if name == names[0] else [gap.text(signed=True) for gap in gaps]
        rows.append([f"`{name}`", *_cells(values, places), *shown])
    points = list(places)
    heads = [first, *(f"after {point}" for point in points), f"over `{names[0]}` at {points[1]}", f"at {points[-1]}"]
    return _table(title, heads, rows)


def _policies(result: Result) -> str:
    return _compared(
        result,
        "Policies, over all memories, with and without knowledge: share of the optimum reached",
        "policy",
        POLICIES,
        lambda name, arm: arm["policy"] == name,
    )


def _memories(result: Result) -> str:
    return _compared(result, "Memories, over all policies", "memory", MEMORIES, lambda name, arm: arm["memory"] == name)


def _calibration(result: Result) -> str:
    """What the model of proposals came to, in the figures that a published study of real proposals reports."""
    plain = [arm for arm in result["arms"] if arm["study"] == "factorial" and not arm["knowledge"]]
    rows = []
    for memory in MEMORIES:
        arms = [arm for arm in plain if arm["memory"] == memory]
        fell, best = (sum(arm[key] for arm in arms) / len(arms) for key in ("fell", "best_run"))
        steps = [arm["under_way"] for arm in arms if arm["under_way"] is not None]
        shown = f"{sum(steps) / len(steps):.1f}" if len(steps) == len(arms) else "never, for some policy"
        rows.append([f"`{memory}`", f"{fell:.0%}", shown, f"{best:.3f}"])
    heads = ("memory", "fell", "evaluations to 1.2 times the seed", "best of all seeds at the end")
    return _table("Memories, over all policies, without knowledge", heads, rows)


def _knowledge(result: Result) -> str:
    return _compared(
        result,
        "Knowledge, over all policies and memories",
        "knowledge",
        ("off", "on"),
        lambda name, arm: arm["knowledge"] is (name == "on"),
    )


def _crossed(result: Result) -> str:
    last = len(result["settings"]["checkpoints"]) - 1

    def cell(policy: str, memory: str) -> str:
        def chosen(arm: Mapping[str, Any]) -> bool:
            return (arm["policy"], arm["memory"], arm["knowledge"]) == (policy, memory, False)

        return mean_of(per_seed(result, "factorial", chosen)[:, last]).text()

    rows = [[f"`{policy}`", *(cell(policy, memory) for memory in MEMORIES)] for policy in POLICIES]
    heads = ["policy", *(f"`{memory}`" for memory in MEMORIES)]
    return _table("At the end, without knowledge", heads, rows)


def _restarts(result: Result) -> str:
    places = _places(result)
    last = list(places.values())[-1]
    rows = []
    for policy in POLICIES:
        off, on = (per_seed(result, "restarts", partial(_labelled, f"{policy}/{state}")) for state in ("off", "on"))
        gap = paired(on[:, last], off[:, last])
        rows.append([f"`{policy}`", mean_of(off[:, last]).text(), mean_of(on[:, last]).text(), gap.text(signed=True)])
    return _table("Restarts, memory `both`, at the end", ("policy", "without", "with", "difference"), rows)


def _proposers(result: Result) -> str:
    places = _places(result)
    rows = []
    for arm in result["arms"]:
        if arm["study"] == "proposers":
            values = per_seed(result, "proposers", partial(_labelled, arm["label"]))
            rows.append([f"`{arm['label']}`", *_cells(values, places), f"{arm['dollars']:.2f}", f"{arm['fell']:.0%}"])
    heads = ["proposer", *(f"after {point}" for point in places), "dollars a run", "fell"]
    return _table("Proposers in one run, `map-elites`, memory `bandit`", heads, rows)


def _sensitivity(result: Result) -> str:
    last = len(result["settings"]["checkpoints"]) - 1
    arms = {arm["label"]: arm for arm in result["arms"] if arm["study"] == "sensitivity"}
    watched = sorted({tuple(label.split("/")[1:]) for label in arms}, key=_order)

    def at_end(variation: str, policy: str, memory: str) -> Mean:
        wanted = partial(_labelled, f"{variation}/{policy}/{memory}")
        return mean_of(per_seed(result, "sensitivity", wanted)[:, last])

    rows = [
        [variation, *(f"{at_end(variation, policy, memory).value:.3f}" for policy, memory in watched)]
        for variation in VARIATIONS
    ]
    widest = max(
        (found.high - found.low) / 2
        for variation in VARIATIONS
        for one in watched
        for found in [at_end(variation, *one)]
    )
    heads = ["proposals", *(f"`{policy}` `{memory}`" for policy, memory in watched)]
    title = f"Sensitivity, at the end, without knowledge; half an interval is {widest:.3f} at most"
    return _table(title, heads, rows)


def _order(one: tuple[str, ...]) -> tuple[int, int]:
    return POLICIES.index(one[0]), MEMORIES.index(one[1])
