"""Adam at batch size 1, written twice more, in float64 and with optax; and the networks to compare on."""

import jax
import jax.numpy as jnp
import numpy as np
import optax

from fedmetaalign.model.mlp import Network, initialize
from fedmetaalign.model.online import Samples

SMALL = Network(9, (8, 6))
PAPER = Network(9, (256, 128, 64, 32, 16, 12, 8))


def samples(rows, seed=0, features=9):
    """Noisy labelled samples; inputs beyond `features` are zero, as a device with fewer features feeds them."""
    random = np.random.default_rng(seed)
    x = random.normal(size=(rows, 9)).astype(np.float32)
    x[:, features:] = 0
    y = x[:, 0] + x[:, 1] + random.normal(0, 0.5, rows) > 0.3
    return Samples(x, y.astype(np.float32))


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
    """Binary cross-entropy of one sample in the layers' own precision."""
    h = x
    for matrix in layers:
        z = h @ matrix[:-1] + matrix[-1]
        h = np.maximum(z, 0)
    return np.logaddexp(0, z[0]) - y * z[0]


def adam_in_float64(network, weights, data, orders, learning_rate, epsilon=1e-8):
    """Kingma & Ba's Algorithm 1 in float64; returns the weights and the mean loss of each epoch."""
    layers = [matrix.astype(np.float64) for matrix in network.layers(weights)]
    first = [np.zeros_like(matrix) for matrix in layers]
    second = [np.zeros_like(matrix) for matrix in layers]
    t, losses = 0, []
    for order in orders:
        met = []
        for i in order:
            t += 1
            x, y = data.x[i].astype(np.float64), float(data.y[i])
            met.append(loss(layers, x, y))
            for k, g in enumerate(_gradients(layers, x, y)):
                first[k] += 0.1 * (g - first[k])
                second[k] += 0.001 * (g * g - second[k])
                m, v = first[k] / (1 - 0.9**t), second[k] / (1 - 0.999**t)
                layers[k] -= learning_rate * m / (np.sqrt(v) + epsilon)
        losses.append(np.mean(met))
    return np.concatenate([matrix.ravel() for matrix in layers]), losses


def _gradients(layers, x, y):
    inputs, h = [], x
    for matrix in layers:
        inputs.append(np.append(h, 1.0))
        z = inputs[-1] @ matrix
        h = np.maximum(z, 0)
    error = 1 / (1 + np.exp(-z)) - y
    gradients = [np.outer(inputs[-1], error)]
    for k in range(len(layers) - 1, 0, -1):
        error = (layers[k][:-1] @ error) * (inputs[k][:-1] > 0)
        gradients.append(np.outer(inputs[k - 1], error))
    return gradients[::-1]


def adam_of_optax(network, weights, data, orders, learning_rate):
    """The same training by autodiff and `optax.adam`, in float32."""

    def loss_of(flat, x, y):
        *hidden, last = network.layers(flat)
        for matrix in hidden:
            x = jax.nn.relu(x @ matrix[:-1] + matrix[-1])
        logit = (x @ last[:-1] + last[-1])[0]
        return optax.sigmoid_binary_cross_entropy(logit, y)

    optimizer = optax.adam(learning_rate)

    def step(carry, sample):
        flat, state = carry
        value, gradient = jax.value_and_grad(loss_of)(flat, *sample)
        updates, state = optimizer.update(gradient, state)
        return (optax.apply_updates(flat, updates), state), value

    order = np.concatenate(orders)
    flat = jnp.asarray(weights)
    carry, losses = jax.jit(lambda c, s: jax.lax.scan(step, c, s))(
        (flat, optimizer.init(flat)), (data.x[order], data.y[order])
    )
    return np.asarray(carry[0]), [float(part.mean()) for part in np.split(np.asarray(losses), len(orders))]
