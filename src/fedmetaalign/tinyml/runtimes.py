"""Runs a `.tflite` file on this machine, with the arithmetic of the runtime that it is meant for.

Integer kernels agree on the accumulators, which are exact, but not on how an accumulator is scaled down to
int8. An activation that falls on the other side of a rounding step moves the score, so a threshold belongs to a
rounding family:

| runtime | int8 kernels | requantisation |
|---|---|---|
| `firmware` | this package's C code, computed in Python by `integer`, bit for bit | two roundings (gemmlowp) |
| `c` | the same, compiled for this machine | two roundings (gemmlowp) |
| `tflm` | TensorFlow Lite Micro's reference, the same integers as CMSIS-NN | two roundings (gemmlowp) |
| `litert` | LiteRT without delegates | two roundings, with another rule for ties in the second |
| `litert-reference` | LiteRT's reference kernels | one rounding |
| `litert-xnnpack` | LiteRT as it comes, with XNNPACK (announces itself on standard error) | one, in float32 |

What runs on a device is `firmware` or `tflm`, which give the same integers. LiteRT comes near: trained networks
of the paper's size gave the same score in `litert` and on the device for more than 99 rows in 100, and in the
other two for 86 to 95. In float32 layers only the order of the sums and the exponential matter; for a float32
file `litert` takes the reference kernels, which add in the same order as `tflm`, whatever the number of rows.
"""

from typing import Literal, get_args

import numpy as np

from fedmetaalign.errors import BundleError, ToolError
from fedmetaalign.operators.rounding import Rounding
from fedmetaalign.tinyml import native
from fedmetaalign.tinyml.integer import firmware_scores
from fedmetaalign.tinyml.network import DeployedNetwork, Interface, QuantizedNetwork
from fedmetaalign.tinyml.quantize import dequantize_score, quantize_input
from fedmetaalign.tinyml.tflite import write
from fedmetaalign.tinyml.tflite_reader import read

Runtime = Literal["firmware", "c", "litert", "litert-reference", "litert-xnnpack", "tflm"]

ROUNDINGS: dict[Runtime, Rounding] = {
    "firmware": "gemmlowp",
    "c": "gemmlowp",
    "tflm": "gemmlowp",
    "litert": "half-up",
    "litert-reference": "single",
    "litert-xnnpack": "float32",
}
"""How each runtime rounds."""

_BATCH = 4096  # rows at a time in LiteRT: a bound on memory
_SMALLEST_ARENA = 1 << 16  # bytes; TensorFlow Lite Micro's bookkeeping alone takes some thousand


def scores(model: bytes | DeployedNetwork, x: np.ndarray, runtime: Runtime = "firmware") -> np.ndarray:
    """Runs a classifier on many samples.

    TensorFlow Lite Micro trusts what it is given: one flipped bit can end the process. So the file is first
    read strictly, and the interpreter gets the network as `write` writes it, which for a file that `write` made
    is that file byte for byte.

    Args:
        model: a `.tflite` file's bytes (see `tflite.write`), or the network that it holds.
        x: (rows, inputs) float32, features scaled as in training; quantised here by the file's own parameters.
        runtime: whose kernels to use; see the table at the top of this module.

    Returns:
        (rows,) float64, the probability of a fault; or of several classes (rows, classes), the probability of
        each; in steps of 1/256 where the last layer is int8.

    Raises:
        BundleError: the file is damaged or of another kind, `x` does not fit it or holds NaN, or there is no
            such runtime, or a score is not finite.
        ToolError: the C compiler or TensorFlow Lite Micro is not installed.
    """
    network = read(model) if isinstance(model, bytes) else model
    _check_rows(x, Interface.of(network).inputs)
    with np.errstate(over="ignore"):  # beyond float32 is infinite, and saturates
        features = x.astype(np.float32)
    if isinstance(network, QuantizedNetwork):
        features = quantize_input(network, features)
    result = run(network, features, runtime)
    finite = np.isfinite(result).all(axis=tuple(range(1, result.ndim)))
    if not finite.all():
        raise BundleError(
            f"The score of row {np.argmin(finite)} is not finite; the weights or the features are "
            "far outside what the network was trained on."
        )
    return result


def run(network: DeployedNetwork, inputs: np.ndarray, runtime: Runtime) -> np.ndarray:
    """Runs a network on inputs as they are on the device.

    Args:
        network: a quantised network, or float layers.
        inputs: (rows, inputs) of the type of the network's edges, float32 for float layers; no NaN.
        runtime: as in `scores`.

    Returns:
        As `scores` does; NaN where float inputs were too large.

    Raises:
        BundleError: there is no such runtime, or it cannot run this network.
        ToolError: the C compiler or TensorFlow Lite Micro is not installed.
    """
    if runtime not in get_args(Runtime):
        raise BundleError(f"There is no runtime {runtime!r}; choose one of {', '.join(get_args(Runtime))}.")
    if not len(inputs):
        outputs = Interface.of(network).outputs
        return np.zeros(0 if outputs == 1 else (0, outputs))
    if runtime == "firmware":
        return firmware_scores(network, inputs)
    if runtime == "c":
        return native.scores(network, inputs)
    if runtime == "tflm":
        return dequantize_score(_run_tflm(write(network), inputs))
    return dequantize_score(_run_litert(network, inputs, runtime))


def _check_rows(x: np.ndarray, inputs: int) -> None:
    if x.ndim != 2 or x.shape[1] != inputs:
        raise BundleError(f"The data has shape {x.shape}, but the model takes rows of {inputs} features.")
    missing = np.argwhere(np.isnan(x))
    if len(missing):
        row, column = missing[0]
        raise BundleError(f"The data has no value in row {row}, column {column}; fill or remove such rows.")


def _resolver(runtime: Runtime, quantized: bool) -> str:
    """Names the member of LiteRT's OpResolverType that selects a runtime's kernels."""
    if runtime == "litert-xnnpack":
        return "BUILTIN"
    # The optimised float kernels add in an order that depends on how many rows there are.
    if runtime == "litert" and quantized:
        return "BUILTIN_WITHOUT_DEFAULT_DELEGATES"
    return "BUILTIN_REF"


def _run_litert(network: DeployedNetwork, features: np.ndarray, runtime: Runtime) -> np.ndarray:
    """Returns outputs as the file has them, integers or float32, in the shape of `scores`."""
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    quantized = isinstance(network, QuantizedNetwork)
    resolver = _resolver(runtime, quantized)
    # So that a row scores the same in company, one goes at a time where a float head has optimised kernels.
    floats = isinstance(network, QuantizedNetwork) and network.head
    rows_at_once = 1 if runtime == "litert" and floats else _BATCH
    try:
        interpreter = Interpreter(
            model_content=write(network),
            experimental_op_resolver_type=OpResolverType[resolver],
            num_threads=1,  # how many threads split a sum must not show in a float score
        )
        source = interpreter.get_input_details()[0]["index"]
        target = interpreter.get_output_details()[0]["index"]
        outputs = []
        shape = None
        for start in range(0, len(features), rows_at_once):
            rows = features[start : start + rows_at_once]
            if rows.shape != shape:
                shape = rows.shape
                interpreter.resize_tensor_input(source, shape)
                interpreter.allocate_tensors()
            interpreter.set_tensor(source, rows)
            interpreter.invoke()
            outputs.append(interpreter.get_tensor(target))
    except (RuntimeError, ValueError) as error:
        raise BundleError(f"LiteRT cannot run the model: {_one_line(error)}.") from error
    return _each(np.concatenate(outputs))


def _run_tflm(model: bytes, features: np.ndarray) -> np.ndarray:
    """As `_run_litert`; one row at a time, as on a device."""
    try:
        from tflite_micro import runtime as micro
    except ImportError as error:
        raise ToolError(
            "TensorFlow Lite Micro is not installed; install fedmetaalign[firmware] or choose another runtime."
        ) from error
    outputs = []
    try:
        arena = max(_SMALLEST_ARENA, 10 * len(model))
        interpreter = micro.Interpreter.from_bytes(model, arena_size=arena)
        for row in features:
            interpreter.set_input(row[np.newaxis], 0)
            interpreter.invoke()
            outputs.append(interpreter.get_output(0)[0])
    except (RuntimeError, ValueError) as error:
        raise BundleError(f"TensorFlow Lite Micro cannot run the model: {_one_line(error)}.") from error
    return _each(np.array(outputs))


def _each(outputs: np.ndarray) -> np.ndarray:
    """Returns (rows, outputs) as (rows,) where there is one output."""
    return outputs[:, 0] if outputs.shape[1] == 1 else outputs


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()).rstrip(".")
