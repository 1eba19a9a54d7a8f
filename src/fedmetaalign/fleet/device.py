"""A device as the phases see it: its samples, standardised and divided, without its test set."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from fedmetaalign.model.online import Samples
from fedmetaalign.preparation import Preparation


@dataclass(frozen=True)
class Part:
    """One phase's share of a device's samples: `support` is trained on, `query` is evaluated on."""

    support: Samples
    query: Samples


@dataclass(frozen=True)
class Device:
    """One participant. Its samples never leave it, and its test set is not here: no phase can touch it.

    Attributes:
        name: unique in the fleet.
        preparation: from its raw features to the network's inputs.
        parts: by phase, "serial", "parallel" and "personalize".
        own: all its training samples: the query set is phase 3's, the support set all others.
    """

    name: str
    preparation: Preparation
    parts: Mapping[str, Part]
    own: Part

    @property
    def train(self) -> Samples:
        """All training samples."""
        return Samples(*map(np.concatenate, zip(self.own.support, self.own.query, strict=True)))


@dataclass(frozen=True)
class Fleet:
    """All devices, and apart from them what only the final evaluation reads.

    Attributes:
        devices: sorted by name.
        test: each device's held-out samples.
        public: the samples of phase 0; None where it is left out.
        files: sha256 of every file that was read.
    """

    devices: tuple[Device, ...]
    test: Mapping[str, Samples]
    public: Part | None
    files: Mapping[str, str]


@dataclass(frozen=True)
class Moments:
    """The sums that standardisation needs: all that leaves a device under `scaling = "fleet"`.

    Attributes:
        count: samples.
        total: (features,) float64, sum of the samples.
        squares: (features,) float64, sum of their squares.
    """

    count: int
    total: np.ndarray
    squares: np.ndarray

    @classmethod
    def of(cls, x: np.ndarray) -> "Moments":
        """Sums the samples, (rows, features)."""
        return cls(len(x), x.sum(axis=0), (x * x).sum(axis=0))

    def __add__(self, other: "Moments") -> "Moments":
        return Moments(self.count + other.count, self.total + other.total, self.squares + other.squares)

    def standardization(self) -> tuple[np.ndarray, np.ndarray]:
        """Returns mean and scale, (features,) float64; the scale of a constant feature is 1."""
        mean = self.total / self.count
        variance = self.squares / self.count - mean**2
        # Rounding leaves a constant feature a variance of about 1e-16 of its square, of either sign.
        constant = variance <= 1e-12 * mean**2
        return mean, np.where(constant, 1.0, np.sqrt(np.where(constant, 1.0, variance)))
