"""The fleet that every contender trains, and what its first round must give. Needs nothing but NumPy."""

from pathlib import Path
from typing import NamedTuple, Self

import numpy as np
from online.problem import INPUTS, reference
from online.problem import Problem as Training

SAMPLES = 96


class Problem(NamedTuple):
    """Samples of a fleet, and where training starts.

    Attributes:
        x: (devices, SAMPLES, INPUTS) float32.
        y: (devices, SAMPLES) float32, 0 or 1.
        weights: (parameters,) float32, in the order of `online.problem.layers`.
    """

    x: np.ndarray
    y: np.ndarray
    weights: np.ndarray

    def save(self, folder: Path) -> None:
        """Writes one file an array."""
        for name, array in self._asdict().items():
            np.save(folder / f"{name}.npy", array)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Maps the files, so that a process reads only the devices that it trains."""
        return cls(*(np.load(folder / f"{name}.npy", mmap_mode="c") for name in cls._fields))


def draw(devices: int, weights: np.ndarray) -> Problem:
    """Draws samples of a learnable rule."""
    x = np.random.default_rng(0).standard_normal((devices, SAMPLES, INPUTS)).astype(np.float32)
    return Problem(x, (x[..., 0] * x[..., 1] > 0).astype(np.float32), weights)


def first_round(problem: Problem) -> np.ndarray:
    """Trains every device once over its samples in float64, in the plainest way, and takes the mean.

    Returns:
        (parameters,) float64, the global weights after one round of federated averaging.
    """
    trained = [reference(Training(x, y, problem.weights)) for x, y in zip(problem.x, problem.y, strict=True)]
    return np.mean(trained, axis=0)
