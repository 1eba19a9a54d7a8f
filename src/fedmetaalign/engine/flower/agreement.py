"""What devices say of their data before the first round, and the place that the server gives them."""

import math
from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import Any

import numpy as np
from flwr.app import ArrayRecord, ConfigRecord, RecordDict

from fedmetaalign.engine.flower.wire import WireError, arrays, read_arrays, read_config, whole
from fedmetaalign.fleet.device import Moments
from fedmetaalign.fleet.missing.imputation import LARGEST_SHARE, Fill
from fedmetaalign.fleet.shared import Place
from fedmetaalign.fleet.sketch import Sketch
from fedmetaalign.model.curve import LARGEST_LEVEL, MOST_KNOTS, Curve
from fedmetaalign.model.target import Target

_LARGEST_MEAN = 1e100  # its square, times the samples of two devices, is still a float64


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
