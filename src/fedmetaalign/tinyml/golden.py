"""A bundle's golden vectors, as golden.csv has them."""

import csv
import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fedmetaalign.errors import BundleError
from fedmetaalign.preparation import Preparation


@dataclass(frozen=True)
class Golden:
    """Samples, and what a bundle promises to make of them.

    Attributes:
        raw: (rows, features) float64.
        inputs: (rows, inputs), what the network takes of them: of its edge type, or float64 as `read` has it.
        scores: (rows,) float64.
        faults: (rows,) bool.
    """

    raw: np.ndarray
    inputs: np.ndarray
    scores: np.ndarray
    faults: np.ndarray


def text(golden: Golden, preparation: Preparation) -> str:
    """Returns golden.csv: raw features, the inputs that the model takes of them, scores, decisions.

    Inputs are columns q0, q1, ... of integers, or z0, z1, ... of float32 numbers.

    Args:
        golden: with inputs of the network's edge type.
        preparation: the bundle's.
    """
    out = io.StringIO()
    table = csv.writer(out, lineterminator="\n")
    letter = "z" if golden.inputs.dtype == np.float32 else "q"
    inputs = [f"{letter}{i}" for i in range(golden.inputs.shape[1])]
    table.writerow([*preparation.features, *inputs, "score", "fault"])
    categories = [preparation.categories.get(name) for name in preparation.features]
    for row, input_, score, fault in zip(golden.raw, golden.inputs, golden.scores, golden.faults, strict=True):
        raw = [_cell(value, texts) for value, texts in zip(row, categories, strict=True)]
        table.writerow([*raw, *map(str, input_), repr(float(score)), int(fault)])
    return out.getvalue()


def _cell(value: float, categories: tuple[str, ...] | None) -> str:
    """Returns a raw feature as a table of raw samples holds it."""
    return repr(float(value)) if categories is None else categories[int(value)]


def read(path: Path, preparation: Preparation) -> Golden:
    """Reads golden.csv.

    Args:
        path: the file, checked against its sha256.
        preparation: the bundle's.

    Raises:
        BundleError: it holds something else.
    """
    try:
        with path.open(encoding="utf-8", newline="") as file:
            header, *rows = csv.reader(file)
        features, inputs = len(preparation.features), len(preparation.columns)
        if header[:features] != list(preparation.features) or len(header) != features + inputs + 2 or not rows:
            raise ValueError("its columns are not the bundle's features")
        codes = [
            {text: str(i) for i, text in enumerate(preparation.categories.get(name, ()))}
            for name in preparation.features
        ]
        cells = [
            [code.get(cell, cell) for code, cell in zip(codes, row, strict=False)] + row[features:]
            for row in rows
        ]
        values = np.array(cells, np.float64)
    except (OSError, ValueError) as error:
        raise BundleError(f"{path} cannot be read ({error}): copy the bundle again.") from None
    end = features + inputs
    return Golden(values[:, :features], values[:, features:end], values[:, end], values[:, end + 1] > 0)
