"""How a quantised layer lies in a microcontroller's flash: blocks of four outputs, words of 32 bits.

`firmware/fma_dsp.h` says why. A block is a word of bias for each of its outputs; where some layer of the
network has multipliers per channel, a word of multiplier for each and one word with a byte of shift for each;
and then the weights, step by step of four inputs. Zeros fill inputs and outputs up to multiples of four.
"""

import numpy as np

from fedmetaalign.operators.dense.integer import firmware_multipliers
from fedmetaalign.operators.dense.layer import QuantizedDense
from fedmetaalign.operators.grid import Bits, Grid


def blocks(source: Grid, layer: QuantizedDense, per_channel: bool) -> tuple[np.ndarray, np.ndarray]:
    """Arranges a layer.

    Args:
        source: grid of the layer's input.
        layer: the layer.
        per_channel: whether blocks hold multipliers and shifts.

    Returns:
        What stands in front of the weights, (blocks, 4 or 9) int32, and the weights, (blocks, words) int32.
    """
    head = [_in_fours(_biases(source, layer))]
    if per_channel:
        every, shifts = (np.broadcast_to(a, len(layer.biases)) for a in multipliers(source, layer))
        bytes_ = _in_fours(shifts, fill=1) << np.array([0, 8, 16, 24])
        head += [_in_fours(every), bytes_.sum(axis=1, keepdims=True)]
    return np.concatenate(head, axis=1).astype(np.int32), weight_words(layer.weights, layer.bits)


def multipliers(source: Grid, layer: QuantizedDense) -> tuple[np.ndarray, np.ndarray]:
    """Returns a layer's multipliers, in [2**30, 2**31), and shifts, in [0, 31].

    They are those of `firmware_multipliers`, but for a multiplier of 0, which `fma_multiply` cannot
    take: half of a sum, shifted by 31 bits, is 0 as well.
    """
    values, shifts = firmware_multipliers(source.scale, layer)
    return np.where(values == 0, 2**30, values), np.where(values == 0, 31, shifts)


def weight_words(weights: np.ndarray, bits: Bits) -> np.ndarray:
    """Arranges a layer's weights.

    Args:
        weights: (inputs, outputs) int8.
        bits: of a weight.

    Returns:
        (blocks, words) int32: for each step 4 words of 8-bit weights, or 2 words of 4-bit weights.
    """
    inputs, outputs = (-(-n // 4) for n in weights.shape)
    padded = np.zeros((4 * inputs, 4 * outputs), np.int64)
    padded[: weights.shape[0], : weights.shape[1]] = weights
    steps = padded.reshape(inputs, 4, outputs, 4).transpose(2, 0, 1, 3)  # block, step, input, output
    if bits == 8:
        pairs = 256 * steps[:, :, 1::2] + steps[:, :, ::2]
        packed = (pairs & 0xFFFF) << np.array([[0], [16]])
    else:
        nibbles = steps & 0xF
        packed = (nibbles[..., ::2] << 4 | nibbles[..., 1::2]) << np.array([[0], [8], [16], [24]])
    whole: np.ndarray = packed.sum(axis=2).astype(np.uint32).view(np.int32)
    return whole.reshape(outputs, -1)


def _biases(source: Grid, layer: QuantizedDense) -> np.ndarray:
    """Returns what is added to the sums over inputs as `fma_pack` takes them, (outputs,) int64."""
    weights = layer.weights.astype(np.int64)
    offsets = np.full((len(weights), 1), -source.zero_point)
    offsets[1::2] += 127
    biases: np.ndarray = layer.biases + (offsets * weights).sum(axis=0)
    return biases


def _in_fours(values: np.ndarray, fill: int = 0) -> np.ndarray:
    """Returns values, one an output, by blocks: (blocks, 4)."""
    return np.pad(values, (0, -len(values) % 4), constant_values=fill).reshape(-1, 4)
