"""What a training stream minimises."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Objective:
    """What a stream minimises, for methods that want more of it than the samples' loss.

        L(scale w + shift)  +  stiffness / 2 |w|^2  +  <slope, w>

    with L the mean cross-entropy of the samples. Most methods of the literature are one of these.

    Attributes:
        scale: share of the trained weights in the network that the samples meet.
        shift: (parameters,) float32, the rest of that network; None for zero, which goes with a scale of 1.
        stiffness: not negative.
        slope: (parameters,) float32; None for zero, which goes with a stiffness of 0.
        lookahead: the gradient of each sample is taken after one plain gradient step of this size on the sample
            before it (first-order MAML), at twice the cost; 0 for none.

    Raises:
        ValueError: there is a scale without a shift, or a stiffness without a slope.
    """

    scale: float = 1.0
    shift: np.ndarray | None = None
    stiffness: float = 0.0
    slope: np.ndarray | None = None
    lookahead: float = 0.0

    def __post_init__(self) -> None:
        if self.scale != 1 and self.shift is None:
            raise ValueError(f"A scale of {self.scale:g} needs a shift.")
        if self.stiffness and self.slope is None:
            raise ValueError(f"A stiffness of {self.stiffness:g} needs a slope.")

    @classmethod
    def proximal(cls, anchor: np.ndarray, stiffness: float) -> "Objective":
        """Adds stiffness / 2 |w - anchor|^2 to the loss; the constant is left out."""
        return cls(stiffness=stiffness, slope=(-stiffness * anchor).astype(np.float32))

    @classmethod
    def corrected(cls, correction: np.ndarray) -> "Objective":
        """Adds a constant vector to every gradient."""
        return cls(slope=correction.astype(np.float32))

    @classmethod
    def mixed(cls, share: float, other: np.ndarray) -> "Objective":
        """Trains w as its share of a mixture with other weights, which stay as they are."""
        return cls(scale=share, shift=((1 - share) * other).astype(np.float32))


LOSS = Objective()
"""The samples' loss and nothing else."""
