"""What a device's data is: one value that every source (file, partition, simulator) produces."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np


@dataclass(frozen=True)
class Table:
    """The labelled samples of one device, in raw units, in the order of their source.

    Attributes:
        name: the device's name; unique in a fleet and safe as a folder name.
        features: names of the features, one a column of `x`.
        x: (rows, features) float64, finite, in the units of `units`.
        y: (rows,) int8, 0 normal and 1 fault.
        units: physical unit of each feature, "" where it has none or is unknown.
        kinds: (rows,) str, the kind of each sample ("normal", "A-G", "tool wear", ...), for partitions and
            stratification by more than the label; None where the source does not tell.
        groups: (rows,) str, samples that belong together (one waveform, one machine): a split by units
            never cuts a group; None where the source does not tell.
        reserved: (rows,) bool, rows that the source itself sets aside for testing; None where the split
            decides.
        categories: for a text feature, the texts that are 0, 1, 2, ...
        source: file that the rows were read from; None for a simulator.
    """

    name: str
    features: tuple[str, ...]
    x: np.ndarray
    y: np.ndarray
    units: tuple[str, ...]
    kinds: np.ndarray | None = None
    groups: np.ndarray | None = None
    reserved: np.ndarray | None = None
    categories: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    source: Path | None = None

    @property
    def sensors(self) -> tuple[tuple[str, str], ...]:
        """Name and unit of each feature."""
        return tuple(zip(self.features, self.units, strict=True))

    def __len__(self) -> int:
        return len(self.y)

    def take(self, rows: np.ndarray, name: str | None = None) -> "Table":
        """Returns the given rows, in the given order, as a table of its own."""
        return replace(
            self,
            name=self.name if name is None else name,
            x=self.x[rows],
            y=self.y[rows],
            kinds=None if self.kinds is None else self.kinds[rows],
            groups=None if self.groups is None else self.groups[rows],
            reserved=None if self.reserved is None else self.reserved[rows],
        )
