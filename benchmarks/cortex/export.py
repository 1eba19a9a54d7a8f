"""Quantises and writes a network, by itself in a process.

Called as python export.py NETWORK.npz FORMAT OUT.tflite.
"""

import sys
from pathlib import Path

import numpy as np

from fedmetaalign.operators.dense import Dense
from fedmetaalign.tinyml.quantize import bits_of_int4, quantize
from fedmetaalign.tinyml.tflite import write

source, kind, out = sys.argv[1:]
with np.load(source, allow_pickle=False) as saved:
    inputs = saved["inputs"]
    count = int(saved["layers"])
    layers = [Dense(saved[f"w{i}"], saved[f"b{i}"], relu=i < count - 1) for i in range(count)]
match kind:
    case "float32":
        network = layers
    case "int4":
        network = quantize(layers, inputs, bits=bits_of_int4(layers))
    case "int8-float-head":
        network = quantize(layers, inputs, head=count // 2)
    case "uint8, per channel":
        network = quantize(layers, inputs, per_channel=True)
    case "int8-float-io":
        network = quantize(layers, inputs, edges="float32")
    case _:
        network = quantize(layers, inputs, edges=kind)
Path(out).write_bytes(write(network))
