"""Layers with filters over time in a `.tflite` file: two-dimensional ones, of height 1 and without padding."""

from collections.abc import Mapping

import numpy as np

from fedmetaalign.operators.grid import Grid
from fedmetaalign.operators.operator import Constant, Node, require

ACTIVATION = "fusedActivationFunction"
RELU = {0: False, 1: True}  # the schema's ActivationFunctionType
_VALID = 1  # its Padding


def options(stride: int, relu: bool, **more: int) -> dict[str, int]:
    """Returns the options that all layers over time have in common, and `more`."""
    return {"padding": _VALID, "strideW": stride, "strideH": 1, ACTIVATION: int(relu), **more}


def constants(
    weights: np.ndarray, biases: np.ndarray, scales: np.ndarray | None, source: Grid | None, dimension: int
) -> tuple[Constant, Constant]:
    """Returns weights and biases as a file has them.

    Args:
        weights: in the file's order, float32 or int8.
        biases: (channels,) float32 or int32.
        scales: (channels,) float32, of integers.
        source: grid of what the layer takes, of integers.
        dimension: of the weights that the scales belong to.
    """
    if scales is None or source is None:
        return Constant(weights.astype(np.float32)), Constant(biases.astype(np.float32))
    bias_scales = np.float32(source.scale) * scales
    return Constant(weights, scales, dimension=dimension), Constant(biases, bias_scales)


def checked(found: Node, expected: Mapping[str, int], channels: int) -> tuple[Constant, Constant]:
    """Returns a layer's weights and biases.

    Args:
        found: what a file holds of it.
        expected: its options, but for stride and ReLU.
        channels: of its output.

    Raises:
        BundleError: it is not as `constants` and `options` give it.
    """
    weights, biases = found.constants
    require(weights and biases, "convolutions have weights and biases")
    assert weights and biases  # noqa: S101  # as said above
    require(
        all(found.options[name] == value for name, value in expected.items())
        and found.options["padding"] == _VALID
        and found.options["strideW"] > 0
        and found.options[ACTIVATION] in RELU,
        "convolutions go over time, without padding, and are ReLU or plain",
    )
    require(len(found.takes) == len(found.gives) == 3 and found.takes[0] == 1, "convolutions go over time")
    require(biases.values.shape == (channels,), "every filter has a bias")
    if found.source is None and found.output is None:
        require(
            weights.values.dtype == biases.values.dtype == np.float32,
            "what is float32 stays so up to the score",
        )
        return weights, biases
    require(
        found.source
        and found.output
        and weights.values.dtype == np.int8
        and weights.bits == 8
        and biases.values.dtype == np.int32,
        "layers are int8",
    )
    assert found.source and weights.scales is not None  # noqa: S101  # as said above
    require(weights.scales.shape == (channels,), "every filter has a scale")
    if biases.scales is not None:
        accumulators = np.float64(found.source.scale) * weights.scales
        require(
            np.allclose(biases.scales, accumulators, rtol=1e-6, atol=0.0), "biases have the accumulators' scale"
        )
    return weights, biases
