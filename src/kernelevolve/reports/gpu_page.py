"""The page of the GPU benchmark: Markdown made of its result files and nothing else; the same files, the same page."""

from __future__ import annotations

__all__ = ["render_page"]

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from kernelevolve.reports.gpu_figures import (
    Figures,
    Measured,
    Orientation,
    Record,
    Target,
    best_eager,
    fastest,
    paired,
    why_not,
)

_WORDS: Final = {True: "reached", False: "**not reached**", None: "not measured"}
#: PyTorch's implementations in the order of the columns; others follow.
_EAGER: Final = "eager"


def render_page(
    document: Mapping[str, Any],
    targets: Sequence[Target],
    orientation: Sequence[Orientation],
    *,
    throughput_note: str = "",
) -> str:
    """The whole page; `throughput_note` says what others take for a candidate."""
    figures = Figures(document)
    parts = [
        _head(figures),
        _machine(figures),
        _targets(figures, targets),
        *(_against_torch(figures, name) for name in _accelerators(figures)),
        _not_timed(figures),
        _torch_side(figures),
        _elsewhere(figures, orientation),
        _evolutions(figures),
        _hand_written(figures),
        _throughput(figures, throughput_note),
        _clock(figures),
        _commands(figures),
    ]
    return "\n".join(part for part in parts if part).rstrip() + "\n"


def table(heading: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A Markdown table; empty text where there are no rows."""
    if not rows:
        return ""
    lines = [heading, ["---"] * len(heading), *rows]
    return "\n".join("| " + " | ".join(_cell(cell) for cell in line) + " |" for line in lines) + "\n"


def _cell(value: object) -> str:
    return str(value).replace("|", "\\|").replace("\n", " ")


def _section(title: str, *parts: str) -> str:
    """A heading over what is not empty; nothing where all is."""
    body = [part for part in parts if part]
    return f"## {title}\n\n" + "\n".join(body) if body else ""


def _head(figures: Figures) -> str:
    devices = sorted({one["device"] for one in figures.records if "device" in one})
    title = ", ".join(devices) or "no device"
    return (
        f"# Measured on {title}\n\n"
        "Every number of this page was written by `python -m benchmarks.gpu page` from the result files under\n"
        "`benchmarks/results/`, which hold the raw samples. [How to make them](../how-to/gpu-evidence.md) is another\n"
        "page; [how times are measured](measuring.md) says what a ratio and its interval are.\n"
    )


def _cards(run: Mapping[str, Any]) -> set[str]:
    """The GPUs that the call's accelerators saw, with the driver's own account of itself."""
    return {
        ", ".join(part for part in (device["name"], device["description"].get("driver", "")) if part)
        for device in run.get("devices", {}).values()
        if device.get("host_threads") is None
    }


def _machine(figures: Figures) -> str:
    rows: dict[tuple[str, ...], list[str]] = {}
    for run in figures.runs.values():
        gpu = run["gpu"]
        software = ", ".join(f"{package} {version}" for package, version in run["packages"].items())
        card = ", ".join(part for part in (gpu.get("name"), _prefixed("driver ", gpu.get("driver_version"))) if part)
        host = f"{run['cpu']}, {run['cores']} cores, {run['platform']}, Python {run['python']}"
        ours = f"{run['kernelevolve']} ({run['commit'] or 'commit unknown'})"
        card = card or ", ".join(sorted(_cards(run))) or "no GPU"
        rows.setdefault((card, host, software, ours), []).append(run["when"])
    heading = ["GPU", "host", "software", "kernelevolve", "calls", "from", "to"]
    machines = [[*what, len(when), min(when), max(when)] for what, when in sorted(rows.items())]
    ceilings = [
        [one["device"], one["problem"], f"`{one['workload']}`", _rate(one), one["source"]]
        for one in figures.of_kind("environment")
        if "error" not in one
    ]
    return _section(
        "The machine",
        table(heading, machines),
        table(["device", "ceiling", "workload", "measured", "clock"], ceilings),
        _settings(figures),
    )


def _prefixed(prefix: str, text: str | None) -> str:
    return prefix + text if text else ""


def _rate(record: Record) -> str:
    if record["operations_per_second"]:
        return f"{record['operations_per_second'] / 1e12:.4g} Top/s"
    return f"{record['bytes_per_second'] / 1e9:.4g} GB/s, read and written"


def _settings(figures: Figures) -> str:
    """The settings that every implementation of PyTorch ran under; differing ones are all listed."""
    found = {
        ", ".join(f"{name} {value}" for name, value in sorted(one["torch_settings"].items()))
        for one in figures.of_kind("table")
        if one.get("torch_settings")
    }
    return "".join(f"PyTorch's settings: {text}.\n" for text in sorted(found))


def _targets(figures: Figures, targets: Sequence[Target]) -> str:
    rows = []
    counted = {True: 0, False: 0, None: 0}
    for target in targets:
        measured = figures.measured(target)
        holds = measured.holds(target)
        counted[holds] += 1
        bound = f"{'≥' if target.relation == '>=' else '≤'} {target.value:g} {target.unit}"
        rows.append([target.name, bound, _value(measured, target), _WORDS[holds], measured.note])
    told = f"{counted[True]} reached, {counted[False]} not reached, {counted[None]} not measured.\n"
    return _section("Targets", told, table(["target", "bound", "measured", "", "note"], rows))


def _value(measured: Measured, target: Target) -> str:
    return "–" if measured.value is None else f"{measured.value:.4g} {target.unit}"


def _accelerators(figures: Figures) -> list[str]:
    return sorted({one["accelerator"] for one in figures.of_kind("table")})


def _against_torch(figures: Figures, accelerator: str) -> str:
    rows = []
    for record in figures.of_kind("table"):
        name = fastest(record)
        if record["accelerator"] != accelerator or name is None:
            continue
        seconds, floor = record["kernels"][name]["seconds"], figures.floor(record)
        best, eager = record["best_torch"], best_eager(record)
        rows.append(
            [
                record["problem"],
                f"`{record['workload']}`",
                _seconds(seconds),
                f"{100 * floor / seconds:.0f} %" if floor else "–",
                f"{best} {_seconds(record['torch'][best]['seconds'])}" if best else "–",
                _ratio(paired(record, name, best)),
                _ratio(paired(record, name, eager)),
                _origin(figures, record["evaluated"][name]),
                _seconds(record["kernels"]["seed"]["seconds"]) if "seed" in record["kernels"] else "–",
            ]
        )
    heading = [
        "problem", "workload", "kernel", "of roofline", "PyTorch's best", "ratio to it", "to the best eager",
        "kernel's origin", "seed",
    ]  # fmt: skip
    told = (
        "A ratio is PyTorch's time / the kernel's, paired, with its 95 % interval; above 1 the kernel is faster. The\n"
        "roofline is max(compulsory bytes / measured copy bandwidth, operations / datasheet's dense rate).\n"
    )
    return _section(f"`{accelerator}` against PyTorch", told if rows else "", table(heading, rows))


def _seconds(seconds: float) -> str:
    return f"{seconds * 1e6:.4g} µs" if seconds < 0.01 else f"{seconds * 1e3:.4g} ms"


def _ratio(comparison: Record | None) -> str:
    if comparison is None:
        return "–"
    return f"{comparison['ratio']:.3g}× [{comparison['low']:.3g}, {comparison['high']:.3g}]"


def _origin(figures: Figures, evaluated: Record) -> str:
    """Where a kernel is from, as the records of evolutions and of hand-written kernels tell by its digest."""
    if evaluated["origin"] == "seed":
        return "seed"
    for one in figures.of_kind("evolve"):
        if one.get("digest") == evaluated["digest"]:
            return f"evolved from {one['start']}"
    for record in figures.of_kind("candidates"):
        kept = [record["kept"]] if "kept" in record else []
        for one in [*kept, *record.get("kept_before", ()), *record.get("ranked", ())]:
            if one["digest"] == evaluated["digest"]:
                return f"hand-written ({one['origin']})"
    return f"{evaluated['origin']}, no record of how it was made"


def _not_timed(figures: Figures) -> str:
    rows = [
        [one["problem"], f"`{one['workload']}`", one["accelerator"], why_not(one)]
        for one in figures.of_kind("table")
        if fastest(one) is None
    ]
    rows += [
        ["all", "", name, why]
        for run in figures.runs.values()
        for name, why in run["absent"].items()
        if name not in _accelerators(figures)
    ]
    heading = ["problem", "workload", "accelerator", "why"]
    return _section("Without a time", table(heading, list(dict.fromkeys(map(tuple, rows)))))


def _torch_side(figures: Figures) -> str:
    """Every implementation of PyTorch, once per workload: from the first accelerator that was measured on it."""
    rows: list[list[object]] = []
    seen: set[tuple[str, str, str]] = set()
    for record in figures.of_kind("table"):
        place = (record["problem"], record["workload"], record["device"])
        if place in seen or not record.get("torch"):
            continue
        seen.add(place)
        for name, one in record["torch"].items():
            notes = [
                *([f"WRONG: {one['difference'][:160]}"] if one["difference"] else []),
                *(["waits for the device, which idles meanwhile"] if one["synchronises"] else []),
                *([f"{one['graph_breaks']} graph breaks"] if one["graph_breaks"] else []),
            ]
            compiled = "" if name.partition(":")[0] == _EAGER else f"{one['compile_seconds']:.1f} s"
            rows.append(
                [
                    record["problem"],
                    f"`{record['workload']}`",
                    name,
                    _seconds(one["seconds"]),
                    compiled,
                    "; ".join(notes),
                ]
            )
        rows += [
            [record["problem"], f"`{record['workload']}`", name, "–", "", why[:200]]
            for name, why in record["torch_failures"].items()
        ]
    return _section(
        "PyTorch's side",
        table(["problem", "workload", "implementation", "median", "compiled in", "notes"], rows),
    )


def _elsewhere(figures: Figures, orientation: Sequence[Orientation]) -> str:
    rows = []
    for one in orientation:
        for accelerator in _accelerators(figures):
            record = figures.find(one.problem, one.axes, one.dtype, accelerator)
            name = fastest(record) if record else None
            if record and name:
                ours = _seconds(record["kernels"][name]["seconds"])
                theirs = record["best_torch"]
                here = _seconds(record["torch"][theirs]["seconds"]) if theirs else "–"
                rows.append(
                    [
                        one.problem,
                        f"`{record['workload']}`",
                        one.who,
                        f"{one.microseconds:g} µs",
                        here,
                        ours,
                        accelerator,
                    ]
                )
    told = "Measured by others or at another time, on the same kind of card: to compare with, not counted.\n"
    heading = ["problem", "workload", "who", "their figure", "PyTorch's best here", "kernel here", "accelerator"]
    return _section("Figures from elsewhere", told if rows else "", table(heading, rows))


def _evolutions(figures: Figures) -> str:
    rows = []
    for one in figures.of_kind("evolve"):
        where = [one["problem"], f"`{one['workload']}`", one["accelerator"]]
        if "error" in one:
            rows.append([*where, one["error"], "", "", "", ""])
            continue
        outcomes = ", ".join(f"{count} {name}" for name, count in sorted(one["outcomes"].items()))
        speed = f"{one['speedup']:.3g}×"
        rows.append([*where, one["start"], f"{one['seconds']:.0f} s", one["evaluations"], outcomes, speed])
    heading = ["problem", "workload", "accelerator", "from", "time", "evaluations", "outcomes", "over its start"]
    return _section("Evolved on the device", table(heading, rows))


def _hand_written(figures: Figures) -> str:
    rows = []
    for record in figures.of_kind("candidates"):
        for one in record.get("ranked", ()):
            comparison = paired(record, one["origin"], record.get("best_torch"))
            time = _seconds(one["seconds"]) if one["seconds"] else "–"
            where = [record["problem"], f"`{record['workload']}`", record["accelerator"]]
            rows.append([*where, one["origin"], one["outcome"], time, _ratio(comparison)])
    heading = ["problem", "workload", "accelerator", "kernel", "outcome", "screen", "ratio to PyTorch's best"]
    told = "Written by people, and judged like any candidate.\n"
    return _section("Hand-written kernels", told if rows else "", table(heading, rows))


def _throughput(figures: Figures, note: str) -> str:
    rows = []
    for one in figures.of_kind("throughput"):
        where = [one["accelerator"], f"{one['problem']} `{one['workload']}`"]
        if "error" in one:
            rows.append([*where, one["error"], "", "", ""])
            continue
        rates = [
            f"{one[part]['per_second']:.3g} ({_outcomes(one[part])})" for part in ("configurations", "new_kernels")
        ]
        spreads = [f"{one[part]['median']:.3g} s, {one[part]['p95']:.3g} s" for part in ("warm", "cold")]
        rows.append([*where, *rates, *spreads])
    heading = [
        "accelerator", "workload", "configurations of one kernel a second", "new kernels a second",
        "a candidate, warm (median, 95 %)", "cold",
    ]  # fmt: skip
    told = f"A rate counts right candidates, check and timing included; compilers work beside the device. {note}\n"
    return _section("Throughput", told if rows else "", table(heading, rows))


def _outcomes(part: Record) -> str:
    return ", ".join(f"{count} {name}" for name, count in sorted(part["outcomes"].items()))


def _clock(figures: Figures) -> str:
    warmth = [
        [one["accelerator"], one["problem"], f"`{one['workload']}`", f"{one['ratio']:.4f}",
         f"[{one['low']:.4f}, {one['high']:.4f}]", len(one["processes"])]
        for one in figures.of_kind("warmth")
        if "error" not in one
    ]  # fmt: skip
    resolution = [
        [one["accelerator"], one["kernel"], _seconds(one["seconds"]), f"±{100 * one['resolution']:.2f} %",
         one["batches"], f"{one['fresh_ratio']:.4f}"]
        for one in figures.of_kind("resolution")
        if "error" not in one
    ]  # fmt: skip
    return _section(
        "The clock",
        table(
            ["accelerator", "problem", "workload", "fresh process / warm worker", "interval", "fresh processes"], warmth
        ),
        table(["accelerator", "kernel", "median", "resolution (A/A)", "comparisons", "warm / fresh"], resolution),
    )


def _commands(figures: Figures) -> str:
    return _section("The commands", "".join(f"    {line}\n" for line in _unique(figures)))


def _unique(figures: Figures) -> Iterator[str]:
    yield from dict.fromkeys(
        run["command"] for _, run in sorted(figures.runs.items(), key=lambda pair: str(pair[1]["when"]))
    )
