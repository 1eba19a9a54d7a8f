"""What the command line prints: tables on standard output, progress on standard error."""

import json
import sys
import time
import tomllib
from collections import Counter
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text

from fedmetaalign.cli.terminal import print_json, print_table
from fedmetaalign.report.live import PHASES
from fedmetaalign.run import Watcher

STAGES = {
    "foundation": "pre-\ntrained",
    "serial": "serial",
    "parallel": "parallel",
    "personalized": "personal",
    "deployed": "deployed",
}


FIRST = 15.0
"""Seconds of training after which it can be told how long the rest takes."""
LONG = 120.0
"""Seconds that nobody should wait for without a word."""


class _Rate(ProgressColumn):
    """Training steps a second."""

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text(f"{speed:,.0f} steps/s" if speed else "", style="progress.data.speed")


class Bar:
    """A progress bar on standard error, there in its context; silent where that is not a terminal."""

    def __init__(self, *columns: ProgressColumn) -> None:
        """Prepares a bar with these columns between itself and the time that is left."""
        self._bar = Progress(
            TextColumn("{task.description:<24}"),
            BarColumn(),
            *columns,
            TimeRemainingColumn(),
            console=Console(stderr=True),
            disable=not sys.stderr.isatty(),
            transient=True,
        )
        self._task = self._bar.add_task("reading the fleet", total=None)

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def begin(self, total: int) -> None:
        """Shows how much there is to do."""
        self._bar.update(self._task, total=total)

    def describe(self, text: str) -> None:
        """Says beside the bar what is being done."""
        self._bar.update(self._task, description=text)

    def notice(self, sentence: str) -> None:
        """Prints a sentence above the bar, on standard error."""
        self._bar.console.print(f"fedmetaalign: {sentence}", markup=False, highlight=False, soft_wrap=True)

    def advance(self, amount: int = 1) -> None:
        """Moves the bar."""
        self._bar.advance(self._task, amount)


class RunWatcher(Bar, Watcher):
    """Shows a run's progress: the steps taken, and how fast."""

    def __init__(self) -> None:
        """Prepares the bar; it appears on entering the context."""
        super().__init__(TextColumn("{task.percentage:>3.0f} %"), _Rate())
        self._began, self._told = 0.0, False

    def phase(self, name: str) -> None:
        """Names the phase beside the bar."""
        self.describe(PHASES[name])

    def advance(self, amount: int = 1) -> None:
        """Moves the bar; where there is none, says once how long it is going to take, if that is long."""
        super().advance(amount)
        task = self._bar.tasks[self._task]
        self._began = self._began or time.monotonic()
        passed = time.monotonic() - self._began
        if self._bar.disable and not self._told and passed > FIRST and task.total and task.completed:
            self._told = True
            left = passed * (task.total / task.completed - 1)
            if left > LONG:
                self.notice(
                    f"Training takes about {_duration(left)} more, at {task.completed / passed:,.0f} steps/s."
                )


def _duration(seconds: float) -> str:
    return f"{seconds / 60:.0f} minutes" if seconds < 5400 else f"{seconds / 3600:.1f} hours"


def fleet_table(name: str, results: Mapping[str, Any]) -> None:
    """Prints a line a device: its baselines, its test accuracy after every stage, and what it received.

    A device without faults has no accuracy that the others' could be held against; see `findings.verdict`.
    """
    devices, fleet = results["devices"], results["fleet"]
    columns: dict[str, Callable[[Any], str]] = {
        "majority\nclass": lambda row: _percent(row["majority"]),
        "one\nrule": lambda row: _percent(row["one_rule"]),
    }
    if "alone" in fleet:
        columns["alone"] = lambda row: _percent(row.get("alone"))
    for stage in fleet["stages"]:
        columns[STAGES[stage]] = partial(_stage, stage)
    columns["F1"] = _f1
    title = f"{name}: accuracy in % on held-out samples"
    if "classes" in fleet:
        columns["macro-\nF1"] = lambda row: _number(_deployed(row, "macro_f1"))
        columns["class\naccuracy"] = lambda row: _percent(_deployed(row, "class_accuracy"))
        title += ": of alarms; macro-F1 and class accuracy are of kinds"
    columns["thresh-\nold"] = lambda row: _number(row.get("threshold"))
    columns["bytes"] = lambda row: f"{row['model_bytes']:,}" if "model_bytes" in row else ""
    groups = fleet.get("groups", {})
    sizes = Counter(groups.values())
    if len(devices) > 1 and any("blend" in row for row in devices.values()):
        columns["blend"] = lambda row: _blend(row, sizes[row.get("group", 0)])
    if len(sizes) > 1:
        columns["group"] = lambda row: str(row.get("group", ""))

    named = {name: row | ({"group": groups[name]} if name in groups else {}) for name, row in devices.items()}
    rows = [(device, *(cell(row) for cell in columns.values())) for device, row in named.items()]
    mean = ("mean", *(cell(fleet) for cell in columns.values()))
    print_table(title, ["device", *columns], rows, mean=mean)


def _blend(row: Mapping[str, Any], members: int) -> str:
    """The name of a device's blend; in a group of one there is nobody to blend with."""
    return "" if not row.get("blend") else "local" if members == 1 else str(row["blend"]["name"])


def _stage(stage: str, row: Mapping[str, Any]) -> str:
    return _percent(None if row.get("known") else row["stages"][stage])


def _f1(row: Mapping[str, Any]) -> str:
    """F1 of the deployed model, or how many faults are too few for that."""
    if few := row.get("few_faults"):
        return f"{few['faults']} fault{'s' * (few['faults'] > 1)}"
    return _number(_deployed(row, "f1"))


def _deployed(row: Mapping[str, Any], metric: str) -> float | None:
    value: float | None = None if row.get("known") else row["stages"].get("deployed", {}).get(metric)
    return value


def sentences(folder: Path) -> None:
    """Prints what the table means, in the words of the run's report."""
    from fedmetaalign.report.decision import summary
    from fedmetaalign.report.reading import read_run

    for sentence in summary(read_run(folder)):
        sys.stdout.write(f"{sentence}\n")


def print_results(folder: Path, as_json: bool, bundles: str | None = None) -> None:
    """Prints what a finished run has come to; `bundles` says where those of the devices are."""
    results = json.loads((folder / "results.json").read_text(encoding="utf-8"))
    if as_json:
        print_json(results)
        return
    recipe = tomllib.loads((folder / "recipe.toml").read_text(encoding="utf-8"))
    fleet_table(recipe["name"], results)
    sys.stdout.write("\n")
    sentences(folder)
    sys.stdout.write(f"\nReport:  {folder / 'report.html'}\nBundles: {bundles or folder / 'devices'}\n")


def _percent(value: float | Mapping[str, float | None] | None) -> str:
    """Formats an accuracy, given as such or among other metrics."""
    accuracy = value["accuracy"] if isinstance(value, Mapping) else value
    return "-" if accuracy is None else f"{100 * accuracy:.1f}"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"
