"""The greatest or the mean of some steps of each channel."""

from fedmetaalign.operators.operator import Builtin, Operator
from fedmetaalign.operators.pool import firmware, layer, quantized, tflite
from fedmetaalign.operators.pool.layer import Pool
from fedmetaalign.operators.pool.quantized import QuantizedPool

__all__ = ["POOL", "Pool", "QuantizedPool"]

POOL: Operator[Pool, QuantizedPool] = Operator(
    layer=Pool,
    quantized=QuantizedPool,
    arrays={},
    builtins={
        "MAX_POOL_2D": Builtin("Pool2DOptions", 0),
        "AVERAGE_POOL_2D": Builtin("Pool2DOptions", 0),
        "MEAN": Builtin("ReducerOptions", 1),
    },
    check=layer.check,
    forward=layer.forward,
    forward_float32=quantized.forward_float32,
    weights=lambda pool: 0,
    products=lambda pool: 0,
    quantize=quantized.quantize,
    dequantize=quantized.dequantize,
    faults=quantized.faults,
    run=quantized.run,
    node=tflite.node,
    read=tflite.read,
    c_stage=firmware.c_stage,
    c_float_stage=firmware.c_float_stage,
)
