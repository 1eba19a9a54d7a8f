"""A device as the phases see it: its samples, standardised and divided, without its test set."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from fedmetaalign.fleet.missing.imputation import Fill
from fedmetaalign.fleet.usable import LeftOut
from fedmetaalign.model.online import Samples
from fedmetaalign.model.preparation import OwnUnit, Preparation
from fedmetaalign.model.table_format import TableFormat
from fedmetaalign.model.target import BINARY, Known, Target


@dataclass(frozen=True)
class Part:
    """One phase's share of a device's samples: `support` is trained on, `query` is evaluated on."""

    support: Samples
    query: Samples


@dataclass(frozen=True)
class Period:
    """When a device's samples were taken, in the units of `schema.Times`.

    Attributes:
        train: (rows,) int64, of `Device.train`.
        test: (rows,) int64, of its test set, rising and later than all of `train`.
        dated: whether they are dates, and no mere count.
    """

    train: np.ndarray
    test: np.ndarray
    dated: bool


@dataclass(frozen=True)
class Device:
    """One device. Its samples never leave it, and its test set is not here: no phase can touch it.

    Attributes:
        name: unique in the fleet.
        preparation: from its raw features to the network's inputs.
        examples: (rows, features) float64, a few raw samples of phase 3's query set.
        parts: by phase, "serial", "parallel" and "personalize"; a phase that the recipe gives no share, or that
            an unseen device takes no part in, has no samples.
        own: all its training samples: the query set is phase 3's, the support set all others.
        known: what the labels of its training samples tell.
        unlabelled: (rows, inputs) float32, what it has measured besides and nobody has labelled; None where
            every sample has a label.
        fill: what of its inputs makes up for those that it lacks.
        period: when its samples were taken; None where they are not split by time.
        raw: (rows, features) float64, what `inputs` were made of; None where its bundle does not need that.
        filled: (rows, features) bool, which values of `raw` are in the place of one that is missing; None where
            none is.
        converted: of features that are in another unit here the one that its bundle takes them in.
        format: how its table is written, as far as that is stated or proven.
    """

    name: str
    preparation: Preparation
    examples: np.ndarray
    parts: Mapping[str, Part]
    own: Part
    known: Known = "faults"
    unlabelled: np.ndarray | None = None
    fill: Fill = field(default_factory=Fill)
    period: Period | None = None
    raw: np.ndarray | None = None
    filled: np.ndarray | None = None
    converted: Mapping[str, OwnUnit] = field(default_factory=dict)
    format: TableFormat = field(default_factory=TableFormat)

    @property
    def inputs(self) -> np.ndarray:
        """What it has measured, but for its test set, (rows, inputs) float32: such as its network will see."""
        return self.train.x if self.unlabelled is None else np.concatenate([self.train.x, self.unlabelled])

    @property
    def train(self) -> Samples:
        """All training samples."""
        return Samples(*map(np.concatenate, zip(self.own.support, self.own.query, strict=True)))


@dataclass(frozen=True)
class Fleet:
    """All devices, and apart from them what only the final evaluation reads.

    Attributes:
        devices: those that the federation is made of, sorted by name.
        test: each device's held-out samples, those of unseen devices included.
        public: the samples of phase 0; None where it is left out.
        files: sha256 of every file that was read.
        unseen_devices: devices that take no part and only receive what the others have learnt, sorted by name.
        notices: what the user has to know of the fleet, one sentence each.
        target: what the labels mean.
        unlabelled_devices: devices without a label, which only receive what the others have learnt.
        left_out: devices that cannot be used, and why.
        gaps: by device and feature how many values are missing, for each reason.
    """

    devices: tuple[Device, ...]
    test: Mapping[str, Samples]
    public: Part | None
    files: Mapping[str, str]
    unseen_devices: tuple[Device, ...] = ()
    notices: tuple[str, ...] = ()
    target: Target = BINARY
    unlabelled_devices: tuple[Device, ...] = ()
    left_out: tuple[LeftOut, ...] = ()
    gaps: Mapping[str, Mapping[str, Mapping[str, int]]] = field(default_factory=dict)

    @property
    def unseen(self) -> tuple[str, ...]:
        """The names of the unseen devices."""
        return tuple(device.name for device in self.unseen_devices)


@dataclass(frozen=True)
class Moments:
    """What standardisation needs to know of samples: all that leaves a device under `scaling = "fleet"`.

    Sums of raw squares would say the same in exact arithmetic, and lose a small variation of a large value (a
    time stamp, say) in rounding.

    Attributes:
        count: samples.
        mean: (features,) float64.
        squares: (features,) float64, sum of the squared deviations from the mean.
    """

    count: int
    mean: np.ndarray
    squares: np.ndarray

    @classmethod
    def of(cls, x: np.ndarray) -> "Moments":
        """Takes the moments of samples, (rows, features)."""
        mean = x.mean(axis=0)
        return cls(len(x), mean, ((x - mean) ** 2).sum(axis=0))

    def __add__(self, other: "Moments") -> "Moments":
        """Pools two sets of samples (Chan, Golub & LeVeque, 1983)."""
        count = self.count + other.count
        apart = other.mean - self.mean
        return Moments(
            count,
            self.mean + apart * other.count / count,
            self.squares + other.squares + apart**2 * self.count * other.count / count,
        )

    def pooled(self, groups: np.ndarray) -> "Moments":
        """Returns the moments of groups of features, for each of their features.

        Args:
            groups: (features,) int, the number of each feature's group.
        """
        _, place, sizes = np.unique(groups, return_inverse=True, return_counts=True)
        mean = (np.bincount(place, self.mean) / sizes)[place]
        squares = self.squares + self.count * (self.mean - mean) ** 2
        return Moments(self.count, mean, (np.bincount(place, squares) / sizes)[place])

    def each(self) -> "tuple[Moments, ...]":
        """Returns the moments of each feature by itself."""
        return tuple(
            Moments(self.count, self.mean[i : i + 1], self.squares[i : i + 1]) for i in range(len(self.mean))
        )

    def standardization(self) -> tuple[np.ndarray, np.ndarray]:
        """Returns mean and scale, (features,) float64; the scale of a constant feature is 1."""
        deviation = np.sqrt(self.squares / self.count)
        # Rounding leaves a constant feature a deviation of about 1e-16 of its value.
        return self.mean, np.where(deviation > 1e-12 * np.abs(self.mean), deviation, 1.0)
