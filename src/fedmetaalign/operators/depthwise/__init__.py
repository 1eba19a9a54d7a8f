"""Convolutions over time with one filter a channel, perhaps with a ReLU."""

from fedmetaalign.operators.depthwise import firmware, layer, quantized, tflite
from fedmetaalign.operators.depthwise.layer import Depthwise
from fedmetaalign.operators.depthwise.quantized import QuantizedDepthwise
from fedmetaalign.operators.operator import Builtin, Operator

__all__ = ["DEPTHWISE", "Depthwise", "QuantizedDepthwise"]

DEPTHWISE: Operator[Depthwise, QuantizedDepthwise] = Operator(
    layer=Depthwise,
    quantized=QuantizedDepthwise,
    arrays={"weight": "weights", "bias": "biases"},
    builtins={"DEPTHWISE_CONV_2D": Builtin("DepthwiseConv2DOptions", 2)},
    check=layer.check,
    forward=layer.forward,
    forward_float32=quantized.forward_float32,
    weights=lambda depthwise: depthwise.weights.size,
    products=lambda depthwise: depthwise.weights.size * depthwise.output_steps,
    quantize=quantized.quantize,
    dequantize=quantized.dequantize,
    faults=quantized.faults,
    run=quantized.run,
    node=tflite.node,
    read=tflite.read,
    c_stage=firmware.c_stage,
    c_float_stage=firmware.c_float_stage,
)
