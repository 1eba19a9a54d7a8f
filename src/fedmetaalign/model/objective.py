"""What a training stream minimises."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Objective:
    """What a stream minimises, for methods that want more of it than the samples' loss.

        L(scale w + offset)  +  mu / 2 |w|^2  +  <linear, w>

    with L the mean cross-entropy of the samples. Most methods of the literature are one of these.

    Attributes:
        scale: share of the trained weights in the network that the samples meet.
        offset: (parameters,) float32, the rest of that network; None for zero, which goes with a scale of 1.
        mu: not negative.
        linear: (parameters,) float32; None for zero, which goes with a mu of 0.
        lookahead: the gradient of each sample is taken after one plain gradient step of this size on the sample
            before it (first-order MAML), at twice the cost; 0 for none.

    Raises:
        ValueError: there is a scale without an offset, or a mu without a linear term.
    """

    scale: float = 1.0
    offset: np.ndarray | None = None
    mu: float = 0.0
    linear: np.ndarray | None = None
    lookahead: float = 0.0

    def __post_init__(self) -> None:
        if self.scale != 1 and self.offset is None:
            raise ValueError(f"A scale of {self.scale:g} needs an offset.")
        if self.mu and self.linear is None:
            raise ValueError(f"A mu of {self.mu:g} needs a linear term.")

    @classmethod
    def proximal(cls, anchor: np.ndarray, mu: float) -> "Objective":
        """Adds mu / 2 |w - anchor|^2 to the loss; the constant is left out."""
        return cls(mu=mu, linear=(-mu * anchor).astype(np.float32))

    @classmethod
    def corrected(cls, correction: np.ndarray) -> "Objective":
        """Adds a constant vector to every gradient."""
        return cls(linear=correction.astype(np.float32))

    @classmethod
    def mixed(cls, share: float, other: np.ndarray) -> "Objective":
        """Trains w as its share of a mixture with other weights, which stay as they are."""
        return cls(scale=share, offset=((1 - share) * other).astype(np.float32))


LOSS = Objective()
"""The samples' loss and nothing else."""
