"""What passes through a float network's layers when it is shown a device's data."""

from collections.abc import Iterator
from itertools import islice

import numpy as np

from fedmetaalign.errors import BundleError
from fedmetaalign.tinyml.network import Layers
from fedmetaalign.tinyml.softmax import REACH

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


def activation_ranges(layers: Layers, x: np.ndarray) -> list[tuple[float, float]]:
    """Finds, in one pass, the smallest and largest value of the input and of each layer's output.

    Computed in float64: the order in which a machine's matrix product adds up then does not show in a scale,
    which is rounded to float32, and the same network gives the same file everywhere.

    Args:
        layers: the float network.
        x: (rows, inputs) float32.

    Returns:
        (minimum, maximum) of the input, of each hidden layer after ReLU, and of the logit; of a logit for each
        class, as far as it counts (see `_that_count`).

    Raises:
        BundleError: a value grows out of float32's range.
    """
    lows = np.full(len(layers) + 1, np.inf)
    highs = np.full(len(layers) + 1, -np.inf)
    for start in range(0, len(x), _CHUNK):
        for i, values in enumerate(activations(layers, x[start : start + _CHUNK].astype(np.float64))):
            if i == len(layers) and values.shape[1] > 1:
                values = _that_count(values)
            lows[i] = min(lows[i], values.min())
            highs[i] = max(highs[i], values.max())
    for i, (low, high) in enumerate(zip(lows, highs, strict=True)):
        if not high - low < np.finfo(np.float32).max:
            raise BundleError(
                f"The output of layer {i} spans [{low:.3g}, {high:.3g}] on the calibration data, which no "
                "float32 scale can hold; train the network again with a lower learning rate."
            )
    return list(zip(lows.tolist(), highs.tolist(), strict=True))


def _that_count(logits: np.ndarray) -> np.ndarray:
    """Returns the least and the greatest of each row's logits that a grid has to hold, (rows, 2).

    A logit that is `REACH` below its row's greatest has probability 0, and a greatest one that is so far ahead
    of the second has probability 1, however much farther they go.

    Args:
        logits: (rows, classes) float64.
    """
    second, first = np.sort(logits, axis=1)[:, -2:].T
    highest = np.minimum(first, second + REACH)
    return np.stack([np.maximum(logits.min(axis=1), highest - REACH), highest], axis=1)


def layer_inputs(layers: Layers, number: int, x: np.ndarray) -> Iterator[np.ndarray]:
    """Yields what a layer is given for calibration data.

    Args:
        layers: the float network.
        number: of the layer, from 0.
        x: (rows, inputs) float32.

    Yields:
        Chunks of rows, (rows, inputs of the layer) float64.
    """
    for start in range(0, len(x), _CHUNK):
        values = activations(layers, x[start : start + _CHUNK].astype(np.float64))
        yield next(islice(values, number, None))


def activations(layers: Layers, x: np.ndarray) -> Iterator[np.ndarray]:
    """Yields the input, (rows, inputs) float64, each hidden layer's output after ReLU, and the logit."""
    yield x
    with np.errstate(over="ignore", invalid="ignore"):  # the caller reports what is not finite
        for layer in layers:
            x = x @ layer.weights + layer.biases
            if layer.relu:
                x = np.maximum(x, 0.0)
            yield x
