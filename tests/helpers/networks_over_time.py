"""Small networks with every kind of layer over time, for tests of what is deployed."""

import numpy as np

from fedmetaalign.operators import Layer, operator_of
from fedmetaalign.operators.convolution import Convolution
from fedmetaalign.operators.dense import Dense
from fedmetaalign.operators.depthwise import Depthwise
from fedmetaalign.operators.pool import Pool

KINDS = ("wide", "plain", "thin", "odd")
"""Networks that differ in what they are made of."""


def network(kind: str, outputs: int = 1, seed: int = 0) -> tuple[list[Layer], np.ndarray]:
    """Returns a network, whose logits spread by 3 on normal inputs, and 300 rows of these, float32."""
    random = np.random.default_rng(seed)

    def drawn(*shape: int, fan: int) -> np.ndarray:
        return random.normal(0.0, np.sqrt(2 / fan), shape).astype(np.float32)

    def biases(count: int) -> np.ndarray:
        return random.normal(0.0, 0.1, count).astype(np.float32)

    layers: list[Layer]
    match kind:
        case "wide":  # each kind of layer once; more units after the first layer than before it
            layers = [
                Convolution(drawn(7, 2, 9, fan=14), biases(9), 60, 3, True),
                Depthwise(drawn(5, 9, fan=5), biases(9), 18, 2, True),
                Convolution(drawn(1, 9, 12, fan=9), biases(12), 7, 1, True),
                Pool("max", 2, 1, 7, 12),
                Pool("average", 3, 2, 6, 12),
                Pool("average", 2, 1, 2, 12),
                Dense(drawn(12, 10, fan=12), biases(10), True),
            ]
        case "plain":  # no pooling, and a dense layer of all that is left
            layers = [
                Convolution(drawn(4, 1, 4, fan=4), biases(4), 40, 4, True),
                Convolution(drawn(3, 4, 6, fan=12), biases(6), 10, 2, True),
            ]
        case "thin":  # one channel, one filter, a mean of all
            layers = [
                Convolution(drawn(5, 1, 1, fan=5), biases(1), 33, 2, True),
                Depthwise(drawn(3, 1, fan=3), biases(1), 15, 1, False),
                Pool("average", 13, 13, 13, 1),
            ]
        case _:  # 'odd': pooling first, and a kernel that leaves steps over
            layers = [
                Pool("max", 3, 2, 50, 3),
                Depthwise(drawn(4, 3, fan=4), biases(3), 24, 3, True),
                Convolution(drawn(2, 3, 5, fan=6), biases(5), 7, 2, True),
                Dense(drawn(15, 6, fan=15), biases(6), True),
            ]
    x = random.normal(size=(300, layers[0].inputs)).astype(np.float32)
    h = x.astype(np.float64)
    for layer in layers:
        h = operator_of(layer).forward(layer, h)
    last = drawn(layers[-1].outputs, outputs, fan=layers[-1].outputs)
    logits = h @ last
    factor = 3 / logits.std()
    ends = (-logits.mean(axis=0) * factor).astype(np.float32)
    return [*layers, Dense((last * factor).astype(np.float32), ends, False)], x
