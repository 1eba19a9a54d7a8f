"""What Flower's records are made of here, and how they are taken apart: nothing that came is trusted."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, RecordDict

from fedmetaalign.engine.compression import Packed, unpack
from fedmetaalign.engine.transport import blocks
from fedmetaalign.errors import FedMetaAlignError
from fedmetaalign.fleet.device import Moments
from fedmetaalign.model.mlp import LARGEST_WEIGHT, Network, diverged

PROTOCOL = 1
"""The version of these records: a device and a server must have the same."""


class WireError(FedMetaAlignError):
    """What came over the wire cannot be used; the sentence says why."""


def config(values: Mapping[str, str | int | float | list[str]]) -> ConfigRecord:
    """Makes a record of plain values."""
    return ConfigRecord(dict(values))


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
            value = array.numpy()
        except Exception as error:  # these bytes are a stranger's: numpy may raise anything
            raise WireError(f"The array '{name}' cannot be read ({error}).") from None
        if not isinstance(value, np.ndarray):  # an archive of arrays is none
            raise WireError(f"The array '{name}' is none.")
        found[name] = value
    return found


def whole(values: Mapping[str, Any], key: str) -> int:
    """Returns a number from 1.

    Raises:
        WireError: it is something else.
    """
    value = values.get(key)
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise WireError(f"The key '{key}' is {value!r}, and not a whole number from 1.")
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
                return vector({key: unpack(packed, blocks(network))}, key, network), packed
            except ValueError as error:
                raise WireError(str(error)) from None
    return vector(values, key, network), None


def moments_arrays(moments: Moments) -> ArrayRecord:
    """Makes a record of moments; their count is a number of its own."""
    return arrays({"mean": moments.mean, "squares": moments.squares})


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
        and np.isfinite(mean).all()
        and np.isfinite(squares).all()
        and (squares >= 0).all()
    )
    if not sound:
        raise WireError("The moments are not two equally long rows of finite float64 numbers.")
    return Moments(whole(values, "count"), mean, squares)
