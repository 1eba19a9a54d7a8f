"""The kinds of network: one table of operators, which quantisation, `.tflite` files, C and checks read.

An `Operator` says all there is to say of one kind of layer on a device; an `Output` does of what turns the last
layer's activations into scores. A new kind is a folder beside `dense`, and an entry here; `training` there
is the half that only training needs, with JAX.
"""

from typing import Any

from fedmetaalign.operators.convolution import CONVOLUTION, Convolution, QuantizedConvolution
from fedmetaalign.operators.dense import DENSE, Dense, QuantizedDense
from fedmetaalign.operators.depthwise import DEPTHWISE, Depthwise, QuantizedDepthwise
from fedmetaalign.operators.logistic import LOGISTIC
from fedmetaalign.operators.operator import Operator, Output
from fedmetaalign.operators.pool import POOL, Pool, QuantizedPool
from fedmetaalign.operators.softmax import SOFTMAX

__all__ = ["DENSE", "LOGISTIC", "OPERATORS", "OUTPUTS", "Layer", "QuantizedLayer", "operator_of", "output_of"]

Layer = Dense | Convolution | Depthwise | Pool
QuantizedLayer = QuantizedDense | QuantizedConvolution | QuantizedDepthwise | QuantizedPool
"""A layer of any kind, in float and in integers."""

OPERATORS: tuple[Operator[Any, Any], ...] = (DENSE, CONVOLUTION, DEPTHWISE, POOL)

OUTPUTS: tuple[Output, ...] = (LOGISTIC, SOFTMAX)


def operator_of(layer: Layer | QuantizedLayer) -> Operator[Any, Any]:
    """Returns the operator that a layer is one of."""
    return next(operator for operator in OPERATORS if isinstance(layer, (operator.layer, operator.quantized)))


def output_of(units: int) -> Output:
    """Returns what turns so many activations of the last layer into scores."""
    return LOGISTIC if units == 1 else SOFTMAX
