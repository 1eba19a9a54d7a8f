"""Writes layers of a float network as products of two thinner ones, where the logit depends on it least.

Like `compress`, this takes no training and no label, but inputs like the device's own.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.fft import dct

from fedmetaalign.operators import Layer, operator_of
from fedmetaalign.operators.dense import Dense
from fedmetaalign.tinyml.calibration import activations
from fedmetaalign.tinyml.network import Layers, dense_layers

_FLAT = 0.3  # of the mean: how far a layer's output matters whatever the logit's slope says
_BALANCE = 0.25  # power of a component's deviation that its scale takes away
_SMALLEST = 1e-6  # of the largest component's deviation: below it, a component is taken for that large
_PRICES = (-60.0, 60.0)  # of a byte, as powers of two of a squared logit
_PRICE_STEP = 1e-3


@dataclass(frozen=True)
class StorageCost:
    """What a layer takes of a file, in bytes.

    Attributes:
        weight: of each weight.
        output: of each output: its bias, and its scale where it has one.
        layer: of the layer itself: operator, tensors and their quantisation.
        head: how many layers, counted from the last, have 4 bytes a weight.
    """

    weight: float
    output: float = 4.0
    layer: float = 250.0
    head: int = 0

    def of(self, layers: Layers) -> float:
        """Adds up the layers of a network."""
        sizes = [(operator_of(layer).weights(layer), layer.outputs) for layer in layers]
        more = (4.0 - self.weight) * sum(weights for weights, _ in sizes[len(sizes) - self.head :])
        return more + sum(self.of_size(*size) for size in sizes)

    def of_size(self, weights: int, outputs: int) -> float:
        """Returns what a layer takes that does not belong to the head."""
        return self.weight * weights + self.output * outputs + self.layer


@dataclass(frozen=True)
class Options:
    """What a layer can become.

    Attributes:
        ranks: (options,) of the product of factors; 0 for the layer as it is.
        lost: (options,) energy that is left out.
        costs: (options,) in bytes.
    """

    ranks: np.ndarray
    lost: np.ndarray
    costs: np.ndarray


@dataclass(frozen=True)
class Spectrum:
    """A layer as a sum of products, the one that the logit needs most first.

    Attributes:
        layer: what is to be written as two factors.
        mean: (inputs,) float64, of the layer's inputs.
        down: (inputs, components) float64, the first factor.
        up: (components, outputs) float64, the second factor; `down @ up` are the layer's weights.
        energies: (components,) float64, decreasing: how much of the logit's variance is lost with a component,
            as far as the logit is linear.
    """

    layer: Dense
    mean: np.ndarray
    down: np.ndarray
    up: np.ndarray
    energies: np.ndarray

    def options(self, cost: StorageCost) -> Options:
        """Returns the ranks worth trying: from 8 on multiples of 4, which suit kernels and lose nothing."""
        inputs, outputs = self.layer.weights.shape
        ranks = [r for r in range(1, min(inputs, outputs)) if r < 8 or r % 4 == 0]
        factors = [cost.of_size(inputs * rank, rank) + cost.of_size(rank * outputs, outputs) for rank in ranks]
        return Options(
            ranks=np.array([*ranks, 0]),
            lost=np.array([*(self.energies[rank:].sum() for rank in ranks), 0.0]),
            costs=np.array([*factors, cost.of_size(inputs * outputs, outputs)]),
        )

    def factors(self, rank: int) -> tuple[Dense, Dense]:
        """Returns two layers that make one of this rank, float32; the first has no ReLU.

        All channels between them will share one integer grid. So they are centred, their deviations are made
        less unequal, and they are rotated, so that each carries a part of every component (as in Ashkboos et
        al. 2024, "QuaRot: Outlier-Free 4-Bit Inference in Rotated LLMs"). Of 8-bit scores that halved the
        error.
        """
        down, up = self.down[:, :rank], self.up[:rank]
        biases = self.layer.biases + self.mean @ self.layer.weights
        deviations = np.sqrt(self.energies[:rank])
        largest = deviations.max() or 1.0
        scales = np.maximum(deviations / largest, _SMALLEST) ** _BALANCE
        rotation = dct(np.eye(rank), norm="ortho")
        down, up = down / scales @ rotation, rotation.T @ (scales[:, np.newaxis] * up)
        return (
            Dense(down.astype(np.float32), (-self.mean @ down).astype(np.float32), relu=False),
            Dense(up.astype(np.float32), biases.astype(np.float32), self.layer.relu),
        )


def spectra(layers: Layers, count: int, x: np.ndarray) -> list[Spectrum]:
    """Splits layers into components, by what they do to the logits on the given inputs.

    A component is a direction of the layer's output before the ReLU. It matters as much as the output varies
    along it, as in data-aware factorisation (Chen et al. 2021, "DRONE: Data-aware Low-rank Compression for
    Large NLP Models"), and as the logit changes along it (Hsu et al. 2022, "Language model compression with
    weighted low-rank factorization"): with C the output's covariance, G the second moment of the logit's slopes
    and M = G + 0.3 mean(diag G) I, the components are the eigenvectors of M^(1/2) C M^(1/2). On networks of a
    quarter of the size, that left scores a third as far off as with C alone. Of several logits, G is the sum
    over them, each less their mean, since what is added to all of them changes no probability.

    Args:
        layers: the float network.
        count: of layers, from the first on, that are split; fewer than the network has.
        x: (rows, inputs), what the network has to be right on.
    """
    layers = dense_layers(layers)
    values = list(activations(layers, x.astype(np.float64)))
    outputs, moments = layers[-1].outputs, [np.zeros(())] * count
    for logit in np.eye(outputs) - (1 / outputs if outputs > 1 else 0):
        slopes = np.tile(logit, (len(x), 1))
        for i in range(len(layers) - 2, -1, -1):
            slopes = slopes @ layers[i + 1].weights.T.astype(np.float64)
            if layers[i].relu:
                slopes *= values[i + 1] > 0
            if i < count:
                moments[i] = moments[i] + slopes.T @ slopes / len(x)
    return [_spectrum(*each) for each in zip(layers, values, moments, strict=False)]


def factorise(layers: Layers, components: Sequence[Spectrum], cost: StorageCost, most: float) -> list[Layer]:
    """Writes layers as two factors each until the network costs at most so much, where that does least harm.

    One price of a byte, in lost energy, decides for every layer which rank it gets or whether it stays whole;
    the lowest price that is enough is found by bisection. What is lost in all is then the least there is for
    what the layers cost (Everett 1963, "Generalized Lagrange Multiplier Method").

    Args:
        layers: the float network.
        components: of its first layers; the layers after them stay as they are.
        cost: of a layer.
        most: what the layers may cost.

    Returns:
        The network, which costs more only if none costs so little.
    """
    options = [spectrum.options(cost) for spectrum in components]
    rest = layers[len(options) :]

    def picks(price: float) -> list[int]:
        return [int(np.argmin(option.lost + price * option.costs)) for option in options]

    def spent(price: float) -> float:
        picked = zip(options, picks(price), strict=True)
        return cost.of(rest) + sum(float(option.costs[i]) for option, i in picked)

    if cost.of(layers) <= most:
        return list(layers)
    low, high = _PRICES
    while high - low > _PRICE_STEP:
        middle = (low + high) / 2
        low, high = (low, middle) if spent(2**middle) <= most else (middle, high)
    made: list[Layer] = []
    for spectrum, option, i in zip(components, options, picks(2**high), strict=True):
        made += spectrum.factors(int(option.ranks[i])) if option.ranks[i] else [spectrum.layer]
    return [*made, *rest]


def _spectrum(layer: Dense, inputs: np.ndarray, slopes: np.ndarray) -> Spectrum:
    """Splits a layer; `inputs` is (rows, inputs), `slopes` their (outputs, outputs) second moment."""
    weights, mean = layer.weights.astype(np.float64), inputs.mean(axis=0)
    outputs = (inputs - mean) @ weights
    steep = float(np.trace(slopes)) / len(slopes)
    matter = (slopes / steep if steep else 0.0) + _FLAT * np.eye(len(slopes))
    values, vectors = np.linalg.eigh(matter)
    root = np.sqrt(np.maximum(values, _FLAT))
    there, back = vectors * root @ vectors.T, vectors / root @ vectors.T
    energies, basis = np.linalg.eigh(there @ (outputs.T @ outputs / len(inputs)) @ there)
    energies, basis = steep * np.maximum(energies[::-1], 0.0), basis[:, ::-1]
    # An eigenvector's sign is the library's choice; the rotation of factors would carry it into the file.
    basis = basis * np.sign(basis[np.abs(basis).argmax(axis=0), np.arange(len(energies))])
    return Spectrum(layer, mean, weights @ there @ basis, basis.T @ back, energies)
