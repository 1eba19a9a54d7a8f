"""Inputs that are encoded by quantiles: the device's float32 table in Python, in C, and in a bundle."""

import json
import subprocess
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedmetaalign.errors import BundleError
from fedmetaalign.fleet.sketch import Sketch, curve_of
from fedmetaalign.model.curve import Curve
from fedmetaalign.model.preparation import Preparation
from fedmetaalign.operators.dense import Dense
from fedmetaalign.proof import replay
from fedmetaalign.proof.verify import check as check_rows
from fedmetaalign.proof.verify import verify
from fedmetaalign.tinyml import codegen, features, golden, integer
from fedmetaalign.tinyml.bundle import Bundle, digest, read, write
from fedmetaalign.tinyml.firmware_folder import texts, unpack
from fedmetaalign.tinyml.quantize import quantize
from fedmetaalign.tinyml.tflite import write as write_model
from fedmetaalign.tinyml.toolchain import CORES

SAMPLES = np.random.default_rng(3)
RAW = np.column_stack(
    [
        SAMPLES.lognormal(3, 2, 300),
        SAMPLES.integers(0, 2, 300),
        np.full(300, 7.0),
        SAMPLES.normal(-40, 1e-3, 300),
    ]
)
"""Samples of a feature of many magnitudes, a text, a constant, and a small variation of a large value."""


def prepared(raw, columns, categories=None):
    curves = tuple(curve_of([Sketch.of(values)]) for values in raw.T)
    names = tuple(f"feature {i}" for i in range(len(curves)))
    mean, scale = tuple(c.middle for c in curves), tuple(c.unit for c in curves)
    return Preparation(names, ("",) * len(curves), categories or {}, mean, scale, columns, curves)


PREPARATION = prepared(RAW, (0, 1, 2, 3, -1, 0), {"feature 1": ("dry", "wet")})
FLOAT = [Dense(np.ones((2, 1), np.float32), np.zeros(1, np.float32), relu=False)]
HAND = Preparation(
    ("x",), ("",), {}, (0.0,), (1.0,), (0, -1), (Curve((-8.0, 0.0, 1.0, 5.0), (-4.0, 0.0, 2.0, 4.0)),)
)


def test_a_table_worked_out_by_hand():
    [table] = features.tables(HAND, FLOAT)
    assert table.knots.tolist() == [-8, 0, 1, 5]
    assert table.levels.tolist() == [-4, 0, 2, 4]
    assert table.slopes.tolist() == [0.5, 2, 0.5, 0]
    raw = np.array([[-1e38], [-9], [-8], [-1], [0], [0.25], [1], [3], [5], [6], [1e38], [np.inf]])
    expected = [-4, -4, -4, -0.5, 0, 0.5, 2, 3, 4, 4, 4, 0]
    assert features.device_inputs(HAND, FLOAT, raw).tolist() == [[z, 0] for z in expected]


def test_knots_that_are_one_in_float32_are_one_in_the_middle_of_their_levels():
    knots = (0.0, 1.0, 1.0 + 1e-9, 1.0 + 2e-9, 2.0)
    curve = Curve(knots, (-2.0, -1.0, 0.0, 0.5, 2.0))
    [table] = features.tables(replace(HAND, curves=(curve,)), FLOAT)
    assert table.knots.tolist() == [0, 1, 2]
    assert table.levels.tolist() == [-2, -0.25, 2]
    assert table.slopes.tolist() == [1.75, 2.25, 0]


@pytest.mark.parametrize("scale", [1e39, 1e-40])
def test_a_table_that_float32_cannot_hold_is_refused(scale):
    curve = Curve(tuple(scale * knot for knot in (-8.0, 0.0, 1.0)), (-4.0, 0.0, 2.0))
    broken = replace(HAND, curves=(curve,))
    with pytest.raises(
        BundleError, match=r"'x' has quantiles from .* float32 cannot hold; give it in another u"
    ):
        features.device_inputs(broken, FLOAT, np.zeros((1, 1)))


def test_a_time_stamp_that_float32_cannot_tell_apart_is_refused():
    raw = 1.7e9 + np.arange(900.0)[:, None]
    preparation = prepared(raw, (0,))
    with pytest.raises(BundleError, match=r"'feature 0' varies by .* cannot tell apart; subtract an offset"):
        features.check(preparation, preparation.apply(raw))
    features.check(PREPARATION, PREPARATION.apply(RAW))


@given(st.lists(st.floats(-1e5, 1e5), min_size=1, max_size=30))
@settings(max_examples=50, deadline=None)
def test_the_device_comes_near_to_training(values):
    raw = np.resize(values, (len(values), 1)).astype(np.float32).astype(np.float64)
    preparation = prepared(RAW[:, :1], (0,))
    found = features.device_inputs(preparation, FLOAT, raw)
    np.testing.assert_allclose(found, preparation.apply(raw), atol=1e-5)


def deployed(kind, network, every_format):
    return every_format(network(1, (6, 12, 9, 7, 1)), PREPARATION.apply(RAW))[kind]


def on_and_off_knots():
    """Samples, the golden ones of a table, neighbours of its knots, and values far away."""
    table = np.array(features.tables(PREPARATION, FLOAT)[0].knots, np.float32)
    near = np.nextafter(table, np.float32(np.inf)), np.nextafter(table, np.float32(-np.inf))
    beside = np.resize(RAW[0], (2 * len(table), 4))
    beside[:, 0] = np.concatenate(near)
    far = np.array([[1e30] * 4, [-1e30] * 4])
    return np.concatenate([RAW, golden.on_curves(PREPARATION), beside, far])


@pytest.mark.firmware
@pytest.mark.parametrize("where", ["gcc", "zig", *(c.name for c in CORES.values() if c.unicorn)])
@pytest.mark.parametrize("kind", ["uint8", "float32"])
def test_every_machine_looks_up_the_same_bits(where, kind, network, every_format, tmp_path):
    net, raw = deployed(kind, network, every_format), on_and_off_knots()
    for name, text in codegen.files("pump", net, PREPARATION, 0.4, raw).items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    found = replay.score(tmp_path, net, raw, CORES.get(where, where))
    expected = features.device_inputs(PREPARATION, net, raw)
    assert found.inputs.tobytes() == expected.tobytes()
    counts = features.outside(PREPARATION, net, raw)
    assert found.outside.tolist() == counts.tolist()
    assert found.scores.tolist() == integer.firmware_scores(net, expected).tolist()
    if kind == "float32":
        assert not counts.any()
    else:  # 1e30 is beyond, in both inputs of the first and in the text, too; of the constant nothing is
        # The training samples, least and greatest ones among them, are within.
        assert counts[-2:].tolist() == [4, 4] and not counts[: len(RAW)].any()


def test_golden_samples_are_on_knots_between_them_and_beyond():
    rows = golden.on_curves(PREPARATION)
    curve = PREPARATION.curves[0]
    first = rows[:, 0].tolist()
    assert set(curve.knots) <= set(first) and min(first) < curve.knots[0] and max(first) > curve.knots[-1]
    assert any(curve.knots[3] < value < curve.knots[4] for value in first)
    assert set(rows[:, 1]) == {0, 1}  # a text is one of its texts
    assert golden.on_curves(replace(PREPARATION, curves=())).shape == (0, 4)


@pytest.fixture
def folder(network, tmp_path):
    layers = network(1, (6, 12, 9, 7, 1))
    model = write_model(quantize(layers, PREPARATION.apply(RAW)))
    bundle = Bundle("pump", PREPARATION, 0.375, None, "cortex-m4", "firmware", model)
    write(tmp_path / "pump", bundle, layers, np.concatenate([RAW[:20], golden.on_curves(PREPARATION)]), {})
    assert read(tmp_path / "pump") == bundle
    return tmp_path / "pump"


@pytest.mark.firmware
def test_verify_holds_on_all_runtimes_and_cores(folder):
    rows = verify(folder, 40)
    check_rows(folder, rows)
    assert {"golden.csv", "firmware on Cortex-M0", "learning on Cortex-M4F"} <= {
        r.name for r in rows if r.samples
    }


def altered(folder, change):
    """Changes what bundle.json says of the preparation, and signs it."""
    facts = json.loads((folder / "bundle.json").read_text(encoding="utf-8"))
    change(facts["preparation"])
    (folder / "bundle.json").write_text(json.dumps(facts | {"digest": digest(facts)}), encoding="utf-8")


@pytest.mark.parametrize(
    ("change", "wrong"),
    [
        (lambda p: p["curves"].pop(), "a curve for each feature, or none at all"),
        (lambda p: p["curves"][0]["knots"].pop(), "as many levels as knots"),
        (lambda p: p["curves"][0]["knots"].reverse(), "must be finite, and rise"),
        (lambda p: p["curves"][0]["levels"].reverse(), "must be finite, and rise"),
        (lambda p: p["curves"][0].update(knots=[0.0], levels=[9.0]), "lie between -4 and 4"),
        (lambda p: p["curves"][0]["knots"].__setitem__(0, float("nan")), "must be finite, and rise"),
        (lambda p: p["curves"][0].update(knots="abc"), "could not convert"),
        (lambda p: p["curves"][0].pop("levels"), "'levels'"),
        (lambda p: p.update(curves=None), "not iterable"),
    ],
)
def test_a_bundle_with_broken_curves_is_refused(folder, change, wrong):
    altered(folder, change)
    with pytest.raises(BundleError, match=wrong):
        read(folder)


def test_a_linear_bundle_says_nothing_of_curves_and_has_none_of_their_code(network, tmp_path):
    linear, layers = replace(PREPARATION, curves=()), network(1, (6, 12, 9, 7, 1))
    model = write_model(quantize(layers, linear.apply(RAW)))
    write(tmp_path / "pump", Bundle("pump", linear, 0.5, None, "m", "firmware", model), layers, RAW[:9], {})
    facts = json.loads((tmp_path / "pump" / "bundle.json").read_text(encoding="utf-8"))
    assert facts["version"] == 5 and "curves" not in facts["preparation"]
    assert "fma_curves.h" not in texts(tmp_path / "pump")


@pytest.mark.firmware
def test_the_folder_alone_replays_its_golden_samples(folder, needs, tmp_path):
    needs("gcc")
    firmware = tmp_path / "firmware"
    unpack(folder, firmware)
    said = (firmware / "README.md").read_text(encoding="utf-8")
    assert "`fma_infer.c`, `fma_curves.h`, `fma_layers.h`, `fma_dsp.h`" in said
    sources = [firmware / "main.c", firmware / "fma_infer.c"]
    built = [
        "gcc",
        "-std=c99",
        "-Wall",
        "-Wextra",
        "-Werror",
        "-DFMA_HOSTED",
        *sources,
        "-o",
        tmp_path / "main",
    ]
    subprocess.run(built, check=True)  # noqa: S603
    assert subprocess.run([tmp_path / "main"], check=False, capture_output=True).returncode == 0  # noqa: S603
