"""Boosted trees as arrays: what they say of samples, of two classes or more."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import expit, softmax

from fedmetaalign.methods._growing import Node, Pairs


@dataclass(frozen=True)
class Tree:
    """A tree; a leaf is its own children.

    Attributes:
        features: (nodes,) int64, the input that a node looks at.
        thresholds: (nodes,) float64; a sample goes left whose value is at most this one.
        children: (nodes, 2) int64, left and right.
        values: (nodes,) float64, what a leaf adds to a sample's logit.
    """

    features: np.ndarray
    thresholds: np.ndarray
    children: np.ndarray
    values: np.ndarray


@dataclass(frozen=True)
class Ensemble:
    """Trees that are added up.

    Attributes:
        nodes: of all trees, one after the other.
        roots: (iterations, logits) int64.
        start: (logits,) float64, where the logits begin; of two classes there is one, that of the second.
    """

    nodes: Tree
    roots: np.ndarray
    start: np.ndarray

    def probabilities(self, x: np.ndarray) -> np.ndarray:
        """Returns the probability of each class, (rows, classes) float64, for samples (rows, inputs)."""
        nodes, rows = self.nodes, np.arange(len(x))[:, None]
        at = np.tile(self.roots.ravel(), (len(x), 1))
        while True:
            right = x[rows, nodes.features[at]] > nodes.thresholds[at]
            below = nodes.children[at, right.astype(np.intp)]
            if (below == at).all():
                break
            at = below
        logits = self.start + nodes.values[at].reshape(len(x), *self.roots.shape).sum(axis=1)
        if logits.shape[1] > 1:
            return np.asarray(softmax(logits, axis=1))
        return np.concatenate([expit(-logits), expit(logits)], axis=1)


def tree(root: Node, inner: Sequence[Node], pairs: Pairs, cuts: Sequence[np.ndarray], rate: float) -> Tree:
    """Returns a grown tree as arrays.

    Args:
        root: its root.
        inner: the nodes that have children.
        pairs: the children.
        cuts: of each input the edges between its bins.
        rate: shrinks what leaves say.
    """
    cut = {each.number for each in inner}
    order, features, thresholds, children, values = [root], [], [], [], []
    for place, at in enumerate(order):  # it grows on the way
        if at.split and at.number in cut:
            features.append(at.split.feature)
            thresholds.append(float(cuts[at.split.feature][at.split.bin]))
            children.append((len(order), len(order) + 1))
            values.append(0.0)
            order += pairs[at.number]
        else:
            features.append(0)
            thresholds.append(np.inf)
            children.append((place, place))
            values.append(rate * at.value)
    return Tree(*map(np.array, (features, thresholds, children, values)))


def ensemble(trees: Sequence[Tree], start: np.ndarray) -> Ensemble:
    """Returns the sum of trees, those of one iteration beside each other."""
    sizes = [len(each.values) for each in trees]
    roots = np.cumsum([0, *sizes[:-1]])
    nodes = Tree(
        np.concatenate([each.features for each in trees]),
        np.concatenate([each.thresholds for each in trees]),
        np.concatenate([each.children + root for each, root in zip(trees, roots, strict=True)]),
        np.concatenate([each.values for each in trees]),
    )
    return Ensemble(nodes, roots.reshape(-1, len(start)), start)
