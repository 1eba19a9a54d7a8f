"""The batch-size-1 training stream: one Adam step a sample, as the paper's online learning asks.

A step on a network this small is bound by memory traffic, by divisions and by how many operations the compiler
emits. Four things make it as fast as a C loop:

- the gradient of a dense layer is never formed: it is the outer product of the layer's input and its error, and
  is kept as these two vectors, so that the product is fused into Adam's update of each weight;
- the update of sample i is made at the start of step i + 1, before the forward pass: then each weight has one
  reader that may overwrite it, and the compiler updates in place instead of copying every matrix a step;
- a layer's parameters are one array, its bias the last row of a matrix, which halves the number of operations;
- Adam's division is done by multiplications, since a processor's divider, which its square root needs too, is
  what the update would wait for.

The order of the arithmetic is that of the plain algorithm: gradient, update, gradient, update.
"""

import math
from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from fedmetaalign.model.mlp import Network, split
from fedmetaalign.model.objective import LOSS, Objective
from fedmetaalign.operators.training import Trainable

BLOCK = 1024
"""Samples that compiled code trains on at a time: a stream of any length shares one compilation."""

ALL_LAYERS = slice(None)
"""What is trained where nobody says otherwise."""

BETA_1, BETA_2, EPSILON = 0.9, 0.999, 1e-8
"""Adam's constants as in optax. Keras takes epsilon = 1e-7 and adds it before the bias correction."""


class Samples(NamedTuple):
    """Labelled samples, ready for the network.

    Attributes:
        x: (rows, inputs) float32, standardised and padded to the network's inputs.
        y: (rows,) float32, the index of each sample's class (of two: 0 normal and 1 fault); or soft labels:
            the probability of class 1, (rows,), of a network with one output, and that of each class,
            (rows, outputs), of one with more.
    """

    x: np.ndarray
    y: np.ndarray

    def __len__(self) -> int:  # rows, not the two fields of the tuple
        return int(self.y.shape[0])


class Trained(NamedTuple):
    """What a stretch of training gives.

    Attributes:
        weights: (parameters,) float32.
        losses: one number an epoch, the mean cross-entropy of each sample just before the step on it.
        gradient: (parameters,) float32, the mean over all steps of the samples' gradient, zero in layers that
            are not trained; None where it was not asked for.
    """

    weights: np.ndarray
    losses: tuple[float, ...]
    gradient: np.ndarray | None = None

    @property
    def loss(self) -> float:
        """The loss over the last epoch."""
        return self.losses[-1]


def ignore_steps(steps: int) -> None:
    """Reports progress to nobody."""


class _Adam(NamedTuple):
    """The trained layers and Adam's moments of them, one array a layer each."""

    weights: list[jax.Array]
    first_moment: list[jax.Array]
    second_moment: list[jax.Array]


_Gradient = list[Any]
"""Of each trained layer, as its operator keeps it."""

Sums = list[jax.Array] | None
"""The gradients added up, one array a trained layer; None where nobody asked."""

_State = tuple[Any, list[jax.Array], list[jax.Array], Sums, Any]
"""The weights, (parameters,), Adam's moments, the sums of the gradients, and the number of steps so far.

Only the weights are one vector: putting the others together and taking them apart costs as much as nine steps.
"""


@lru_cache
def _zeros(shapes: tuple[tuple[int, ...], ...]) -> list[jax.Array]:
    # Kept, since making them again takes as long as some steps, and nothing writes into them.
    return [jnp.zeros(shape, jnp.float32) for shape in shapes]


def train(
    network: Network,
    weights: np.ndarray,
    samples: Samples,
    *,
    learning_rate: float,
    epochs: int,
    random: np.random.Generator,
    trainable: slice = ALL_LAYERS,
    objective: Objective = LOSS,
    keep_gradient: bool = False,
    on_steps: Callable[[int], None] = ignore_steps,
) -> Trained:
    """Trains sample by sample with Adam, in a fresh random order each epoch; the moments start at zero.

    Args:
        network: the architecture.
        weights: (parameters,) float32, where to start.
        samples: what to train on, at least one row.
        learning_rate: Adam's step size.
        epochs: passes over the samples; the moments live on from one to the next.
        random: decides the order.
        trainable: the layers that are trained, without a step and at least one; the others keep their weights
            bit for bit.
        objective: what to minimise.
        keep_gradient: return the mean gradient too.
        on_steps: called with the number of steps taken since its last call.

    Returns:
        The new weights, and the loss met on the way.

    Raises:
        ValueError: a label is no class of the network, or the labels have another shape.
    """
    rows = len(samples)
    labels = _labels(network, samples.y)
    first, last, _ = trainable.indices(len(network.shapes))
    span = (first, last)  # a slice cannot be hashed, as what is compiled for has to be
    shapes = network.shapes[first:last]
    size = sum(map(math.prod, shapes))
    zeros = _zeros(shapes)
    sums = zeros if keep_gradient else None
    state: _State = (np.asarray(weights, np.float32), zeros, zeros, sums, np.int32(0))
    x, y = (np.zeros((BLOCK, *array.shape[1:]), np.float32) for array in (samples.x, labels))
    before = sum(map(math.prod, network.shapes[:first]))
    terms = _terms(objective, slice(before, before + size))
    losses = []
    for _ in range(epochs):
        order = random.permutation(rows)
        total = 0.0
        for start in range(0, rows, BLOCK):
            picked = order[start : start + BLOCK]
            x[: len(picked)], y[: len(picked)] = samples.x[picked], labels[picked]
            state, loss = _train_block(
                network, span, state, x, y, np.int32(len(picked)), np.float32(learning_rate), terms
            )
            total += float(loss)  # waits for the block, so that x and y may be filled again
            on_steps(len(picked))
        losses.append(total / rows)
    mean = None
    if keep_gradient:
        mean = np.zeros(network.parameters, np.float32)
        mean[before : before + size] = np.concatenate([np.ravel(s) for s in state[3] or ()]) / (epochs * rows)
    return Trained(np.asarray(state[0]), tuple(losses), mean)


def _labels(network: Network, y: np.ndarray) -> np.ndarray:
    """Returns labels as compiled code takes them: of more than two classes, (rows, outputs) float32."""
    outputs = network.outputs
    if y.shape[1:] == (() if outputs == 1 else (outputs,)):
        return y
    if y.ndim != 1:
        raise ValueError(f"Labels of shape {y.shape} do not fit a network with {outputs} outputs.")
    classes = np.arange(outputs, dtype=np.float32)
    known = np.isin(y, classes)
    if not known.all():
        raise ValueError(f"The network knows the classes 0 to {outputs - 1}, and a label is {y[~known][0]:g}.")
    return np.asarray(y[:, None] == classes, np.float32)


class _Terms(NamedTuple):
    """An objective as compiled code takes it: a term that is None is not compiled in."""

    mixture: tuple[Any, Any] | None
    pull: tuple[Any, Any] | None
    lookahead: Any


def _terms(objective: Objective, trained: slice) -> _Terms:
    """Takes the entries of the trained layers out of an objective's vectors."""
    o = objective
    return _Terms(
        None if o.offset is None else (np.float32(o.scale), o.offset[trained]),
        None if o.linear is None else (np.float32(o.mu), o.linear[trained]),
        np.float32(o.lookahead) if o.lookahead else None,
    )


# Left to itself, XLA spreads one stream over two cores: it cuts the larger matrices in two and runs operations
# that do not depend on each other side by side. On steps of microseconds that gains nothing, and it takes the
# core that the next device could train on.
_ONE_CORE_A_STREAM = {
    "xla_disable_hlo_passes": "cpu-parallel-task-assigner",
    "xla_cpu_scheduler_type": "CPU_SCHEDULER_TYPE_MEMORY_OPTIMIZED",
}


@partial(jax.jit, static_argnums=(0, 1), compiler_options=_ONE_CORE_A_STREAM)
def _train_block(
    network: Network,
    span: tuple[int, int],
    state: _State,
    x: jax.Array,
    y: jax.Array,
    count: jax.Array,
    learning_rate: jax.Array,
    terms: _Terms,
) -> tuple[_State, jax.Array]:
    """Takes one step on each of the first `count` rows; returns the new state and the sum of the losses.

    The layers of `span` are trained.
    """
    weights, first_moment, second_moment, sums, steps = state
    layers = network.layers(weights)
    first, last = span
    below, above = layers[:first], layers[last:]
    adam = _Adam(layers[first:last], first_moment, second_moment)
    operators, shapes = network.operators[first:last], network.shapes[first:last]
    pull = None if terms.pull is None else (terms.pull[0], split(shapes, terms.pull[1]))

    def gradients(trained: list[jax.Array], i: jax.Array) -> tuple[_Gradient, jax.Array]:
        return _gradient(network, span, [*below, *trained, *above], x[i], y[i])

    # Adam's bias corrections (its Algorithm 1), for the whole block at once: inside the loop each scalar
    # operation costs as much as a small layer.
    step_number = (steps + 1 + jnp.arange(len(x))).astype(jnp.float32)
    step_size = learning_rate / (1 - BETA_1**step_number)
    rescale = 1 / (1 - BETA_2**step_number)

    def gradient_of(trained: list[jax.Array], i: jax.Array, before: jax.Array) -> tuple[_Gradient, jax.Array]:
        """The gradient of sample i, and its loss, where the objective wants them."""
        if terms.mixture is not None:
            rest = split(shapes, terms.mixture[1])
            trained = [terms.mixture[0] * w + r for w, r in zip(trained, rest, strict=True)]
        if terms.lookahead is not None:
            inner, _ = gradients(trained, before)
            steps_ahead = [o.full(g, terms.lookahead) for o, g in zip(operators, inner, strict=True)]
            trained = [w - step for w, step in zip(trained, steps_ahead, strict=True)]
        return gradients(trained, i)

    def update(adam: _Adam, gradient: _Gradient, sums: Sums, i: jax.Array) -> tuple[_Adam, Sums]:
        if sums is not None:
            sums = [s + o.full(g) for o, s, g in zip(operators, sums, gradient, strict=True)]
        if terms.mixture is not None:
            gradient = [o.scaled(g, terms.mixture[0]) for o, g in zip(operators, gradient, strict=True)]
        return _adam_step(operators, adam, gradient, step_size[i], rescale[i], pull), sums

    def step(
        i: jax.Array, carry: tuple[_Adam, _Gradient, Sums, jax.Array]
    ) -> tuple[_Adam, _Gradient, Sums, jax.Array]:
        adam, gradient, sums, total = carry
        adam, sums = update(adam, gradient, sums, i - 1)
        gradient, loss = gradient_of(adam.weights, i, i - 1)
        return adam, gradient, sums, total + loss

    gradient, loss = gradient_of(adam.weights, jnp.int32(0), count - 1)
    adam, gradient, sums, loss = jax.lax.fori_loop(1, count, step, (adam, gradient, sums, loss))
    adam, sums = update(adam, gradient, sums, count - 1)
    flat = jnp.concatenate([matrix.ravel() for matrix in [*below, *adam.weights, *above]])
    return (flat, adam.first_moment, adam.second_moment, sums, steps + count), loss


def _gradient(
    network: Network, span: tuple[int, int], layers: list[jax.Array], x: jax.Array, y: jax.Array
) -> tuple[_Gradient, jax.Array]:
    """Backpropagates the cross-entropy of one sample through the trained layers.

    Args:
        network: the architecture.
        span: the layers that are trained.
        layers: the parameters of all layers.
        x: (inputs,) float32.
        y: () float32 for one output, (outputs,) for more.
    """
    traces = []
    for operator, layer in zip(network.operators, layers, strict=True):
        x, traced = operator.trace(layer, x)
        traces.append((operator, layer, traced))
    error, loss = _cross_entropy(x, y)
    gradient = []
    for operator, layer, traced in reversed(traces[span[0] :]):
        by_parameters, error = operator.backward(layer, traced, error)
        gradient.append(by_parameters)
    return gradient[::-1][: span[1] - span[0]], loss


def _cross_entropy(z: jax.Array, y: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Returns the derivative of one sample's cross-entropy by its logits, (outputs,), and the cross-entropy.

    It is binary for one logit and categorical for more, where the label, (outputs,), sums to 1.
    """
    if y.ndim == 0:
        return jax.nn.sigmoid(z) - y, jnp.logaddexp(0, z[0]) - y * z[0]
    z = z - z.max()
    powers = jnp.exp(z)
    total = powers.sum()
    return powers / total - y, jnp.log(total) - (y * z).sum()


def _adam_step(
    operators: Sequence[Trainable],
    adam: _Adam,
    gradient: _Gradient,
    step_size: jax.Array,
    rescale: jax.Array,
    pull: tuple[jax.Array, list[jax.Array]] | None,
) -> _Adam:
    """Updates every layer as Adam does (Kingma & Ba, 2015, Algorithm 1), bias corrections given."""

    def update(
        operator: Trainable, w: jax.Array, m: jax.Array, v: jax.Array, gradient: Any, *linear: jax.Array
    ) -> tuple[jax.Array, jax.Array, jax.Array]:
        g = operator.full(gradient)
        if pull is not None:
            g = g + pull[0] * w + linear[0]
        m = BETA_1 * m + (1 - BETA_1) * g
        v = BETA_2 * v + (1 - BETA_2) * g * g
        return w - step_size * m * _reciprocal(jnp.sqrt(v * rescale) + EPSILON), m, v

    linears = () if pull is None else (pull[1],)
    layers = [update(*layer) for layer in zip(operators, *adam, gradient, *linears, strict=True)]
    return _Adam(*map(list, zip(*layers, strict=True)))


def _reciprocal(x: jax.Array) -> jax.Array:
    """Returns 1 / x for positive, normal float32 numbers, to the last bit or two.

    Subtracting the bits of x from a constant negates its exponent, and so gives 1 / x within 12 %; each Newton
    step y (2 - x y) squares that error: 1.5e-2, 2e-4, 5e-8.
    """
    y = jax.lax.bitcast_convert_type(
        jnp.int32(0x7EF311C7) - jax.lax.bitcast_convert_type(x, jnp.int32), x.dtype
    )
    for _ in range(3):
        y = y * (2 - x * y)
    return y
