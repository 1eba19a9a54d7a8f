"""A bundle's golden vectors, as golden.csv has them."""

import csv
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
        inputs: (rows, inputs) float64, what the network takes of them.
        scores: (rows,) float64.
        faults: (rows,) bool.
    """

    raw: np.ndarray
    inputs: np.ndarray
    scores: np.ndarray
    faults: np.ndarray


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
