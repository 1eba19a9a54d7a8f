"""What passes through a float network's layers when it is shown a device's data."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Literal

import numpy as np

from fedmetaalign.errors import BundleError
from fedmetaalign.operators import operator_of, output_of
from fedmetaalign.tinyml.network import Layers

Calibration = Literal["range", "error"]
"""How ranges are chosen: from the smallest to the largest value, or clipped to where scores err least."""

_MOST_CLIPPED = 10  # at most one row of so many is clipped at an end
_REACHED = 0.99  # of the largest input
_CHUNK = 4096  # rows at a time: a bound on memory, without effect on the result


def check_calibration(x: np.ndarray, inputs: int) -> None:
    """Makes sure that calibration data, (rows, inputs), says something.

    Raises:
        BundleError: it has no row or another number of inputs, or a value is not finite.
    """
    if x.ndim != 2 or x.shape[1] != inputs or not len(x):
        raise BundleError(
            f"Calibration data has shape {x.shape}; the network needs at least one row of {inputs} inputs."
        )
    bad = np.argwhere(~np.isfinite(x))
    if len(bad):
        raise BundleError(
            f"Calibration data is not finite in row {bad[0][0]}, column {bad[0][1]}; remove or fill such rows."
        )


def pushed_out(x: np.ndarray, end: float) -> np.ndarray:
    """Adds to calibration data what it becomes farther out, so that ranges hold what no training row has shown.

    A network of ReLUs grows about in step with its inputs: where those of new conditions lie beyond all that
    was seen, so do the outputs of its layers.

    Args:
        x: (rows, inputs) float32.
        end: how large an input can get.

    Returns:
        (2 * rows, inputs) float32: the rows, and each again with its largest input just short of the end. What
        lies at the end itself stays outside the calibrated range.
    """
    most = np.abs(x).max(axis=1, keepdims=True)
    factors = np.maximum(_REACHED * end / np.where(most > 0, most, np.inf), 1.0)
    return np.concatenate([x, x * factors]).astype(np.float32)


def activation_ranges(layers: Layers, x: np.ndarray) -> list[tuple[float, float]]:
    """Finds, in one pass, the smallest and largest value of the input and of each layer's output.

    Computed in float64: the order in which a machine's matrix product adds up then does not show in a scale,
    which is rounded to float32, and the same network gives the same file everywhere.

    Args:
        layers: the float network.
        x: (rows, inputs) float32.

    Returns:
        (minimum, maximum) of the input, of each hidden layer after ReLU, and of the logit; of a logit for each
        class, as far as it counts (see `Output.counting`).

    Raises:
        BundleError: a value grows out of float32's range.
    """
    lows = np.full(len(layers) + 1, np.inf)
    highs = np.full(len(layers) + 1, -np.inf)
    for chunk in _chunks(layers, x):
        for i, values in enumerate(chunk):
            if i == len(layers):
                values = output_of(values.shape[1]).counting(values)
            lows[i] = min(lows[i], values.min())
            highs[i] = max(highs[i], values.max())
    return _checked(list(zip(lows.tolist(), highs.tolist(), strict=True)))


@dataclass(frozen=True)
class Seen:
    """What calibration data does in a float network, two numbers a row and layer; computed in float64.

    Attributes:
        lows: (layers + 1, rows), sorted: each row's smallest value of the input, of each hidden layer after
            ReLU, and of the logit, as far as it counts.
        highs: (layers + 1, rows), sorted: the largest ones.
        scores: (rows,) the probability of a fault, or (rows, classes) of each class.
    """

    lows: np.ndarray
    highs: np.ndarray
    scores: np.ndarray

    def clipped(self) -> Iterator[list[tuple[float, float]]]:
        """Yields ranges to choose from, of the input and each layer: whole ones first, then ever narrower ones.

        They leave out the 0, 1, 2, 4, 8, ... most extreme rows at each end, at most a tenth of them: rows and
        not values, as what is to be left out is a moment at which a device was off or a sensor failed. A single
        logit keeps its whole range, which `Output.span` bounds: alarms can be the rarest rows of all.
        """
        rows, counts = len(self.scores), [0]
        while (following := max(2 * counts[-1], 1)) * _MOST_CLIPPED <= rows:
            counts.append(following)
        for count in counts:
            lows, highs = self.lows[:, count].tolist(), self.highs[:, rows - 1 - count].tolist()
            if self.scores.ndim == 1:
                lows[-1], highs[-1] = float(self.lows[-1, 0]), float(self.highs[-1, -1])
            yield list(zip(lows, highs, strict=True))


def observe(layers: Layers, x: np.ndarray) -> Seen:
    """Finds, in one pass, what there is to choose clipped ranges from.

    Args:
        layers: the float network.
        x: (rows, inputs) float32.

    Raises:
        BundleError: a value grows out of float32's range.
    """
    lows, highs, scores = [], [], []
    output = output_of(layers[-1].outputs)
    for chunk in _chunks(layers, x):
        *hidden, logits = chunk
        counting = [*hidden, output.counting(logits)]
        lows.append([values.min(axis=1) for values in counting])
        highs.append([values.max(axis=1) for values in counting])
        with np.errstate(over="ignore", invalid="ignore"):  # as in `activations`
            scores.append(output.forward(logits))
    seen = Seen(
        np.sort(np.concatenate(lows, axis=1)), np.sort(np.concatenate(highs, axis=1)), np.concatenate(scores)
    )
    _checked(next(seen.clipped()))
    return seen


def layer_inputs(layers: Layers, number: int, x: np.ndarray) -> Iterator[np.ndarray]:
    """Yields what a layer is given for calibration data.

    Args:
        layers: the float network.
        number: of the layer, from 0.
        x: (rows, inputs) float32.

    Yields:
        Chunks of rows, (rows, inputs of the layer) float64.
    """
    for chunk in _chunks(layers, x):
        yield next(islice(chunk, number, None))


def activations(layers: Layers, x: np.ndarray) -> Iterator[np.ndarray]:
    """Yields the input, (rows, inputs) float64, each hidden layer's output after ReLU, and the logit."""
    yield x
    with np.errstate(over="ignore", invalid="ignore"):  # the caller reports what is not finite
        for layer in layers:
            x = operator_of(layer).forward(layer, x)
            yield x


def _chunks(layers: Layers, x: np.ndarray) -> Iterator[Iterator[np.ndarray]]:
    """Yields the activations of some rows after the other."""
    for start in range(0, len(x), _CHUNK):
        yield activations(layers, x[start : start + _CHUNK].astype(np.float64))


def _checked(ranges: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """Returns whole ranges.

    Raises:
        BundleError: one is out of float32's.
    """
    for i, (low, high) in enumerate(ranges):
        if not high - low < float(np.finfo(np.float32).max):
            raise BundleError(
                f"The output of layer {i} spans [{low:.3g}, {high:.3g}] on the calibration data, which no "
                "float32 scale can hold; train the network again with a lower learning rate."
            )
    return ranges
