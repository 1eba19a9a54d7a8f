import jax.numpy as jnp
import numpy as np
import pytest

from fedmetaalign.operators.dense.training import DenseTraining
from fedmetaalign.operators.training import Trainable


@pytest.mark.parametrize("relu", [False, True])
def test_the_gradient_by_hand_is_that_of_jax(relu):
    layer, random = DenseTraining(5, 3, relu), np.random.default_rng(0)
    w = jnp.asarray(random.normal(size=layer.shape), jnp.float32)
    x, error = (jnp.asarray(random.normal(size=n), jnp.float32) for n in (5, 3))
    y, traced = layer.trace(w, x)
    gradient, by_input = layer.backward(w, traced, error)
    expected, jax_traced = Trainable.trace(layer, w, x)
    expected_gradient, expected_by_input = Trainable.backward(layer, w, jax_traced, error)
    assert np.allclose(y, expected, rtol=1e-6)
    assert np.allclose(by_input, expected_by_input, rtol=1e-6)
    assert np.allclose(layer.full(gradient), expected_gradient, rtol=1e-6)
    half = jnp.float32(0.5)
    assert np.allclose(layer.full(layer.scaled(gradient, half)), 0.5 * expected_gradient, rtol=1e-6)
    assert np.allclose(layer.full(gradient, half), Trainable.full(layer, expected_gradient, half), rtol=1e-6)
    assert (expected_gradient != 0).any()


def test_initial_parameters_lie_within_glorots_limit_and_biases_are_zero():
    drawn = DenseTraining(4, 2, relu=True).initial(np.random.default_rng(0))
    assert drawn.shape == (10,)
    assert np.abs(drawn[:8]).max() <= 1.0  # sqrt(6 / (4 + 2))
    assert drawn[8:].tolist() == [0.0, 0.0]
