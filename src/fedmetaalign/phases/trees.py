"""scikit-learn's trees as they are used here: grown on samples, and asked for every class of a fleet.

Its forest takes 106 ms of a core for a hundred trees on 80 samples, and growing them 30: the rest makes, checks
and describes a hundred estimators. Here its trees are grown and asked without them, to the same last bit.
"""

import math
from dataclasses import dataclass
from threading import Lock
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from fedmetaalign.model.online import Samples

TREES = 100

_ANY_DEPTH = np.iinfo(np.int32).max

# scikit-learn's classifiers set the filters of warnings anew in a call, and all threads share these: two at
# once warn by the hundred of nothing that matters to users, and may leave the filters of neither behind.
_ONE_AT_A_TIME = Lock()


@dataclass(frozen=True)
class Forest:
    """A random forest.

    Attributes:
        trees: scikit-learn's `Tree`, each with the shares of the classes in its leaves.
        classes_: (classes,) float32, those of its samples, ascending.
    """

    trees: tuple[Any, ...]
    classes_: np.ndarray

    def predict_proba(self, x: np.ndarray) -> np.ndarray:
        """Returns the mean over the trees of what they say of samples: (rows, classes) float64."""
        x = np.ascontiguousarray(x, np.float32)
        total = np.zeros((len(x), len(self.classes_)))
        for tree in self.trees:
            total += tree.predict(x)
        return total / len(self.trees)


def forest(samples: Samples, random_state: int) -> Forest:
    """Grows a random forest (Breiman, 2001), tree for tree that of scikit-learn with its defaults."""
    from sklearn.tree._criterion import Gini  # half a second, which every start would wait for
    from sklearn.tree._splitter import BestSplitter
    from sklearn.tree._tree import DepthFirstTreeBuilder, Tree

    x = np.ascontiguousarray(samples.x, np.float32)
    classes, indices = np.unique(samples.y, return_inverse=True)
    y = np.ascontiguousarray(indices.reshape(-1, 1), np.float64)
    rows, features = x.shape
    counts, considered = np.array([len(classes)], np.intp), max(1, math.isqrt(features))
    lacks = np.isnan(x).any(axis=0)
    # Its random numbers are those of numpy's older generator.
    seeds = np.random.RandomState(random_state).randint(_ANY_DEPTH, size=TREES)
    trees = []
    for seed in seeds:
        drawn = np.random.RandomState(seed).randint(0, rows, rows)
        weights = np.bincount(drawn, minlength=rows).astype(np.float64)
        tree = Tree(features, counts, 1)
        order = np.random.RandomState(seed)
        splitter = BestSplitter(Gini(1, counts), considered, 1, 0.0, order, None)
        builder = DepthFirstTreeBuilder(splitter, 2, 1, 0.0, _ANY_DEPTH, 0.0)
        builder.build(tree, x, y, weights, lacks.astype(np.uint8) if lacks.any() else None)
        trees.append(tree)
    return Forest(tuple(trees), classes)


def of_every_class(trained: Any, classes: int, x: np.ndarray) -> np.ndarray:
    """Asks a classifier for all classes of a fleet, of which it may have seen some.

    Args:
        trained: a forest or a scikit-learn classifier, trained on the indices of classes.
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
