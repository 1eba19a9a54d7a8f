"""Convolutions over time, perhaps with a ReLU; activations are (steps, channels), row by row."""

from fedmetaalign.operators.convolution import firmware, layer, quantized, tflite
from fedmetaalign.operators.convolution.layer import Convolution
from fedmetaalign.operators.convolution.quantized import QuantizedConvolution
from fedmetaalign.operators.operator import Builtin, Operator

__all__ = ["CONVOLUTION", "Convolution", "QuantizedConvolution"]

CONVOLUTION: Operator[Convolution, QuantizedConvolution] = Operator(
    layer=Convolution,
    quantized=QuantizedConvolution,
    arrays={"weight": "weights", "bias": "biases"},
    builtins={"CONV_2D": Builtin("Conv2DOptions", 2)},
    check=layer.check,
    forward=layer.forward,
    forward_float32=quantized.forward_float32,
    weights=lambda convolution: convolution.weights.size,
    products=lambda convolution: convolution.weights.size * convolution.output_steps,
    quantize=quantized.quantize,
    dequantize=quantized.dequantize,
    faults=quantized.faults,
    run=quantized.run,
    node=tflite.node,
    read=tflite.read,
    c_stage=firmware.c_stage,
    c_float_stage=firmware.c_float_stage,
)
