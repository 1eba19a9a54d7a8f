import re
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fedmetaalign.errors import BundleError
from fedmetaalign.model.preparation import Preparation
from fedmetaalign.operators.dense import Dense, QuantizedDense
from fedmetaalign.operators.dense.blocks import blocks, weight_words
from fedmetaalign.operators.grid import Grid
from fedmetaalign.operators.stage import Layout
from fedmetaalign.tinyml import codegen, golden_code
from fedmetaalign.tinyml.head import header
from fedmetaalign.tinyml.network import QuantizedNetwork

PREPARATION = Preparation(
    features=("current", "voltage"),
    units=("A", ""),
    categories={},
    mean=(100.0, -3.0),
    scale=(20.0, 0.5),
    columns=(0, 1, -1),
)
FLOAT = [Dense(np.float32([[2.0], [0.1], [-1.0]]), np.float32([-6.0]), relu=False)]


def one_layer(weights, edges="uint8", biases=None, relu=False):
    """A network of one integer layer; the input's zero point is 5, the multiplier 0.5 * 0.25 = 2^-3."""
    weights = np.int8(weights)
    biases = np.zeros(weights.shape[1], np.int32) if biases is None else np.int32(biases)
    layer = QuantizedDense(weights, np.float32([0.25]), biases, Grid(1.0, -128 if relu else 3), relu)
    return QuantizedNetwork(Grid(0.5, 5), (layer,), edges=edges)


def test_8_bit_weights_by_hand():
    # Step 1: x0 to x3 of the outputs 0 to 3; words 256 * w1 + w0 and, 2^16 times that, 256 * w3 + w2.
    weights = np.int8([[1, -1, 0, 127], [2, 2, 0, -127], [3, 0, 0, 0], [4, 0, -1, 0]])
    expected = [
        (256 * 2 + 1) + (256 * 4 + 3) * 2**16,
        256 * 2 - 1,
        -256 * 2**16,
        (-256 * 127 + 127) % 2**16,
    ]
    assert weight_words(weights, 8).tolist() == [expected]


def test_4_bit_weights_by_hand():
    # Bytes from the lowest: x0, x1, x2, x3; in each the even output's weight above the odd one's.
    weights = np.int8([[1, -1, 0, 7], [2, 2, 0, -7], [3, 0, 0, 0], [-4, 0, -1, 0]])
    found = weight_words(weights, 4).view(np.uint32)
    assert [f"{word:08x}" for word in found[0]] == ["c030221f", "f0000907"]


def test_blocks_go_through_all_steps_of_four_outputs_first():
    weights = np.arange(5 * 6).reshape(5, 6).astype(np.int8)
    found = weight_words(weights, 8)
    assert found.shape == (2, 8)  # 2 blocks of 2 steps of 4 words
    assert found[0, 1] == (256 * 7 + 1) + (256 * 19 + 13) * 2**16
    assert found[0, 4:].tolist() == [24, 25, 26, 27]
    assert found[1].tolist() == [*found[1, :2], 0, 0, 28, 29, 0, 0]


def test_biases_take_back_the_zero_point_and_the_127_of_every_other_input():
    # 1000 - 5 * (1 + 2 + 3) + 127 * 2
    layer = one_layer([[1], [2], [3]], biases=[1000]).layers[0]
    head, _ = blocks(Grid(0.5, 5), layer, Layout(per_channel=False))
    assert head.tolist() == [[1224, 0, 0, 0]]


def test_words_of_pairs_have_two_inputs_of_two_outputs_each():
    layer = one_layer([[1, 2, 3], [4, 5, 6], [-7, 8, 9]], biases=[1000, 0, 0]).layers[0]
    head, words = blocks(Grid(0.5, 5), layer, Layout(per_channel=False, pairs=True))
    assert head.tolist() == [[1000 - 5 * (1 + 4 - 7), -5 * 15, -5 * 18, 0]]
    bytes_ = words.astype("<i4").view(np.uint8).astype(int) - 128
    # Of inputs 1 and 2: outputs 1 and 2, outputs 3 and none; then of input 3 and none.
    assert bytes_.tolist() == [[1, 4, 2, 5, 3, 6, 0, 0, -7, 0, 8, 0, 9, 0, 0, 0]]


def test_wide_words_are_sums_of_the_weights_of_two_outputs():
    layer = one_layer([[1, 2, 3], [4, 5, 6], [-7, 8, 9]], biases=[1000, 0, 0]).layers[0]
    head, words = blocks(Grid(0.5, 5), layer, Layout(per_channel=False, pairs=True, wide=True))
    assert head.tolist() == [[1000 - 5 * (1 + 4 - 7), -5 * 15, -5 * 18, 0]]
    # Inputs 1 and 2 with outputs 1 and 2, and with 3 and none; then input 3 and none.
    first = [1 + 2 * 2**16, 4 + 5 * 2**16, 3, 6]
    assert words.tolist() == [[*first, -7 + 8 * 2**16, 0, 9, 0]]


def test_blocks_of_a_layer_with_channels():
    layer = replace(
        one_layer(np.eye(5)).layers[0], weight_scales=np.float32([1 / 16, 1 / 8, 1 / 4, 1 / 2, 3 / 4])
    )
    head, _ = blocks(Grid(0.5, 0), layer, Layout(per_channel=True))
    # Multipliers 2^-5 = 2^30 / 2^31 / 2^4 to 2^-2, and 3/8; three outputs are only there to fill the block.
    assert head.shape == (2, 9)
    assert head[:, 4:8].tolist() == [[2**30] * 4, [3 * 2**29, 0, 0, 0]]
    assert [f"{shifts:08x}" for shifts in head[:, 8]] == ["01020304", "01010101"]


def test_a_header_reads_as_its_network():
    text = codegen.model_header("pump 7", one_layer([[1], [2], [3]]), PREPARATION, 0.375)
    lines = text.splitlines()
    assert lines[0] == "/* The classifier of pump 7, made by Fed-Meta-Align. Raw features, in order:"
    assert lines[1:4] == [" *   current [A]", " *   voltage", " */"]
    for line in (
        "#define FMA_FEATURES 2",
        "#define FMA_INPUTS 3",
        "typedef uint8_t fma_input_t;",
        "typedef uint8_t fma_score_t;",
        "static const int fma_threshold = 96;",
        "#define FMA_INPUT_ZERO_POINT (5)",
        "#define FMA_UNITS 4 /* of the widest layer, a multiple of 4 */",
        "#define FMA_SMALLEST_SHIFT 2",
        "    1.0e+02f, -3.0e+00f,",
        "    0, 1, -1,",
        "    {fma_blocks_1, 1073741824, 1, 1, 2, 3, -128, 8},",
    ):
        assert line in lines


def test_the_same_network_gives_the_same_files_in_short_lines(network, samples, every_format):
    x = samples(20)
    long = "a very long name of a feature, " * 10
    preparation = Preparation((long, *"bcdefghi"), ("",) * 9, {}, (0.0,) * 9, (1.0,) * 9, tuple(range(9)))
    for deployed in every_format(network(1, (9, 12, 10, 1)), x).values():
        parts = ("pump", deployed, preparation, 0.5, x.astype(float), header(deployed))
        texts, again = codegen.files(*parts), codegen.files(*parts)
        assert texts == again
        learning = {"fma_head.h", "fma_adapt.c", "fma_adapt.h", "fma_learn.h"} if header(deployed) else set()
        integers = {"fma_layers.h", "fma_dsp.h"} if isinstance(deployed, QuantizedNetwork) else set()
        floats = set() if integers and not deployed.head else {"fma_float_layers.h"}
        assert set(texts) == learning | integers | floats | {
            *("README.md", "fma_model.h", "fma_golden.h", "main.c"),
            *("fma_infer.c", "fma_infer.h", "fma_prepare.h", "fma_float.h"),
        }
        for name in ("fma_model.h", "fma_golden.h"):
            assert max(map(len, texts[name].splitlines())) <= 112


def test_the_readme_names_the_device_and_its_features():
    names = replace(PREPARATION, features=("grade", "voltage"), categories={"grade": ("L", "M", "H")})
    texts = codegen.files("pump", one_layer([[1], [2], [3]]), names, 0.5, np.array([[2.0, -3.0]]))
    assert not {"fma_adapt.c", "fma_adapt.h", "fma_head.h"} & {*texts}  # it cannot learn
    assert "# Firmware of pump\n" in texts["README.md"]
    assert "Raw features, in order: grade [A] (L = 0, M = 1, H = 2), voltage.\n" in texts["README.md"]
    assert " *   grade [A] (L = 0, M = 1, H = 2)\n" in texts["fma_model.h"]


def test_names_cannot_end_a_comment():
    names = replace(PREPARATION, features=("a */ int x; /*", "new\nline ??/"))
    text = codegen.model_header("/*/", one_layer([[1], [2], [3]]), names, 0.5)
    comment = text[: text.index("#ifndef")]
    assert comment.count("/*") == comment.count("*/") == 1
    assert comment.count("\n") == 4
    assert "??" not in text


@given(st.floats(allow_nan=False, allow_infinity=False))
@example(0.5)
@example(96 / 256)
@example(np.nextafter(96 / 256, 0))
@example(255 / 256)
@example(0.0)
@example(-0.0)
@example(-1e-300)
def test_a_score_is_a_fault_exactly_above_the_threshold(threshold):
    kinds = {
        "uint8": (np.arange(256) / 256, np.arange(256)),
        "int8": (np.arange(256) / 256, np.arange(-128, 128)),
    }
    for edges, (scores, integers) in kinds.items():
        text = codegen.model_header("pump", one_layer([[1], [2], [3]], edges), PREPARATION, threshold)
        (limit,) = re.findall(r"fma_threshold = (\S+);", text)
        assert ((integers > int(limit)) == (scores > threshold)).all()
    text = codegen.model_header("pump", FLOAT, PREPARATION, threshold)
    (limit,) = re.findall(r"fma_threshold = (\S+)f;", text)
    near = np.float32(np.clip(threshold, 0.0, 1.0))
    for score in (near, *np.nextafter(near, np.float32([-1, 2])), np.float32(0), np.float32(1)):
        if 0 <= score <= 1:
            assert (score > np.float32(limit)) == (float(score) > threshold)


def test_float_weights_keep_all_their_bits():
    values = np.random.default_rng(0).integers(0, 2**32, 3000, dtype=np.uint32).view(np.float32)
    values = values[np.isfinite(values)]
    values[:4] = [0.0, -0.0, 1e-45, np.finfo(np.float32).max]
    layers = [Dense(values[None, :], np.zeros(len(values), np.float32), False)]
    layers.append(Dense(np.zeros((len(values), 1), np.float32), np.zeros(1, np.float32), False))
    preparation = Preparation(("x",), ("",), {}, (0.0,), (1.0,), (0,))
    text = codegen.model_header("pump", layers, preparation, 0.5)
    body = text[text.index("fma_float_weights") :]
    found = np.float32(re.findall(r"(-?\d\S*)f,", body)[: len(values)])
    assert found.tobytes() == values.tobytes()


def test_golden_vectors_are_what_the_device_has_to_compute():
    network = one_layer([[64]], "int8", biases=[-320])
    preparation = Preparation(("x",), ("",), {}, (1.0,), (2.0,), (0,))
    raw = np.array([[1.0], [2.5], [11.0]])
    text = golden_code.header(network, preparation, 0.5, raw)
    sections = dict(re.findall(r" fma_golden_(\w+)\[\][^\n]* = \{(.*?)\n\};", text, re.DOTALL))
    numbers = {name: [float(n) for n in re.findall(r"-?\d[^f,\s]*", body)] for name, body in sections.items()}
    # q = 5 + (raw - 1) / 2 / 0.5, where 6.5 becomes 7, and the logit 8 * (q - 5) - 40.
    assert numbers == {
        "raw": [1.0, 2.5, 11.0],
        "inputs": [5, 7, 15],
        "scores": [-128, -128, 127],
        "decisions": [0, 0, 1],
    }
    assert "#define FMA_GOLDEN_ROWS 3" in text


def test_what_the_firmware_cannot_hold_is_refused():
    wide = one_layer(np.zeros((16385, 1)))
    names = tuple(f"f{i}" for i in range(16385))
    zeros, ones = (0.0,) * len(names), (1.0,) * len(names)
    preparation = Preparation(names, ("",) * len(names), {}, zeros, ones, tuple(range(len(names))))
    with pytest.raises(BundleError, match=r"^A layer has 16385 units, but the firmware takes 16384 at most\.$"):
        codegen.model_header("pump", wide, preparation, 0.5)
