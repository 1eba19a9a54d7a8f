"""Post-training full-integer quantisation of a network.

What the integers stand for, and which the runtimes take, is said in `network`.

Where ranges are clipped, the clip is chosen that gives the scores the least squared error. PyTorch's
HistogramObserver takes the error of each tensor's values, which would not do here: a row of a device that was
off lies thirty standard deviations away, and its own error outweighs what its range costs all other rows. That
of a probability is at most 1, and so the score says what such a row is worth.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from fedmetaalign.errors import BundleError
from fedmetaalign.operators import Layer, QuantizedLayer, operator_of, output_of
from fedmetaalign.operators.dense import Dense
from fedmetaalign.operators.grid import Bits, grid, to_grid
from fedmetaalign.operators.operator import Request
from fedmetaalign.tinyml.calibration import (
    Calibration,
    activation_ranges,
    check_calibration,
    layer_inputs,
    observe,
)
from fedmetaalign.tinyml.head import dense_tail
from fedmetaalign.tinyml.integer import firmware_scores
from fedmetaalign.tinyml.network import Edges, Layers, QuantizedNetwork, check_layers

_WORTH = 0.001
"""What a clip has to take off the mean squared error of scores, of their variance. A device's few rows say too
little of smaller gains: where a new value lies beyond all that was seen, they come out as losses as often."""


def quantize(
    layers: Layers,
    calibration: np.ndarray,
    per_channel: bool = False,
    bits: Bits | Sequence[Bits] = 8,
    head: int = 0,
    edges: Edges = "uint8",
    by: Calibration = "range",
) -> QuantizedNetwork:
    """Turns a float network into integers, with ranges seen on calibration data.

    Args:
        layers: the float network.
        calibration: (rows, inputs) float32, scaled features such as the device will see.
        per_channel: one weight scale for each output of a layer instead of one for the layer: finer, for 16
            bytes an output: the scales of its weights and of its bias, and a zero point that they share.
            Convolutions always have one for each filter.
        bits: of the weights, for all integer layers or one for each; 4 excludes `per_channel`, and is for
            dense layers.
        head: how many layers, counted from the last, stay float32.
        edges: type of the features, and of the score where there is no head.
        by: how ranges are chosen. "error" takes of `Seen.clipped` those with the least `score_error` on the
            calibration data, or wider ones that a thousandth of the scores' variance sets apart from them.

    Returns:
        The quantised network.

    Raises:
        BundleError: the shapes do not chain, a weight or calibration value is not finite, there is no
            calibration data, or what is asked for excludes itself.
    """
    check_layers(layers)
    trunk, tail = layers[: len(layers) - head], layers[len(layers) - head :]
    widths = [*bits] if isinstance(bits, Sequence) else [bits] * len(trunk)
    _check_request(len(layers), widths, per_channel, head)
    if head > (most := dense_tail(layers)):
        raise BundleError(
            f"A float32 head is dense layers, of which the network ends in {most}; {head} were asked for."
        )
    check_calibration(calibration, layers[0].inputs)
    if not head:
        trunk = layers = _centred(layers, calibration)

    def made(ranges: list[tuple[float, float]]) -> QuantizedNetwork:
        spans = [*ranges[1:-1], output_of(layers[-1].outputs).span(*ranges[-1])]
        whole = [*trunk]
        if not head:
            whole[-1], spans[-1] = _cooled(trunk[-1], spans[-1])
        features = source = grid(*ranges[0])
        quantized: list[QuantizedLayer] = []
        for i, (layer, width) in enumerate(zip(whole, widths, strict=True)):
            low, high = min(ranges[i][0], 0.0), max(ranges[i][1], 0.0)  # what the grid of its input holds
            inputs = (np.clip(rows, low, high) for rows in layer_inputs(layers, i, calibration))
            request = Request(width, per_channel, spans[i], inputs)
            quantized.append(operator_of(layer).quantize(layer, source, request))
            source = quantized[-1].output
        return QuantizedNetwork(features, tuple(quantized), tuple(tail), edges)

    if by == "range":
        return made(activation_ranges(layers, calibration))
    seen = observe(layers, calibration)
    networks = [made(ranges) for ranges in seen.clipped()]
    errors = np.array([score_error(network, calibration, seen.scores) for network in networks])
    enough = errors.min() + _WORTH * seen.scores.var(axis=0).mean()
    return networks[int(np.argmax(errors <= enough))]


def _centred(layers: Layers, calibration: np.ndarray) -> Layers:
    """Returns a network of several classes whose logits sum to 0, if a grid of these is the finer one.

    What all logits have in common makes no score, and can lie a hundred times farther from 0 than they lie from
    each other. One that is far below all others, and so does not count, would take the others with it.
    """
    last = layers[-1]
    if last.outputs == 1 or not isinstance(last, Dense):
        return layers
    weights, biases = (np.asarray(part, np.float64) for part in (last.weights, last.biases))
    weights, biases = weights - weights.mean(axis=1, keepdims=True), biases - biases.mean()
    centred = replace(last, weights=weights.astype(np.float32), biases=biases.astype(np.float32))
    ends = np.zeros((2, 2))  # of the logits that count, as they are and centred; a grid holds 0
    for inputs in layer_inputs(layers, len(layers) - 1, calibration):
        for end, layer in zip(ends, (last, centred), strict=True):
            with np.errstate(over="ignore", invalid="ignore"):  # as in `activations`
                logits = output_of(last.outputs).counting(operator_of(layer).forward(layer, inputs))
            end[:] = min(end[0], logits.min()), max(end[1], logits.max())
    wide, narrow = ends[:, 1] - ends[:, 0]
    return [*layers[:-1], centred] if narrow < wide else layers


def _cooled(layer: Layer, span: tuple[float, float]) -> tuple[Layer, tuple[float, float]]:
    """Returns the last layer, and the range of its logits, closer together where no kernel takes them.

    Logits that far apart have scores of 0 and 1, and have the same ones when they are all a little smaller.
    """
    factor = output_of(layer.outputs).widest / (max(span[1], 0.0) - min(span[0], 0.0) or 1.0)
    if factor >= 1 or not isinstance(layer, Dense):
        return layer, span
    weights, biases = (np.asarray(part * factor, np.float32) for part in (layer.weights, layer.biases))
    return replace(layer, weights=weights, biases=biases), (span[0] * factor, span[1] * factor)


def score_error(network: QuantizedNetwork, x: np.ndarray, expected: np.ndarray) -> float:
    """Returns the mean squared difference of a network's scores, as the firmware computes them, from others.

    Args:
        network: the quantised network.
        x: (rows, inputs) float32, scaled features.
        expected: (rows,) or (rows, classes) float64.
    """
    return float(np.mean((firmware_scores(network, quantize_input(network, x)) - expected) ** 2))


def bits_of_int4(layers: Layers) -> list[Bits]:
    """Chooses which layers get weights of 4 bits: those that hold most of the weights.

    The first layer and those with less than a fiftieth of all weights keep 8 bits: for the paper's network 1.5
    KB more, and a third of the error. Layers over time keep them, too: they have few weights, for which there
    are no kernels of 4 bits everywhere.

    Returns:
        The bits of each layer's weights.
    """
    sizes = [operator_of(layer).weights(layer) for layer in layers]
    dense = [isinstance(layer, Dense) for layer in layers]
    return [4 if i and dense[i] and size * 50 >= sum(sizes) else 8 for i, size in enumerate(sizes)]


def quantize_input(network: QuantizedNetwork, x: np.ndarray) -> np.ndarray:
    """Puts scaled features on the network's input grid.

    Args:
        network: the quantised network.
        x: (rows, inputs) float32.

    Returns:
        (rows, inputs) of the type of the network's edges; integers saturate outside the calibrated range.
    """
    if network.edges == "float32":
        return np.asarray(x, np.float32)
    if network.edges == "int8":
        return to_grid(x, network.input.scale, network.input.zero_point, np.int8)
    return to_grid(x, network.input.scale, network.input.unsigned.zero_point, np.uint8)


def dequantize_score(q: np.ndarray) -> np.ndarray:
    """Turns scores as a model gives them into probabilities of a fault.

    Args:
        q: of any shape, uint8 (in steps of 1/256 from 0), int8 (the same less 128) or float32.

    Returns:
        float64 in [0, 1], of the same shape.
    """
    if q.dtype.kind == "f":
        return q.astype(np.float64)
    return np.asarray((q.astype(np.float64) - np.iinfo(q.dtype).min) / 256.0)


def _check_request(layers: int, bits: Sequence[Bits], per_channel: bool, head: int) -> None:
    if not 0 <= head < layers:
        raise BundleError(
            f"A float32 head of {head} of {layers} layers leaves none to quantise; ask for a float32 model."
        )
    if len(bits) != layers - head:
        raise BundleError(f"{layers - head} layers are quantised, but bits has {len(bits)} numbers.")
    if per_channel and 4 in bits:
        raise BundleError(
            "Kernels for 4-bit weights take one scale a layer; leave per_channel out, or ask for 8 bits."
        )
