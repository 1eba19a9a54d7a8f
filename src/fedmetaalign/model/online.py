"""The batch-size-1 training stream: one Adam step a sample, as the paper's online learning asks.

A step on a network this small is bound by memory traffic, by divisions and by how many operations the compiler
emits. Four things make it as fast as a C loop:

- the gradient of a layer is never formed: it is the outer product of the layer's input and its error, and is
  kept as these two vectors, so that the product is fused into Adam's update of each weight;
- the update of sample i is made at the start of step i + 1, before the forward pass: then each weight has one
  reader that may overwrite it, and the compiler updates in place instead of copying every matrix a step;
- the bias is the last row of its layer's matrix, which halves the number of operations;
- Adam's division is done by multiplications, since a processor's divider, which its square root needs too, is
  what the update would wait for.

The order of the arithmetic is that of the plain algorithm: gradient, update, gradient, update.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from fedmetaalign.model.mlp import Network

BLOCK = 1024
"""Samples that compiled code trains on at a time: a stream of any length shares one compilation."""

BETA_1, BETA_2, EPSILON = 0.9, 0.999, 1e-8
"""Adam's constants as in optax. Keras takes epsilon = 1e-7 and adds it before the bias correction."""


class Samples(NamedTuple):
    """Labelled samples, ready for the network.

    Attributes:
        x: (rows, inputs) float32, standardised and padded to the network's inputs.
        y: (rows,) float32, 0 normal and 1 fault.
    """

    x: np.ndarray
    y: np.ndarray

    def __len__(self) -> int:  # rows, not the two fields of the tuple
        return int(self.y.shape[0])


class Trained(NamedTuple):
    """What a stretch of training gives.

    Attributes:
        weights: (parameters,) float32.
        losses: one number an epoch, the mean binary cross-entropy of each sample just before the step on it.
    """

    weights: np.ndarray
    losses: tuple[float, ...]

    @property
    def loss(self) -> float:
        """The loss over the last epoch."""
        return self.losses[-1]


def ignore_steps(steps: int) -> None:
    """Reports progress to nobody."""


class _Adam(NamedTuple):
    """The trained layers and Adam's moments of them, one (inputs + 1, outputs) matrix a layer each."""

    weights: list[jax.Array]
    first_moment: list[jax.Array]
    second_moment: list[jax.Array]


class _Gradient(NamedTuple):
    """The gradient of each trained layer as the outer product `inputs x errors`."""

    inputs: list[jax.Array]
    errors: list[jax.Array]


def train(
    network: Network,
    weights: np.ndarray,
    samples: Samples,
    *,
    learning_rate: float,
    epochs: int,
    random: np.random.Generator,
    frozen: int = 0,
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
        frozen: layers, counted from the input, that keep their weights bit for bit.
        on_steps: told the number of steps taken since it was last told.

    Returns:
        The new weights, and the loss met on the way.
    """
    rows, inputs = samples.x.shape
    kept = sum(r * c for r, c in network.shapes[:frozen])
    moment = np.zeros(network.parameters - kept, np.float32)
    state = (jnp.asarray(weights, jnp.float32), moment, moment, np.int32(0))
    x, y = np.zeros((BLOCK, inputs), np.float32), np.zeros(BLOCK, np.float32)
    losses = []
    for _ in range(epochs):
        order = random.permutation(rows)
        total = 0.0
        for start in range(0, rows, BLOCK):
            picked = order[start : start + BLOCK]
            x[: len(picked)], y[: len(picked)] = samples.x[picked], samples.y[picked]
            state, loss = _train_block(
                network, frozen, state, x, y, np.int32(len(picked)), np.float32(learning_rate)
            )
            total += float(loss)  # waits for the block, so that x and y may be filled again
            on_steps(len(picked))
        losses.append(total / rows)
    return Trained(np.asarray(state[0]), tuple(losses))


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
    frozen: int,
    state: tuple[jax.Array, jax.Array, jax.Array, jax.Array],
    x: jax.Array,
    y: jax.Array,
    count: jax.Array,
    learning_rate: jax.Array,
) -> tuple[tuple[jax.Array, ...], jax.Array]:
    """Takes one step on each of the first `count` rows; returns the new state and the sum of the losses."""
    weights, first_moment, second_moment, steps = state
    layers = network.layers(weights)
    fixed = layers[:frozen]
    trained = Network(network.shapes[frozen][0] - 1, network.hidden[frozen:])
    adam = _Adam(layers[frozen:], trained.layers(first_moment), trained.layers(second_moment))

    # Adam's bias corrections (its Algorithm 1), for the whole block at once: inside the loop each scalar
    # operation costs as much as a small layer.
    step_number = (steps + 1 + jnp.arange(len(x))).astype(jnp.float32)
    step_size = learning_rate / (1 - BETA_1**step_number)
    rescale = 1 / (1 - BETA_2**step_number)

    def step(i: jax.Array, carry: tuple[_Adam, _Gradient, jax.Array]) -> tuple[_Adam, _Gradient, jax.Array]:
        adam, gradient, total = carry
        adam = _adam_step(adam, gradient, step_size[i - 1], rescale[i - 1])
        gradient, loss = _gradient(fixed, adam.weights, x[i], y[i])
        return adam, gradient, total + loss

    gradient, loss = _gradient(fixed, adam.weights, x[0], y[0])
    adam, gradient, loss = jax.lax.fori_loop(1, count, step, (adam, gradient, loss))
    adam = _adam_step(adam, gradient, step_size[count - 1], rescale[count - 1])
    flat = [jnp.concatenate([matrix.ravel() for matrix in part]) for part in adam]
    flat[0] = jnp.concatenate([weights[: weights.size - flat[0].size], flat[0]])
    return (*flat, steps + count), loss


def _gradient(
    fixed: list[jax.Array], layers: list[jax.Array], x: jax.Array, y: jax.Array
) -> tuple[_Gradient, jax.Array]:
    """Backpropagates the binary cross-entropy of one sample through the trained layers.

    Args:
        fixed: the frozen layers, each (inputs + 1, outputs).
        layers: the trained layers that follow them.
        x: (inputs,) float32.
        y: () float32.
    """
    inputs = []
    for layer in [*fixed, *layers]:
        with_one = jnp.concatenate([x, jnp.ones(1, x.dtype)])  # the bias row's input
        inputs.append(with_one)
        z = with_one @ layer
        x = jax.nn.relu(z)
    inputs = inputs[len(fixed) :]
    error = jax.nn.sigmoid(z) - y  # of the cross-entropy with respect to the logit
    errors = [error]
    for layer, layer_input in zip(layers[:0:-1], inputs[:0:-1], strict=True):
        # The whole matrix, bias row included, then without the bias's own entry: slicing the matrix
        # before the product would copy it.
        error = jnp.where(layer_input > 0, layer @ error, 0)[:-1]
        errors.append(error)
    loss = jnp.logaddexp(0, z[0]) - y * z[0]
    return _Gradient(inputs, errors[::-1]), loss


def _adam_step(adam: _Adam, gradient: _Gradient, step_size: jax.Array, rescale: jax.Array) -> _Adam:
    """Updates every layer as Adam does (Kingma & Ba, 2015, Algorithm 1), bias corrections given."""

    def update(
        w: jax.Array, m: jax.Array, v: jax.Array, a: jax.Array, e: jax.Array
    ) -> tuple[jax.Array, jax.Array, jax.Array]:
        g = a[:, None] * e[None, :]
        m = BETA_1 * m + (1 - BETA_1) * g
        v = BETA_2 * v + (1 - BETA_2) * g * g
        return w - step_size * m * _reciprocal(jnp.sqrt(v * rescale) + EPSILON), m, v

    layers = [update(*layer) for layer in zip(*adam, *gradient, strict=True)]
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
