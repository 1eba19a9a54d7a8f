"""How a comparison's values look in Markdown; each metric's unit, and which way is better."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from fedmetaalign.report.comparison.reading import Interval
from fedmetaalign.report.numbers import ABSENT, NARROW, decimal, listing, signed

ALPHA = 0.05
"""A difference is called more than chance below this p."""


@dataclass(frozen=True)
class Metric:
    """One metric of the fleet.

    Attributes:
        title: the column's head, with the unit.
        unit: "percent", "points" (signed differences of percentages) or "decimal".
        direction: 1 where more is better, -1 where less is.
    """

    title: str
    unit: str = "percent"
    direction: int = 1

    def format(self, value: float | None) -> str:
        """0.9312 as "93.1" in percent, 0.0123 as "+1.2" in points, 0.81249 as "0.812"."""
        if self.unit == "points":
            return signed(value)
        return decimal(value) if self.unit == "decimal" or value is None else decimal(100 * value, 1)

    def best(self, values: Iterable[float | None]) -> str | None:
        """The best of the values as it is printed: what looks the same is as good."""
        known = [self.direction * value for value in values if value is not None]
        return self.format(self.direction * max(known)) if known else None


METRICS = {
    "accuracy": Metric("accuracy in %"),
    "macro_f1": Metric("macro-F1 in %"),
    "class_accuracy": Metric("class accuracy in %"),
    "f1": Metric("F1 in %"),
    "precision": Metric("precision in %"),
    "recall": Metric("recall in %"),
    "mcc": Metric("MCC", "decimal"),
    "balanced_accuracy": Metric("balanced accuracy in %"),
    "pr_auc": Metric("PR-AUC in %"),
    "brier": Metric("Brier score", "decimal", -1),
    "gain_over_local": Metric("gain over local only in points", "points"),
    "worse_off": Metric("devices worse off in %", direction=-1),
    "gain_over_forest": Metric("gain over the better forest in points", "points"),
    "worst": Metric("worst device in %"),
    "worst_decile": Metric("worst tenth in %"),
}


def bracket(metric: Metric, interval: Interval) -> str:
    """The interval alone: "[91.0, 94.6]"; empty where it is not known."""
    if interval.low is None or interval.high is None:
        return ""
    return f"[{metric.format(interval.low)}, {metric.format(interval.high)}]"


def ranged(metric: Metric, interval: Interval) -> str:
    """A mean and its interval: "93.1 [91.0, 94.6]"."""
    return f"{metric.format(interval.mean)} {bracket(metric, interval)}".rstrip()


def bold(text: str) -> str:
    """In bold."""
    return f"**{text}**"


def text(name: str) -> str:
    r"""A name as Markdown shows it unchanged, also in a table: "a|b" as "a\|b", "<x>" as "&lt;x&gt;"."""
    escaped = name.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    # Within a word, an underscore is only an underscore: names stay legible in the source.
    return re.sub(r"[\\|*`\[\]$~!#]|(?<!\w)_|_(?!\w)", r"\\\g<0>", escaped)


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table: the first column to the left, the others, which are numbers, to the right."""
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def learning_rate(rate: float | None) -> str:
    """0.0003 as "3e-4", 0.01 as "0.01"."""
    if rate is None or rate >= 0.01:
        return ABSENT if rate is None else f"{rate:g}"
    mantissa, exponent = f"{rate:e}".split("e")
    return f"{float(mantissa):g}e{int(exponent)}"


def traffic(size: float | None) -> str:
    """2500000 as "2.5 MB"; what is sent is counted in powers of ten."""
    if size is None:
        return ABSENT
    for unit, scale in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if size >= 0.9995 * scale:
            return f"{size / scale:.1f}{NARROW}{unit}"
    return "0" if size == 0 else f"{size:.0f}{NARROW}B"


def duration(seconds: float | None) -> str:
    """75.2 as "75 s", 7.52 as "7.5 s", 754 as "12.6 min"."""
    if seconds is None:
        return ABSENT
    if seconds < 120:
        return f"{seconds:.{0 if seconds >= 9.95 else 1}f}{NARROW}s"
    unit, scale = ("min", 60) if seconds < 7200 else ("h", 3600)
    return f"{seconds / scale:.1f}{NARROW}{unit}"


def probability(p: float | None) -> str:
    """0.03125 as "0.031", 0.34 as "0.34", and what rounds to less than 0.001 as "< 0.001"."""
    if p is None or p >= 0.0995:
        return decimal(p, 2)
    return "< 0.001" if p < 0.0005 else decimal(p)


def numbered(values: Sequence[int]) -> str:
    """Seeds: (0, 1, 2) as "0 to 2", (0, 2, 7) as "0, 2 and 7"."""
    if len(values) > 2 and list(values) == list(range(values[0], values[0] + len(values))):
        return f"{values[0]} to {values[-1]}"
    return listing(list(map(str, values)), len(values))
