"""Layers in training: gradients against those of JAX, outputs against the float layers that are deployed."""

from functools import partial
from importlib import import_module
from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fedmetaalign.operators.convolution.training import ConvolutionTraining
from fedmetaalign.operators.dense.training import DenseTraining
from fedmetaalign.operators.depthwise.training import DepthwiseTraining
from fedmetaalign.operators.pool.layer import Pool
from fedmetaalign.operators.pool.training import Pooled, pooled
from fedmetaalign.operators.training import Trainable

LAYERS = [
    *(DenseTraining(5, 3, relu) for relu in (False, True)),
    ConvolutionTraining(steps=23, channels=3, filters=4, kernel=5, stride=2),
    ConvolutionTraining(steps=20, channels=1, filters=6, kernel=4, stride=4),
    ConvolutionTraining(steps=21, channels=2, filters=3, kernel=3, stride=5),  # steps that no window sees
    ConvolutionTraining(steps=16, channels=2, filters=5, kernel=9, stride=4, relu=False),
    ConvolutionTraining(steps=7, channels=4, filters=2, kernel=1, stride=1),
    ConvolutionTraining(steps=6, channels=2, filters=2, kernel=6, stride=3),  # one place
    DepthwiseTraining(steps=23, channels=3, kernel=5, stride=2),
    DepthwiseTraining(steps=12, channels=2, kernel=3, stride=4, relu=False),
    Pooled(
        ConvolutionTraining(20, 2, 3, kernel=3, stride=1),
        (Pool("max", 3, 2, 18, 3), Pool("average", 8, 8, 8, 3)),
    ),
    Pooled(DenseTraining(6, 3, relu=True), before=(Pool("average", 3, 2, 8, 2),)),
]


def drawn(layer):
    random = np.random.default_rng(0)
    w = jnp.asarray(random.normal(size=layer.shape), jnp.float32)
    return w, jnp.asarray(random.normal(size=layer.inputs), jnp.float32)


HALF = jnp.float32(0.5)


@partial(jax.jit, static_argnums=0)
def by_hand(layer, w, x, error):
    """What a layer gives forwards and backwards, and its gradient whole, halved and scaled by a half."""
    y, traced = layer.trace(w, x)
    gradient, by_input = layer.backward(w, traced, error)
    return (
        y,
        by_input,
        layer.full(gradient),
        layer.full(layer.scaled(gradient, HALF)),
        layer.full(gradient, HALF),
    )


@partial(jax.jit, static_argnums=0)
def by_jax(layer, w, x, error):
    """The same of JAX's own."""
    y, traced = Trainable.trace(layer, w, x)
    gradient, by_input = Trainable.backward(layer, w, traced, error)
    return y, by_input, gradient, HALF * gradient, Trainable.full(layer, gradient, HALF)


@pytest.mark.parametrize("layer", LAYERS, ids=str)
def test_the_gradient_by_hand_is_that_of_jax(layer):
    w, x = drawn(layer)
    shape = jax.eval_shape(layer.forward, w, x).shape
    error = jnp.asarray(np.random.default_rng(1).normal(size=shape), jnp.float32)
    found, expected = by_hand(layer, w, x, error), by_jax(layer, w, x, error)
    for one, other in zip(found, expected, strict=True):
        assert np.allclose(one, other, rtol=1e-5, atol=1e-5)
    assert (expected[2] != 0).any()
    rows = jnp.stack([x, 2 * x, -x])
    assert np.allclose(layer.forward(w, rows)[0], found[0], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("layer", LAYERS, ids=str)
def test_what_is_deployed_gives_the_same_output(layer):
    w, x = drawn(layer)
    deployed = layer.deployed(np.asarray(w))
    z = np.asarray(x, np.float64)[None]
    for each in deployed:
        module = import_module(type(each).__module__)
        assert module.check(each) is None
        z = module.forward(each, z)
    assert np.allclose(z[0], layer.forward(w, x), rtol=1e-5, atol=1e-5)
    assert all(before.outputs == after.inputs for before, after in pairwise(deployed))
    flat = [
        getattr(each, name).ravel()
        for each in deployed
        for name in ("weights", "biases")
        if hasattr(each, name)
    ]
    assert np.array_equal(np.concatenate(flat), w.ravel())


def test_a_convolution_is_that_of_jax():
    layer = LAYERS[2]
    w, x = drawn(layer)
    kernel = w[:-1].reshape(5, 3, 4)
    found = jax.lax.conv_general_dilated(
        x.reshape(1, 23, 3), kernel, (2,), "VALID", dimension_numbers=("NWC", "WIO", "NWC")
    )
    assert np.allclose(layer.forward(w, x), jax.nn.relu(found[0] + w[-1]).ravel(), rtol=1e-5, atol=1e-5)


def test_a_pool_belongs_to_the_layer_before_it_or_else_to_the_first():
    first, second = Pool("average", 2, 2, 8, 1), Pool("max", 2, 2, 2, 3)
    convolution, dense = ConvolutionTraining(4, 1, 3, 3, 1), DenseTraining(3, 2, relu=False)
    found = pooled([first, convolution, second, dense])
    assert found == (Pooled(convolution, (second,), (first,)), dense)


@pytest.mark.parametrize(
    ("layer", "limit"),
    [
        (DenseTraining(4, 2, relu=True), 1.0),  # sqrt(6 / (4 + 2))
        (ConvolutionTraining(9, 2, 4, kernel=3, stride=1), 3**-0.5),  # sqrt(6 / (3 * 2 + 3 * 4))
        (DepthwiseTraining(9, 2, kernel=3, stride=1), 1.0),  # sqrt(6 / (3 + 3)), of a filter by itself
    ],
)
def test_initial_parameters_fill_glorots_interval_and_biases_are_zero(layer, limit):
    random = np.random.default_rng(0)
    flat = np.array([layer.initial(random) for _ in range(500)])
    assert flat.shape[1:] == (np.prod(layer.shape),)
    biases = layer.shape[1]
    assert np.abs(flat[:, :-biases]).max() == pytest.approx(limit, rel=0.01)
    assert np.abs(flat[:, :-biases]).max() <= limit
    assert (flat[:, -biases:] == 0).all()
