"""What stands in for a feature that a device lacks: its linear regression on the features that the device has.

It rests on correlations that devices with both features have sent once. As it is linear, nobody has to compute
it when a sample comes: a first layer's weights of a missing input w are added to those of the inputs x that
predict it, W_x <- W_x + a W_w, and the missing input stays zero. The microcontroller never knows.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from fedmetaalign.fleet.placement import Feature

LARGEST_SHARE = 4.0
"""No more of an input goes into another: correlations of few samples, or false ones, can ask for anything."""

_RIDGE = 1e-3  # currents that sum to zero have no inverse


@dataclass(frozen=True)
class Fill:
    """What of a device's inputs makes up for those that it lacks.

    Attributes:
        missing: inputs that the device lacks, and others of its family have.
        shares: of each of these what it takes of each input, (inputs,); 0 of one that is not there.
    """

    missing: tuple[int, ...] = ()
    shares: tuple[tuple[float, ...], ...] = ()

    def folded(self, weights: np.ndarray, units: int) -> np.ndarray:
        """Returns a network's weights, (parameters,) float32, as the device works with them.

        Args:
            weights: of the fleet.
            units: of the first layer.
        """
        return self._moved(weights, units, 1)

    def unfolded(self, weights: np.ndarray, units: int) -> np.ndarray:
        """Returns what the weights that a device has worked with mean to its fleet; the inverse of `folded`."""
        return self._moved(weights, units, -1)

    def _moved(self, weights: np.ndarray, units: int, sign: int) -> np.ndarray:
        if not self.missing:
            return weights
        shares = np.array(self.shares)
        rows = weights[: shares.shape[1] * units].reshape(-1, units).astype(np.float64)
        # By columns in this order, so that no library's order of summing shows.
        moved = rows + sign * sum(np.outer(shares[i], rows[place]) for i, place in enumerate(self.missing))
        return np.concatenate([moved.ravel().astype(np.float32), weights[rows.size :]])


@dataclass(frozen=True)
class Correlations:
    """How features go together, over all devices that have both.

    Attributes:
        features: sorted.
        values: (features, features), symmetric; 0 for two that no device has both.
    """

    features: tuple[Feature, ...] = ()
    values: tuple[tuple[float, ...], ...] = ()

    def fill(self, columns: np.ndarray, own: Sequence[Feature], family: Mapping[Feature, int]) -> Fill:
        """Returns what makes up for the features that a device lacks.

        Args:
            columns: (inputs,) which of its features each input takes, -1 for none.
            own: its features.
            family: the input of each feature that devices like it have.
        """
        place = {name: i for i, name in enumerate(self.features)}
        lacking = {
            where: place[name]
            for name, where in family.items()
            if name not in own and name in place and columns[where] < 0
        }
        inputs = [i for i, column in enumerate(columns) if column >= 0 and own[column] in place]
        if not lacking or not inputs:
            return Fill()
        there = [place[own[columns[i]]] for i in inputs]
        # Each pair has been measured by other devices: together they may be no correlations at all.
        values = np.array(self.values)
        scales, axes = np.linalg.eigh(values[np.ix_(there, there)])
        across = axes.T @ values[np.ix_(there, [*lacking.values()])]
        found = axes @ (across / (np.maximum(scales, 0) + _RIDGE)[:, None])
        shares = np.zeros((len(lacking), len(columns)))
        # Rounded, since the last bits are the library's.
        shares[:, inputs] = np.clip(found.T, -LARGEST_SHARE, LARGEST_SHARE).round(6)
        return Fill(tuple(lacking), tuple(map(tuple, shares.tolist())))


def correlations_of(scores: np.ndarray) -> np.ndarray:
    """Returns those of features, (features, features) float64; scores are (rows, features), of mean 0."""
    sums = scores.T @ scores
    return np.asarray((sums + sums.T) / 2 / len(scores))


def pooled(devices: Iterable[tuple[Sequence[Feature], np.ndarray, int]]) -> Correlations:
    """Returns the mean of each pair of features over the devices that have both.

    Args:
        devices: of each the features, their correlations and its samples, by which it weighs; in an order that
            does not depend on who came first.
    """
    told = [*devices]
    features = sorted({feature for own, _, _ in told for feature in own})
    place = {feature: i for i, feature in enumerate(features)}
    total, weight = (np.zeros((len(features), len(features))) for _ in range(2))
    for own, values, count in told:
        where = np.ix_(*[[place[feature] for feature in own]] * 2)
        total[where] += count * values
        weight[where] += count
    return Correlations(tuple(features), tuple(map(tuple, (total / np.maximum(weight, 1)).tolist())))
