"""Between the federation's weight vectors and the layers that are deployed."""

from itertools import takewhile
from typing import Any

import numpy as np

from fedmetaalign.model.mlp import Network
from fedmetaalign.operators import Layer
from fedmetaalign.operators.convolution.layer import Convolution
from fedmetaalign.operators.dense.layer import Dense
from fedmetaalign.operators.depthwise.layer import Depthwise
from fedmetaalign.operators.pool.layer import Pool
from fedmetaalign.operators.stack import Block
from fedmetaalign.recipe import Model
from fedmetaalign.tinyml.network import Layers, flat_weights


def network_of(model: Model, outputs: int) -> Network:
    """Returns the architecture that a recipe asks for, with so many logits."""
    return Network(model.inputs, model.hidden, outputs, model.blocks, model.channels or 1)


def float_layers(network: Network, weights: np.ndarray) -> list[Layer]:
    """Returns the layers of a weight vector, (parameters,) float32, with arrays of their own."""
    parts = zip(network.operators, network.layers(weights), strict=True)
    return [layer for operator, w in parts for layer in operator.deployed(w)]


def weight_vector(layers: Layers) -> tuple[Network, np.ndarray]:
    """Returns the network and the weight vector, (parameters,) float32, of layers with ReLUs in between."""
    blocks: list[Any] = [*takewhile(lambda layer: not isinstance(layer, Dense), layers)]
    hidden = tuple(layer.outputs for layer in layers[len(blocks) : -1])
    channels = blocks[0].channels if blocks else 1
    network = Network(layers[0].inputs, hidden, layers[-1].outputs, tuple(map(block_of, blocks)), channels)
    return network, flat_weights(layers)


def block_of(layer: Convolution | Depthwise | Pool) -> Block:
    """Returns what a convolution or a pool is without its arrays and its input."""
    match layer:
        case Convolution():
            return Block("convolution", layer.kernel, layer.stride, layer.filters)
        case Depthwise():
            return Block("depthwise", layer.kernel, layer.stride)
        case Pool():
            return Block(layer.kind, layer.size, layer.stride)
