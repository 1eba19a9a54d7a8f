"""A bundle's golden vectors, as golden.csv has them."""

import csv
import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fedmetaalign.errors import BundleError
from fedmetaalign.model.preparation import Preparation
from fedmetaalign.model.target import BINARY, Target
from fedmetaalign.tinyml import windows

_MOST = 8  # features whose sensors are broken one by one
_VALUES = 16384  # of good samples that are windows


@dataclass(frozen=True)
class Golden:
    """Samples, and what a bundle promises to make of them.

    Attributes:
        raw: (rows, measured) float64, NaN and infinite perhaps.
        inputs: (rows, inputs), what the network takes of them: of its edge type, or float64 as `read` has it.
        scores: (rows,) float64, or (rows, classes) of several classes.
        decisions: (rows,) uint8, see `decision.Decision`.
        kinds: (rows,) int64, the likeliest fault of several classes; None of two.
    """

    raw: np.ndarray
    inputs: np.ndarray
    scores: np.ndarray
    decisions: np.ndarray
    kinds: np.ndarray | None = None


def on_curves(preparation: Preparation) -> np.ndarray:
    """Returns raw samples, (rows, measured) float64, on each knot, between knots, and beyond them.

    No rows without curves. A text feature keeps to its texts.
    """
    if not preparation.curves:
        return np.zeros((0, len(preparation.measured)))
    columns = []
    for name, curve in zip(preparation.features, preparation.curves, strict=True):
        knots = np.array(curve.knots)
        beyond = knots[[0, -1]] + np.array([-1.0, 1.0]) * curve.unit
        values = np.concatenate([knots, (knots[1:] + knots[:-1]) / 2, beyond])
        texts = preparation.categories.get(name)
        columns.append(values if texts is None else np.clip(np.rint(values), 0, len(texts) - 1))
    rows = max(map(len, columns))
    return np.column_stack([np.resize(values, rows) for values in columns[: len(preparation.measured)]])


def samples(folder: Path, preparation: Preparation, labels: Target) -> np.ndarray:
    """Returns the raw samples of a bundle's golden.csv, (rows, measured) float64, without made up windows.

    Raises:
        BundleError: as `read`.
    """
    raw = read(folder / "golden.csv", preparation, labels).raw
    return raw if preparation.signal is None else raw[: -len(windows.made(preparation.signal))]


def some(preparation: Preparation, raw: np.ndarray) -> np.ndarray:
    """Returns as many samples, (rows, measured), as a file has room for that are windows; else all."""
    return raw if preparation.signal is None else raw[: max(1, _VALUES // raw.shape[1])]


def on_broken(preparation: Preparation, raw: np.ndarray) -> np.ndarray:
    """Returns samples with broken values, (rows, measured) float64, and some just within a sensor's range.

    A value is missing, of some features one by one and of all at once; infinite; or on either side of an end of
    its range.

    Args:
        preparation: the bundle's.
        raw: (rows, measured) float64, at least one good sample, whose other values these have.
    """
    measured, missing = preparation.measured, preparation.missing
    low, high = missing.limits(measured)
    changes = [(np.nan, [i]) for i in range(min(len(measured), _MOST))]
    changes += [(value, [*range(len(measured))]) for value in (np.nan, np.inf, -np.inf)]
    for i in [measured.index(name) for name in missing.ranges][:_MOST]:
        # The next number, and no subnormal one, which some processors take for 0.
        steps = [max(np.spacing(abs(end)), np.finfo(np.float32).tiny) for end in (low[i], high[i])]
        ends = (low[i], low[i] - steps[0], high[i], high[i] + steps[1])
        changes += [(float(end), [i]) for end in ends]
    rows = raw[np.arange(len(changes)) % len(raw)]
    for row, (value, columns) in zip(rows, changes, strict=True):
        row[columns] = value
    return rows


def text(golden: Golden, preparation: Preparation, labels: Target = BINARY) -> str:
    """Returns golden.csv: raw features, the inputs that the model takes of them, scores, decisions.

    Inputs are columns q0, q1, ... of integers, or z0, z1, ... of float32 numbers. The score is one column, or
    several, p0, p1, ..., one a class; then the likeliest fault is named, too. The column `fault` is 1, or 2 for
    a sensor fault, or 0.

    Args:
        golden: with inputs of the network's edge type.
        preparation: the bundle's.
        labels: the bundle's.
    """
    out = io.StringIO()
    table = csv.writer(out, lineterminator="\n")
    letter = "z" if golden.inputs.dtype == np.float32 else "q"
    inputs = [f"{letter}{i}" for i in range(golden.inputs.shape[1])]
    table.writerow([*preparation.measured, *inputs, *_results(labels)])
    rows = len(golden.raw)
    scores = golden.scores.reshape(rows, -1).tolist()
    names = [[]] * rows if golden.kinds is None else [[labels.classes[kind]] for kind in golden.kinds]
    categories = [preparation.categories.get(name) for name in preparation.measured]
    columns = (golden.raw, golden.inputs, scores, golden.decisions, names)
    for row, input_, score, decided, kind in zip(*columns, strict=True):
        raw = [_cell(value, texts) for value, texts in zip(row, categories, strict=True)]
        table.writerow([*raw, *map(str, input_), *map(repr, score), int(decided), *kind])
    return out.getvalue()


def _results(labels: Target) -> list[str]:
    """Returns the names of the columns of scores and decisions."""
    if labels.outputs == 1:
        return ["score", "fault"]
    return [*(f"p{i}" for i in range(labels.outputs)), "fault", "kind"]


def _cell(value: float, categories: tuple[str, ...] | None) -> str:
    """Returns a raw feature as a table of raw samples holds it."""
    good = categories is not None and value in range(len(categories))
    return categories[int(value)] if categories is not None and good else repr(float(value))


def read(path: Path, preparation: Preparation, labels: Target = BINARY) -> Golden:
    """Reads golden.csv.

    Args:
        path: the file, checked against its sha256.
        preparation: the bundle's.
        labels: the bundle's.

    Raises:
        BundleError: it holds something else.
    """
    try:
        with path.open(encoding="utf-8", newline="") as file:
            header, *rows = csv.reader(file)
        features, inputs = len(preparation.measured), len(preparation.columns)
        end = features + inputs
        known = [*preparation.measured, *_results(labels)]
        if header[:features] + header[end:] != known or not rows:
            raise ValueError("its columns are not the bundle's features")
        codes = [
            {text: str(i) for i, text in enumerate(preparation.categories.get(name, ()))}
            for name in preparation.measured
        ]
        cells = [
            [code.get(cell, cell) for code, cell in zip(codes, row, strict=False)] + row[features:]
            for row in rows
        ]
        kinds = None
        if labels.outputs > 1:
            kinds = np.array([labels.classes.index(row.pop()) for row in cells])
        values = np.array(cells, np.float64)
    except (OSError, ValueError) as error:
        raise BundleError(f"{path} cannot be read ({error}): copy the bundle again.") from None
    scores = values[:, end] if labels.outputs == 1 else values[:, end : end + labels.outputs]
    decisions = values[:, end + labels.outputs].astype(np.uint8)
    return Golden(values[:, :features], values[:, features:end], scores, decisions, kinds)
