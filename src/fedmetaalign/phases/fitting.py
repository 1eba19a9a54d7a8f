"""Phase 3 under a limit of size: networks that score like the personal one, in so many bytes.

Three kinds are made, each with the weights that the recipe asks for and with 4-bit ones: the whole network;
the same with its first half in low rank; and a pruned one, which learns the whole one's scores (distillation:
Hinton et al. 2015, "Distilling the Knowledge in a Neural Network"), in low rank where it is still too large.

Which one is best is decided by how far its scores lie from the personal model's, without labels. A device has a
few dozen labelled samples for validation, and networks that differ on one sample in a hundred differ there by
luck. `benchmarks/max_bytes.py --criteria` measures what either is worth.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Literal

import numpy as np

from fedmetaalign.model.online import Samples, train
from fedmetaalign.operators import operator_of
from fedmetaalign.phases.layers import float_layers, weight_vector
from fedmetaalign.tinyml import compress, low_rank
from fedmetaalign.tinyml.network import Layers
from fedmetaalign.tinyml.time_code import goes_over_time

ROWS = 16_384
"""Inputs that a smaller network learns from."""

SPLIT = 4_096
"""Of these, how many decide which components of a layer matter."""

JUDGED = 4_096
"""Other inputs, that networks are compared on."""

LEARNING_RATES = (1e-4, 3e-5, 1e-5)
"""Of distillation's passes over its inputs, one each."""

ALIKE = 1.1
"""Networks whose differences from the personal model are within this ratio are taken for equally good."""

_ATTEMPTS = 3  # to meet a size: each learns from the file before it what a file takes beside its layers

Bits = Literal[4, 8, 32]


@dataclass(frozen=True)
class Precision:
    """How the weights of a file are stored.

    Attributes:
        bits: of most weights.
        cost: of a layer.
        write: makes the `.tflite` file of a float network.
    """

    bits: Bits
    cost: low_rank.StorageCost
    write: Callable[[Layers], bytes]


@dataclass(frozen=True)
class Candidate:
    """A network that could be deployed.

    Attributes:
        technique: how it was made smaller.
        bits: of most of its weights.
        layers: in float.
        model: the `.tflite` file.
    """

    technique: str
    bits: Bits
    layers: Layers
    model: bytes

    @property
    def products(self) -> int:
        """How many multiplications a score takes."""
        return sum(operator_of(layer).products(layer) for layer in self.layers)


@dataclass(frozen=True)
class DistillationSet:
    """What a smaller network is to keep: the personal model's scores of inputs like the device's own.

    Attributes:
        inputs: (ROWS, inputs) float32, to learn from.
        scores: (ROWS,) float64.
        unseen: (JUDGED, inputs) float32, to be compared on.
        unseen_scores: (JUDGED,) float64.
    """

    inputs: np.ndarray
    scores: np.ndarray
    unseen: np.ndarray
    unseen_scores: np.ndarray

    @classmethod
    def of(cls, layers: Layers, x: np.ndarray, random: np.random.Generator) -> "DistillationSet":
        """Asks a network about inputs like a device's own, `x` (rows, inputs)."""
        inputs, unseen = compress.mixtures(x, ROWS, random), compress.mixtures(x, JUDGED, random)
        return cls(inputs, compress.scores(layers, inputs), unseen, compress.scores(layers, unseen))

    def difference(self, scores: np.ndarray) -> float:
        """Returns how far scores of the unseen inputs, (JUDGED,), are off: the root of the mean square."""
        return float(np.sqrt(np.mean((scores - self.unseen_scores) ** 2)))


def distil(layers: Layers, distillation: DistillationSet, random: np.random.Generator) -> Layers:
    """Trains a network, all of whose layers but the last have a ReLU, to give the distillation set's scores."""
    network, weights = weight_vector(layers)
    samples = Samples(distillation.inputs, distillation.scores.astype(np.float32))
    for rate in LEARNING_RATES:
        weights = train(network, weights, samples, learning_rate=rate, epochs=1, random=random).weights
    return float_layers(network, weights)


def smallest(layers: Layers, precisions: Sequence[Precision]) -> int:
    """Returns the bytes of the smallest file that any candidate has; they do not depend on the weights."""
    limits = compress.limits(layers)
    least = compress.truncate(layers, limits[-1]) if limits else layers
    return min(len(precision.write(least)) for precision in precisions)


def candidates(
    layers: Layers,
    precisions: Sequence[Precision],
    fixed: int,
    most: int,
    distillation: DistillationSet,
    teach: Callable[[Layers], Layers],
) -> list[Candidate]:
    """Makes the networks to choose from.

    Args:
        layers: the personal model.
        precisions: the recipe's first.
        fixed: how many layers, counted from the last, are never written as two.
        most: bytes that a file may have.
        distillation: what the personal model says.
        teach: `distil`, for pruned networks.

    Returns:
        The whole network in each precision, and smaller ones that fit, or come as near to it as they can; if
        the whole network fits in the first precision, it alone.
    """
    whole = [Candidate("whole", p.bits, layers, p.write(layers)) for p in precisions]
    if len(whole[0].model) <= most:
        return whole[:1]

    @cache
    def pruned(limit: int) -> Splittable:
        return Splittable.of(compress.prune(layers, limit, distillation.inputs), fixed, distillation)

    @cache
    def taught(limit: int) -> Splittable:
        return Splittable.of(teach(pruned(limit).layers), fixed, distillation)

    found, unpruned = list(whole), Splittable.of(layers, fixed, distillation)
    for precision, plain in zip(precisions, whole, strict=True):
        budget = most - (len(plain.model) - precision.cost.of(layers))
        if not goes_over_time(layers):
            found.append(_fitted("low rank", unpruned, precision, most, budget))
        limit = _best_limit(compress.limits(layers), pruned, precision.cost, budget, distillation)
        if limit is not None:
            found.append(_fitted(f"pruned to {limit} units", taught(limit), precision, most, budget))
    return found


def choose(found: Sequence[Candidate], differences: Sequence[float], most: int) -> int | None:
    """Chooses the network whose scores are nearest to the personal model's, of several alike the quickest.

    Args:
        found: the candidates.
        differences: of each one's deployed scores.
        most: bytes that a file may have.

    Returns:
        Which candidate; None if none fits.
    """
    fitting = [i for i, candidate in enumerate(found) if len(candidate.model) <= most]
    limit = ALIKE * min((differences[i] for i in fitting), default=0.0)
    good = (i for i in fitting if differences[i] <= limit)
    return min(good, key=lambda i: (found[i].products, len(found[i].model)), default=None)


@dataclass(frozen=True)
class Splittable:
    """A network and the components of its first layers.

    Attributes:
        layers: the float network.
        components: of the layers that may be written as two.
    """

    layers: Layers
    components: list[low_rank.Spectrum]

    @classmethod
    def of(cls, layers: Layers, fixed: int, distillation: DistillationSet) -> "Splittable":
        """Splits all layers but the last `fixed`; none of a network over time, whose layers are small."""
        count = 0 if goes_over_time(layers) else len(layers) - fixed
        return cls(layers, low_rank.spectra(layers, count, distillation.inputs[:SPLIT]) if count else [])

    def shrunk(self, cost: low_rank.StorageCost, most: float) -> Layers:
        """Writes layers in low rank until the network costs at most so much, or can cost no less."""
        return low_rank.factorise(self.layers, self.components, cost, most)


def _fitted(technique: str, network: Splittable, precision: Precision, most: int, budget: float) -> Candidate:
    """Makes the largest file of a network, in low rank if need be, that has at most `most` bytes.

    `budget` is what its layers may cost, to begin with; each file tells better. Where none fits it is the
    smallest one.
    """
    found: list[Candidate] = []
    for _ in range(_ATTEMPTS):
        made = network.shrunk(precision.cost, budget)
        name = (
            technique
            if technique == "low rank" or len(made) == len(network.layers)
            else f"{technique}, low rank"
        )
        found.append(Candidate(name, precision.bits, made, precision.write(made)))
        budget += most - len(found[-1].model)
    found.sort(key=lambda candidate: len(candidate.model))
    return [found[0], *(candidate for candidate in found if len(candidate.model) <= most)][-1]


def _best_limit(
    limits: Sequence[int],
    pruned: Callable[[int], Splittable],
    cost: low_rank.StorageCost,
    budget: float,
    distillation: DistillationSet,
) -> int | None:
    """Chooses how far to prune, before distillation and in float; None where there is nothing to prune.

    From the widest limit on, until pruning loses more than the higher ranks gain that it makes room for.
    """
    best, least = limits[-1] if limits else None, np.inf
    for limit in limits:
        made = pruned(limit).shrunk(cost, budget)
        if cost.of(made) > budget:
            continue
        difference = distillation.difference(compress.scores(made, distillation.unseen))
        if difference >= least:
            break
        best, least = limit, difference
    return best
