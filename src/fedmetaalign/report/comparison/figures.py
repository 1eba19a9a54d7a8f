"""The figures of a comparison: each a stand-alone SVG document that follows the reader's light or dark."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, MaxNLocator, NullLocator

from fedmetaalign.methods import ALONE, CONTROLS
from fedmetaalign.report import svg
from fedmetaalign.report.comparison import reading
from fedmetaalign.report.comparison.lines import OTHERS, Line, coloured, draw_lines, line, name_ends
from fedmetaalign.report.comparison.names import GLOBAL_SUFFIX, METRICS, OURS, plain, title
from fedmetaalign.report.comparison.reading import NOTHING, Interval, Row, Source, by_stage, foremost, read
from fedmetaalign.report.drawing import DOTTED, ROW, WIDTH, beside, dot, named_rows, span, value_above
from fedmetaalign.report.finished import mean
from fedmetaalign.report.numbers import decimal, percent

_MOST = 8
"""Lines in one figure that can still be distinguished."""

_HEIGHT = 3.9
_AXES = 0.8 * _HEIGHT

_OFFSETS = (0.0, 0.2, -0.1, 0.1, -0.2)
"""Where a device's dot lies in its row, so that neighbours do not hide each other."""

_STAGES = {"serial": "Serial", "global": "Parallel (global)", "final": "Final (personal)"}


def write(comparison: Source, folder: Path) -> list[str]:
    """Writes the figures that the comparison has the data of, and returns their file names.

    Args:
        comparison: the object of `compare.json`; so, too, in the other functions.
        folder: is there.
    """
    draw = {"accuracy.svg": accuracy, "gains.svg": gains, "rounds.svg": rounds, "stages.svg": stages}
    names = list(reading.shown(read(comparison)))
    for name in names:
        (folder / name).write_text(draw[name](comparison), encoding="utf-8")
    return names


def write_sweep(comparisons: Mapping[str, Source], key: str, folder: Path) -> None:
    """Writes a sweep's figure, and one over the devices that took no part where there are any.

    Args:
        comparisons: value of the key -> the object of its `compare.json`.
        key: the key's name.
        folder: is there.
    """
    (folder / "sweep.svg").write_text(sweep(comparisons, key), encoding="utf-8")
    if unseen := reading.unseen_sweep(comparisons):
        (folder / "sweep-unseen.svg").write_text(sweep(unseen, key), encoding="utf-8")


def accuracy(comparison: Source) -> str:
    """Returns the fleet's accuracy, or what else ranks, and its interval, a row a line in the file's order.

    Hollow dots are global models; the dotted line is training alone.
    """
    of = read(comparison)
    alone = of.row(ALONE)

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        if alone is not None and alone.ranking.mean is not None:
            axes.axvline(100 * alone.ranking.mean, color=svg.INK, linewidth=1.2, linestyle=DOTTED)
        for y, row in enumerate(of.rows):
            interval = row.ranking
            if interval.mean is None:
                beside(axes, y, "diverged", svg.WARN)
                continue
            colour = _colour(row)
            if interval.low is not None and interval.high is not None:
                span(axes, 100 * interval.low, 100 * interval.high, y, colour)
            dot(axes, 100 * interval.mean, y, colour, 6.5, hollow=row.stage == "global")
            beside(axes, y, decimal(100 * interval.mean, 1), colour if row.name == OURS else svg.INK)
        named_rows(axes, [row.label for row in of.rows], [row.name == OURS for row in of.rows])
        axes.set_xlabel(f"test {METRICS[of.rank]} in %, mean over the devices with its 95 % interval")

    return svg.standalone(draw, WIDTH, 0.75 + ROW * len(of.rows), reading.title("accuracy", of))


def gains(comparison: Source) -> str:
    """Returns the gain over training alone: a line a method, a dot a device (its mean over the seeds)."""
    of = read(comparison)
    found = reading.gains(of)
    rows = [row for row in of.rows if row.name in found]

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        axes.axvline(0, color=svg.INK, linewidth=1.2, linestyle=DOTTED)
        few = len(of.devices) <= 4
        size = 6.5 if few else 4.5
        beside(axes, -0.95, "worse off", svg.MUTED)
        for y, row in enumerate(rows):
            values = sorted(found[row.name].values())
            dots = [(value, y if few else y + _OFFSETS[i % len(_OFFSETS)]) for i, value in enumerate(values)]
            for colour, some in (
                (svg.ACCENT, [each for each in dots if each[0] >= 0]),
                (svg.WARN, [each for each in dots if each[0] < 0]),
            ):
                x, at = zip(*some, strict=True) if some else ((), ())
                axes.plot(x, at, "o", color=colour, markersize=size, markeredgewidth=0, alpha=0.7)
            if not few:
                middle = sum(values) / len(values)
                axes.plot([middle, middle], [y - 0.38, y + 0.38], color=svg.INK, linewidth=2)
            share = row.fleet.get("worse_off", NOTHING).mean
            beside(axes, y, percent(share), svg.WARN if share else svg.INK)
        named_rows(axes, [row.label for row in rows], [row.name == OURS for row in rows])
        axes.set_xlabel(
            f"{METRICS[of.rank]} minus that of training alone, in points; a dot is a device"
            + ("" if few else ", a bar the mean")
        )

    return svg.standalone(draw, WIDTH, 0.95 + 1.25 * ROW * len(rows), reading.title("gains", of))


def rounds(comparison: Source) -> str:
    """Returns the fleet's accuracy with the global model after each round, of at most eight methods."""
    of = read(comparison)
    rows = reading.with_rounds(of)
    lines = coloured(
        {row.name: (row.label, list(enumerate(row.rounds, start=1))) for row in foremost(rows, _MOST)}
    )

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        draw_lines(axes, lines, markers=max(len(each.points) for each in lines) <= 12)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=8))
        axes.set_xlabel(f"round{_left_out(lines, rows)}")
        axes.set_ylabel(f"test {METRICS[of.by_round]} of the global model in %")
        alone = of.row(ALONE)
        lone = NOTHING if alone is None else alone.fleet.get(of.by_round, NOTHING)
        level = [] if alone is None else [line(alone.label, svg.INK, [(1, lone)])]
        level = [each for each in level if each.points]
        for each in level:
            axes.axhline(each.points[0][1], color=svg.INK, linewidth=1.2, linestyle=DOTTED)
        axes.margins(x=0.01)
        name_ends(axes, [*lines, *level], _AXES)

    return svg.standalone(draw, WIDTH, _HEIGHT, reading.title("rounds", of))


def stages(comparison: Source) -> str:
    """Returns how each device does after each stage of Fed-Meta-Align (the paper's Figure 2).

    Many devices are thin lines behind their mean.
    """
    of = read(comparison)
    found = by_stage(of)
    many = len(of.devices) > _MOST
    colours = [svg.MUTED] * len(of.devices) if many else [svg.ACCENT, *OTHERS]
    lines = [
        line(plain(device), colour, [(x, each.get(device, NOTHING)) for x, each in enumerate(found.values())])
        for device, colour in zip(of.devices, colours, strict=False)
    ]
    means = [(x, Interval(mean=mean(i.mean for i in each.values()))) for x, each in enumerate(found.values())]

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        shown = [each for each in lines if each.points]
        for i, each in enumerate(shown):
            x, middle, low, high = (list(column) for column in zip(*each.points, strict=True))
            if many:
                axes.plot(x, middle, color=each.colour, linewidth=0.8, alpha=0.5)
                continue
            # Side by side, intervals can be distinguished.
            at = [place + 0.03 * (i - (len(shown) - 1) / 2) for place in x]
            axes.vlines(at, low, high, color=each.colour, linewidth=3, alpha=0.45)
            axes.plot(at, middle, color=each.colour, linewidth=1.8, marker="o", markersize=6)
        fleet = line("Mean of the devices", svg.INK, means, strong=True)
        if many:
            axes.plot(*list(zip(*fleet.points, strict=True))[:2], color=svg.INK, linewidth=2.6, marker="o")
            for place, value, *_ in fleet.points:
                value_above(axes, place, value)
        axes.set_xticks(range(len(found)), [_STAGES[stage] for stage in found])
        axes.set_xlim(-0.2, len(found) - 0.85)
        axes.set_ylabel(f"test {METRICS[of.rank]} in %")
        name_ends(axes, [fleet] if many else shown, _AXES)

    return svg.standalone(draw, WIDTH, _HEIGHT, reading.title("stages", of))


def sweep(comparisons: Mapping[str, Source], key: str) -> str:
    """Returns the fleet's accuracy, or what else ranks, against the values of a key of the recipe.

    At most eight rows are shown. The axis is logarithmic where the values are positive numbers that span a
    factor of ten.

    Args:
        comparisons: value of the key -> the object of its `compare.json`.
        key: the key's name, for the axis.
    """
    read_ = {value: read(each) for value, each in comparisons.items()}
    rank = next(iter(read_.values())).rank
    numbers = _numbers(list(read_))
    places = dict(zip(read_, numbers or range(len(read_)), strict=True))
    order = sorted(read_, key=lambda value: places[value])
    rows = {row.name: row for of in read_.values() for row in of.rows}
    points = {
        name: [(places[value], row.ranking) for value in order if (row := read_[value].row(name)) is not None]
        for name in rows
    }
    averages = [_averaged(row, [interval for _, interval in points[name]]) for name, row in rows.items()]
    raced = [row for row in averages if row.name != ALONE]
    lines = coloured({row.name: (row.label, points[row.name]) for row in foremost(raced, _MOST)})

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        alone = line("Local only", svg.INK, points.get(ALONE, []))
        level = [alone] if alone.points else []
        for each in level:
            axes.plot(*list(zip(*each.points, strict=True))[:2], color=svg.INK, linewidth=1.4, linestyle=DOTTED)
        draw_lines(axes, lines, markers=True)
        if numbers and min(numbers) > 0 and max(numbers) >= 10 * min(numbers):
            axes.set_xscale("log")
        axes.xaxis.set_major_locator(FixedLocator([places[value] for value in order]))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.set_xticks([places[value] for value in order], [plain(value) for value in order])
        axes.set_xlabel(f"{plain(key)}{_left_out(lines, raced)}")
        axes.set_ylabel(f"test {METRICS[rank]} in %")
        name_ends(axes, [*lines, *level], _AXES)

    return svg.standalone(draw, WIDTH, _HEIGHT, f"{title(rank)} against {plain(key)}")


def _averaged(row: Row, values: list[Interval]) -> Row:
    """The row with its mean over a sweep, to choose the best by."""
    average = Interval(mean=mean(each.mean for each in values))
    return row.model_copy(update={"fleet": {row.rank: average}})


def _numbers(values: list[str]) -> list[float]:
    """The values as numbers; empty if one is none."""
    try:
        return [float(value) for value in values]
    except ValueError:
        return []


def _left_out(lines: Sequence[Line], rows: Sequence[Row]) -> str:
    return f" ({len(lines)} of {len(rows)} shown)" if len(lines) < len(rows) else ""


def _colour(row: Row) -> str:
    if row.name in (OURS, f"{OURS}{GLOBAL_SUFFIX}"):
        return svg.ACCENT
    return svg.MUTED if row.method in CONTROLS else svg.SERIES[0]
