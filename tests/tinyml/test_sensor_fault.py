"""The third decision, "sensor fault", in Python and in C: on all machines, in all formats, under all rules."""

import shutil
import subprocess
from dataclasses import replace

import numpy as np
import pytest

from fedmetaalign.drift import Reference
from fedmetaalign.model.missing import Missing
from fedmetaalign.model.preparation import Preparation
from fedmetaalign.model.rules import RULES
from fedmetaalign.model.target import Target
from fedmetaalign.operators.dense import Dense
from fedmetaalign.proof import replay
from fedmetaalign.tinyml import codegen, compiled, decision, features, golden, integer, predictions
from fedmetaalign.tinyml.bundle import Bundle, read, write
from fedmetaalign.tinyml.firmware_folder import unpack
from fedmetaalign.tinyml.head import header
from fedmetaalign.tinyml.network import Interface
from fedmetaalign.tinyml.quantize import quantize
from fedmetaalign.tinyml.tflite import write as write_model
from fedmetaalign.tinyml.toolchain import CORES

NAMES = ("flow", "heat", "load")
RANGES = {"flow": (0.0, 16.0), "load": (-2.0, 2.0)}
FILL = (4.0, 20.0, 0.5)
NAN, INF = np.nan, np.inf


def prepared(rule, ranges=RANGES):
    """Flow, heat and load, the second twice; under `flag` two of them have an input that says so."""
    flags = (0, 2) if rule == "flag" else ()
    names = (*NAMES, *(f"{NAMES[i]} is missing" for i in flags))
    ones = (1.0,) * len(flags)
    return Preparation(
        names,
        ("",) * len(names),
        {},
        (5.0, 25.0, 0.0, *(0 * one for one in ones)),
        (2.0, 10.0, 1.0, *ones),
        (0, 1, 2, 1, *(range(3, 5) if flags else (-1, -1))),
        missing=Missing(rule, (), ranges),
        fill=FILL if Missing(rule).fills else (),
        flags=flags,
    )


def good(rows, seed=0):
    random = np.random.default_rng(seed)
    x = random.normal((5.0, 25.0, 0.0), (2.0, 10.0, 0.7), (rows, 3))
    return np.clip(x, (0, -100, -2), (16, 100, 2))


def samples(preparation):
    """Good samples, those of the golden vectors, and any mixture of broken values."""
    raw = good(60)
    mixed = good(150, 1)
    random = np.random.default_rng(2)
    holes = random.random(mixed.shape) < 0.4
    mixed[holes] = random.choice([NAN, INF, -INF, 3e38, -3e38, 1e300, 17.0, -0.001], holes.sum())
    return np.concatenate([raw, golden.on_broken(preparation, raw), mixed])


def test_what_is_broken_worked_out_by_hand():
    ends = np.float32([0.0, 16.0])
    above, below = np.nextafter(ends[1], INF, dtype=np.float32), -np.finfo(np.float32).tiny
    rows = [
        ((5, 5, 1), []),
        ((NAN, 5, 1), [0]),
        ((5, INF, 1), [1]),
        ((5, -INF, NAN), [1, 2]),
        ((NAN, NAN, NAN), [0, 1, 2]),
        ((ends[0], 3e38, 2), []),  # the second has no range
        ((ends[1], 3.5e38, -2), [1]),  # beyond float32 all is infinite
        ((above, 5, 1), [0]),
        ((below, 5, 2.001), [0, 2]),
        ((16.0000001, 5, 1), []),  # in float32 it is 16
    ]
    found = prepared("median").broken(np.array([row for row, _ in rows], np.float64))
    assert [np.flatnonzero(row).tolist() for row in found] == [expected for _, expected in rows]


@pytest.mark.parametrize("rule", RULES)
def test_inputs_worked_out_by_hand(rule):
    preparation = prepared(rule)
    network = [Dense(np.ones((6, 1), np.float32), np.zeros(1, np.float32), relu=False)]
    raw = np.array([[NAN, 35.0, 1.0], [7.0, 15.0, 1.0], [17.0, INF, -3.0]])
    found = features.device_inputs(preparation, network, raw)[:, :5].tolist()
    median = (-0.5, -0.5, 0.5)  # (4 - 5) / 2, (20 - 25) / 10 and 0.5 / 1
    before = (1.0, -1.0, 1.0)  # of the second row
    flow, heat, load = {"median": median, "flag": median, "last": before}.get(rule, (0.0, 0.0, 0.0))
    first = -0.5 if rule in ("median", "flag", "last") else 0.0
    said = 1.0 if rule == "flag" else 0.0
    assert found == [
        [first, 1.0, 1.0, 1.0, said],
        [1.0, -1.0, 1.0, -1.0, 0.0],
        [flow, heat, load, heat, said],
    ]
    counts = features.outside(preparation, network, raw).tolist()
    # Heat is two inputs, and each flag is one.
    assert counts == ([-2, 0, -6] if rule == "flag" else [-1, 0, -4])


def test_decisions_worked_out_by_hand():
    raw = np.array([[5, 5, 1], [5, 5, 1], [NAN, 5, 1], [NAN, 5, 1], [5, 5, 1]], np.float64)
    scores = np.array([0.4, 0.6, 0.4, 0.6, NAN])
    for rule in RULES:
        found = decision.decide(scores, decision.unnamed(1), 0.5, prepared(rule), raw)
        expected = ["normal", "fault", "sensor fault", "fault", "sensor fault"]
        if rule in ("reject", "drop"):
            expected[3] = "sensor fault"
        assert [decision.Decision(said).word for said in found] == expected


def written(folder, network, preparation, raw, labels=None):
    for name, text in codegen.files("pump", network, preparation, 0.5, raw, labels=labels).items():
        (folder / name).write_text(text, encoding="utf-8")
    return folder


def agrees(folder, network, preparation, raw, where, labels=None):
    """Makes sure that the firmware does what Python does; returns the decisions."""
    labels = labels or decision.unnamed(Interface.of(network).outputs)
    found = replay.score(written(folder, network, preparation, raw, labels), network, raw, where)
    expected = features.device_inputs(preparation, network, raw)
    assert found.inputs.tobytes() == expected.tobytes()
    assert found.outside.tolist() == features.outside(preparation, network, raw).tolist()
    scores = integer.firmware_scores(network, expected)
    assert np.array_equal(found.scores, scores, equal_nan=True)
    decisions = decision.decide(scores, labels, 0.5, preparation, raw)
    assert found.decisions.tolist() == decisions.tolist()
    broken = preparation.broken(raw).any(axis=1)
    assert not (decisions[broken] == decision.Decision.NORMAL).any()
    assert broken.sum() > 50
    return decisions


def network_of(network, every_format, kind, preparation):
    clean = good(300)
    whole = np.hstack([clean, np.random.default_rng(3).integers(0, 2, (300, len(preparation.flags)))])
    return every_format(network(1, (6, 12, 9, 7, 1)), preparation.apply(whole))[kind]


def test_every_format_and_rule_in_c(network, every_format, kind, needs, tmp_path):
    needs("gcc")
    for rule in RULES if kind in ("uint8", "float32") else ("last", "flag"):
        preparation = prepared(rule)
        deployed = network_of(network, every_format, kind, preparation)
        decisions = agrees(tmp_path, deployed, preparation, samples(preparation), "gcc")
        assert len(set(decisions)) == 3


@pytest.mark.firmware
@pytest.mark.parametrize("core", [name for name, core in CORES.items() if core.unicorn])
@pytest.mark.parametrize("kind", ["uint8", "float32"])
def test_every_core(network, every_format, kind, core, tmp_path):
    preparation = prepared("last" if kind == "uint8" else "flag")
    deployed = network_of(network, every_format, kind, preparation)
    agrees(tmp_path, deployed, preparation, samples(preparation), CORES[core])


@pytest.mark.parametrize("curves", [False, True])
def test_several_classes(network, needs, tmp_path, curves):
    from fedmetaalign.fleet.sketch import Sketch, curve_of

    needs("gcc")
    preparation, labels = prepared("last", {}), Target(("idle", "leak", "run", "worn"), (0, 2))
    if curves:
        maps = tuple(curve_of([Sketch.of(column)]) for column in good(300).T)
        preparation = replace(preparation, curves=maps)
    layers = network(1, (6, 12, 9, 7, 4))
    for deployed in (quantize(layers, preparation.apply(good(300))), layers):
        assert len(set(agrees(tmp_path, deployed, preparation, samples(preparation), "gcc", labels))) == 3


def test_a_score_that_is_no_number_is_a_sensor_fault(needs, tmp_path):
    needs("gcc")
    layers = [
        Dense(np.float32([[1e4, -1e4]]), np.zeros(2, np.float32), relu=False),
        Dense(np.float32([[1], [1]]), np.zeros(1, np.float32), relu=False),
    ]
    preparation = Preparation(("x",), ("",), {}, (0.0,), (1.0,), (0,))
    raw = np.array([[1.0], [3e38]])  # finite, and no range says that it cannot be
    found = replay.score(written(tmp_path, layers, preparation, raw), layers, raw, "gcc")
    assert np.isnan(found.scores).tolist() == [False, True]
    assert found.decisions.tolist() == [0, 2]
    bundle = Bundle("pump", preparation, 0.5, None, "m", "firmware", write_model(layers))
    said = predictions.of(bundle, raw, bundle.scores(raw))
    assert (said["scores"], said["alarms"]) == ([0.5, None], ["normal", "sensor fault"])


def test_a_model_without_ranges_takes_no_memory_for_them(network):
    layers = network(1, (6, 12, 1))
    text = codegen.model_header("pump", layers, prepared("reject", {}), 0.5)
    for name in ("fma_low", "fma_fill[", "FMA_RANGES", "FMA_LAST", "FMA_FLAGS"):
        assert name not in text


@pytest.mark.parametrize("rule", RULES)
def test_a_bundle_holds_its_rule_and_replays_alone(network, rule, needs, tmp_path):
    needs("gcc")
    preparation, layers = prepared(rule), network(1, (6, 12, 9, 7, 1))
    whole = np.hstack([good(300), np.zeros((300, len(preparation.flags)))])
    model = write_model(quantize(layers, preparation.apply(whole)))
    bundle = Bundle("pump", preparation, 0.5, None, "m", "firmware", model)
    write(tmp_path / "pump", bundle, layers, good(20), {})
    assert read(tmp_path / "pump") == bundle
    vectors = golden.read(tmp_path / "pump/golden.csv", preparation)
    assert np.isnan(vectors.raw).all(axis=1).any() and np.isinf(vectors.raw).any()
    assert vectors.decisions.tolist() == bundle.decisions(vectors.raw, bundle.scores(vectors.raw)).tolist()
    firmware = tmp_path / "firmware"
    unpack(tmp_path / "pump", firmware)
    options = ["-std=c99", "-Wall", "-Wextra", "-Werror", "-pedantic", "-DFMA_HOSTED"]
    for compiler in filter(shutil.which, ("gcc", "clang")):
        sources = [firmware / "main.c", firmware / "fma_infer.c"]
        subprocess.run([compiler, *options, *sources, "-o", tmp_path / "main"], check=True)  # noqa: S603
        done = subprocess.run([tmp_path / "main"], capture_output=True, text=True, check=False)  # noqa: S603
        assert done.stdout == f"0 of {len(vectors.raw)} golden vectors came out differently.\n"


@pytest.mark.parametrize("compiler", ["gcc", "clang"])
@pytest.mark.parametrize("option", ["-ffast-math", "-ffinite-math-only", "-Ofast"])
def test_it_is_not_compiled_where_a_check_for_nan_may_be_left_out(network, compiler, option, needs, tmp_path):
    needs(compiler)
    written(tmp_path, network(1, (6, 12, 1)), prepared("median"), good(5))
    call = [compiler, "-std=c99", "-c", tmp_path / "fma_infer.c", "-o", tmp_path / "o"]
    assert subprocess.run(call, check=False).returncode == 0  # noqa: S603
    failed = subprocess.run([*call, option], capture_output=True, text=True, check=False)  # noqa: S603
    assert failed.returncode and "Turn -ffast-math off" in failed.stderr


HARNESS = """
#include "fma_learn.h"
#ifdef FMA_LAST
static fma_last_t state, *const last = &state;
#endif
int size(void);
void start(fma_adapt_t *adapt);
int learn(fma_adapt_t *adapt, const float *raw, int label);
int judge(const fma_adapt_t *adapt, const float *raw, float *score);
int size(void) { return sizeof(fma_adapt_t); }
void start(fma_adapt_t *adapt) {
    fma_adapt_init(adapt, 1e-2f, 0.5f);
#ifdef FMA_LAST
    fma_last_init(last);
#endif
}
int learn(fma_adapt_t *adapt, const float *raw, int label) {
    return fma_learn(adapt, raw, label FMA_LAST_ARGUMENT);
}
int judge(const fma_adapt_t *adapt, const float *raw, float *score) {
    return fma_judge(adapt, raw, score FMA_LAST_ARGUMENT);
}
"""


@pytest.mark.parametrize("rule", ["reject", "last", "flag"])
def test_a_device_does_not_learn_from_a_broken_sensor(network, rule, needs, tmp_path):
    needs("gcc")
    preparation = prepared(rule)
    whole = np.hstack([good(300), np.zeros((300, len(preparation.flags)))])
    net = quantize(network(1, (6, 12, 9, 7, 1)), preparation.apply(whole))
    texts = codegen.files("pump", net, preparation, 0.5, good(5), header(net))
    for name, text in (texts | {"harness.c": HARNESS}).items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    sources = [tmp_path / name for name in ("harness.c", "fma_adapt.c", "fma_infer.c")]
    on = compiled.host(sources, [tmp_path], "gcc")
    size = on.call("size").result
    adapt, raw, score = on.allocate(size), on.allocate(12), on.allocate(4)
    on.call("start", adapt)

    def put(row):
        on.write(raw, np.float32(row).tobytes())

    for row in good(40):
        put(row)
        assert on.call("learn", adapt, raw, 1).result == 1
    learnt = on.read(adapt, size)
    for row in ((NAN, 5, 1), (5, INF, 1), (17, 5, 1), (NAN, NAN, NAN)):
        put(row)
        assert on.call("learn", adapt, raw, 0).result == 0
        assert on.read(adapt, size) == learnt
        # All labels were faults: so it says, where it may.
        said = on.call("judge", adapt, raw, score).result
        assert said == (decision.Decision.SENSOR_FAULT if rule == "reject" else decision.Decision.FAULT)
        assert 0.5 < np.frombuffer(on.read(score, 4), np.float32)[0] < 1
    put((5, 5, 1))
    assert on.call("judge", adapt, raw, score).result == decision.Decision.FAULT


@pytest.mark.parametrize("rule", RULES)
def test_samples_that_come_in_pieces_are_scored_as_in_one(network, rule):
    preparation = prepared(rule)
    bundle = Bundle("pump", preparation, 0.5, None, "m", "firmware", write_model(network(1, (6, 12, 1))))
    raw = samples(preparation)[60:]
    stream = predictions.Stream(bundle)
    pieces = [stream.scores(piece) for piece in np.array_split(raw, 40)]
    assert np.concatenate(pieces).tolist() == bundle.scores(raw).tolist()


def test_drift_is_told_of_the_row_where_it_began_however_the_samples_come(network):
    layers = write_model(network(1, (6, 12, 1)))
    bundle = Bundle("pump", prepared("last"), 0.5, None, "m", "firmware", layers)
    calm = good(2000)
    bundle = replace(bundle, reference=Reference.of(calm, bundle.faults(bundle.scores(calm))))
    raw = good(900, 3)
    raw[300:, 1] += 15
    raw[600:, 2] = 0.1
    found = []
    for parts in (1, 7, 90):
        stream = predictions.Stream(bundle)
        said = [stream.told(piece) for piece in np.array_split(raw, parts)]
        scores = [score for piece in said for score in piece["scores"]]
        found.append((scores, [*stream.drift.items()], stream.outside, stream.rows))
    assert found[0] == found[1] == found[2]
    assert [name for name, row in found[0][1] if row > 300] == ["heat", "load"]
