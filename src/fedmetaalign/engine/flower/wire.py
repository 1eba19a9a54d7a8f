"""What Flower's records are made of here, and how they are taken apart: nothing that came is trusted."""

import math
import re
from collections.abc import Mapping
from typing import Any

import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, RecordDict

from fedmetaalign.errors import FedMetaAlignError
from fedmetaalign.evaluation.fleet_threshold import BINS
from fedmetaalign.evaluation.reported import MOST_SAMPLES
from fedmetaalign.federation.compression import Packed, unpack
from fedmetaalign.federation.messages import Vectors
from fedmetaalign.model.mlp import LARGEST_WEIGHT, Network, diverged, layer_sizes

PROTOCOL = 5
"""The version of these records: a device and a server must have the same."""

VECTOR = "vector."
"""What the names of the arrays begin with that a method sends beside the weights."""

COUNTS = "counts"
"""The array of how scores lie."""

LONGEST_SENTENCE = 400
"""Characters of a sentence that holds a stranger's words."""

_HEADER = re.compile(
    rb"\x93NUMPY\x01\x00..\{'descr': '([<>|]\w+)', 'fortran_order': False, 'shape': \(([\d, ]*)\), \} *\n",
    re.DOTALL,
)
# numpy would read it with the parser of Python, which is not made for bytes of strangers, and fails at times
# where two threads of CPython 3.11.7 use it (https://github.com/python/cpython/issues/106905).


class WireError(FedMetaAlignError):
    """What came over the wire cannot be used; the sentence says why, and is safe to print."""

    def __init__(self, sentence: str) -> None:
        super().__init__(plain(sentence))


def plain(text: str) -> str:
    """Returns a stranger's words in one line of reasonable length that does not steer a terminal."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text[: 4 * LONGEST_SENTENCE]).split())
    return line if len(line) <= LONGEST_SENTENCE else f"{line[: LONGEST_SENTENCE - 3]}..."


def arrays(values: Mapping[str, np.ndarray]) -> ArrayRecord:
    """Makes a record of arrays."""
    return ArrayRecord({key: Array(np.ascontiguousarray(value)) for key, value in values.items()})


def read_config(records: RecordDict, key: str) -> Mapping[str, Any]:
    """Returns a record of plain values.

    Raises:
        WireError: there is none.
    """
    record = records.get(key)
    if not isinstance(record, ConfigRecord):
        raise WireError(f"The record '{key}' is missing.")
    return record


def read_arrays(records: RecordDict, key: str) -> dict[str, np.ndarray]:
    """Returns the arrays of a record, of any dtype and shape.

    Raises:
        WireError: there is no such record, or an array cannot be read.
    """
    record = records.get(key)
    if not isinstance(record, ArrayRecord):
        raise WireError(f"The record '{key}' is missing.")
    found = {}
    for name, array in record.items():
        try:
            found[name] = _read_array(array)
        except Exception as error:  # these bytes are a stranger's: numpy may raise anything
            raise WireError(f"The array '{name}' cannot be read ({error}).") from None
    return found


def word(values: Mapping[str, Any], key: str) -> str:
    """Returns a text that is not empty.

    Raises:
        WireError: it is something else.
    """
    value = values.get(key)
    if not isinstance(value, str) or not value:
        raise WireError(f"The key '{key}' is missing, or no text.")
    return value


def whole(values: Mapping[str, Any], key: str) -> int:
    """Returns a number from 1 to `MOST_SAMPLES`: no round, and no other count, is larger.

    Raises:
        WireError: it is something else.
    """
    value = values.get(key)
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= MOST_SAMPLES:
        raise WireError(f"The key '{key}' is {value!r}, and not a whole number from 1 to {MOST_SAMPLES:,}.")
    return value


def share(values: Mapping[str, Any], key: str) -> float:
    """Returns a number in (0, 1].

    Raises:
        WireError: it is something else.
    """
    value = values.get(key)
    if not isinstance(value, float) or not 0 < value <= 1:
        raise WireError(f"The key '{key}' is {value!r}, and not a number in (0, 1].")
    return value


def vector(values: Mapping[str, np.ndarray], key: str, network: Network) -> np.ndarray:
    """Returns weights or a delta, (parameters,) float32, finite and not so large that a square is not.

    Raises:
        WireError: it is something else.
    """
    found = values.get(key)
    if found is None:
        raise WireError(f"The array '{key}' is missing.")
    if found.shape != (network.parameters,) or found.dtype != np.float32:
        raise WireError(
            f"The array '{key}' is {found.dtype} of shape {found.shape}, and not float32 of shape"
            f" ({network.parameters},)."
        )
    if not np.isfinite(found).all():
        raise WireError(f"The array '{key}' holds a value that is not finite.")
    if diverged(found):
        raise WireError(f"The array '{key}' holds a value beyond {LARGEST_WEIGHT:g}.")
    return found


def packed_arrays(key: str, packed: Packed) -> dict[str, np.ndarray]:
    """Names the arrays that a packed vector is made of."""
    return {f"{key}.{packed.format}": packed.values, f"{key}.scales": packed.scales}


def read_vector(
    values: Mapping[str, np.ndarray], key: str, network: Network
) -> tuple[np.ndarray, Packed | None]:
    """Returns a vector as `vector` does, and how it was packed if it was.

    Raises:
        WireError: it is something else.
    """
    for format in ("float16", "int8"):
        if f"{key}.{format}" in values:
            scales = values.get(f"{key}.scales", np.empty(0, np.float32))
            packed = Packed(format, values[f"{key}.{format}"], scales)
            try:
                return vector({key: unpack(packed, layer_sizes(network))}, key, network), packed
            except ValueError as error:
                raise WireError(str(error)) from None
    return vector(values, key, network), None


def read_vectors(values: Mapping[str, np.ndarray], network: Network, prefix: str = VECTOR) -> Vectors:
    """Returns the vectors whose names begin so, by the rest of the name.

    Raises:
        WireError: one is something else.
    """
    return {k.removeprefix(prefix): vector(values, k, network) for k in values if k.startswith(prefix)}


def read_counts(values: Mapping[str, np.ndarray]) -> np.ndarray:
    """Returns how scores lie, (2, BINS) int64, of normal samples and of faults.

    Raises:
        WireError: it does not say so.
    """
    found = values.get(COUNTS, np.empty(0))
    sound = found.dtype == np.int64 and found.shape == (2, BINS)
    if not sound or not ((found >= 0) & (found <= MOST_SAMPLES)).all():
        raise WireError(f"The counts of scores are not two rows of {BINS} whole numbers.")
    return found


def _read_array(array: Array) -> np.ndarray:
    """Returns what numpy has written, setting aside no more than has come; raises an Exception otherwise."""
    header = _HEADER.match(array.data)
    if array.stype != "numpy.ndarray" or header is None:
        raise ValueError("it is none that numpy writes for numbers")
    dtype = np.dtype(header[1].decode())
    shape = tuple(int(length) for length in header[2].split(b",") if length.strip())
    size = len(array.data) - header.end()
    if math.prod(shape) * dtype.itemsize != size:
        raise ValueError(f"it claims to be {dtype} of shape {shape}, and has {size} bytes")
    return np.frombuffer(array.data, dtype, offset=header.end()).reshape(shape).copy()
