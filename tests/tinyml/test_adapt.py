import re
import struct
import zlib
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import load_file

from fedmetaalign.errors import BundleError
from fedmetaalign.model.preparation import Preparation
from fedmetaalign.operators.dense import Dense, QuantizedDense
from fedmetaalign.operators.grid import Grid
from fedmetaalign.tinyml import bundle as bundles
from fedmetaalign.tinyml.adapt import adapt, adapted, read_state
from fedmetaalign.tinyml.bundle import Bundle
from fedmetaalign.tinyml.head import head_header, origin, split
from fedmetaalign.tinyml.network import QuantizedNetwork
from fedmetaalign.tinyml.quantize import quantize
from fedmetaalign.tinyml.tflite import write as write_model
from fedmetaalign.tinyml.tflite_reader import read as read_model

WIDTHS = (4, 6, 5, 3, 1)
PREPARATION = Preparation(
    features=("current", "voltage", "state"),
    units=("A", "V", ""),
    categories={"state": ("idle", "running")},
    mean=(100.0, -3.0, 0.5),
    scale=(20.0, 0.5, 0.5),
    columns=(0, 1, 2, -1),
)
# A head of one layer with one input: weight 0.5 and bias -2, threshold 0.375 from 20 normal and 9 fault samples
# after 258 steps, started from the head that is called 0x12345678. By hand; the CRC-32 is zlib's.
BY_HAND = bytes.fromhex(
    "464d4153 0100 0100 78563412 02010000 0000c03e 1400 0900 0100 0100 0000003f 000000c0".replace(" ", "")
)


def sealed(data: bytes) -> bytes:
    return data + struct.pack("<I", zlib.crc32(data))


@pytest.fixture
def raw():
    """(50, 3) float64 raw samples."""
    rng = np.random.default_rng(4)
    return np.column_stack([rng.normal([100, -3], [20, 0.5], (50, 2)), rng.integers(0, 2, 50)])


@pytest.fixture
def layers(network):
    return network(3, WIDTHS)


@pytest.fixture(params=[0, 2], ids=["uint8", "float head"])
def bundle(request, layers, raw):
    model = write_model(quantize(layers, PREPARATION.apply(raw), head=request.param))
    return Bundle("pump", PREPARATION, 0.25, None, "cortex-m4", "litert", model)


def exported(
    bundle: Bundle, weights: np.ndarray | None = None, threshold=0.625, normals=40, faults=24
) -> bytes:
    """What the device of a bundle would export: the layout written down a second time."""
    halves = split(read_model(bundle.model))
    sizes = [len(halves.head[0].weights), *(len(layer.biases) for layer in halves.head)]
    if weights is None:
        weights = np.concatenate([p.ravel() for h in halves.head for p in (h.weights, h.biases)])
    name = origin(halves.head, halves.grid)
    data = struct.pack("<4sHHIIfHH", b"FMAS", 1, len(halves.head), name, 77, threshold, normals, faults)
    data += struct.pack(f"<{len(sizes)}H", *sizes) + b"\0\0" * (len(sizes) % 2)
    return sealed(data + weights.astype("<f4").tobytes())


# Where a network is cut


def test_the_last_half_of_the_papers_network_learns(network, samples):
    halves = split(quantize(network(0), samples(200)))
    assert len(halves.trunk) == 4
    assert [layer.weights.shape for layer in halves.head] == [(32, 16), (16, 12), (12, 8), (8, 1)]
    assert sum(layer.weights.size + layer.biases.size for layer in halves.head) == 845
    assert [layer.relu for layer in halves.head] == [True, True, True, False]


def test_of_an_odd_number_of_layers_the_smaller_half_stays(network, samples):
    assert len(split(quantize(network(0, (9, 8, 7, 1)), samples(50))).trunk) == 1


def test_two_factors_are_one_layer(network, samples, low_rank):
    halves = split(quantize(low_rank(network(0, (9, 16, 16, 8, 1)), 1, 4), samples(50)))
    assert [layer.weights.shape for layer in halves.trunk] == [(9, 16), (16, 4), (4, 16)]
    assert [layer.weights.shape for layer in halves.head] == [(16, 8), (8, 1)]


def test_a_float_head_learns_as_it_is(network, samples):
    quantized = quantize(network(0), samples(200), head=3)
    halves = split(quantized)
    assert halves.trunk is quantized.layers
    assert halves.head is quantized.head
    assert halves.grid == quantized.layers[-1].output


def test_integers_become_the_reals_that_they_stand_for():
    first = QuantizedDense(np.int8([[4]]), np.float32([0.25]), np.int32([0]), Grid(0.5, -128), relu=True)
    # Weights 0.125 * (3, -2) in two channels' scales, biases in steps of 0.5 * scale.
    hidden = QuantizedDense(
        np.int8([[3, -2]]), np.float32([0.125, 0.25]), np.int32([10, -4]), Grid(0.25, -128), relu=True
    )
    last = QuantizedDense(np.int8([[1], [2]]), np.float32([0.5]), np.int32([8]), Grid(0.25, 0), relu=False)
    halves = split(QuantizedNetwork(Grid(1.0, 0), (first, hidden, last)))
    assert halves.grid == Grid(0.5, -128)
    np.testing.assert_array_equal(halves.head[0].weights, [[0.375, -0.5]])
    np.testing.assert_array_equal(halves.head[0].biases, [0.625, -0.5])
    np.testing.assert_array_equal(halves.head[1].weights, [[0.5], [1.0]])
    np.testing.assert_array_equal(halves.head[1].biases, [1.0])
    assert {layer.weights.dtype.str for layer in halves.head} == {"<f4"}


def test_what_cannot_be_cut_is_refused(network, samples):
    with pytest.raises(BundleError, match="A float32 network has no integer trunk"):
        split(network(0))
    with pytest.raises(BundleError, match="A network of one layer has no half that can stay fixed"):
        split(quantize(network(0, (9, 1)), samples(50)))


# The C header


def test_the_header_holds_the_head_to_the_last_bit():
    head = (
        Dense(np.float32([[0.1, -2], [3e-40, 0]]), np.float32([1, 1e30]), relu=True),
        Dense(np.float32([[-0.0], [7]]), np.float32([0.3]), relu=False),
    )
    text = head_header(head, Grid(0.0625, -7), 5)
    macros = dict(re.findall(r"#define (FMA_\w+) \(?([^)\s]+)", text))
    assert macros["FMA_TRUNK_LAYERS"] == "5"
    assert macros["FMA_TRUNK_OUTPUTS"] == "2"
    assert float.fromhex(macros["FMA_TRUNK_SCALE"].rstrip("f")) == 0.0625
    assert macros["FMA_TRUNK_ZERO_POINT"] == "-7"
    assert macros["FMA_HEAD_LAYERS"] == "2"
    assert macros["FMA_HEAD_PARAMETERS"] == "9"
    assert macros["FMA_HEAD_UNITS"] == "7"  # 2 + 1, 2 + 1, 1
    assert int(macros["FMA_HEAD_ORIGIN"].rstrip("u"), 16) == origin(head, Grid(0.0625, -7))
    assert "fma_head_sizes[] = {2, 2, 1};" in text
    assert "fma_head_relu[] = {1, 0};" in text
    values = np.float32([float.fromhex(v[:-1]) for v in re.findall(r"-?0x[01]\.[0-9a-f]+p[+-]\d+f(?=,)", text)])
    expected = np.float32([0.1, -2, 3e-40, 0, 1, 1e30, -0.0, 7, 0.3])
    np.testing.assert_array_equal(values.view(np.uint32), expected.view(np.uint32))
    assert max(map(len, text.splitlines())) <= 120


def test_an_origin_names_one_head_on_one_grid(layers):
    head, grid = tuple(layers[2:]), Grid(0.5, -128)
    moved = head[0].weights.copy()
    moved[0, 0] = np.nextafter(moved[0, 0], np.float32(9))
    others = {
        origin((replace(head[0], weights=moved), head[1]), grid),
        origin((replace(head[0], relu=False), head[1]), grid),
        origin(head, Grid(0.25, -128)),
        origin(head, Grid(0.5, -127)),
    }
    assert len(others) == 4
    assert origin(head, grid) not in others


# What a device exports


def test_an_exported_state_is_read():
    state = read_state(sealed(BY_HAND))
    assert (state.origin, state.steps, state.threshold) == (0x12345678, 258, 0.375)
    assert (state.normals, state.faults, state.sizes) == (20, 9, (1, 1))
    assert state.weights.tolist() == [0.5, -2.0]


@given(st.integers(0, len(BY_HAND) + 3), st.integers(1, 255))
def test_any_altered_byte_is_noticed(place, change):
    data = bytearray(sealed(BY_HAND))
    data[place] ^= change
    with pytest.raises(BundleError):
        read_state(bytes(data))


@given(st.integers(0, len(BY_HAND) + 3))
def test_any_cut_is_noticed(length):
    with pytest.raises(BundleError):
        read_state(sealed(BY_HAND)[:length])


@given(st.binary(max_size=200))
def test_any_bytes_are_refused_in_a_sentence(data):
    for damaged in (data, b"FMAS" + data, sealed(b"FMAS\1\0" + data), sealed(BY_HAND[:20] + data)):
        try:
            read_state(damaged)
        except BundleError as error:
            assert str(error).endswith(".")  # the bytes may happen to be a state


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"", "Not an exported state: it begins with b''"),
        (b"PK\3\4" + bytes(40), "Not an exported state"),
        (sealed(BY_HAND)[:-1], "of 39 bytes is damaged or cut short"),
        (sealed(BY_HAND[:4] + b"\2\0" + BY_HAND[6:]), "has layout 2, this version reads 1"),
        (sealed(BY_HAND + bytes(4)), r"not what a head of sizes \(1, 1\) takes"),
        (sealed(BY_HAND[:6] + b"\0\0" + BY_HAND[8:]), "not what a head of sizes"),
        (sealed(BY_HAND[:-4] + struct.pack("<f", np.inf)), "a number that is not finite"),
        (sealed(BY_HAND[:16] + struct.pack("<f", np.nan) + BY_HAND[20:]), "a number that is not finite"),
    ],
)
def test_a_refusal_says_what_is_wrong(data, sentence):
    with pytest.raises(BundleError, match=sentence):
        read_state(data)


# A new bundle


def test_a_bundle_takes_over_what_was_learned(bundle):
    count = sum((i + 1) * o for i, o in ((6, 5), (5, 3), (3, 1))[1:])
    weights = np.arange(count, dtype=np.float32)
    new = adapted(bundle, read_state(exported(bundle, weights)))
    old_network, network = read_model(bundle.model), read_model(new.model)
    assert len(network.layers) == 2
    for before, after in zip(old_network.layers, network.layers, strict=False):
        assert (before.weights == after.weights).all()
        assert (before.biases == after.biases).all()
        assert before.output == after.output
    first, last = network.head
    assert first.weights.tolist() == np.arange(15).reshape(5, 3).tolist()
    assert first.biases.tolist() == [15, 16, 17]
    assert last.weights.tolist() == [[18], [19], [20]]
    assert last.biases.tolist() == [21]
    assert (network.edges, network.input) == (old_network.edges, old_network.input)
    assert (new.threshold, new.threshold_note, new.runtime) == (0.625, None, "firmware")
    assert (new.device, new.preparation, new.target) == (bundle.device, bundle.preparation, bundle.target)


def test_what_has_learned_nothing_scores_as_before(bundle, raw):
    new = adapted(bundle, read_state(exported(bundle)))
    before, after = bundle.scores(raw, "firmware"), new.scores(raw)
    assert np.abs(after - before).max() < 0.05  # an int8 head rounds its activations, this one does not


def test_a_threshold_that_the_device_did_not_choose_is_noted(bundle):
    new = adapted(bundle, read_state(exported(bundle, threshold=0.25, normals=0, faults=0)))
    assert new.threshold == 0.25
    assert "too few labelled samples" in new.threshold_note


def test_the_state_of_another_device_is_refused(bundle, network, raw):
    other = replace(bundle, model=write_model(quantize(network(5, WIDTHS), PREPARATION.apply(raw))))
    with pytest.raises(BundleError, match="firmware of another bundle than this one of 'pump'"):
        adapted(bundle, read_state(exported(other)))


def test_a_new_folder_is_made_from_a_folder_and_a_state(bundle, layers, raw, tmp_path):
    old, new, state = tmp_path / "pump", tmp_path / "pump-2", tmp_path / "state.bin"
    bundles.write(old, bundle, layers, raw, {})
    weights = np.linspace(-1, 1, 22, dtype=np.float32)
    state.write_bytes(exported(bundle, weights))
    made = adapt(old, state, new, {"fedmetaalign": "1"})
    assert bundles.read(new) == made == adapted(bundle, read_state(state.read_bytes()))
    assert made.threshold == 0.625
    # The golden samples are the old ones, with new scores; the float weights have the new head.
    golden = [(folder / "golden.csv").read_text().splitlines() for folder in (old, new)]
    assert [line.split(",")[:3] for line in golden[0]] == [line.split(",")[:3] for line in golden[1]]
    assert golden[0] != golden[1]
    before, after = (load_file(folder / "weights.safetensors") for folder in (old, new))
    assert (before["1.weight"] == after["1.weight"]).all()
    assert after["3.weight"].ravel().tolist() == weights[18:21].tolist()
    assert after["3.bias"].tolist() == weights[21:].tolist()


def test_float_weights_of_another_shape_stay(bundle, network, raw, tmp_path):
    whole = network(3, (4, 20, 1))  # of which the deployed network was made smaller
    bundles.write(tmp_path / "pump", bundle, whole, raw, {})
    (tmp_path / "state.bin").write_bytes(exported(bundle))
    adapt(tmp_path / "pump", tmp_path / "state.bin", tmp_path / "new", {})
    kept = load_file(tmp_path / "new" / "weights.safetensors")
    assert (kept["0.weight"] == whole[0].weights).all()


def test_a_state_that_is_not_there_is_reported(bundle, layers, raw, tmp_path):
    bundles.write(tmp_path / "pump", bundle, layers, raw, {})
    with pytest.raises(BundleError, match=r"state\.bin cannot be read \(No such file or directory\)"):
        adapt(tmp_path / "pump", tmp_path / "state.bin", tmp_path / "new", {})
    assert not (tmp_path / "new").exists()


def test_the_command_line_makes_it(bundle, layers, raw, tmp_path, cli):
    old, new, state = tmp_path / "pump", tmp_path / "pump-2", tmp_path / "state.bin"
    bundles.write(old, bundle, layers, raw, {})
    state.write_bytes(exported(bundle))
    outcome = cli("adapt", old, state, "--out", new)
    assert (outcome.status, outcome.out) == (0, f"{new}\n")
    assert bundles.read(new) == adapted(bundle, read_state(exported(bundle)))
    # What is there already is never replaced.
    again = cli("adapt", old, state, "--out", new)
    assert (again.status, again.err) == (1, f"fedmetaalign: {new} is not empty: choose another --out.\n")
