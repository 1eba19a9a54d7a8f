"""Runs the firmware's C code on this machine: the runtime `c` of predictions.

The code is the device's, compiled by the compiler of this machine, and computes the same integers.
"""

import ctypes
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from fedmetaalign.errors import BundleError
from fedmetaalign.model.preparation import Preparation
from fedmetaalign.tinyml.codegen import model_header
from fedmetaalign.tinyml.compiled import host
from fedmetaalign.tinyml.network import DeployedNetwork, Interface
from fedmetaalign.tinyml.quantize import dequantize_score
from fedmetaalign.tinyml.toolchain import FIRMWARE, Compiler

_C_TYPES = {"uint8": ctypes.c_uint8, "int8": ctypes.c_int8, "float32": ctypes.c_float}


def scores(network: DeployedNetwork, inputs: np.ndarray, compiler: Compiler = "zig") -> np.ndarray:
    """Scores samples, with one call of `fma_score` or `fma_scores` each.

    Their buffers are static: one thread at a time may.

    The first call for a network compiles it, which takes 0.2 seconds, and some more on a machine where the
    compiler has never run; later calls in the same process find it compiled.

    Args:
        network: a quantised network, or float layers.
        inputs: (rows, inputs) of the type of the network's edges, float32 for float layers.
        compiler: whose code to run.

    Returns:
        As `runtimes.scores`.

    Raises:
        BundleError: the inputs have another type or shape, or a layer is too wide for the firmware.
        ToolError: the compiler is missing, or refuses the firmware.
    """
    interface = Interface.of(network)
    if inputs.dtype != interface.input or inputs.shape[1:] != (interface.inputs,):
        raise BundleError(
            f"The inputs are {inputs.dtype} of shape {inputs.shape}, but the firmware takes rows of "
            f"{interface.inputs} {interface.input}."
        )
    library = _library(model_header("this machine", network, _as_they_are(interface.inputs), 0.5), compiler)
    rows = np.ascontiguousarray(inputs)
    if interface.outputs > 1:
        found = np.zeros((len(rows), interface.outputs), interface.score)
        addresses = [array.ctypes.data + np.arange(len(rows)) * array.strides[0] for array in (rows, found)]
        for pair in zip(*addresses, strict=True):
            library.fma_scores(*map(ctypes.c_void_p, map(int, pair)))
        return dequantize_score(found)
    score = library.fma_score
    score.argtypes, score.restype = [ctypes.c_void_p], _C_TYPES[interface.score.name]
    results = [score(rows.ctypes.data + row * rows.strides[0]) for row in range(len(rows))]
    return dequantize_score(np.array(results, interface.score))


@lru_cache(maxsize=8)
def _library(header: str, compiler: Compiler) -> ctypes.CDLL:
    """Compiles the firmware with a `fma_model.h`."""
    with TemporaryDirectory() as folder:
        Path(folder, "fma_model.h").write_text(header, encoding="utf-8")
        return host([FIRMWARE / "fma_infer.c"], [Path(folder)], compiler).library


def _as_they_are(inputs: int) -> Preparation:
    """Returns a preparation for samples that are inputs already; a header has to have one."""
    names = tuple(f"input {i}" for i in range(inputs))
    return Preparation(names, ("",) * inputs, {}, (0.0,) * inputs, (1.0,) * inputs, tuple(range(inputs)))
