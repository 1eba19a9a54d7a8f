"""How a quantised layer lies in a microcontroller's flash: blocks of four outputs, words of 32 bits.

`firmware/fma_dsp.h` says why. A block is a word of bias for each of its outputs; where some layer of the
network has multipliers per channel, a word of multiplier for each and one word with a byte of shift for each;
and then the weights, step by step of four inputs. Zeros fill inputs and outputs up to multiples of four. For
cores whose multiplier gives 32 bits weights lie otherwise, as `firmware/fma_pairs.h` says.
"""

import numpy as np

from fedmetaalign.operators.dense.integer import firmware_multipliers
from fedmetaalign.operators.dense.layer import QuantizedDense
from fedmetaalign.operators.grid import Bits, Grid
from fedmetaalign.operators.stage import Layout


def blocks(source: Grid, layer: QuantizedDense, layout: Layout) -> tuple[np.ndarray, np.ndarray]:
    """Arranges a layer.

    Args:
        source: grid of the layer's input.
        layer: the layer.
        layout: of the network's weights; 8 bits have both orders.

    Returns:
        What stands in front of the weights, (blocks, 4 or 9) int32, and the weights, (blocks, words) int32.
    """
    head = [_in_fours(_biases(source, layer, layout.pairs))]
    if layout.per_channel:
        every, shifts = (np.broadcast_to(a, len(layer.biases)) for a in multipliers(source, layer))
        bytes_ = _in_fours(shifts, fill=1) << np.array([0, 8, 16, 24])
        head += [_in_fours(every), bytes_.sum(axis=1, keepdims=True)]
    if layout.wide:
        words = wide_words(layer.weights)
    else:
        words = pair_words(layer.weights) if layout.pairs else weight_words(layer.weights, layer.bits)
    return np.concatenate(head, axis=1).astype(np.int32), words


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
    steps = _steps(weights)
    if bits == 8:
        pairs = 256 * steps[:, :, 1::2] + steps[:, :, ::2]
        packed = (pairs & 0xFFFF) << np.array([[0], [16]])
    else:
        nibbles = steps & 0xF
        packed = (nibbles[..., ::2] << 4 | nibbles[..., 1::2]) << np.array([[0], [8], [16], [24]])
    whole: np.ndarray = packed.sum(axis=2).astype(np.uint32).view(np.int32)
    return whole.reshape(len(steps), -1)


def pair_words(weights: np.ndarray) -> np.ndarray:
    """Arranges a layer's weights, (inputs, outputs) int8, as `firmware/fma_pairs.h` takes them.

    Returns:
        (blocks, words) int32: for each two inputs a word for two outputs, and one for the other two.
    """
    steps = _steps(weights) + 128
    blocks, count = steps.shape[:2]
    pairs = steps.reshape(blocks, count, 2, 2, 2, 2)  # two inputs, input, two outputs, output
    packed = pairs << np.array([[0, 16], [8, 24]])[:, np.newaxis]
    whole: np.ndarray = packed.sum(axis=(3, 5)).astype(np.uint32).view(np.int32)
    return whole.reshape(blocks, -1)


def wide_words(weights: np.ndarray) -> np.ndarray:
    """Arranges a layer's weights, (inputs, outputs) int8, 16 bits each, as `firmware/fma_pairs.h` takes them.

    Returns:
        (blocks, words) int32: for each two inputs a word of each for two outputs, and then for the other two.
    """
    steps = _steps(weights)
    blocks, count = steps.shape[:2]
    pairs = steps.reshape(blocks, count, 2, 2, 2, 2)  # two inputs, input, two outputs, output
    words: np.ndarray = (pairs[..., 0] + 65536 * pairs[..., 1]).swapaxes(3, 4)
    return words.reshape(blocks, -1)


def _steps(weights: np.ndarray) -> np.ndarray:
    """Returns weights and zeros by block, step, input and output, (blocks, steps, 4, 4) int64."""
    inputs, outputs = (-(-n // 4) for n in weights.shape)
    padded = np.zeros((4 * inputs, 4 * outputs), np.int64)
    padded[: weights.shape[0], : weights.shape[1]] = weights
    return padded.reshape(inputs, 4, outputs, 4).transpose(2, 0, 1, 3)


def _biases(source: Grid, layer: QuantizedDense, pairs: bool) -> np.ndarray:
    """Returns what is added to the sums over inputs as `fma_pack` takes them, (outputs,) int64."""
    weights = layer.weights.astype(np.int64)
    offsets = np.full((len(weights), 1), -source.zero_point)
    if not pairs:
        offsets[1::2] += 127
    biases: np.ndarray = layer.biases + (offsets * weights).sum(axis=0)
    return biases


def _in_fours(values: np.ndarray, fill: int = 0) -> np.ndarray:
    """Returns values, one an output, by blocks: (blocks, 4)."""
    return np.pad(values, (0, -len(values) % 4), constant_values=fill).reshape(-1, 4)
