"""scikit-learn's trees as they are used here: fitted on samples, and asked for every class of a fleet."""

from threading import Lock
from typing import Any

import numpy as np
from sklearn.ensemble import RandomForestClassifier
from threadpoolctl import threadpool_limits

from fedmetaalign.model.online import Samples

# scikit-learn's forests set the filters of warnings anew in every call, and all threads share these: two at
# once warn by the hundred of nothing that matters to users, and may leave the filters of neither behind.
_ONE_AT_A_TIME = Lock()


def forest(samples: Samples, random_state: int) -> RandomForestClassifier:
    """Trains a random forest (Breiman, 2001) with scikit-learn's defaults."""
    with _ONE_AT_A_TIME:
        return RandomForestClassifier(random_state=random_state, n_jobs=1).fit(*samples)


def of_every_class(trained: Any, classes: int, x: np.ndarray) -> np.ndarray:
    """Asks a classifier for all classes of a fleet, of which it may have seen some.

    Args:
        trained: a scikit-learn classifier, trained on the indices of classes.
        classes: of the fleet.
        x: (rows, features).

    Returns:
        (rows, classes) float64 in [0, 1]; of a class that it has not seen, 0.
    """
    with _ONE_AT_A_TIME, threadpool_limits(1, "openmp"):  # on several threads, sums have other last bits
        probabilities = trained.predict_proba(x)
    return spread(probabilities, trained.classes_.astype(np.intp), classes)


def spread(probabilities: np.ndarray, seen: np.ndarray, classes: int) -> np.ndarray:
    """Returns the probabilities of all classes, (rows, classes), given those of `seen` ones."""
    every = np.zeros((len(probabilities), classes))
    every[:, seen] = np.clip(probabilities, 0, 1)  # a mean of many may be rounded to more than 1
    return every
