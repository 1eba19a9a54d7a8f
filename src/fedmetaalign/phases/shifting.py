"""Windows moved a little in time: a fault a few samples earlier or later is the same fault.

Few recordings hold few faults, and a convolutional network learns where they lay; see Um et al., "Data
augmentation of wearable sensor data for Parkinson's disease monitoring using convolutional neural networks",
ICMI 2017.
"""

import numpy as np

from fedmetaalign.model.online import Samples


def shifted(samples: Samples, most: int, channels: int, random: np.random.Generator) -> Samples:
    """Moves each window by as many steps as are drawn for it; what falls off at one end comes in at the other.

    Args:
        samples: (rows, steps * channels), one step after the other.
        most: steps, either way.
        channels: of the windows.
        random: draws the steps.
    """
    steps = samples.x.shape[1] // channels
    windows = samples.x.reshape(-1, steps, channels)
    by = random.integers(-most, most + 1, size=(len(windows), 1))
    places = (np.arange(steps) - by) % steps
    return Samples(np.take_along_axis(windows, places[:, :, None], axis=1).reshape(samples.x.shape), samples.y)
