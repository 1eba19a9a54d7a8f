"""The figures of the page: accuracy after each stage, gain over the baselines, and what happened per round."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from fedmetaalign.report import svg
from fedmetaalign.report.drawing import DASHED, DOTTED, beside, dot, named_rows, span, value_above
from fedmetaalign.report.findings import best_baseline, beyond_chance
from fedmetaalign.report.finished import STAGES, DeviceReport, Run, mean, number

FEW = len(svg.SERIES)
"""Up to so many devices have a colour each; more are thin lines behind their mean."""

MOST_ROWS = 12
"""Devices in the figure of gains; a larger fleet shows those with the least gain."""

Lines = Mapping[str, Mapping[int, float]]
"""Device -> round -> value."""


@dataclass(frozen=True)
class Panel:
    """One figure of the section "Round by round"."""

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

NAMES = {
    "query_loss": "query loss",
    "support_loss": "training loss",
    "alignment": "cosine",
    "weight": "share",
}
"""What stands beside the axis."""


def stages(run: Run) -> str:
    """Returns the accuracy after each stage, one line a device and the fleet's mean (the paper's Figure 2)."""
    names = run.stages
    values: dict[str, dict[int, float]] = {device.name: {} for device in run.devices}
    for device in run.devices:
        for x, stage in enumerate(names):
            accuracy = device.stages.get(stage, {}).get("accuracy")
            if accuracy is not None:
                values[device.name][x] = 100 * accuracy
    means = {x: run.mean(stage, "accuracy") for x, stage in enumerate(names)}
    fleet = {x: 100 * value for x, value in means.items() if value is not None}

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        _lines(axes, values, run, markers=True)
        if len(run.devices) > 1:
            axes.plot(list(fleet), list(fleet.values()), color=svg.INK, linewidth=2.6, marker="o", markersize=5)
        for x, value in fleet.items():
            value_above(axes, x, value)
        axes.set_xticks(range(len(names)), [STAGES[stage] for stage in names])
        axes.set_xlim(-0.35, len(names) - 0.65)
        axes.margins(y=0.1)
        axes.set_ylabel("test accuracy in %")
        _baselines(axes, run)

    whose = "of the device" if run.lone else "of every device and the fleet's mean"
    return svg.render(draw, 5.4, 3.5, "stages", f"Test accuracy {whose} after each stage")


def _baselines(axes: Axes, run: Run) -> None:
    """Draws a line a baseline, named on the right of the axes; to be called when their limits stand."""
    named = (
        ("alone", run.alone("accuracy")),
        ("one rule", run.baseline("one_rule")),
        ("majority class", run.baseline("majority")),
    )
    lines = sorted((100 * value, label) for label, value in named if value is not None)
    colours = {label: svg.INK if label == "alone" else svg.MUTED for label, _ in named}
    for value, label in lines:
        dashes = DOTTED if label == "alone" else DASHED
        axes.axhline(value, color=colours[label], linewidth=1.2 if label == "alone" else 1, linestyle=dashes)
    low, high = axes.get_ylim()
    axes.set_ylim(low, high)
    place = low - high
    for value, label in lines:
        place = max(value, place + 0.05 * (high - low))  # the height of a line of text
        beside(axes, place, label, colours[label])


def over_time(run: Run) -> str:
    """Returns the accuracy over the test period, one line a device, at the middle of each span."""
    lines = {
        device.name: {
            100 * (i + 0.5) / len(device.over_time): 100 * each.accuracy
            for i, each in enumerate(device.over_time)
        }
        for device in run.devices
        if device.over_time
    }

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        _lines(axes, lines, run, markers=True)
        axes.set_xlim(0, 100)
        axes.set_xlabel("test samples in %, in order of time")
        axes.set_ylabel("accuracy in %")

    return svg.render(draw, 5.4, 3.0, "over-time", "Accuracy of each device over its test period")


def gains(run: Run) -> str:
    """Returns one row a device: its final accuracy beside that of training alone; the least gain first.

    Where no device trained alone, it is the gain over the best baseline.
    """
    rows = gain_rows(run)

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        for y, (device, accuracy, gain) in enumerate(rows):
            colour = svg.ACCENT if gain > 0 else svg.WARN
            if beyond_chance(gain, device.luck(accuracy - gain)) is False:
                colour = svg.MUTED
            span(axes, 100 * (accuracy - gain), 100 * accuracy, y, colour)
            for value, marker, size in ((device.majority, "o", 5.0), (device.one_rule, "D", 4.2)):
                if value is not None:
                    dot(axes, 100 * value, y, svg.MUTED, size, hollow=True, marker=marker)
            alone = device.alone.get("accuracy")
            if alone is not None:
                axes.plot(100 * alone, y, marker="|", markersize=11, markeredgewidth=2, color=svg.INK)
            dot(axes, 100 * accuracy, y, colour, 7)
        named_rows(axes, [device.name for device, _, _ in rows], most=22)
        axes.set_xlabel("test accuracy in %")

    height = max(1.5, 0.65 + 0.205 * len(rows))
    other = "plain training" if run.lone else "training alone"
    description = f"Final test accuracy of each device beside {other} and its baselines"
    return svg.render(draw, 4.6, height, "gains", description)


def gain_rows(run: Run) -> list[tuple[DeviceReport, float, float]]:
    """Returns (device, accuracy, gain), least gain first, as many as `gains` shows.

    The gain is that over training alone if any device did, else that over the device's best baseline.
    """
    rows = []
    for device in run.devices:
        accuracy = device.accuracy
        baseline = best_baseline(device) if run.gain is None else device.alone.get("accuracy")
        if accuracy is not None and baseline is not None:
            rows.append((device, accuracy, accuracy - baseline))
    return sorted(rows, key=lambda row: row[2])[:MOST_ROWS]


def rounds(run: Run) -> list[str]:
    """Returns the figures of what happened per round, those that the run has any value for."""
    figures = []
    for index, panel in enumerate(PANELS):
        if len(run.devices) == 1 and panel.keys in (("alignment",), ("weight",)):
            continue  # alone, a device agrees with itself and has all the weight
        # Where only the last round was judged on other samples, the training loss has more to show.
        key = max(panel.keys, key=lambda key: _span(series(run.rounds, panel.phase, key)))
        lines = series(run.rounds, panel.phase, key)
        if lines:
            figures.append(_panel(panel, lines, run, f"round-{index}", NAMES[key]))
    return figures


def series(entries: Sequence[Mapping[str, object]], phase: int, key: str) -> dict[str, dict[int, float]]:
    """Returns the values of a key in a phase as device -> round -> value.

    A round that stands there twice, which resuming may leave, counts as it was the last time.
    """
    found: dict[str, dict[int, float]] = {}
    for entry in entries:
        value, at = number(entry.get(key)), number(entry.get("round"))
        if entry.get("phase") == phase and value is not None and at is not None:
            found.setdefault(str(entry.get("device", "")), {})[int(at)] = value
    return {device: dict(sorted(values.items())) for device, values in found.items()}


def colours(run: Run) -> dict[str, str]:
    """Returns device -> placeholder colour, the same in every figure; empty for a fleet of many."""
    return {d.name: svg.SERIES[i] for i, d in enumerate(run.devices)} if len(run.devices) <= FEW else {}


def _span(lines: Lines) -> int:
    """The number of rounds in which any device has a value."""
    return len({x for line in lines.values() for x in line})


def _panel(panel: Panel, lines: Lines, run: Run, name: str, what: str) -> str:
    own = colours(run)
    ordered = {device: lines[device] for device in [*own, *lines] if device in lines}

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        at = sorted({x for line in ordered.values() for x in line})
        markers = len(at) <= 12
        _lines(axes, ordered, run, markers)
        if len(ordered) > 1 and not own:
            means = {x: mean(line.get(x) for line in ordered.values()) for x in at}
            middle = [value for value in means.values() if value is not None]
            axes.plot(at, middle, color=svg.INK, linewidth=2.2, marker="o" if markers else None, markersize=3.5)
        guide = _guide(panel, ordered, run)
        if guide is not None:
            label, value = guide
            axes.axhline(value, color=svg.MUTED, linewidth=1, linestyle=DASHED)
            axes.annotate(
                label, (at[0], value), xytext=(2, 3), textcoords="offset points", fontsize=8, color=svg.MUTED
            )
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))
        if len(at) == 1:
            axes.set_xlim(at[0] - 1, at[0] + 1)
        axes.set_title(panel.title, fontsize=10, loc="left", color=svg.INK)
        axes.set_xlabel("round")
        axes.set_ylabel(what)

    return svg.render(draw, 4.0, 2.5, name, f"{panel.title}, by round and device")


def _guide(panel: Panel, lines: Lines, run: Run) -> tuple[str, float] | None:
    """The line that values are to be seen against: the similarity's floor, or an equal share of the weight."""
    if panel.keys == ("alignment",):
        phase = run.recipe.get("parallel", {})
        # Other aggregations have a floor in the recipe, too, but do not use it.
        floor = number(phase.get("floor")) if phase.get("aggregation") == "similarity" else None
        return None if floor is None else ("floor", floor)
    if panel.keys == ("weight",) and len(lines) > 1:
        last = max(x for line in lines.values() for x in line)
        shares = [line[last] for line in lines.values() if last in line]
        if abs(sum(shares) - 1) < 1e-3:
            return "equal share", 1 / len(shares)
    return None


def _lines(axes: Axes, lines: Mapping[str, Mapping[Any, float]], run: Run, markers: bool) -> None:
    """Draws one line a device: coloured in a small fleet, thin and grey in a large one."""
    own = colours(run)
    fleet = {device.name for device in run.devices}
    for device, values in lines.items():
        thin = device in fleet and not own
        axes.plot(
            list(values),
            list(values.values()),
            # What is no device (the public data) must not wear a device's colour.
            color=own.get(device, svg.MUTED) if device in fleet else svg.INK,
            linewidth=0.8 if thin else 1.6,
            alpha=0.45 if thin else 1.0,
            # A single value would draw no line.
            marker="o" if markers and (not thin or len(values) == 1) else None,
            markersize=3.5,
        )
