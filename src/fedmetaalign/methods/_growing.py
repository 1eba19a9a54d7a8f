"""How boosted trees grow from sums over histograms alone, whoever has the samples.

A histogram is (inputs, bins, 3) float64: for each bin of each input the sums of its samples' gradients and
hessians, and their number. As in scikit-learn, the leaf whose best cut lessens the loss most is cut first.
"""

import heapq
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

LEAVES = 31
"""A tree has at most so many."""
LEAST_SAMPLES = 20
"""Of a leaf."""
LEAST_HESSIAN = 1e-3
"""Of a leaf, in sum: below it a step of Newton's would know no bounds."""
TINY = 1e-15
"""Keeps 0 / 0 away."""


@dataclass(frozen=True)
class Split:
    """A cut: samples go left whose bin of an input is at most this one."""

    gain: float
    feature: int
    bin: int


@dataclass(frozen=True)
class Node:
    """A node of a growing tree.

    Attributes:
        number: unique among the trees that grow at once.
        histogram: of its samples.
        split: its best; None where there is none.
    """

    number: int
    histogram: np.ndarray
    split: Split | None

    @property
    def value(self) -> float:
        """Newton's step, which a leaf says."""
        gradient, hessian, _ = self.histogram[0].sum(axis=0)
        return float(-gradient / (hessian + TINY))


Pairs = Mapping[int, tuple[Node, Node]]
"""A node's number -> its children, left and right, of all nodes whose children are known."""


def node(number: int, histogram: np.ndarray) -> Node:
    """Returns a node with its best split."""
    return Node(number, histogram, best_split(histogram))


def best_split(histogram: np.ndarray) -> Split | None:
    """Returns the cut that lessens the loss most; of equals that of the first input, and of these the first."""
    left, total = histogram.cumsum(axis=1)[:, :-1], histogram[0].sum(axis=0)
    right = total - left
    allowed = np.minimum(left, right)[..., 1:] >= (LEAST_HESSIAN, LEAST_SAMPLES)
    gains = np.where(allowed.all(axis=-1), _lessened(left) + _lessened(right) - _lessened(total), 0)
    if gains.size == 0 or gains.max() <= 0:
        return None
    feature, at = np.unravel_index(gains.argmax(), gains.shape)
    return Split(float(gains[feature, at]), int(feature), int(at))


def grow(
    roots: Sequence[Node], children: Callable[[Sequence[Node]], Sequence[tuple[Node, Node]]]
) -> tuple[list[list[Node]], Pairs]:
    """Grows trees at once, the best cut of each first.

    Which cut comes next may depend on children that are not known yet. All that are in reach are asked for
    together, as each asking is a round for the whole fleet; some are then not needed.

    Args:
        roots: one a tree.
        children: asks for the children of nodes that have a split.

    Returns:
        Each tree's inner nodes, and all children that are known.
    """
    pairs: dict[int, tuple[Node, Node]] = {}
    while True:
        trees = [best_first(root, pairs) for root in roots]
        wanted = [each for _, missing in trees for each in missing]
        if not wanted:
            return [inner for inner, _ in trees], pairs
        pairs |= {each.number: pair for each, pair in zip(wanted, children(wanted), strict=True)}


def best_first(root: Node, pairs: Pairs) -> tuple[list[Node], list[Node]]:
    """Returns a tree's inner nodes, as far as children are known, and those whose children are wanted."""
    waiting = [(-root.split.gain, root.number, root)] if root.split else []
    inner: list[Node] = []
    while waiting and len(inner) < LEAVES - 1:
        if waiting[0][2].number not in pairs:
            reach = heapq.nsmallest(LEAVES - 1 - len(inner), waiting)
            return inner, [each for *_, each in reach if each.number not in pairs]
        *_, best = heapq.heappop(waiting)
        inner.append(best)
        for child in pairs[best.number]:
            if child.split:
                heapq.heappush(waiting, (-child.split.gain, child.number, child))
    return inner, []


def leaf_values(root: Node, inner: Sequence[Node], pairs: Pairs) -> dict[int, float]:
    """Returns what a tree says in each node that samples may lie in: below a leaf, what the leaf says."""
    cut, said = {each.number for each in inner}, {}
    waiting: list[tuple[Node, float | None]] = [(root, None)]
    while waiting:
        at, value = waiting.pop()
        if at.number not in cut:
            value = said[at.number] = at.value if value is None else value
        waiting += [(child, value) for child in pairs.get(at.number, ())]
    return said


def _lessened(sums: np.ndarray) -> np.ndarray:
    """Twice what a leaf with these sums, (..., 3), lessens the loss by."""
    return np.asarray(sums[..., 0] ** 2 / (sums[..., 1] + TINY))
