import shutil

import numpy as np
import pytest

from fedmetaalign.errors import BundleError
from fedmetaalign.operators.dense import Dense, QuantizedDense
from fedmetaalign.operators.grid import Grid
from fedmetaalign.tinyml import native
from fedmetaalign.tinyml.integer import firmware_scores
from fedmetaalign.tinyml.network import QuantizedNetwork
from fedmetaalign.tinyml.quantize import quantize, quantize_input

pytestmark = pytest.mark.firmware


@pytest.mark.parametrize("compiler", ["zig", "gcc", "clang"])
def test_scores_are_the_firmwares_in_every_format(compiler, kind, every_format, network, samples):
    if compiler != "zig" and shutil.which(compiler) is None:
        pytest.skip(f"{compiler} is not installed")
    x = samples(1000)
    deployed = every_format(network(1, (9, 24, 20, 7, 1)), x)[kind]
    inputs = quantize_input(deployed, x) if isinstance(deployed, QuantizedNetwork) else x
    scores = native.scores(deployed, inputs, compiler)
    assert np.array_equal(scores, firmware_scores(deployed, inputs))
    assert len(np.unique(scores)) > 50


def test_a_network_computed_by_hand():
    # The logit is (64 * 3 - 192) / 512 = 0, and in float 2 * 3 - 6, of which the sigmoid is a half.
    layer = QuantizedDense(
        np.int8([[64]]), np.float32([1 / 512]), np.int32([-192]), Grid(1 / 16, 0), relu=False
    )
    deployed = QuantizedNetwork(Grid(1.0, 0), (layer,), edges="int8")
    assert native.scores(deployed, np.int8([[3]])).tolist() == [0.5]
    real = [Dense(np.float32([[2.0]]), np.float32([-6.0]), relu=False)]
    assert native.scores(real, np.float32([[3.0], [np.inf], [-np.inf]])).tolist() == [0.5, 1.0, 0.0]


def test_rows_that_are_not_contiguous_are_scored_as_they_stand(network, samples):
    x = samples(200)
    deployed = quantize(network(2, (9, 8, 4, 1)), x)
    inputs = quantize_input(deployed, x)
    assert np.array_equal(native.scores(deployed, inputs[::-3]), native.scores(deployed, inputs)[::-3])
    assert np.array_equal(native.scores(deployed, np.asfortranarray(inputs)), native.scores(deployed, inputs))


def test_no_rows_have_no_scores(network, samples):
    deployed = quantize(network(2, (9, 8, 4, 1)), samples(50))
    assert native.scores(deployed, np.zeros((0, 9), np.uint8)).shape == (0,)


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
