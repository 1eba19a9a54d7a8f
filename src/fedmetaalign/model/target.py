"""What a label means: which classes there are, which of them mean no fault, and what logits say of them.

A label is the index of its class. Two classes are distinguished by one logit and its sigmoid, more by a logit
each and their softmax. The probability of a fault is 1 - p(normal), whatever the number of classes.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.special import expit, log_softmax, logsumexp, softmax

MOST_CLASSES = 64
"""A column with more values than this holds identifiers or measurements, surely."""

Known = Literal["faults", "normal", "faulty", "nothing"]
"""What the labels of a device tell: some are faults, all are normal, all are faults, or there are none."""

ONE_SIDED: tuple[Known, ...] = ("normal", "faulty")
"""Of a device whose samples are all of one kind: it knows nothing of what parts them from others."""


def known(faults: np.ndarray) -> Known:
    """Returns what labels tell, of (rows,) 0 normal and 1 fault."""
    if not len(faults):
        return "nothing"
    return "faulty" if faults.all() else "faults" if faults.any() else "normal"


@dataclass(frozen=True)
class Target:
    """The classes of a label.

    Logits `z` are (rows,) for two classes and (rows, classes) for more, floating point. Labels `y` are (rows,),
    indices of classes.

    Attributes:
        classes: the name of each class, 2 to 64; of two the first is the normal one.
        normal: indices of the classes that mean no fault.

    Raises:
        ValueError: the classes are too few or too many or not unique, or not both normal classes and faults
            are among them; for the methods, the logits have another shape.
    """

    classes: tuple[str, ...] = ("normal", "fault")
    normal: tuple[int, ...] = (0,)

    def __post_init__(self) -> None:
        count = len(self.classes)
        if not 2 <= count <= MOST_CLASSES:
            raise ValueError(f"A label has 2 to {MOST_CLASSES} classes, and this one has {count}.")
        if twice := sorted({name for name in self.classes if self.classes.count(name) > 1}):
            raise ValueError(f"Every class needs a name of its own: '{twice[0]}' is there twice.")
        if beyond := [i for i in self.normal if not 0 <= i < count]:
            raise ValueError(f"There is no class {beyond[0]} to be normal: the classes are 0 to {count - 1}.")
        if not self.normal or not self.fault:
            every = "Every" if self.normal else "No"
            raise ValueError(f"{every} class is normal: at least one has to be, and at least one a fault.")
        if count == 2 and self.normal != (0,):
            raise ValueError(f"Of two classes the normal one comes first: list '{self.classes[1]}' first.")

    @property
    def fault(self) -> tuple[int, ...]:
        """Indices of the classes that mean a fault."""
        return tuple(i for i in range(len(self.classes)) if i not in self.normal)

    @property
    def outputs(self) -> int:
        """Logits that a network needs to tell the classes apart."""
        return 1 if len(self.classes) == 2 else len(self.classes)

    def probabilities(self, z: np.ndarray) -> np.ndarray:
        """Returns the probability of each class, (rows, classes) float64."""
        z = self._exact(z)
        if self.outputs == 1:
            return np.stack([expit(-z), expit(z)], axis=1)
        with np.errstate(invalid="ignore"):  # as in cross_entropy
            return np.asarray(softmax(z, axis=1))

    def fault_probability(self, z: np.ndarray) -> np.ndarray:
        """Returns 1 - p(normal), (rows,) float64 in [0, 1].

        It is the sigmoid of the log odds of a fault, since a difference of probabilities would leave nothing
        of those near zero.
        """
        z = self._exact(z)
        if self.outputs > 1:
            with np.errstate(invalid="ignore"):  # as in cross_entropy
                z = logsumexp(z[:, self.fault], axis=1) - logsumexp(z[:, self.normal], axis=1)
        return np.asarray(expit(z))

    def cross_entropy(self, z: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Returns the cross-entropy of each row, (rows,) float64, computed from the logits."""
        z = self._exact(z)
        with np.errstate(invalid="ignore"):  # weights that have diverged are reported where they are checked
            if self.outputs == 1:
                return np.asarray(np.logaddexp(0, z) - y * z)
            return np.asarray(-log_softmax(z, axis=1)[np.arange(len(z)), y.astype(np.intp)])

    def faults(self, y: np.ndarray) -> np.ndarray:
        """Returns which labels mean a fault, (rows,) int8: 0 normal and 1 fault."""
        return (~np.isin(y, self.normal)).astype(np.int8)

    def predicted(self, z: np.ndarray) -> np.ndarray:
        """Returns the likeliest class, (rows,) int64; of equals the first."""
        if self.outputs == 1:
            return (self.fault_probability(z) > 0.5).astype(np.int64)
        return np.asarray(np.argmax(self._exact(z), axis=1))

    def kinds(self, z: np.ndarray) -> np.ndarray:
        """Returns the likeliest class of those that mean a fault, (rows,) int64; of equals the first."""
        z, faults = self._exact(z), np.asarray(self.fault)
        if self.outputs == 1:
            return np.repeat(faults, len(z))
        return np.asarray(faults[np.argmax(z[:, faults], axis=1)])

    def _exact(self, z: np.ndarray) -> np.ndarray:
        """Returns logits in float64, or refuses those of other classes."""
        wanted = () if self.outputs == 1 else (self.outputs,)
        if z.ndim == 0 or z.shape[1:] != wanted:
            shape = str(("rows", *wanted)).replace("'", "")
            raise ValueError(f"Logits of {len(self.classes)} classes are {shape}, and these are {z.shape}.")
        return z.astype(np.float64)


BINARY = Target()
"""Normal or fault, and no more."""
