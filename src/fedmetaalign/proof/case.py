"""A bundle and the samples that it is verified on."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fedmetaalign.signals import Signal
from fedmetaalign.tinyml import golden, integer, windows
from fedmetaalign.tinyml.bundle import FIRMWARE, Bundle, read
from fedmetaalign.tinyml.features import device_inputs
from fedmetaalign.tinyml.network import DeployedNetwork, QuantizedNetwork
from fedmetaalign.tinyml.runtimes import ROUNDINGS, Runtime
from fedmetaalign.tinyml.spread import over_the_range

RANDOM = 4
"""Windows beside the golden ones."""


@dataclass(frozen=True)
class Case:
    """A bundle, and what it is run on.

    Attributes:
        folder: the bundle's.
        bundle: the bundle.
        golden: its golden vectors.
        raw: (samples, measured) float64, the golden samples and random ones, some with broken values.
        inputs: (samples, inputs) of the network's edge type, what it takes of them.
        windows: (windows, length, columns) float32, the golden windows and random ones; None without a signal.
    """

    folder: Path
    bundle: Bundle
    golden: golden.Golden
    raw: np.ndarray
    inputs: np.ndarray
    windows: np.ndarray | None = None

    @property
    def network(self) -> DeployedNetwork:
        """The bundle's."""
        return self.bundle.network

    @property
    def firmware(self) -> Path:
        """The folder of the bundle's C code, where it has been unpacked there."""
        return self.folder / FIRMWARE

    @property
    def rounds(self) -> bool:
        """Whether any layer is in integers."""
        return isinstance(self.network, QuantizedNetwork)

    @property
    def whole(self) -> bool:
        """Whether a score is in steps of 1/256."""
        return isinstance(self.network, QuantizedNetwork) and not self.network.head

    def inputs_of(self, raw: np.ndarray) -> np.ndarray:
        """Returns what the network takes of raw samples, (rows, inputs) of its edge type."""
        return device_inputs(self.bundle.preparation, self.network, raw)

    def scores(self, runtime: Runtime = "firmware") -> np.ndarray:
        """Returns what a runtime has to give, (samples,) or (samples, classes) float64."""
        if isinstance(self.network, QuantizedNetwork):
            return integer.scores(self.network, self.inputs, ROUNDINGS[runtime])
        return integer.firmware_scores(self.network, self.inputs)


def load(folder: Path, samples: int) -> Case:
    """Reads a bundle, and draws `samples` random samples beside its golden ones.

    Raises:
        BundleError: the bundle is damaged.
    """
    bundle = read(folder)
    vectors = golden.read(folder / "golden.csv", bundle.preparation, bundle.labels)
    drawn = over_the_range(bundle.preparation, bundle.network, samples)
    raw = np.concatenate([vectors.raw, broken_in_part(drawn)])
    inputs, signal = device_inputs(bundle.preparation, bundle.network, raw), bundle.preparation.signal
    found = None if signal is None else _windows(signal, windows.read(folder / windows.NAME, signal))
    return Case(folder, bundle, vectors, raw, inputs, found)


def _windows(signal: Signal, promised: np.ndarray) -> np.ndarray:
    """Returns golden windows, and random ones of several sizes, of which the last has broken samples."""
    random = np.random.default_rng(2)
    sizes = 10.0 ** random.uniform(-3, 3, (RANDOM, 1, 1))
    more = random.normal(random.normal(size=(RANDOM, 1, 1)), 1, (RANDOM, *promised.shape[1:])) * sizes
    if signal.speed:
        more[:, :, -1] = promised[0, :, -1] * random.uniform(0.5, 2, (RANDOM, 1))
    more[-1, random.integers(signal.length, size=2), 0] = np.nan, -np.inf
    return np.concatenate([promised, more.astype(np.float32)])


def broken_in_part(raw: np.ndarray) -> np.ndarray:
    """Returns samples, (rows, measured), a tenth of which have a value that is NaN or infinite."""
    random, raw = np.random.default_rng(1), raw.copy()
    rows = random.permutation(len(raw))[: len(raw) // 10]
    raw[rows, random.integers(0, raw.shape[1], len(rows))] = random.choice([np.nan, np.inf, -np.inf], len(rows))
    return raw
