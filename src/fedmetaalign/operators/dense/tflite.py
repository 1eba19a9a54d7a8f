"""A fully connected layer in a `.tflite` file: FULLY_CONNECTED of weights and biases, perhaps with a ReLU."""

import numpy as np

from fedmetaalign.operators.dense.layer import Dense, QuantizedDense
from fedmetaalign.operators.grid import Grid
from fedmetaalign.operators.operator import Constant, Node, require

_ACTIVATION, _RELU = "fusedActivationFunction", {0: False, 1: True}  # the schema's ActivationFunctionType


def node(layer: Dense | QuantizedDense, source: Grid | None) -> Node:
    """Returns what a file holds of a layer that takes the grid `source`, None for float32."""
    version = 1
    if isinstance(layer, QuantizedDense):
        # Version 7 brought weights of 4 bits, version 4 those of 8.
        version = 7 if layer.bits == 4 else 4
        weights = Constant(layer.weights.T, layer.weight_scales, layer.bits)
        assert source is not None  # noqa: S101  # integers are on a grid
        biases = Constant(layer.biases, np.float32(source.scale) * layer.weight_scales)
    else:
        weights = Constant(layer.weights.T.astype(np.float32))
        biases = Constant(layer.biases.astype(np.float32))
    return Node(
        (weights, biases if layer.biases.any() else None),
        source,
        layer.output if isinstance(layer, QuantizedDense) else None,
        {_ACTIVATION: int(layer.relu)},
        version,
        "FULLY_CONNECTED",
        (layer.inputs,),
        (layer.outputs,),
    )


def read(found: Node) -> Dense | QuantizedDense:
    """Makes a layer of what a file holds.

    Raises:
        BundleError: it is not as `node` gives it.
    """
    require(len(found.constants) == 2 and found.constants[0], "layers have weights and biases")
    weights, biases = found.constants
    assert weights is not None  # noqa: S101  # as said above
    relu = _RELU.get(found.options[_ACTIVATION])
    require(relu is not None and not found.options["weightsFormat"], "layers are ReLU or plain")
    kernel = weights.values.T.copy()
    kind = np.float32 if kernel.dtype == np.float32 else np.int32
    offsets = np.zeros(kernel.shape[1], kind) if biases is None else biases.values
    require(offsets.dtype == kind, "weights and biases have types that agree")
    require(offsets.shape == kernel.shape[1:], "every output has a bias")
    if found.source is None and found.output is None:
        require(kind == np.float32, "what is float32 stays so up to the score")
        return Dense(kernel, offsets, bool(relu))
    require(found.source and found.output and kernel.dtype == np.int8, "layers are int8")
    assert found.source and found.output and weights.scales is not None  # noqa: S101  # as said above
    require(weights.scales.shape in {(1,), offsets.shape}, "weights have one scale, or one an output")
    if biases is not None and biases.scales is not None:
        expected = np.float64(found.source.scale) * weights.scales
        require(
            np.allclose(biases.scales, expected, rtol=1e-6, atol=0.0), "biases have the accumulators' scale"
        )
    return QuantizedDense(kernel, weights.scales, offsets, found.output, bool(relu), weights.bits)
