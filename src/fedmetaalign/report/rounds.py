"""What was recorded round by round: by device, over the fleet, and the answers that could not be used."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from fedmetaalign.federation.engine import KINDS
from fedmetaalign.report.finished import Run, mean, number

Series = Mapping[str, Mapping[int, float]]
"""Device -> round -> value, the rounds ascending."""


@dataclass(frozen=True)
class Panel:
    """One figure of the section "Round by round"; of several keys it shows the one with most rounds."""

    phase: int
    keys: tuple[str, ...]
    title: str


PANELS = (
    Panel(0, ("query_loss", "support_loss"), "Foundation: loss on the public data"),
    Panel(1, ("query_loss",), "Serial: query loss"),
    Panel(2, ("query_loss",), "Parallel: query loss"),
    Panel(2, ("alignment",), "Parallel: alignment with the fleet"),
    Panel(2, ("weight",), "Parallel: weight in the average"),
    Panel(3, ("query_loss", "support_loss"), "Personalized: loss on the device's own data"),
)

KEYS = ("query_loss", "support_loss", "alignment", "weight")
NAMES = dict(zip(KEYS, ("query loss", "training loss", "cosine", "share"), strict=True))
"""What stands beside the axis."""

FEW = 40
"""Devices that a figure or a heat map has a line of each; of a larger fleet it shows how they are spread."""

_SPREAD = (5, 25, 50, 75, 95)
"""Percentiles over the devices of a large fleet."""


Missed = tuple[int, int, str, str]
"""An answer that could not be used: in which phase (0 to 3) and round, its kind, and why."""


def all_series(entries: Iterable[Mapping[str, Any]]) -> dict[tuple[int, str], Series]:
    """Returns (phase, key) -> the values that were recorded in the lines of `rounds.jsonl`.

    A round that stands there twice, which resuming may leave, counts as it was the last time.
    """
    found: dict[tuple[int, str], dict[str, dict[int, float]]] = {}
    for entry in entries:
        at, phase = number(entry.get("round")), number(entry.get("phase"))
        if at is None or phase is None:
            continue
        for key in KEYS:
            if (value := number(entry.get(key))) is not None:
                by_device = found.setdefault((int(phase), key), {})
                by_device.setdefault(str(entry.get("device", "")), {})[int(at)] = value
    return {
        at: {device: dict(sorted(values.items())) for device, values in each.items()}
        for at, each in found.items()
    }


def panels(run: Run, known: Mapping[tuple[int, str], Series]) -> list[dict[str, Any]]:
    """Returns the figures of what happened by round, those that the run has any value for.

    Each has the `rounds`, the `mean` over the devices, and of a fleet of more than `FEW` the `spread`: its
    percentiles 5, 25, 50, 75 and 95, else a line a device. What is no device, the public data, is a line, too.
    """
    found = []
    for panel in PANELS:
        if len(run.devices) == 1 and panel.keys in (("alignment",), ("weight",)):
            continue  # alone, a device agrees with itself and has all the weight
        # Where only the last round was judged on other samples, the training loss has more to show.
        key = max(panel.keys, key=lambda key: len(_rounds(known.get((panel.phase, key), {}))))
        lines = known.get((panel.phase, key), {})
        if len(_rounds(lines)) > 1:  # one round has no course
            figure = {"title": panel.title, "what": NAMES[key], "x": "round"}
            found.append(figure | _drawn(lines) | _guide(panel, lines, run))
    return found


def over_time(run: Run) -> list[dict[str, Any]]:
    """Returns a figure as `panels` has them, of accuracy over the test period in per cent of its samples.

    It is of the devices whose period has as many spans as most have.
    """
    spans = {d.name: [100 * span.accuracy for span in d.over_time] for d in run.devices if d.over_time}
    number = max(map(len, spans.values()), default=0, key=[*map(len, spans.values())].count)
    at = [round(100 * (i + 0.5) / number) for i in range(number)]
    lines = {name: dict(zip(at, each, strict=True)) for name, each in spans.items() if len(each) == number}
    figure = {"title": "As time went on: accuracy", "what": "accuracy in %", "x": "test samples in %"}
    return [figure | _drawn(lines)] if number > 1 else []


def _drawn(lines: Series) -> dict[str, Any]:
    """What a figure draws of its lines: each of few, of many how they are spread."""
    at = _rounds(lines)
    by_round = [[line[r] for line in lines.values() if r in line] for r in at]
    found: dict[str, Any] = {"rounds": at}
    if len(lines) > 1:
        found["mean"] = [rounded(mean(values)) for values in by_round]
    if len(lines) > FEW:
        found["spread"] = np.round([np.percentile(each, _SPREAD) for each in by_round], 4).T.tolist()
    else:
        found["lines"] = {name: [rounded(line.get(r)) for r in at] for name, line in lines.items()}
    return found


def helpers(run: Run, known: Mapping[tuple[int, str], Series]) -> list[dict[str, Any]]:
    """Returns heat maps of who had a say and who agreed: weight and alignment, the most weight first.

    Of more than `FEW` devices some are shown, at even distances from the most weight to the least.
    """
    weights = known.get((2, "weight"), {})
    names = {device.name for device in run.devices}
    order = sorted((n for n in weights if n in names), key=lambda n: -(mean(weights[n].values()) or 0))
    if len(order) < 2:
        return []
    picked = [order[i] for i in np.linspace(0, len(order) - 1, min(FEW, len(order))).round().astype(int)]
    found = []
    for key, title in (("weight", "Weight in the average"), ("alignment", "Alignment with the fleet")):
        lines = known.get((2, key), {})
        at = _rounds({name: lines[name] for name in picked if name in lines})
        if at:
            rows = [[rounded(lines.get(name, {}).get(r)) for r in at] for name in picked]
            found.append({"title": title, "key": key, "rounds": at, "names": picked, "rows": rows})
    return found


def missed(run: Run) -> dict[str, list[Missed]]:
    """Returns device -> its answers that could not be used, and why."""
    found: dict[str, list[Missed]] = {}
    for entry in run.rounds:
        for kind in KINDS:
            if reason := entry.get(kind):
                phase, at = (int(number(entry.get(key)) or 0) for key in ("phase", "round"))
                found.setdefault(str(entry.get("device", "")), []).append((phase, at, kind, str(reason)))
    return found


def reasons(found: Mapping[str, Iterable[Missed]]) -> list[tuple[str, str, int, list[str]]]:
    """Returns (kind, reason, how many answers, of which devices) of a fleet, the most frequent first."""
    grouped: dict[tuple[str, str], list[str]] = {}
    for name, some in found.items():
        for _, _, kind, reason in some:
            grouped.setdefault((kind, reason), []).append(name)
    rows = [(*key, len(names), [*dict.fromkeys(names)]) for key, names in grouped.items()]
    return sorted(rows, key=lambda row: -row[2])


def rounded(value: float | None) -> float | None:
    """Four digits after the point, as the page draws no finer."""
    return None if value is None else round(value, 4)


def _rounds(lines: Series) -> list[int]:
    return sorted({r for line in lines.values() for r in line})


def _guide(panel: Panel, lines: Series, run: Run) -> dict[str, Any]:
    """The line that values are to be seen against: the similarity's floor, or an equal share of the weight."""
    if panel.keys == ("alignment",):
        phase = run.recipe.get("parallel", {})
        # Other aggregations have a floor in the recipe, too, but do not use it.
        floor = number(phase.get("floor")) if phase.get("aggregation") == "similarity" else None
        return {} if floor is None else {"guide": ["floor", floor]}
    if panel.keys == ("weight",):
        at = _rounds(lines)[-1]
        shares = [line[at] for line in lines.values() if at in line]
        if len(shares) > 1 and abs(sum(shares) - 1) < 1e-3:
            return {"guide": ["equal share", 1 / len(shares)]}
    return {}
