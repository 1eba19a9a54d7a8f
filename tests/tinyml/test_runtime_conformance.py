"""What every runtime promises of every format, of two classes and of more: one table of promises."""

from functools import cache, partial

import numpy as np
import pytest

from fedmetaalign.tinyml import integer, native
from fedmetaalign.tinyml.network import Interface, QuantizedNetwork
from fedmetaalign.tinyml.quantize import quantize_input
from fedmetaalign.tinyml.runtimes import ROUNDINGS, run
from fedmetaalign.tinyml.tflite import write
from fedmetaalign.tinyml.tflite_reader import read

IMPLEMENTATIONS = {runtime: partial(run, runtime=runtime) for runtime in ROUNDINGS} | {
    "c of gcc": partial(native.scores, compiler="gcc"),
    "c of clang": partial(native.scores, compiler="clang"),
}
INPUTS = 9


def marks(name):
    return pytest.mark.firmware if name[0] == "c" else ()


@pytest.fixture(params=[pytest.param(name, marks=marks(name)) for name in IMPLEMENTATIONS])
def runtime(request, needs):
    if request.param == "tflm":
        pytest.importorskip("tflite_micro")
    if request.param.startswith("c of "):
        needs(request.param.removeprefix("c of "))
    return request.param


@pytest.fixture(params=[1, 5], ids="{} outputs".format)
def outputs(request):
    return request.param


@pytest.fixture(scope="module")
def formats(network, every_format):
    """Gives the network of so many outputs in every format."""
    x = np.random.default_rng(0).normal(size=(300, INPUTS)).astype(np.float32)
    return cache(lambda outputs: every_format(network(7, (INPUTS, 24, 20, 7, outputs)), x))


@pytest.fixture
def deployed(formats, outputs, kind):
    return formats(outputs)[kind]


@pytest.fixture
def x(samples):
    return samples(200)


def inputs_of(deployed, x):
    """Inputs as they are on the device."""
    return quantize_input(deployed, x) if isinstance(deployed, QuantizedNetwork) else x


@pytest.fixture
def inputs(deployed, x):
    return inputs_of(deployed, x)


@pytest.fixture(scope="module")
def said(formats, samples):
    """Gives what a runtime says of the samples."""

    def of(runtime, outputs, kind):
        deployed = formats(outputs)[kind]
        return IMPLEMENTATIONS[runtime](deployed, inputs_of(deployed, samples(200)))

    return cache(of)


@pytest.fixture
def found(said, runtime, outputs, kind):
    return said(runtime, outputs, kind)


def is_real(kind):
    """Whether the last layers are float32, whose sums and exponentials are rounded as a library pleases."""
    return "head" in kind or "float32" in kind


def close(kind, outputs):
    """How far the scores of two runtimes may be apart that round alike."""
    return (1e-6 if outputs == 1 else 64 * 2.0**-24) if is_real(kind) else 0


def test_scores_are_probabilities_near_those_of_the_float_network(
    found, formats, x, kind, outputs, float_scores
):
    assert found.shape == ((200,) if outputs == 1 else (200, outputs))
    assert found.dtype == np.float64
    assert ((found >= 0) & (found <= 1)).all()
    assert len(np.unique(found)) > 50
    assert (found * 256 == np.round(found * 256)).all() == (not is_real(kind))
    if outputs > 1:
        assert np.abs(found.sum(axis=1) - 1).max() < (1e-6 if is_real(kind) else outputs / 512)
    real = float_scores(formats(outputs)["low rank float32" if "low rank" in kind else "float32"], x)
    if "float32" in kind:
        np.testing.assert_allclose(found, real, rtol=0, atol=1e-6)
    assert np.abs(found - real).mean() < (0.1 if "int4" in kind else 0.02)


def test_scores_have_the_bits_of_the_runtimes_rounding(found, runtime, deployed, inputs, kind, outputs):
    if runtime[0] == "c":
        expected, apart = integer.firmware_scores(deployed, inputs), 0
    elif isinstance(deployed, QuantizedNetwork):
        expected, apart = integer.scores(deployed, inputs, ROUNDINGS[runtime]), close(kind, outputs)
    else:
        expected, apart = integer.firmware_scores(deployed, inputs), close(kind, outputs)
    np.testing.assert_allclose(found, expected, rtol=0, atol=apart)


def test_a_row_does_not_depend_on_the_rows_beside_it(found, runtime, deployed, inputs):
    score, together = partial(IMPLEMENTATIONS[runtime], deployed), found
    assert score(inputs[::-3]).tolist() == together[::-3].tolist()  # nor on how rows lie in memory
    for i in (0, 180):
        assert score(inputs[i : i + 1]).tolist() == together[i : i + 1].tolist()
    assert score(inputs[:0]).shape == together[:0].shape


@pytest.mark.parametrize("outputs", [12, 64], ids="{} outputs".format)
@pytest.mark.parametrize("kind", ["uint8", "int4", "float head", "float32"])
def test_many_classes(found, runtime, deployed, inputs, kind, outputs):
    test_scores_have_the_bits_of_the_runtimes_rounding(found, runtime, deployed, inputs, kind, outputs)
    assert np.abs(found.sum(axis=1) - 1).max() < (1e-6 if is_real(kind) else outputs / 512)


# What every file of a format promises


def layers_of(network):
    """All layers, the integer ones and the float ones."""
    return [*network.layers, *network.head] if isinstance(network, QuantizedNetwork) else network


def test_a_file_reads_back_and_is_written_again_to_the_byte(deployed):
    model = write(deployed)
    again = read(model)
    assert write(again) == model
    if isinstance(deployed, QuantizedNetwork):
        assert (again.input, again.edges) == (deployed.input, deployed.edges)
        for a, b in zip(again.layers, deployed.layers, strict=True):
            assert (a.output, a.bits, a.weight_scales.tolist()) == (b.output, b.bits, b.weight_scales.tolist())
    for a, b in zip(layers_of(again), layers_of(deployed), strict=True):
        assert a.relu == b.relu
        for one, other in ((a.weights, b.weights), (a.biases, b.biases)):
            assert (one.dtype, one.tobytes()) == (other.dtype, other.tobytes())


@pytest.mark.parametrize("widths", [(3, 5, 3), (1, 2, 2)])  # of 4 bits, odd numbers of weights
def test_the_same_network_gives_the_same_bytes(network, every_format, samples, kind, outputs, widths):
    x = samples(50, widths[0])
    made = (form(network(1, (*widths, outputs)), x)[kind] for form in (every_format, every_format.__wrapped__))
    first, second = map(write, made)
    assert first == second == write(read(first))


def test_the_interface_is_that_of_the_format(deployed, kind, outputs):
    interface = Interface.of(deployed)
    assert (interface.inputs, interface.outputs) == (INPUTS, outputs)
    real_edges = "float io" in kind or "float32" in kind or kind == "int4, float head"
    assert (interface.input == np.float32) == real_edges
    assert (interface.score == np.float32) == (real_edges or is_real(kind))
