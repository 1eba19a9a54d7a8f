import builtins
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fedmetaalign.errors import BundleError, ToolError
from fedmetaalign.operators.dense import Dense
from fedmetaalign.tinyml.quantize import quantize
from fedmetaalign.tinyml.runtimes import run, scores
from fedmetaalign.tinyml.tflite import write

LITERT = ("litert", "litert-reference", "litert-xnnpack")


@pytest.fixture(params=["firmware", *LITERT, "tflm"])
def runtime(request):
    if request.param == "tflm":
        pytest.importorskip("tflite_micro")
    return request.param


@pytest.mark.parametrize("per_channel", [False, True])
def test_uint8_is_near_float_on_a_trained_network(trained, float_scores, runtime, per_channel):
    layers, x, y = trained
    result, expected = (
        scores(write(quantize(layers, x[:1000], per_channel)), x, runtime),
        float_scores(layers, x),
    )
    assert np.abs(result - expected).mean() < 2.5 / 256
    accuracy, before = ((result > 0.5) == y)[2000:].mean(), ((expected > 0.5) == y)[2000:].mean()
    assert before > 0.85
    assert accuracy > before - 0.01


def test_litert_is_near_the_device(trained):
    pytest.importorskip("tflite_micro")
    layers, x, _ = trained
    model = write(quantize(layers, x[:1000]))
    device = scores(model, x, "tflm")
    results = {name: scores(model, x, name) for name in LITERT}
    same = {name: (result == device).mean() for name, result in results.items()}
    assert same["litert"] > 0.985
    assert max(same["litert-reference"], same["litert-xnnpack"]) < 0.97
    assert np.abs(results["litert"] - device).max() <= 4 / 256
    assert all(np.abs(result - device).mean() < 1 / 256 for result in results.values())


def test_float32_has_the_same_bits_in_litert_and_on_the_device(network, samples):
    pytest.importorskip("tflite_micro")
    model, x = write(network(0)), samples(100)
    assert (scores(model, x, "litert") == scores(model, x, "tflm")).all()


def test_edges_do_not_change_the_score(network, samples, runtime):
    layers, x = network(0, (9, 16, 8, 1)), samples(300)
    whole, signed, real = (
        scores(write(quantize(layers, x, edges=edges)), x, runtime) for edges in ("uint8", "int8", "float32")
    )
    assert (whole == signed).all()
    # Some kernels multiply by the reciprocal of the features' scale, and so round a few of them the other way.
    assert (whole == real).mean() > 0.99


def test_one_row_worked_out_by_hand(by_hand, runtime):
    # x = (0.25, -0.5) is (25, -50) steps of 0.01. The first unit adds up to 127*25 - 30*50 + 8815 = 10490 steps
    # of 1e-4, 104.9 of 0.01, rounded to 105; the second is negative. The logit adds up to -127*105 + 500 =
    # -12835 steps of 1e-4, -51.53 of 0.02491, rounded to -52: -1.2953, whose sigmoid is 55.02 / 256.
    real = np.float32([[0.25, -0.5]])
    assert scores(write(quantize(*by_hand)), real, runtime).tolist() == [55 / 256]
    # On the device they are steps from -28, or from 100 in uint8.
    for edges, inputs in (("uint8", np.uint8([[125, 50]])), ("int8", np.int8([[-3, -78]]))):
        assert run(quantize(*by_hand, edges=edges), inputs, runtime).tolist() == [55 / 256]
    assert run(quantize(*by_hand, edges="float32"), real, runtime).tolist() == [55 / 256]
    # A float head goes on from 105 steps of 0.01: the logit is -1.27 * 1.05 + 0.05 = -1.2835.
    score = run(quantize(*by_hand, head=1), np.uint8([[125, 50]]), runtime)
    assert score.tolist() == pytest.approx([1 / (1 + np.exp(1.2835))], abs=1e-6)
    # In float32 the unit is 1.049 and the logit -1.28223.
    assert run(by_hand[0], real, runtime).tolist() == pytest.approx([0.217171], abs=1e-6)


def test_more_rows_than_one_batch(by_hand):
    model = write(quantize(*by_hand))
    x = np.random.default_rng(0).normal(size=(9000, 2)).astype(np.float32)
    assert (scores(model, x) == np.concatenate([scores(model, x[:4000]), scores(model, x[4000:])])).all()
    assert scores(model, x[:0]).shape == (0,)


def test_a_class_that_calibration_lacks_is_still_found(network, samples, float_scores, runtime):
    layers, x = network(3), samples(2000)
    probability = float_scores(layers, x)
    model = write(quantize(layers, x[probability < 0.3]))
    fault = probability > 0.9
    assert fault.sum() > 50
    assert scores(model, x[fault], runtime).min() > 0.6


def test_scores_stay_fine_where_logits_are_large(network, samples):
    layers = network(5, (9, 16, 8, 1))
    layers[-1] = Dense(layers[-1].weights * 5, layers[-1].biases * 5, relu=False)  # logits beyond 40
    x = samples(20_000)
    result = scores(write(quantize(layers, x)), x)
    assert (result.min(), result.max()) == (0, 255 / 256)
    middle = np.unique(result[(result > 0.25) & (result < 0.75)])
    assert np.diff(middle).max() <= 3 / 256  # a grid over all logits would step by 20 / 256


@pytest.mark.parametrize("per_channel", [False, True])
def test_dead_layers_and_constant_columns(network, samples, float_scores, runtime, per_channel):
    layers, x = network(6, (4, 6, 5, 1)), samples(200, 4)
    x[:, 2] = 1.5
    constant = scores(write(quantize(layers, x, per_channel)), x, runtime)
    np.testing.assert_allclose(constant, float_scores(layers, x), rtol=0, atol=20 / 256)
    layers[1] = replace(layers[1], biases=np.full(5, -100.0, np.float32))  # no unit of it ever fires
    dead = scores(write(quantize(layers, x, per_channel)), x, runtime)
    np.testing.assert_allclose(dead, float_scores(layers, x), rtol=0, atol=3 / 256)
    zero = [Dense(layer.weights * 0, layer.biases * 0, layer.relu) for layer in layers]
    assert (scores(write(quantize(zero, x * 0, per_channel)), x, runtime) == 0.5).all()


def test_extreme_scales_run_everywhere(runtime):
    for size in (1e-12, 1e-6, 1e6, 1e12):
        layers = [
            Dense(np.float32([[size]]), np.float32([-size]), relu=True),
            Dense(np.float32([[1 / size]]), np.float32([0.5]), relu=False),
        ]
        x = np.float32([[0.0], [1.0], [2.0], [3.0]])
        logits = np.maximum(x[:, 0] - 1, 0) + 0.5
        result = scores(write(quantize(layers, x)), x, runtime)
        np.testing.assert_allclose(result, 1 / (1 + np.exp(-logits)), rtol=0, atol=3 / 256)


def test_features_beyond_float32_saturate(by_hand):
    model = write(quantize(*by_hand))
    assert scores(model, np.array([[1e300, 0.0]])) == scores(model, np.float32([[1.55, 0.0]]))


def test_nothing_on_standard_error(by_hand, capfd):
    scores(write(quantize(*by_hand)), np.zeros((3, 2), np.float32))
    assert capfd.readouterr() == ("", "")


def test_what_does_not_fit_is_refused(by_hand, monkeypatch):
    model = write(quantize(*by_hand))
    with pytest.raises(BundleError, match=r"shape \(1, 3\), but the model takes rows of 2 features"):
        scores(model, np.zeros((1, 3), np.float32))
    with pytest.raises(BundleError, match="rows of 2 features"):
        scores(model, np.zeros(2, np.float32))
    with pytest.raises(BundleError, match="no value in row 1, column 0"):
        scores(model, np.float32([[0.0, 0.0], [np.nan, 0.0]]))
    with pytest.raises(BundleError, match="choose one of firmware, "):
        scores(model, np.zeros((1, 2), np.float32), "tensorrt")
    with pytest.raises(BundleError, match="score of row 1 is not finite"):
        scores(write(by_hand[0]), np.float32([[0.0, 0.0], [np.inf, np.inf]]))

    ordinary = builtins.__import__

    def without(name, *rest):
        if name.startswith("tflite_micro"):
            raise ImportError(name)
        return ordinary(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ToolError, match=r"install fedmetaalign\[firmware\]"):
        scores(model, np.zeros((1, 2), np.float32), "tflm")


@pytest.fixture(scope="module")
def small_model(network, every_format):
    """Gives the file of a small network in a format."""
    x = np.random.default_rng(0).normal(size=(20, 3)).astype(np.float32)
    models = {name: write(deployed) for name, deployed in every_format(network(0, (3, 4, 2, 1)), x).items()}
    return models.__getitem__


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    changes=st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), max_size=4),
    cut=st.none() | st.integers(0, 10_000),
)
def test_a_damaged_file_gives_an_error_or_a_score_and_never_ends_the_process(small_model, kind, changes, cut):
    model = bytearray(small_model(kind))
    for position, value in changes:
        model[position % len(model)] = value
    if cut is not None:
        model = model[: cut % len(model)]
    x = np.float32([[0.5, -1.0, 2.0], [0.0, 0.0, 0.0]])
    for name in ("firmware", "litert", "litert-reference", "tflm"):
        try:
            result = scores(bytes(model), x, name)
        except BundleError as error:
            assert "\n" not in str(error)
        else:
            assert ((result >= 0) & (result <= 1)).all()
