"""The rows of a comparison, and compare.csv: every value that was measured, for people's own analyses."""

import csv
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from io import StringIO

from fedmetaalign.comparison.cell import FINAL, GLOBAL, Cell, Stage

METRICS = ("accuracy", "f1", "precision", "recall", "balanced_accuracy", "mcc", "pr_auc", "brier")
"""What is summarised of each device, in this order."""

KINDS = ("class_accuracy", "macro_f1")
"""What is summarised besides where there are more than two classes."""


@dataclass(frozen=True)
class Row:
    """One stage of one method: a line of the tables.

    Attributes:
        name: the method's for its final stage, "METHOD.global" for its global model.
        method: the name that its cells have.
        stage: `FINAL` or `GLOBAL`.
        cells: one a seed, by rising seed.
    """

    name: str
    method: str
    stage: str
    cells: tuple[Cell, ...]

    @property
    def stages(self) -> list[Stage | None]:
        """The row's stage for each seed, None where training diverged."""
        return [cell.stages.get(self.stage) for cell in self.cells]


def rows(cells: Iterable[Cell], methods: Sequence[str]) -> list[Row]:
    """Arranges cells into rows, in the order of the methods and a method's global model right after it.

    Args:
        cells: the chosen ones, one for each method and seed.
        methods: the names that the cells have, in the order wanted.

    Raises:
        ValueError: a method lacks a seed that another has, or has one twice.
    """
    chosen = sorted(cells, key=lambda cell: cell.seed)
    seeds = sorted({cell.seed for cell in chosen})
    found = []
    for method in methods:
        own = tuple(cell for cell in chosen if cell.method == method)
        if [cell.seed for cell in own] != seeds:
            raise ValueError(f"{method} has seeds {[cell.seed for cell in own]}, the comparison has {seeds}")
        found.append(Row(method, method, FINAL, own))
        trained = [cell for cell in own if FINAL in cell.stages]
        if trained and all(GLOBAL in cell.stages for cell in trained):
            found.append(Row(f"{method}.{GLOBAL}", method, GLOBAL, own))
    return found


def device_names(cells: Iterable[Cell]) -> tuple[list[str], list[str]]:
    """Returns the names of the federated and of the unseen devices, in the order of their measurement."""
    measured: dict[str, None] = {}
    unseen: set[str] = set()
    for cell in cells:
        unseen |= set(cell.unseen)
        for stage in cell.stages.values():
            measured |= dict.fromkeys(stage.devices)
    return [name for name in measured if name not in unseen], [name for name in measured if name in unseen]


def measured(cells: Iterable[Cell]) -> tuple[str, ...]:
    """Returns the metrics that these cells have: those of the kinds too, where one of them has these."""
    stages = (stage for cell in cells for stage in cell.stages.values())
    kinds = any(metrics.keys() & set(KINDS) for stage in stages for metrics in stage.devices.values())
    return (*METRICS, *KINDS) if kinds else METRICS


def to_csv(cells: Sequence[Cell], methods: Sequence[str]) -> str:
    """Returns the text of compare.csv: one line for each row, device and seed.

    Floats are written so that they read back exactly; what is undefined is empty, as all values are of a seed
    whose training diverged.

    Args:
        cells: as for `rows`.
        methods: as for `rows`.
    """
    text = StringIO()
    writer = csv.writer(text, lineterminator="\n")
    known = measured(cells)
    writer.writerow(
        ["method", "stage", "device", "seed", "learning_rate", *known, "threshold", "steps", "bytes", "seconds"]
    )
    federated, unseen = device_names(cells)
    for row in rows(cells, methods):
        for device in (*federated, *unseen):
            writer.writerows(_lines(row, device, known))
    return text.getvalue()


def _lines(row: Row, device: str, known: Sequence[str]) -> Iterator[list[object]]:
    """Yields a row's lines for one device; csv writes None as nothing and a float as its repr."""
    for cell, stage in zip(row.cells, row.stages, strict=True):
        metrics = stage.devices.get(device, {}) if stage else {}
        yield [
            *(row.method, row.stage, device, cell.seed, cell.learning_rate),
            *(metrics.get(name) for name in (*known, "threshold")),
            *((stage.steps, stage.bytes, stage.seconds) if stage else (None, None, None)),
        ]
