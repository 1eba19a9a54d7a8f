"""The result as Markdown tables."""

import statistics
from collections.abc import Sequence
from typing import Any

from online.worker import FLEETS

LABELS = {
    "c": "plain C loop",
    "c-fused": "C loop, errors and update fused",
    "ours": "ours",
    "torch-fused": "PyTorch eager, fused Adam",
    "torch": "PyTorch eager, Adam",
    "keras": "Keras `fit(batch_size=1)`",
    "keras-tuned": "Keras, 100 steps an execution and XLA",
}


def render(result: dict[str, Any]) -> str:
    """Writes what was measured where, every contender's times, and the figures that have a target."""
    rounds, names = result["rounds"], result["weights_difference"]
    versions = ", ".join(f"{name} {version}" for name, version in result["versions"].items())
    middle = "median (lowest–highest)"  # noqa: RUF001 - an en dash between numbers
    about = f"{result['machine']}; {versions}. {len(rounds)} rounds of {result['steps']} steps; {middle}."
    times = {name: [one[name]["us_per_step"] for one in rounds] for name in names}
    contenders = [
        (
            LABELS[name],
            spread(times[name], ".1f"),
            spread(ratios(times[name], times["ours"]), ".2f"),
            f"{statistics.median(one[name]['warm_up'] for one in rounds):.2f}",
            f"{rounds[-1][name]['loss']:.5f}",
            f"{difference:.1e}",
        )
        for name, difference in names.items()
    ]
    header = ("one core", "µs a step", "times ours", "warm-up, s", "mean loss", "off the reference by")
    return "\n\n".join([about, table(header, contenders), targets(rounds, times)])


def targets(rounds: Sequence[dict[str, Any]], times: dict[str, list[float]]) -> str:
    rows = []

    def row(question: str, values: Sequence[float], wanted: str, low: float, high: float) -> None:
        met = "yes" if low <= statistics.median(values) <= high else "no"
        rows.append((question, spread(values, ".2f"), wanted, met))

    if "keras" in times:
        row("faster than Keras, times", ratios(times["keras"], times["ours"]), "at least 30", 30, 1e9)
    if "c" in times:
        row("time of the C loop, times", ratios(times["ours"], times["c"]), "at most 1.3", 0, 1.3)
    if "together" in rounds[0]:
        alone, together = ([one[kind]["us_per_step"] for one in rounds] for kind in ("alone", "together"))
        cores = spread([one["together"]["cores"] for one in rounds], ".2f")
        question = f"throughput of two threads (which got {cores} cores), times one"
        row(question, ratios(alone, together), "at least 1.7", 1.7, 1e9)
    one_size, many = ([one[fleet]["compile"] for one in rounds] for fleet in FLEETS)
    question = (
        f"compile time of {len(FLEETS['many'])} sizes ({statistics.median(many):.2f} s), times one size "
        f"({statistics.median(one_size):.2f} s)"
    )
    row(question, ratios(many, one_size), "about 1 (at most 1.2)", 0, 1.2)
    return table(("question", "measured", "target", "met"), rows)


def ratios(over: Sequence[float], under: Sequence[float]) -> list[float]:
    return [a / b for a, b in zip(over, under, strict=True)]


def spread(values: Sequence[float], form: str) -> str:
    """Writes the median and the range of `values`."""
    middle, low, high = (format(f(values), form) for f in (statistics.median, min, max))
    return f"{middle} ({low}–{high})"  # noqa: RUF001 - an en dash between numbers


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Lays out a Markdown table that also reads well as plain text."""
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    lines = [header, ["-" * width for width in widths], *rows]
    return "\n".join(f"| {' | '.join(map(str.ljust, line, widths))} |" for line in lines)
