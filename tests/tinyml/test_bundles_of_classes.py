"""Networks that tell more than two classes apart, from float layers to firmware."""

import json
import subprocess

import numpy as np
import pytest
from typer.testing import CliRunner

from fedmetaalign.cli import app
from fedmetaalign.errors import BundleError
from fedmetaalign.model.preparation import Preparation
from fedmetaalign.model.target import Target
from fedmetaalign.operators.dense import Dense
from fedmetaalign.proof import verify
from fedmetaalign.proof.case import load
from fedmetaalign.tinyml import bundle as bundles
from fedmetaalign.tinyml import codegen, compress, decision, golden, low_rank, predictions
from fedmetaalign.tinyml.bundle import Bundle
from fedmetaalign.tinyml.firmware_folder import texts, unpack
from fedmetaalign.tinyml.quantize import quantize
from fedmetaalign.tinyml.tflite import write

LABELS = Target(("belt", "gear", "idle", "leak", "ok"), normal=(2, 4))
INPUTS = 6
PREPARATION = Preparation(
    tuple("abcdef"), ("V",) * INPUTS, {}, tuple(np.linspace(-4, 5, 6)), (0.5,) * INPUTS, tuple(range(INPUTS))
)
FORMATS = {
    "uint8": {},
    "int8 per channel": {"edges": "int8", "per_channel": True},
    "float io": {"edges": "float32"},
    "int4": {"bits": 4},
    "float head": {"head": 1},
}


def layers_of(classes, seed=0):
    """He-initialised layers whose logits spread over some units."""
    rng = np.random.default_rng(seed)
    layers = []
    for inputs, outputs in ((INPUTS, 20), (20, 12), (12, classes)):
        weights = rng.normal(0, np.sqrt((2 if outputs != classes else 9) / inputs), (inputs, outputs))
        biases = rng.normal(0, 0.1, outputs)
        layers.append(Dense(weights.astype(np.float32), biases.astype(np.float32), outputs != classes))
    return layers


def deployed(kind, classes=5):
    layers, x = layers_of(classes), np.random.default_rng(1).normal(size=(300, INPUTS)).astype(np.float32)
    return layers if kind == "float32" else quantize(layers, x, **FORMATS[kind])


@pytest.fixture(params=[*FORMATS, "float32"])
def format_(request):
    return request.param


@pytest.fixture
def inputs():
    return np.random.default_rng(2).normal(size=(200, INPUTS)).astype(np.float32)


@pytest.fixture
def folder(format_, tmp_path):
    """A bundle's."""
    raw = np.random.default_rng(3).normal(size=(30, INPUTS)) * 0.5 + PREPARATION.mean
    model = write(deployed(format_))
    bundle = Bundle("pump", PREPARATION, 0.75, None, "cortex-m4", "firmware", model, LABELS)
    bundles.write(tmp_path / "pump", bundle, layers_of(5), raw, {})
    return tmp_path / "pump"


def test_logits_far_from_zero_and_far_apart_keep_a_fine_grid():
    # Probabilities depend on differences alone. What is 6.3 below the greatest logit of its row has none, and a
    # logit may be farther ahead without a difference: the grid has to hold neither -1000 nor 900.
    layers = [Dense(np.float32([[1, 0, 0], [0, 1, 0]]), np.float32([0, 0, -1000]), relu=False)]
    x = np.float32([[3, 1], [-2, -2.5], [900, -1], [0.5, 2]])
    grid = quantize(layers, x).layers[-1].output
    assert grid.scale * 255 == pytest.approx((-1 + 6.3) - (-2 - 6.3), abs=1e-4)
    assert grid.zero_point == round(-128 + 8.3 / grid.scale)


def test_decisions_worked_out_by_hand():
    scores = np.array([[0.25, 0.5, 0.125, 0, 0.125], [0.375, 0.375, 0, 0, 0.25], [0, 0, 1, 0, 0.0]])
    assert decision.fault_probability(scores, LABELS).tolist() == [0.75, 0.75, 0]
    assert decision.predict(scores, LABELS, 0.75).tolist() == [False] * 3
    assert decision.predict(scores, LABELS, 0.7499).tolist() == [True, True, False]
    assert decision.kinds(scores, LABELS).tolist() == [1, 0, 0]  # of equals the first


def test_a_bundle_keeps_its_classes(folder):
    facts = json.loads((folder / "bundle.json").read_text())
    assert (facts["classes"], facts["normal"]) == ([*LABELS.classes], [2, 4])
    bundle = bundles.read(folder)
    assert bundle.labels == LABELS
    header, *rows = (folder / "golden.csv").read_text().splitlines()
    assert header.split(",")[-7:] == ["p0", "p1", "p2", "p3", "p4", "fault", "kind"]
    vectors = golden.read(folder / "golden.csv", PREPARATION, LABELS)
    scores = bundle.scores(vectors.raw)
    assert (vectors.scores == scores).all()
    fault = 1 - scores[:, 2].astype(np.float32) - scores[:, 4].astype(np.float32)
    whole = np.isfinite(vectors.raw).all(axis=1)
    assert 5 < vectors.decisions[whole].sum() < 25
    assert (vectors.decisions == (fault > 0.75))[whole].mean() > 0.95
    assert (vectors.decisions[~whole] == decision.Decision.SENSOR_FAULT).all() and not whole.all()
    assert {row.split(",")[-1] for row in rows} <= {"belt", "gear", "leak"}


@pytest.mark.firmware
def test_everything_agrees_that_can_run_here(folder):
    rows = verify.verify(folder, 40)
    verify.check(folder, rows)
    ran = {row.name: row for row in rows if row.samples}
    assert {"TensorFlow Lite Micro", "firmware here (Zig)", "firmware on Cortex-M0"} <= {*ran}
    assert ("learning on Cortex-M4F" in ran) == ("fma_adapt.c" in texts(folder))
    for name, row in ran.items():
        assert row.deciding == row.samples
        assert row.agreeing == row.samples or "firmware" not in name


def test_golden_vectors_that_promise_another_kind_are_found(folder):
    case = load(folder, 0)
    case.golden.kinds[3] += 1
    assert verify.golden_row(case, "golden.csv").wrong


@pytest.mark.firmware
def test_main_tells_of_a_change(folder, tmp_path):
    firmware = tmp_path / "firmware"
    unpack(folder, firmware)
    command = ["gcc", "-std=c99", "-Wall", "-Wextra", "-Wconversion", "-Werror", "-DFMA_HOSTED"]
    command += ["main.c", "fma_infer.c", "-o", "try"]
    for change, expected in (
        (lambda text: text, 0),
        (lambda text: text.replace("fma_normal[] = {\n    0", "fma_normal[] = {\n    1"), 1),
    ):
        model = firmware / "fma_model.h"
        model.write_text(change(model.read_text()))
        subprocess.run(command, cwd=firmware, check=True)  # noqa: S603
        done = subprocess.run([firmware / "try"], capture_output=True, text=True, check=False)  # noqa: S603
        assert (done.returncode > 0) == expected, done.stdout


def test_the_c_code_has_the_classes_in_order():
    text = codegen.model_header("pump", deployed("uint8"), PREPARATION, 0.75, labels=LABELS)
    assert "#define FMA_CLASSES 5 " in text
    assert "/* 0 belt, 1 gear, 2 idle (normal), 3 leak, 4 ok (normal) */" in text
    assert "fma_normal[] = {\n    0, 0, 1, 0, 1,\n};" in text
    assert "fma_threshold = 192;" in text
    assert "FMA_CLASSES" not in codegen.model_header("pump", two(), PREPARATION, 0.75)


def two():
    """A network of two classes."""
    layers = layers_of(5)
    layers[-1] = Dense(layers[-1].weights[:, :1], layers[-1].biases[:1], relu=False)
    return layers


@pytest.mark.parametrize("outputs", [2, 65])
def test_other_numbers_of_outputs_are_refused(outputs):
    with pytest.raises(BundleError, match=rf"^The last layer has {outputs} outputs; [^\n]+\.$"):
        write(layers_of(outputs))


def test_a_bundle_of_another_class_list_is_refused(folder):
    path = folder / "bundle.json"
    facts = json.loads(path.read_text())
    for classes, normal in ((["a", "b", "c"], [0]), ([*LABELS.classes], [7]), (["a"] * 5, [0]), ([1], "x")):
        facts |= {"classes": classes, "normal": normal}
        facts["digest"] = bundles.digest(facts)
        path.write_text(json.dumps(facts))
        with pytest.raises(BundleError, match=r"bundle\.json cannot be read"):
            bundles.read(folder)


def test_predictions_name_the_likeliest_fault_of_an_alarm():
    model = write(deployed("uint8"))
    bundle = Bundle("pump", PREPARATION, 0.75, None, "cortex-m4", "firmware", model, LABELS)
    scores = np.array([[0.125, 0.5, 0, 0.25, 0.125], [0, 0.5, 0.5, 0, 0], [0.5, 0.5, 0, 0, 0]])
    x = np.zeros((3, len(PREPARATION.features)))
    x[2, 1] = np.nan
    found = predictions.of(bundle, x, scores)
    assert found["scores"] == [0.875, 0.5, 1.0]
    assert found["alarms"] == ["fault", "normal", "sensor fault"]
    assert found["kinds"] == ["gear", None, None]
    assert predictions.written(found, "csv").decode().splitlines() == [
        "row,score,alarm,kind,p(belt),p(gear),p(idle),p(leak),p(ok)",
        "1,0.875,fault,gear,0.125,0.5,0.0,0.25,0.125",
        "2,0.5,normal,,0.0,0.5,0.5,0.0,0.0",
        "3,1.0,sensor fault,,0.5,0.5,0.0,0.0,0.0",
    ]


def test_predict_prints_kinds_and_probabilities(folder, tmp_path):
    raw = tmp_path / "raw.csv"
    lines = [line.split(",")[:INPUTS] for line in (folder / "golden.csv").read_text().splitlines()]
    raw.write_text("".join(",".join(line) + "\n" for line in lines))
    done = CliRunner().invoke(app, ["predict", str(folder), str(raw), "--json"])
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    vectors = golden.read(folder / "golden.csv", PREPARATION, LABELS)
    assert found["probabilities"] == vectors.scores.tolist()
    words = [decision.Decision(said).word for said in vectors.decisions]
    assert found["alarms"] == words and set(words) == {"normal", "fault", "sensor fault"}
    assert {*found["kinds"]} <= {"belt", "gear", "leak", None}


def test_low_rank_keeps_what_changes_probabilities(inputs):
    # What the last layer adds to all logits alike changes no probability, and so no component's energy.
    layers = layers_of(5)
    common = np.random.default_rng(4).normal(size=(12, 1)).astype(np.float32)
    shifted = [*layers[:-1], Dense(layers[-1].weights + common, layers[-1].biases, relu=False)]
    for one, other in zip(*(low_rank.spectra(each, 2, inputs) for each in (layers, shifted)), strict=True):
        assert one.energies[0] > 0
        np.testing.assert_allclose(one.energies, other.energies, rtol=0, atol=1e-5 * one.energies[0])
    # Rank 5 of 12 does less harm than the singular values' choice, which looks at the weights alone.
    whole = layers[1]
    u, values, v = np.linalg.svd(whole.weights)
    plain = [
        Dense(u[:, :5] * values[:5], np.zeros(5, np.float32), relu=False),
        Dense(v[:5], whole.biases, whole.relu),
    ]
    ours = low_rank.spectra(layers, 2, inputs)[1].factors(5)
    harm = [
        np.abs(compress.scores([layers[0], *pair, layers[2]], inputs) - compress.scores(layers, inputs)).mean()
        for pair in (ours, plain)
    ]
    assert harm[0] < harm[1] / 2
