"""What Flower's records are made of here, and how they are taken apart: nothing that came is trusted."""

import math
import re
from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import Any

import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, RecordDict

from fedmetaalign.errors import FedMetaAlignError
from fedmetaalign.evaluation.fleet_threshold import BINS
from fedmetaalign.evaluation.result import MOST_SAMPLES
from fedmetaalign.federation.compression import Packed, unpack
from fedmetaalign.federation.messages import Vectors
from fedmetaalign.fleet.device import Moments
from fedmetaalign.fleet.missing.imputation import LARGEST_SHARE, Fill
from fedmetaalign.fleet.shared import Place
from fedmetaalign.fleet.sketch import Sketch
from fedmetaalign.model.curve import LARGEST_LEVEL, MOST_KNOTS, Curve
from fedmetaalign.model.mlp import LARGEST_WEIGHT, Network, diverged, layer_sizes
from fedmetaalign.model.target import Target

PROTOCOL = 4
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

_LARGEST_MEAN = 1e100  # its square, times the samples of two devices, is still a float64


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


def read_moments(records: RecordDict, values: Mapping[str, Any]) -> Moments | None:
    """Returns the moments of a message, None where it has none; their count is among its plain values.

    Raises:
        WireError: they are no moments.
    """
    if "moments" not in records:
        return None
    found = read_arrays(records, "moments")
    mean, squares = (found.get(key, np.empty(0)) for key in ("mean", "squares"))
    sound = (
        mean.dtype == squares.dtype == np.float64
        and mean.shape == squares.shape == (mean.size,)
        and mean.size > 0
        # What is added up from several devices must be finite, too: one would spoil it for the others.
        and (np.abs(mean) <= _LARGEST_MEAN).all()
        and ((squares >= 0) & (squares <= _LARGEST_MEAN**2)).all()
    )
    if not sound:
        raise WireError(
            "The moments are not two equally long rows of float64 numbers, the means up to"
            f" {_LARGEST_MEAN:g} and the squares from 0 to {_LARGEST_MEAN**2:g}."
        )
    return Moments(whole(values, "count"), mean, squares)


def sketches_record(sketches: Sequence[Sketch]) -> ArrayRecord:
    """Makes a record of the quantiles of a device's features; their count is among its plain values."""
    found = {name: np.concatenate([getattr(s, name) for s in sketches]) for name in ("knots", "ranks")}
    return arrays({"lengths": np.array([len(s.knots) for s in sketches]), **found})


def read_sketches(records: RecordDict, values: Mapping[str, Any]) -> tuple[Sketch, ...]:
    """Returns the quantiles of a message, of each feature; none where it has none.

    Raises:
        WireError: they are no quantiles.
    """
    if "sketches" not in records:
        return ()
    found, count = read_arrays(records, "sketches"), whole(values, "count")
    lengths, knots, ranks = (found.get(key, np.empty(0)) for key in ("lengths", "knots", "ranks"))
    sound = (
        lengths.dtype == np.int64
        and knots.dtype == ranks.dtype == np.float64
        and lengths.ndim == knots.ndim == 1
        and knots.shape == ranks.shape
        and ((lengths > 0) & (lengths <= MOST_KNOTS)).all()
        and lengths.sum() == len(knots) > 0
        and (np.abs(knots) <= _LARGEST_MEAN).all()
        and ((ranks > 0) & (ranks < count)).all()
    )
    if sound:
        ends = np.cumsum(lengths)[:-1]
        pairs = [*zip(np.split(knots, ends), np.split(ranks, ends), strict=True)]
        sound = all((np.diff(part) > 0).all() for pair in pairs for part in pair)
    if not sound:
        raise WireError(
            f"The quantiles are not, for each feature, up to {MOST_KNOTS} rising float64 numbers up to"
            f" {_LARGEST_MEAN:g} with rising ranks."
        )
    return tuple(Sketch(count, *pair) for pair in pairs)


def read_correlations(records: RecordDict, features: int) -> np.ndarray:
    """Returns how a device's features go together, (features, features) float64.

    Raises:
        WireError: it does not say so.
    """
    found = (
        read_arrays(records, "correlations").get("values", np.empty(0)) if "correlations" in records else None
    )
    sound = (
        found is not None
        and found.dtype == np.float64
        and found.shape == (features, features)
        and (np.abs(found) <= LARGEST_LEVEL**2).all()
        and (found == found.T).all()
    )
    if found is None or not sound:
        raise WireError("Its correlations do not fit its features.")
    return found


def place_record(place: Place) -> ConfigRecord:
    """Makes a record of a device's place in its fleet."""
    return ConfigRecord(
        {
            "columns": [*place.columns],
            "mean": [*place.mean],
            "scale": [*place.scale],
            "classes": [*place.target.classes],
            "normal": [*place.target.normal],
            "lengths": [len(curve.knots) for curve in place.curves],
            "knots": [knot for curve in place.curves for knot in curve.knots],
            "levels": [level for curve in place.curves for level in curve.levels],
            "missing": [*place.fill.missing],
            "shares": [share for shares in place.fill.shares for share in shares],
        }
    )


def read_place(records: RecordDict, inputs: int) -> Place:
    """Returns a device's place in its fleet.

    Raises:
        WireError: it is none for a network of so many inputs.
    """
    said = read_config(records, "place")
    columns, mean, scale = (tuple(said.get(key) or ()) for key in ("columns", "mean", "scale"))
    sound = (
        len(columns) == inputs
        and len(mean) == len(scale)
        and all(isinstance(column, int) and column >= -1 for column in columns)
        and all(isinstance(value, float) and math.isfinite(value) for value in (*mean, *scale))
        and all(value > 0 for value in scale)
    )
    if not sound:
        raise WireError(f"The server gives the device no place that fits {inputs} inputs.")
    try:
        target = Target(*(tuple(said.get(key) or ()) for key in ("classes", "normal")))
    except (TypeError, ValueError) as error:
        raise WireError(f"The server's classes cannot be used: {error}") from None
    return Place(columns, mean, scale, target, _curves(said), _fill(said, columns))


def _fill(said: Mapping[str, Any], columns: Sequence[int]) -> Fill:
    """Returns what makes up for a device's missing inputs."""
    missing, shares = (tuple(said.get(key) or ()) for key in ("missing", "shares"))
    sound = (
        len(shares) == len(missing) * len(columns)
        and len(set(missing)) == len(missing)
        and all(isinstance(i, int) and 0 <= i < len(columns) and columns[i] < 0 for i in missing)
        and all(isinstance(share, float) and abs(share) <= LARGEST_SHARE for share in shares)
    )
    if not sound:
        raise WireError("What the server puts in the place of missing features cannot be used.")
    width = len(columns)
    return Fill(missing, tuple(shares[i * width : (i + 1) * width] for i in range(len(missing))))


def _curves(said: Mapping[str, Any]) -> tuple[Curve, ...]:
    """Returns the maps of a device's features, none where a place has none."""
    try:
        lengths, knots, levels = (tuple(said.get(key) or ()) for key in ("lengths", "knots", "levels"))
        if not (sum(lengths) == len(knots) == len(levels)):
            raise ValueError("they are not as long as it says")
        return tuple(
            Curve(knots[end - length : end], levels[end - length : end])
            for length, end in zip(lengths, accumulate(lengths), strict=True)
        )
    except (TypeError, ValueError) as error:
        raise WireError(f"The server's curves cannot be used: {error}") from None


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
