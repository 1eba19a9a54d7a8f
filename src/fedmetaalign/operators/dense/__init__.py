"""Fully connected layers, perhaps with a ReLU, on every side.

A folder instead of one file, because a device that only runs its model must not load JAX, which `training`
imports; and because weights of 4 bits (`gptq`) and their place in flash (`blocks`) are ideas of their own.
"""

from fedmetaalign.operators.dense import firmware, integer, layer, quantisation, tflite
from fedmetaalign.operators.dense.layer import Dense, QuantizedDense
from fedmetaalign.operators.operator import Builtin, Operator

__all__ = ["DENSE", "Dense", "QuantizedDense"]

DENSE: Operator[Dense, QuantizedDense] = Operator(
    layer=Dense,
    quantized=QuantizedDense,
    arrays={"weight": "weights", "bias": "biases"},
    builtins={"FULLY_CONNECTED": Builtin("FullyConnectedOptions", 2)},
    check=layer.check,
    forward=layer.forward,
    forward_float32=layer.forward_float32,
    weights=lambda dense: dense.weights.size,
    products=lambda dense: dense.weights.size,
    quantize=quantisation.quantize,
    dequantize=quantisation.dequantize,
    faults=layer.faults,
    run=integer.run,
    node=tflite.node,
    read=tflite.read,
    c_stage=firmware.c_stage,
    c_float_stage=firmware.c_float_stage,
)
