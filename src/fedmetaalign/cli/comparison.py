"""What `fedmetaalign compare` prints: a line a method on standard output, progress on standard error."""

import sys
from collections.abc import Iterable, Mapping
from typing import Any

from rich.progress import MofNCompleteColumn, TextColumn

from fedmetaalign.cli.progress import Bar
from fedmetaalign.cli.terminal import print_table
from fedmetaalign.comparison.compare import Watcher
from fedmetaalign.methods import FORESTS
from fedmetaalign.report.comparison.findings import sentences
from fedmetaalign.report.comparison.formats import METRICS, ranged
from fedmetaalign.report.comparison.reading import NOTHING, Comparison, Row, beside_itself, of_unseen, read
from fedmetaalign.report.numbers import ABSENT, MINUS

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
        comparison = read(result)
        _print_one(comparison, f"{comparison.recipe}: {len(comparison.seeds)} seeds")
        return
    for value, each in result["comparisons"].items():
        comparison = read(each)
        _print_one(comparison, f"{comparison.recipe} with {result['key']} = {value}")
        sys.stdout.write("\n")


def _print_one(comparison: Comparison, title: str) -> None:
    _print_rows(comparison.rows, title)
    if comparison.unseen:
        sys.stdout.write("\n")
        _print_rows(of_unseen(comparison).rows, f"{title}, devices that took no part")
    if any(row.edge for row in comparison.rows):
        sys.stdout.write("* at an end of the grid: a value beyond it might be better.\n")
    sys.stdout.write("\n")
    for sentence in sentences(comparison):
        sys.stdout.write(f"{sentence}\n")


def _print_rows(rows: Iterable[Row], title: str) -> None:
    rows = list(rows)
    rank = rows[0].rank
    kinds = any("macro_f1" in row.fleet for row in rows)
    more = {"macro-\nF1": "macro_f1", "class\naccuracy": "class_accuracy"} if kinds else {}
    forest = any(row.method in FORESTS for row in rows)
    against = {
        "gain over\nlocal only": "gain_over_local",
        **({"gain over\nforest": "gain_over_forest"} if forest else {}),
        "worse off\nthan alone": "worse_off",
        "worst\ndevice": "worst",
    }
    lines = [
        (
            row.label,
            *(
                _plain(ranged(METRICS[metric], row.ranking)) if metric == rank else _mean(row, metric)
                for metric in ("accuracy", "f1", *more.values())
            ),
            *("-" if beside_itself(row, metric) else _mean(row, metric) for metric in against.values()),
            ("-" if row.learning_rate is None else f"{row.learning_rate:g}") + ("*" if row.edge else ""),
            "-" if row.steps is None else f"{row.steps:,.0f}",
        )
        for row in rows
    ]
    print_table(
        f"{title}: means over seeds and devices, in %; [95 % interval]",
        ("method", "accuracy", "F1", *more, *against, "learning\nrate", "steps"),
        lines,
    )


def _mean(row: Row, metric: str) -> str:
    return _plain(METRICS[metric].format(row.fleet.get(metric, NOTHING).mean))


def _plain(cell: str) -> str:
    """The page's dashes and minus signs as those that every terminal has."""
    return cell.replace(ABSENT, "-").replace(MINUS, "-")
