"""Takes channels out of a float network over time, as `compress` takes units out of one of dense layers.

A channel is a filter of a convolution, with all its steps; a depthwise layer and a pool keep the channels that
they are given. Which channels stay, and what makes up for the others, is found over places of the kernel in
place of samples.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from fedmetaalign.operators import Layer
from fedmetaalign.operators.convolution import Convolution
from fedmetaalign.operators.dense import Dense
from fedmetaalign.operators.depthwise import Depthwise
from fedmetaalign.operators.pool import Pool
from fedmetaalign.operators.steps import windows
from fedmetaalign.tinyml.calibration import activations
from fedmetaalign.tinyml.network import Layers
from fedmetaalign.tinyml.shrinking import refitted, spanning

_VALUES = 1 << 21
"""Of activations that are looked at: enough rows to choose from, and a bound on memory."""


def widths(layers: Layers) -> list[int]:
    """Returns the channels of every convolution, and the units of every hidden dense layer."""
    found = (_given(layer) for layer in layers[:-1] if isinstance(layer, Convolution | Dense))
    return [*found]


def truncate(layers: Layers, limit: int) -> list[Layer]:
    """Keeps the first channels and units, at most `limit` a layer: the shapes of `prune`, without data."""
    kept, made = np.arange(_taken(layers[0])), list[Layer]()
    for i, layer in enumerate(layers):
        whole = _narrowed(layer, _units(layers, i, kept))
        kept = _kept_after(layer, kept, np.arange(limit) if i < len(layers) - 1 else None)
        made.append(_with_outputs(whole, kept))
    return made


def prune(layers: Layers, limit: int, x: np.ndarray) -> list[Layer]:
    """Keeps at most `limit` channels or units of every layer; the next one makes up for the others.

    Args:
        layers: a float network over time, each of whose convolutions and hidden dense layers has a ReLU.
        limit: most channels of a convolution, and units of a hidden layer.
        x: (rows, inputs), what the network has to be right on; of many rows the first are looked at.

    Returns:
        The narrower network, float32.
    """
    x = x[: max(64, _VALUES // max(layer.outputs for layer in layers))].astype(np.float64)
    whole = list(activations(layers, x))
    inputs, kept = whole[0], np.arange(_taken(layers[0]))
    pruned: list[Layer] = []
    for i, layer in enumerate(layers):
        kept = _units(layers, i, kept)
        narrow = _narrowed(layer, kept)
        if isinstance(narrow, Convolution | Dense) and len(kept) < _taken(layer):
            narrow = _made_up(narrow, layer, inputs, whole[i])
        chosen = None
        if isinstance(layer, Convolution | Dense) and i < len(layers) - 1 and _given(layer) > limit:
            units = whole[i + 1].reshape(-1, _given(layer))
            chosen = spanning(units * _leaving(layers[i + 1 :], _given(layer)), limit)
        kept = _kept_after(layer, kept, chosen)
        pruned.append(_with_outputs(narrow, kept))
        *_, inputs = activations(pruned[-1:], inputs)
    return pruned


def _units(layers: Layers, number: int, kept: np.ndarray) -> np.ndarray:
    """Returns which inputs of a layer are left: of a dense one behind another, the channels at every step."""
    layer, before = layers[number], layers[max(number - 1, 0)]
    if not isinstance(layer, Dense) or isinstance(before, Dense):
        return kept
    return np.arange(layer.inputs).reshape(-1, _given(before))[:, kept].ravel()


def _taken(layer: Layer) -> int:
    """Returns the channels of a layer's input; a dense layer has units for channels."""
    return layer.inputs if isinstance(layer, Dense) else layer.channels


def _given(layer: Layer) -> int:
    """Returns the channels of a layer's output."""
    match layer:
        case Dense():
            return layer.outputs
        case Convolution():
            return layer.filters
        case _:
            return layer.channels


def _kept_after(layer: Layer, kept: np.ndarray, chosen: np.ndarray | None) -> np.ndarray:
    """Returns which channels a layer gives, where it is given `kept` and `chosen` of its own are to stay."""
    if not isinstance(layer, Convolution | Dense):
        return kept
    return np.arange(_given(layer)) if chosen is None else chosen[chosen < _given(layer)]


def _narrowed(layer: Layer, kept: np.ndarray) -> Layer:
    """Returns a layer that is given some channels alone; a dense one has them at every step."""
    match layer:
        case Pool():
            return replace(layer, channels=len(kept))
        case Depthwise():
            return replace(layer, weights=layer.weights[:, kept], biases=layer.biases[kept])
        case Convolution():
            return replace(layer, weights=layer.weights[:, kept])
        case Dense():
            return replace(layer, weights=layer.weights[kept])


def _with_outputs(layer: Layer, kept: np.ndarray) -> Layer:
    """Returns a layer of which some channels are left; what has no filters has only those it was given."""
    if isinstance(layer, Convolution | Dense):
        return replace(
            layer,
            weights=np.ascontiguousarray(layer.weights[..., kept], np.float32),
            biases=np.ascontiguousarray(layer.biases[kept], np.float32),
        )
    return layer


def _made_up(
    narrow: Convolution | Dense, layer: Layer, inputs: np.ndarray, whole: np.ndarray
) -> Convolution | Dense:
    """Returns a layer whose weights make up for the channels that it is not given."""
    assert isinstance(layer, Convolution | Dense)  # noqa: S101  # as its narrower one is
    flat = narrow.weights.reshape(-1, len(narrow.biases)).astype(np.float64)
    biases = narrow.biases.astype(np.float64)
    wanted = _seen(layer, whole) @ layer.weights.reshape(-1, len(biases)) + layer.biases
    weights, biases = refitted(flat, biases, _seen(narrow, inputs), wanted)
    return replace(narrow, weights=weights.reshape(narrow.weights.shape), biases=biases)


def _seen(layer: Convolution | Dense, x: np.ndarray) -> np.ndarray:
    """Returns what a layer sees at each of its places, (rows * places, inputs of a place)."""
    if isinstance(layer, Dense):
        return x
    seen = windows(x.reshape(len(x), layer.steps, -1), layer.kernel, layer.stride)
    return seen.reshape(-1, layer.kernel * layer.channels)


def _leaving(layers: Sequence[Layer], channels: int) -> np.ndarray:
    """Returns how large the weights are that each channel meets next, (channels,)."""
    following = next(layer for layer in layers if isinstance(layer, Convolution | Dense))
    weights = following.weights.reshape(-1, channels, following.weights.shape[-1])
    return np.asarray(np.sqrt((weights.astype(np.float64) ** 2).sum(axis=(0, 2))))
