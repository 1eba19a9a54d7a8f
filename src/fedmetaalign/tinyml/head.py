"""The half of a deployed network that learns on the microcontroller, and what its firmware starts from."""

import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile

from fedmetaalign.errors import BundleError
from fedmetaalign.model.target import Target
from fedmetaalign.operators import Layer, QuantizedLayer, operator_of
from fedmetaalign.operators.dense import Dense, QuantizedDense
from fedmetaalign.operators.grid import Grid
from fedmetaalign.tinyml import decision
from fedmetaalign.tinyml.network import DeployedNetwork, Layers, QuantizedNetwork, flat_weights, layer_widths


@dataclass(frozen=True)
class Halves:
    """A deployed network, cut where learning on the device begins.

    Attributes:
        trunk: the integer layers that stay as they are.
        head: the float layers that learn.
    """

    trunk: tuple[QuantizedLayer, ...]
    head: tuple[Layer, ...]

    @property
    def grid(self) -> Grid:
        """Of the trunk's output."""
        return self.trunk[-1].output


def split(network: DeployedNetwork) -> Halves:
    """Cuts a deployed network in two halves.

    A float head is what learns. A network without one is cut in the middle, as phase 3 does: of eight layers
    four stay (the two factors of a low-rank layer are one layer), and the head starts from the reals that its
    integers stand for, so that at first the device scores as before, but for the rounding of activations. Only
    dense layers learn there: layers over time stay, all of them, and a head may so be the last layer alone.

    Args:
        network: what `tflite_reader.read` returns.

    Raises:
        BundleError: the network has no integer layers, or a single layer.
    """
    if not isinstance(network, QuantizedNetwork):
        raise BundleError(
            "A float32 network has no integer trunk to keep; deploy it as uint8 or int8-float-head to learn on "
            "the device."
        )
    if network.head:
        return Halves(network.layers, network.head)
    ends = [i for i, layer in enumerate(network.layers, 1) if layer.relu]
    frozen = (len(ends) + 1) // 2
    if not frozen:
        raise BundleError(
            "A network of one layer has no half that can stay fixed; deploy one with a hidden layer to learn "
            "on the device."
        )
    cut = max(ends[frozen - 1], len(network.layers) - dense_tail(network.layers))
    return Halves(network.layers[:cut], tuple(floats(network)[cut:]))


def floats(network: DeployedNetwork) -> list[Layer]:
    """Returns a deployed network's layers in float32; of integers what they stand for."""
    if not isinstance(network, QuantizedNetwork):
        return [*network]
    sources = [network.input, *(layer.output for layer in network.layers)]
    pairs = zip(network.layers, sources, strict=False)
    return [*(operator_of(layer).dequantize(layer, source) for layer, source in pairs), *network.head]


def dense_tail(layers: Layers | Sequence[QuantizedLayer]) -> int:
    """Returns how many layers, counted from the last, are dense: those that can learn on a device."""
    return sum(1 for _ in takewhile(lambda layer: isinstance(layer, Dense | QuantizedDense), reversed(layers)))


def origin(head: Layers, grid: Grid) -> int:
    """Names a head by a CRC-32 of its shape, its weights and the grid it is fed from: 32 bits.

    A device's state is good only for the trunk that it learned on. Heads are personal, so theirs differ from
    device to device.
    """
    shape = [*layer_widths(head), *(layer.relu for layer in head)]
    data = struct.pack(f"<{len(shape)}Hfi", *shape, grid.scale, grid.zero_point)
    return zlib.crc32(data + flat_weights(head).astype("<f4").tobytes())


def header(network: DeployedNetwork, labels: Target | None = None) -> str | None:
    """Returns the text of `fma_head.h`; None for a network that cannot learn on a device, see `split`.

    Args:
        network: what the device runs.
        labels: the classes that it tells apart; without them they have no names, and the first is normal.
    """
    try:
        halves = split(network)
    except BundleError:
        return None
    return head_header(halves.head, halves.grid, len(halves.trunk), labels)


def head_header(head: Layers, grid: Grid, trunk_layers: int, labels: Target | None = None) -> str:
    """Returns `fma_head.h`, which `fma_adapt.c` is compiled with.

    Args:
        head: the float layers that learn, with the weights to start from.
        grid: of the trunk's output.
        trunk_layers: the integer layers before the head.
        labels: as in `header`.
    """
    labels = labels or decision.unnamed(head[-1].outputs)
    classes = normal = ""
    if labels.outputs > 1:
        classes = f"#define FMA_HEAD_CLASSES {labels.outputs}\n"
        flags = ", ".join(str(int(i in labels.normal)) for i in range(labels.outputs))
        comment = "/* Whether each class means no fault. */"
        normal = f"\n{comment}\nstatic const uint8_t fma_head_normal[] = {{{flags}}};\n"
    widths, weights = layer_widths(head), flat_weights(head)
    values = [f"{float(w).hex()}f," for w in weights]
    rows = "\n".join("    " + " ".join(values[i : i + 5]) for i in range(0, len(values), 5))
    return f"""\
/* Where learning on the device begins: made for one device, by the Python package. */
#ifndef FMA_HEAD_H
#define FMA_HEAD_H

#include <stdint.h>

#define FMA_TRUNK_LAYERS {trunk_layers}
#define FMA_TRUNK_OUTPUTS {widths[0]}
#define FMA_TRUNK_SCALE {grid.scale.hex()}f
#define FMA_TRUNK_ZERO_POINT ({grid.zero_point})

#define FMA_HEAD_LAYERS {len(head)}
#define FMA_HEAD_PARAMETERS {len(weights)}
#define FMA_HEAD_UNITS {sum(widths) + len(head)} /* inputs, outputs, and a 1 for the biases of each layer */
#define FMA_HEAD_ORIGIN {origin(head, grid):#010x}u
{classes}
#ifdef FMA_HEAD_DATA /* the rest is for fma_adapt.c */

static const uint16_t fma_head_sizes[] = {{{", ".join(map(str, widths))}}};
static const uint8_t fma_head_relu[] = {{{", ".join(str(int(layer.relu)) for layer in head)}}};

/* Layer by layer, one row of weights an input, the biases as the last row. */
static const float fma_head_weights[FMA_HEAD_PARAMETERS] = {{
{rows}
}};
{normal}
#endif
#endif
"""
