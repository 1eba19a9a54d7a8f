"""Adam at batch size 1, written twice more, in float64 and with optax; and the networks to compare on."""

import jax
import jax.numpy as jnp
import numpy as np
import optax

from fedmetaalign.model.mlp import Network, initialize
from fedmetaalign.model.objective import LOSS
from fedmetaalign.model.online import BLOCK, Samples

SMALL = Network(9, (8, 6))
PAPER = Network(9, (256, 128, 64, 32, 16, 12, 8))
SMALL_12 = Network(9, (8, 6), 12)
PAPER_12 = Network(9, (256, 128, 64, 32, 16, 12, 8), 12)


def samples(rows, seed=0, features=9, classes=2):
    """Noisy labelled samples; inputs beyond `features` are zero, as a device with fewer features feeds them."""
    random = np.random.default_rng(seed)
    x = random.normal(size=(rows, 9)).astype(np.float32)
    x[:, features:] = 0
    noise = random.normal(0, 0.5, rows)
    y = x[:, 0] + x[:, 1] + noise > 0.3
    if classes > 2:
        y = np.argmax(x @ np.sin(np.arange(9 * classes)).reshape(9, classes) + noise[:, None], axis=1)
    return Samples(x, y.astype(np.float32))


def samples_for(network, rows, seed=0):
    """Samples of as many classes as the network tells apart."""
    return samples(rows, seed, classes=max(2, network.outputs))


def start(network, seed=0):
    """Weights to start from, with biases that are not zero."""
    random = np.random.default_rng(seed)
    weights = initialize(network, random)
    for matrix in network.layers(weights):
        matrix[-1] = random.uniform(-0.1, 0.1, matrix.shape[1])
    return weights


def visits(rows, epochs, seed):
    """The order in which `train` takes the rows when it is given `default_rng(seed)`: one array an epoch."""
    random = np.random.default_rng(seed)
    return [random.permutation(rows) for _ in range(epochs)]


def loss(layers, x, y):
    """Cross-entropy of one sample in the layers' own precision; the label is an index, or a row of many."""
    h = x
    for matrix in layers:
        z = h @ matrix[:-1] + matrix[-1]
        h = np.maximum(z, 0)
    if len(z) == 1:
        return np.logaddexp(0, z[0]) - y * z[0]
    return np.logaddexp.reduce(z) - _row(y, len(z)) @ z


def _row(y, outputs):
    return np.eye(outputs)[int(y)] if np.ndim(y) == 0 else y


def adam_in_float64(
    network, weights, data, orders, learning_rate, epsilon=1e-8, *, objective=LOSS, trainable=slice(None)
):
    """Kingma & Ba's Algorithm 1 in float64.

    Returns:
        The weights, the mean loss of each epoch, and the mean gradient of the trained layers' samples.
    """
    o, weights = objective, weights.astype(np.float64)
    trained = _trained(network, trainable)
    first, second, total = np.zeros((3, len(weights)))
    offset, linear = (0 if vector is None else vector.astype(np.float64) for vector in (o.offset, o.linear))
    t, losses = 0, []
    for order in orders:
        met = []
        for place, i in enumerate(order):
            t += 1
            at = np.where(trained, o.scale * weights + offset, weights)
            if o.lookahead:
                block = order[place - place % BLOCK :][:BLOCK]
                before = block[place % BLOCK - 1]  # of the first of a block, the block's last
                at = at - o.lookahead * trained * _gradient(network, at, data, before)
            met.append(loss(network.layers(at), data.x[i].astype(np.float64), data.y[i].astype(np.float64)))
            g = trained * _gradient(network, at, data, i)
            total += g
            g = trained * (o.scale * g + o.mu * weights + linear)
            first += 0.1 * (g - first)
            second += 0.001 * (g * g - second)
            m, v = first / (1 - 0.9**t), second / (1 - 0.999**t)
            weights = weights - learning_rate * m / (np.sqrt(v) + epsilon)
        losses.append(np.mean(met))
    return weights, losses, total / t


def _trained(network, trainable):
    """1 for each entry of the weight vector that is trained, else 0."""
    mask = np.zeros(network.parameters)
    for matrix in network.layers(mask)[trainable]:
        matrix[:] = 1
    return mask


def _gradient(network, weights, data, i):
    layers = network.layers(weights)
    inputs, h = [], data.x[i].astype(np.float64)
    for matrix in layers:
        inputs.append(np.append(h, 1.0))
        z = inputs[-1] @ matrix
        h = np.maximum(z, 0)
    if len(z) == 1:
        error = 1 / (1 + np.exp(-z)) - data.y[i]
    else:
        error = np.exp(z) / np.exp(z).sum() - _row(data.y[i], len(z))
    gradients = [np.outer(inputs[-1], error)]
    for k in range(len(layers) - 1, 0, -1):
        error = (layers[k][:-1] @ error) * (inputs[k][:-1] > 0)
        gradients.append(np.outer(inputs[k - 1], error))
    return np.concatenate([g.ravel() for g in gradients[::-1]])


def loss_of_optax(network, flat, x, y):
    """The cross-entropy of one sample by optax, for a label that is an index."""
    *hidden, last = network.layers(flat)
    for matrix in hidden:
        x = jax.nn.relu(x @ matrix[:-1] + matrix[-1])
    z = x @ last[:-1] + last[-1]
    if network.outputs == 1:
        return optax.sigmoid_binary_cross_entropy(z[0], y)
    return optax.softmax_cross_entropy_with_integer_labels(z, y.astype(int))


def adam_of_optax(network, weights, data, orders, learning_rate):
    """The same training by autodiff and `optax.adam`, in float32."""
    optimizer = optax.adam(learning_rate)

    def step(carry, sample):
        flat, state = carry
        value, gradient = jax.value_and_grad(loss_of_optax, 1)(network, flat, *sample)
        updates, state = optimizer.update(gradient, state)
        return (optax.apply_updates(flat, updates), state), value

    order = np.concatenate(orders)
    flat = jnp.asarray(weights)
    carry, losses = jax.jit(lambda c, s: jax.lax.scan(step, c, s))(
        (flat, optimizer.init(flat)), (data.x[order], data.y[order])
    )
    return np.asarray(carry[0]), [float(part.mean()) for part in np.split(np.asarray(losses), len(orders))]
