"""What `fedmetaalign compare` prints: a line a method on standard output, progress on standard error."""

import sys
from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.progress import MofNCompleteColumn, TextColumn
from rich.table import Table

from fedmetaalign.comparison.compare import Watcher
from fedmetaalign.console import Bar
from fedmetaalign.methods import ALONE
from fedmetaalign.report.comparison.findings import sentences
from fedmetaalign.report.comparison.names import label
from fedmetaalign.report.comparison.reading import of_unseen, read

STAGES = {"tuning": "choosing learning rates", "running": "running the other seeds"}


class CompareWatcher(Bar, Watcher):
    """Shows a comparison's progress: the runs that are there, of all."""

    def __init__(self) -> None:
        """Prepares the bar; it appears on entering the context."""
        super().__init__(MofNCompleteColumn(), TextColumn("runs"))

    def stage(self, name: str) -> None:
        """Names the stage beside the bar."""
        self.describe(STAGES[name])


def print_comparison(result: Mapping[str, Any]) -> None:
    """Prints the fleet's figures, a line a method, and what they mean; for a sweep once a value."""
    if "comparisons" not in result:
        _print_one(result, f"{result['recipe']}: {len(result['seeds'])} seeds")
        return
    for value, comparison in result["comparisons"].items():
        _print_one(comparison, f"{comparison['recipe']} with {result['key']} = {value}")
        sys.stdout.write("\n")


def _print_one(comparison: Mapping[str, Any], title: str) -> None:
    _print_table(comparison, title)
    if comparison["unseen"]:
        sys.stdout.write("\n")
        _print_table(of_unseen(comparison), f"{title}, devices that took no part")
    if any(row["edge"] for row in comparison["methods"].values()):
        sys.stdout.write("* at an end of the grid: a value beyond it might be better.\n")
    sys.stdout.write("\n")
    for sentence in sentences(read(comparison)):
        sys.stdout.write(f"{sentence}\n")


def _print_table(comparison: Mapping[str, Any], title: str) -> None:
    table = Table(
        title=f"{title}: means over seeds and devices, in %; [95 % interval]",
        title_justify="left",
        box=None,
        header_style="",
        pad_edge=False,
    )
    table.add_column("method", vertical="bottom")
    for column in ("accuracy", "F1", "gain over\nlocal only", "worse off\nthan alone", "worst\ndevice"):
        table.add_column(column, justify="right", vertical="bottom")
    table.add_column("learning\nrate", justify="right", vertical="bottom")
    table.add_column("steps", justify="right", vertical="bottom")
    for name, row in comparison["methods"].items():
        fleet = row["fleet"]
        rate = "-" if row["learning_rate"] is None else f"{row['learning_rate']:g}"
        table.add_row(
            label(name),
            _bracket(fleet["accuracy"]),
            _percent(fleet["f1"]),
            "-" if name == ALONE else _percent(fleet["gain_over_local"], sign=True),
            "-" if name == ALONE else _percent(fleet["worse_off"]),
            _percent(fleet["worst"]),
            rate + ("*" if row["edge"] else ""),
            "-" if row["steps"] is None else f"{row['steps']:,.0f}",
        )
    stdout = Console(
        file=sys.stdout,
        width=None if sys.stdout.isatty() else 1000,
        markup=False,
        emoji=False,
        highlight=False,
    )
    stdout.print(table)


def _percent(interval: Mapping[str, Any], sign: bool = False) -> str:
    mean = interval["mean"]
    if mean is None:
        return "-"
    return f"{100 * mean:+.1f}" if sign else f"{100 * mean:.1f}"


def _bracket(interval: Mapping[str, Any]) -> str:
    if interval["low"] is None:
        return _percent(interval)
    return f"{_percent(interval)} [{100 * interval['low']:.1f}, {100 * interval['high']:.1f}]"
