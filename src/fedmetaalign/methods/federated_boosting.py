"""Federated boosting: one ensemble of trees that all members grow together (Ong et al., 2020, as in XGBoost).

    F  <-  F + 0.1 tree,    each leaf of which says  - sum_k G_k / sum_k H_k

with G_k and H_k the sums of the loss's gradients and hessians over device k's samples in the leaf. The server
finds every cut in the sum of the devices' histograms (`_growing`), so that the trees are those of
`boosting_pooled` but for the edges of the bins (`_bins`), and no sample travels. The settings are
scikit-learn's: 100 iterations of a tree (of more than two classes a tree each) of at most 31 leaves with 20
samples or more, 255 bins, no penalty; but it never stops early. The threshold is 0.5; see `_trees`.

What leaves a device: its number of samples of each class; once, up to 255 quantiles of each feature, which of a
small device are all its values, each feature's by itself; and histograms, whose bins hold few samples there.
Only their sum is used, so they could travel masked, with the empty bins that are now left out.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import count

import numpy as np

from fedmetaalign.federation.messages import Arrays, Ask, Model
from fedmetaalign.federation.records import Record, record
from fedmetaalign.methods._bins import Sketch, edges, parted
from fedmetaalign.methods._ensemble import Ensemble, Tree, ensemble, tree
from fedmetaalign.methods._growing import Node, grow, leaf_values, node
from fedmetaalign.methods._histograms import answer
from fedmetaalign.methods._method import Method
from fedmetaalign.methods._trees import NODE, constant, handed_over, no_bundle
from fedmetaalign.model.target import Target
from fedmetaalign.phases.server import Round, Server, State
from fedmetaalign.phases.teaching import as_learner
from fedmetaalign.phases.trees import spread

ITERATIONS = 100
LEARNING_RATE = 0.1


@dataclass(frozen=True)
class _Members:
    """The fleet as the server asks it; every question has a number of its own."""

    server: Server
    weights: np.ndarray
    numbers: Iterator[int] = field(default_factory=lambda: count(1))

    def ask(self, what: str, **arrays: np.ndarray) -> list[Arrays]:
        """Returns what each device answers."""
        names = self.server.engine.names
        request = Ask(self.weights, next(self.numbers), len(names), what, arrays)
        replies = self.server.engine.exchange(names, request).answers
        return [replies[name].arrays for name in names]

    def histograms(self, shape: tuple[int, ...], what: str, **arrays: np.ndarray) -> np.ndarray:
        """Returns the sum of the devices' histograms, (nodes, inputs, bins, 3); `shape` is without the 3."""
        answers = self.ask(what, **arrays)
        cells, sums = (np.concatenate([each[name] for each in answers]) for name in ("cells", "sums"))
        whole = [np.bincount(cells, column, math.prod(shape)) for column in sums.T]
        return np.stack(whole, axis=-1).reshape(*shape, 3)


def train(server: Server, state: State) -> tuple[State, list[Record]]:
    """Grows the ensemble, iteration by iteration."""
    members, target = _Members(server, state.weights), server.learner.target
    told = members.ask("sketch", classes=np.array(len(target.classes)))
    counts = np.sum([each["counts"] for each in told], axis=0)
    seen = np.flatnonzero(counts)
    model = Model(partial(constant, as_learner(np.eye(len(target.classes))[seen[:1]], target)[0]), 1)
    if len(seen) > 1:
        logs = np.log(counts[seen] / counts.sum())
        grown = _grown(members, told, seen, logs[1:] - logs[0] if len(seen) == 2 else logs)
        model = Model(partial(_said, grown, seen, target), len(grown.nodes.values) * (NODE + 1))
    return replace(state, model=model), [record(2, 1, "federated_boosting")]


def _grown(members: _Members, told: Sequence[Arrays], seen: np.ndarray, start: np.ndarray) -> Ensemble:
    """Grows trees from a constant; `told` are the devices' sketches, `seen` the classes that there are."""
    cuts = _edges(told)
    lengths = np.array([len(each) for each in cuts])
    members.ask("begin", seen=seen, start=start, edges=np.concatenate(cuts), lengths=lengths)
    trees: list[Tree] = []
    said: dict[int, float] = {}
    for _ in range(ITERATIONS):
        numbers, values = np.array([*said], np.int64), np.array([*said.values()])
        shape = (len(start), len(cuts), int(lengths.max()) + 1)
        whole = members.histograms(shape, "roots", nodes=numbers, values=values)
        roots = [node(i, each) for i, each in enumerate(whole)]
        inner, pairs = grow(roots, partial(_children, members, count(len(roots))))
        said = {}
        for root, own in zip(roots, inner, strict=True):
            trees.append(tree(root, own, pairs, cuts, LEARNING_RATE))
            said |= {k: LEARNING_RATE * value for k, value in leaf_values(root, own, pairs).items()}
    return ensemble(trees, start)


def _children(members: _Members, numbers: Iterator[int], nodes: Sequence[Node]) -> list[tuple[Node, Node]]:
    """Asks for the left children of nodes; the right ones have the rest."""
    splits = [each.split for each in nodes if each.split]
    left = [(next(numbers), next(numbers)) for _ in nodes]
    found = members.histograms(
        (len(nodes), *nodes[0].histogram.shape[:2]),
        "children",
        nodes=np.array([each.number for each in nodes]),
        features=np.array([each.feature for each in splits]),
        bins=np.array([each.bin for each in splits]),
        children=np.array(left),
    )
    return [
        (node(one, own), node(other, each.histogram - own))
        for each, own, (one, other) in zip(nodes, found, left, strict=True)
    ]


def _edges(told: Sequence[Arrays]) -> list[np.ndarray]:
    """Merges the devices' sketches, input by input."""
    parts = [
        [
            Sketch(values, weights)
            for values, weights in zip(
                parted(each["values"], each["lengths"]), parted(each["weights"], each["lengths"]), strict=True
            )
        ]
        for each in told
    ]
    return [edges(own) for own in zip(*parts, strict=True)]


def _said(ensemble: Ensemble, seen: np.ndarray, target: Target, x: np.ndarray) -> np.ndarray:
    return as_learner(spread(ensemble.probabilities(x), seen, len(target.classes)), target)


METHOD = Method(
    lambda server: [Round("parallel", 1, partial(train, server))],
    answer=answer,
    personal=handed_over,
    trains=False,
    one_model=False,
    no_bundle=no_bundle("federated_boosting"),
    in_process="federated_boosting sends histograms, which do not travel over Flower yet.",
)
