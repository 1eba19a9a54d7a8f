"""How the weights and what a device adds to them travel: as they are, in half the bytes, or in a quarter.

The values of a block, in practice a layer of the network, share a scale, and what travels is `value / scale`:

- float16: a power of two, so that the largest value fills the format's range. A step of Adam is as small as its
  learning rate, and without a scale a delta of 1e-6 would be one of float16's subnormals, with 4 bits left;
- int8: a 127th of the largest value (symmetric, no zero point), rounded half to even. A value is wrong by half
  a scale at the most, whatever its size, so that a small value beside a large one is lost.

What a round loses is not gone: the device adds it to its next delta before that is packed (error feedback:
Seide et al., 2014, "1-bit SGD and its application to data-parallel distributed training of speech DNNs";
Karimireddy et al., 2019, "Error feedback fixes SignSGD and other gradient compression schemes",
arXiv:1901.09847, Algorithm 2). Nothing here is random: the same delta gives the same bytes on every machine.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

import numpy as np

Format = Literal["float32", "float16", "int8"]

LARGEST = 1e38
"""The largest size of a value: float32 ends at 3.4e38, and rounding a value up must not get there."""

# Little-endian whatever the machine, so that the bytes are the same everywhere.
_DTYPES: Mapping[str, np.dtype] = MappingProxyType(
    {"float32": np.dtype("<f4"), "float16": np.dtype("<f2"), "int8": np.dtype("i1")}
)

_SMALLEST_EXPONENT = -126
"""That of float32's smallest normal number, which is the smallest scale."""


@dataclass(frozen=True)
class Packed:
    """A vector as it travels; `unpack` says whether one that has come from elsewhere is sound.

    Attributes:
        format: how its values are written.
        values: (parameters,) of that format's dtype, in units of their block's scale.
        scales: (blocks,) float32, positive, also where a block is all zero; (0,) in the format float32.
    """

    format: Format
    values: np.ndarray
    scales: np.ndarray

    @property
    def nbytes(self) -> int:
        """Bytes of the values and scales."""
        return self.values.nbytes + self.scales.nbytes


def pack(vector: np.ndarray, format: Format, blocks: Sequence[int]) -> Packed:
    """Packs a vector, at once and for good; see `pack_with_feedback` for a delta in every round.

    Args:
        vector: (parameters,) float32, the weights or a delta.
        format: how to write its values. A value v comes back wrong by at most |v| / 2**11, or 2**-39 of its
            block's largest where that is more, in float16; by scale / 2, and float32's rounding of the
            product, in int8; not at all in float32.
        blocks: lengths of the blocks, at least 1 each, together `parameters`.

    Raises:
        ValueError: the format is unknown, the blocks do not make up the vector, or a value is not finite or
            beyond `LARGEST`.
    """
    _check_format(format)
    _check_vector(vector, blocks)
    if format == "float32":
        return Packed(format, vector.astype(_DTYPES[format]), np.zeros(0, _DTYPES["float32"]))
    starts = np.cumsum([0, *blocks[:-1]])
    largest = np.maximum.reduceat(np.abs(vector), starts)
    scales = (_powers_of_two(largest) if format == "float16" else _steps(largest)).astype(_DTYPES["float32"])
    # In float64, since a float32 quotient can fall on a tie where the exact one does not.
    scaled = vector.astype(np.float64) / np.repeat(scales, blocks)
    return Packed(format, (scaled if format == "float16" else np.rint(scaled)).astype(_DTYPES[format]), scales)


def pack_weights(weights: np.ndarray, blocks: Sequence[int]) -> Packed:
    """Packs the global weights, (parameters,) float32, for the way to a device, in float16.

    The device must start from the unpacked weights and take its delta from them; then the rounding does not
    enter the delta. In int8 they would be too coarse to start from: a weight's error is that of many steps.

    Raises:
        ValueError: as `pack` does.
    """
    return pack(weights, "float16", blocks)


def pack_with_feedback(
    delta: np.ndarray, residual: np.ndarray, format: Format, blocks: Sequence[int]
) -> tuple[Packed, np.ndarray]:
    """Packs a delta together with what packing has lost before.

    Args:
        delta: (parameters,) float32, this round's.
        residual: (parameters,) float32, what the device kept from its last round; zeros in its first.
        format: how to write the values.
        blocks: lengths of the blocks.

    Returns:
        What to send, and the residual to keep for the next round, (parameters,) float32. They add up to
        float32's `delta + residual` exactly; in the format float32 the residual is zero.

    Raises:
        ValueError: as `pack` does, for the delta, the residual or their sum.
    """
    _check_vector(delta, blocks)
    _check_vector(residual, blocks)
    whole = delta + residual
    packed = pack(whole, format, blocks)
    # Exact: a value and what it was rounded to are within a factor of two, or the latter is 0 (Sterbenz, 1974).
    return packed, whole - unpack(packed, blocks)


def unpack(packed: Packed, blocks: Sequence[int]) -> np.ndarray:
    """Unpacks a vector that may have come from anywhere.

    Args:
        packed: what came.
        blocks: lengths of the blocks as the receiver knows them, not as the sender says.

    Returns:
        (parameters,) float32, finite.

    Raises:
        ValueError: what came cannot have been packed with these blocks; the sentence says why.
    """
    _check_blocks(blocks)
    _check_format(packed.format)
    scaled = packed.format != "float32"
    _check_array("values", packed.values, _DTYPES[packed.format], sum(blocks))
    _check_array("scales", packed.scales, _DTYPES["float32"], len(blocks) if scaled else 0)
    if not (np.isfinite(packed.scales) & (packed.scales > 0)).all():
        raise ValueError("A packed vector has a scale that is not a positive, finite number.")
    if not np.isfinite(packed.values).all():
        raise ValueError(f"A packed vector has a {packed.format} value that is not finite.")
    if packed.format == "int8" and (packed.values == -128).any():
        raise ValueError("A packed vector has the int8 value -128, beyond the range from -127 to 127.")
    values = packed.values.astype(np.float32)
    if not scaled:
        return values
    with np.errstate(over="ignore"):  # reported below
        values *= np.repeat(packed.scales, blocks)
    if not np.isfinite(values).all():
        raise ValueError("A packed vector has a scale so large that a value leaves the range of float32.")
    return values


def _powers_of_two(largest: np.ndarray) -> np.ndarray:
    """Scales that bring the largest value of each block, (blocks,) float32, to 2**14 or more, below 2**15.

    One more bit would let a value round up to 2**16, beyond float16's range.
    """
    _, exponents = np.frexp(largest)
    return np.asarray(np.ldexp(np.float32(1), np.maximum(exponents - 15, _SMALLEST_EXPONENT)))


def _steps(largest: np.ndarray) -> np.ndarray:
    """Scales that bring the largest value of each block, (blocks,) float32, to 127.

    The smallest scale is a normal number: a subnormal one could be so coarse that 127 of it fall short.
    """
    return np.asarray(np.maximum(largest / np.float32(127), np.float32(2.0**_SMALLEST_EXPONENT)))


def _check_format(format: str) -> None:
    if format not in _DTYPES:
        raise ValueError(f"The format of a packed vector is {format!r}, not one of {', '.join(_DTYPES)}.")


def _check_blocks(blocks: Sequence[int]) -> None:
    if len(blocks) == 0 or min(blocks) < 1:
        raise ValueError(f"A vector is packed in blocks of at least one value, not of {list(blocks)}.")


def _check_vector(vector: np.ndarray, blocks: Sequence[int]) -> None:
    _check_blocks(blocks)
    if vector.dtype != np.float32 or vector.shape != (sum(blocks),):
        raise ValueError(
            f"The blocks make up {sum(blocks)} float32 values; to be packed is a vector of "
            f"shape {vector.shape} and dtype {vector.dtype}."
        )
    beyond = ~(np.abs(vector) <= LARGEST)
    if beyond.any():
        first = int(beyond.argmax())
        raise ValueError(
            f"The value at index {first} of {len(vector)} is {vector[first]:g}: only finite values up to "
            f"{LARGEST:g} can be packed, so the training has diverged."
        )


def _check_array(name: str, array: np.ndarray, dtype: np.dtype, length: int) -> None:
    if array.dtype != dtype or array.shape != (length,):
        raise ValueError(
            f"The {name} of a packed vector have shape {array.shape} and dtype {array.dtype}; "
            f"expected are ({length},) and {dtype}."
        )
