"""What the simulators share: who the devices of a simulated fleet are, and how a class mix is drawn."""

from collections.abc import Iterator

import numpy as np

from fedmetaalign.errors import DataError
from fedmetaalign.randomness import generator


def device_streams(
    simulator: str, devices: int, samples: int, seed: int
) -> Iterator[tuple[str, np.random.Generator]]:
    """Yields each device's name and random stream, which depends on (seed, simulator, name) alone.

    Raises:
        DataError: if fewer than one device or fewer than one sample is asked for.
    """
    for count, what in ((devices, "devices"), (samples, "samples")):
        if count < 1:
            raise DataError(f"the {simulator} simulator was asked for {count} {what}; ask for at least 1.")
    for number in range(devices):
        name = f"{simulator}-{number:02d}"
        yield name, generator(seed, "simulator", simulator, name)


def both_classes(share: float, total: int) -> int:
    """Returns how many of `total` are faults: the nearest to `share` that leaves one of each class."""
    return int(np.clip(round(share * total), min(1, total - 1), max(1, total - 1)))


def names(prefix: str, numbers: np.ndarray) -> np.ndarray:
    """Returns names such as "event-0042", one for each number: (rows,) int -> (rows,) str."""
    return np.array([f"{prefix}-{number:04d}" for number in numbers], dtype=np.str_)
