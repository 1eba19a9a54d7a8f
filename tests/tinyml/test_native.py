import numpy as np
import pytest

from fedmetaalign.errors import BundleError
from fedmetaalign.operators.dense import Dense, QuantizedDense
from fedmetaalign.operators.grid import Grid
from fedmetaalign.tinyml import native
from fedmetaalign.tinyml.network import QuantizedNetwork
from fedmetaalign.tinyml.quantize import quantize, quantize_input

pytestmark = pytest.mark.firmware


def test_a_network_computed_by_hand():
    # The logit is (64 * 3 - 192) / 512 = 0, and in float 2 * 3 - 6, of which the sigmoid is a half.
    layer = QuantizedDense(
        np.int8([[64]]), np.float32([1 / 512]), np.int32([-192]), Grid(1 / 16, 0), relu=False
    )
    deployed = QuantizedNetwork(Grid(1.0, 0), (layer,), edges="int8")
    assert native.scores(deployed, np.int8([[3]])).tolist() == [0.5]
    real = [Dense(np.float32([[2.0]]), np.float32([-6.0]), relu=False)]
    assert native.scores(real, np.float32([[3.0], [np.inf], [-np.inf]])).tolist() == [0.5, 1.0, 0.0]


def test_inputs_of_another_type_are_refused(network, samples):
    deployed = quantize(network(2, (9, 8, 4, 1)), samples(50))
    with pytest.raises(BundleError, match=r"^The inputs are float32 of shape \(50, 9\), .* rows of 9 uint8\.$"):
        native.scores(deployed, samples(50))


def test_a_network_is_compiled_once_for_many_calls(network, samples, monkeypatch):
    deployed = quantize(network(3, (9, 8, 4, 1)), samples(50))
    inputs = quantize_input(deployed, samples(5))
    first = native.scores(deployed, inputs)
    monkeypatch.setattr(native, "host", None)
    assert np.array_equal(native.scores(deployed, inputs), first)
