"""Learning on the microcontroller (phase 3 there): what a device brings back, as a new bundle.

`firmware/fma_adapt.c` leaves the first half of the deployed network in integers, the trunk, and trains the rest
in float32, the head (see `head`). What it exports, `read_state` reads and `adapted` turns into a bundle: the
trunk unchanged, with the new head and threshold. An exported state is words of 4 bytes, little-endian:

| word | holds |
|---|---|
| 0 | the letters `FMAS` |
| 1 | version of the layout, 1, and number of the head's layers: uint16 each |
| 2 | `origin` of the head that the device started from |
| 3 | steps taken |
| 4 | threshold, float32 |
| 5 | normal and fault samples that it was chosen from: uint16 each; both 0 where it was not |
| 6 ... | inputs of the head, then outputs of each layer: uint16 each, padded with 0 to a whole word |
| ... | weights, float32: layer by layer, row by row, the biases as a layer's last row |
| last | CRC-32 of all bytes before |
"""

import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import numpy as np

from fedmetaalign.errors import BundleError
from fedmetaalign.operators import Layer
from fedmetaalign.tinyml import bundle as bundles
from fedmetaalign.tinyml import golden
from fedmetaalign.tinyml.bundle import Bundle
from fedmetaalign.tinyml.head import origin, split
from fedmetaalign.tinyml.network import Layers, QuantizedNetwork, layer_widths, with_weights
from fedmetaalign.tinyml.tflite import write as write_model

_MAGIC = b"FMAS"
_VERSION = 1
_FIXED = struct.Struct("<4sHHIIfHH")


@dataclass(frozen=True)
class LearningState:
    """What a device has learned, as its firmware exports it.

    Attributes:
        origin: of the head that it started from, see `head.origin`.
        steps: taken since then.
        threshold: a sample is a fault if its score is strictly greater; a float32 value.
        normals: normal samples that the threshold was chosen from, 0 where it is the one that it was given.
        faults: fault samples, likewise.
        sizes: inputs of the head, then outputs of each of its layers.
        weights: (parameters,) float32, finite, as in word 6 and after.
    """

    origin: int
    steps: int
    threshold: float
    normals: int
    faults: int
    sizes: tuple[int, ...]
    weights: np.ndarray


def read_state(data: bytes) -> LearningState:
    """Reads what `fma_adapt_export` gave.

    Raises:
        BundleError: the bytes are no exported state, are damaged, or hold a weight that is not finite.
    """
    if data[:4] != _MAGIC:
        raise BundleError(
            f"Not an exported state: it begins with {bytes(data[:4])!r} instead of {_MAGIC!r}; export it again."
        )
    crc = int.from_bytes(data[-4:], "little")
    if len(data) < _FIXED.size + 4 or len(data) % 4 or zlib.crc32(data[:-4]) != crc:
        raise BundleError(
            f"The exported state of {len(data)} bytes is damaged or cut short (its CRC-32 does not match); "
            "read it from the device again."
        )
    _, version, layers, origin_, steps, threshold, normals, faults = _FIXED.unpack_from(data)
    if version != _VERSION:
        raise BundleError(
            f"The exported state has layout {version}, this version reads {_VERSION}: use the version of "
            "fedmetaalign that made the device's firmware."
        )
    start = _FIXED.size + 4 * (layers // 2 + 1)
    widths = tuple(np.frombuffer(data[_FIXED.size : start], "<u2")[: layers + 1].tolist())
    parameters = sum((inputs + 1) * outputs for inputs, outputs in pairwise(widths))
    if not layers or len(data) != start + 4 * parameters + 4:
        raise BundleError(
            f"The exported state has {len(data)} bytes, which is not what a head of sizes {widths} takes; read "
            "it from the device again."
        )
    weights = np.frombuffer(data[start:-4], "<f4").astype(np.float32)
    if not (np.isfinite(weights).all() and np.isfinite(threshold)):
        raise BundleError(
            "The exported state holds a number that is not finite; start the device again from its bundle, "
            "with a lower learning rate."
        )
    return LearningState(origin_, steps, threshold, normals, faults, widths, weights)


def adapted(bundle: Bundle, state: LearningState) -> Bundle:
    """Puts what a device has learned into its bundle.

    Args:
        bundle: the one whose firmware the device runs.
        state: what it exported.

    Returns:
        The bundle with the same trunk, the new head in float32, and the new threshold. Its scores in the
        runtime "firmware" are those of the device, bit for bit.

    Raises:
        BundleError: the device runs another bundle's firmware.
    """
    network = bundle.network
    halves = split(network)
    if state.origin != origin(halves.head, halves.grid) or state.sizes != layer_widths(halves.head):
        raise BundleError(
            f"The state was exported by the firmware of another bundle than this one of {bundle.device!r}; "
            "give the bundle that the device's firmware was made from."
        )
    assert isinstance(network, QuantizedNetwork)  # noqa: S101  # `split` takes no other
    new = replace(network, layers=halves.trunk, head=tuple(with_weights(halves.head, state.weights)))
    note = None
    if not state.normals + state.faults:
        note = "The device had too few labelled samples to choose a threshold and kept the one it was given."
    return replace(
        bundle, model=write_model(new), threshold=state.threshold, threshold_note=note, runtime="firmware"
    )


def adapt(folder: Path, state: Path, out: Path, versions: Mapping[str, str]) -> Bundle:
    """Makes a bundle from one and from what its device has learned.

    The float weights in it are the old bundle's, with the new head in place of the last layers where these have
    its shapes.

    Args:
        folder: the bundle whose firmware the device runs.
        state: the file with the bytes that the device exported.
        out: the new bundle's folder.
        versions: of the software, for the new bundle.

    Returns:
        The new bundle.

    Raises:
        BundleError: a file is missing or damaged, or the two do not belong together.
    """
    old = bundles.read(folder)
    try:
        data = state.read_bytes()
    except OSError as error:
        raise BundleError(f"{state} cannot be read ({error.strerror}); give the exported state.") from error
    learned = read_state(data)
    new = adapted(old, learned)
    head = split(new.network).head
    raw = golden.samples(folder, old.preparation, old.labels)
    bundles.write(out, new, _with_head(bundles.read_weights(folder), head), raw, versions)
    return new


def _with_head(layers: list[Layer], head: Layers) -> list[Layer]:
    last = layers[-len(head) :]
    if layer_widths(last) != layer_widths(head):
        return layers
    return [*layers[: -len(head)], *head]
