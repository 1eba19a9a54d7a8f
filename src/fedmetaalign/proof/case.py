"""A bundle and the samples that it is verified on."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fedmetaalign.tinyml import golden, integer
from fedmetaalign.tinyml.bundle import FIRMWARE, Bundle, read
from fedmetaalign.tinyml.features import device_inputs
from fedmetaalign.tinyml.network import DeployedNetwork, QuantizedNetwork
from fedmetaalign.tinyml.runtimes import ROUNDINGS, Runtime
from fedmetaalign.tinyml.spread import over_the_range


@dataclass(frozen=True)
class Case:
    """A bundle, and what it is run on.

    Attributes:
        folder: the bundle's.
        bundle: the bundle.
        golden: its golden vectors.
        raw: (samples, measured) float64, the golden samples and random ones, some with broken values.
        inputs: (samples, inputs) of the network's edge type, what it takes of them.
    """

    folder: Path
    bundle: Bundle
    golden: golden.Golden
    raw: np.ndarray
    inputs: np.ndarray

    @property
    def network(self) -> DeployedNetwork:
        """The bundle's."""
        return self.bundle.network

    @property
    def firmware(self) -> Path:
        """The folder of the bundle's C code."""
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
    return Case(folder, bundle, vectors, raw, device_inputs(bundle.preparation, bundle.network, raw))


def broken_in_part(raw: np.ndarray) -> np.ndarray:
    """Returns samples, (rows, measured), a tenth of which have a value that is NaN or infinite."""
    random, raw = np.random.default_rng(1), raw.copy()
    rows = random.permutation(len(raw))[: len(raw) // 10]
    raw[rows, random.integers(0, raw.shape[1], len(rows))] = random.choice([np.nan, np.inf, -np.inf], len(rows))
    return raw
