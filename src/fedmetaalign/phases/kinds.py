"""What a device says of kinds that it never met: nothing.

Of more than two classes a device may have met some only. Cross-entropy on its own samples would push the logits
of all others down everywhere, so that a network that tours the devices forgets of each kind wherever it is not.
So a device trains as if the others were not there: a softmax over the kinds that it has met (Li & Zhan, "FedRS:
federated learning with restricted softmax for label distribution non-IID data", KDD 2021, with a scale of 0).
It takes no other training: a logit is held back by its bias, which is raised again afterwards.

Which kinds it has met each device tells the server once, a bit a kind: not how many samples. Of two classes,
which share one logit, nothing is told and nothing held back.
"""

import numpy as np

HELD_BACK = 30.0
"""By so much is the logit of a kind lower while a device trains that has not met it: e^-30 moves no weight."""
NOWHERE = -8.0
"""The logit of a kind that no device of a group has met: all would hold it back, and none teach it anything."""


def met(y: np.ndarray, outputs: int) -> np.ndarray:
    """Returns which kinds are among labels, (outputs,) bool; of two classes, one output, none is counted.

    Args:
        y: (rows,), indices of classes.
        outputs: logits of the network.
    """
    return np.isin(np.arange(outputs), y) if outputs > 1 else np.zeros(0, bool)


def held_back(kinds: np.ndarray) -> np.ndarray:
    """Returns what to add to the logits while a device trains, (outputs,) float32, or (0,) if nothing.

    A device with a single kind holds nothing back: it has only those of the others to set its own against.

    Args:
        kinds: (outputs,) bool, which it has met.
    """
    if kinds.sum() < 2 or kinds.all():
        return np.zeros(0, np.float32)
    return np.where(kinds, 0, -HELD_BACK).astype(np.float32)


def moved(weights: np.ndarray, by: np.ndarray) -> np.ndarray:
    """Returns weights whose logits are higher by so much, which the last biases are.

    Args:
        weights: (parameters,) float32.
        by: (outputs,) float32, or (0,).
    """
    if not len(by):
        return weights
    found = weights.copy()
    found[-len(by) :] += by
    return found


def without(weights: np.ndarray, last: int, kinds: np.ndarray) -> np.ndarray:
    """Returns weights that say of kinds that a group has not met that they are nowhere.

    Args:
        weights: (parameters,) float32.
        last: parameters of the last layer.
        kinds: (outputs,) bool, which its devices have met.
    """
    found = weights.copy()
    layer = found[-last:].reshape(-1, len(kinds))
    layer[:, ~kinds] = 0
    layer[-1, ~kinds] = NOWHERE
    return found


def written(kinds: np.ndarray, parameters: int) -> np.ndarray:
    """Returns kinds, (outputs,) bool, in the last places of a vector of float32, as long as the weights."""
    found = np.zeros(parameters, np.float32)
    found[parameters - len(kinds) :] = kinds
    return found


def read(vector: np.ndarray, outputs: int) -> np.ndarray:
    """Returns the kinds that a vector, (parameters,), names, (outputs,) bool."""
    return vector[-outputs:] > 0
