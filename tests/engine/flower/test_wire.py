"""Requests and updates arrive as they were sent; of what bytes a stranger sends, only vectors get through."""

import ast
import zipfile
from dataclasses import replace
from io import BytesIO

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord
from hypothesis import given, settings
from hypothesis import strategies as st
from small_run import HEADER, MEASURED, NETWORK, PLACE, RECIPE, RUN, TRAIN, TRAINED, WEIGHTS, same, travelled

from fedmetaalign import recipe as recipes
from fedmetaalign.engine.flower import replies, requests
from fedmetaalign.engine.flower.requests import Header
from fedmetaalign.engine.flower.wire import WireError
from fedmetaalign.evaluation.fleet_threshold import BINS
from fedmetaalign.federation.compression import pack as pack_vector
from fedmetaalign.federation.compression import unpack as unpack_vector
from fedmetaalign.federation.messages import Finish, Local, Score, Scores, Train, Update, Visit
from fedmetaalign.fleet.device import Moments
from fedmetaalign.fleet.missing.imputation import Fill
from fedmetaalign.fleet.shared import Hello, Place
from fedmetaalign.fleet.sketch import Sketch
from fedmetaalign.model.curve import Curve
from fedmetaalign.model.mlp import Network, layer_sizes
from fedmetaalign.model.target import Target

LAYERS = layer_sizes(NETWORK)
MOMENTS = Moments(5, np.array([0.1, -2.0, 1e9]), np.array([0.0, 0.3, 7.0]))
POOLING = Header("pump", RUN, recipes.load("mixed", ["fleet.scaling=fleet"]))
QUANTILES = Header("pump", RUN, recipes.load("mixed", ["fleet.scaling=fleet", "fleet.encoding=quantiles"]))

weights = st.lists(
    st.floats(-9000, 9000, width=32), min_size=NETWORK.parameters, max_size=NETWORK.parameters
).map(lambda values: np.array(values, np.float32))
formats = st.sampled_from(["float32", "float16", "int8"])


def packed(vector, format):
    """The vector as it arrives, and how it travels."""
    if format == "float32":
        return vector, None
    found = pack_vector(vector, format, LAYERS)
    return unpack_vector(found, LAYERS), found


@given(weights, formats)
@settings(max_examples=30, deadline=None)
def test_a_request_of_phase_2_arrives_bit_for_bit_in_every_format(vector, format):
    arrived, how = packed(vector, format)
    curves = Curve((0.1, 1 / 3, 1e9), (-4.0, 5e-324, 1 / 3)), Curve((7.0,), (0.0,))
    fill = Fill((1,), ((1 / 3, 0.0, -4.0),))
    place = Place((2, -1, 0), (0.1, 1 / 3, -1e9), (5e-324, 1.0, 1e300), Target(("ok", "jäm")), curves, fill)
    content = travelled(
        requests.ask(HEADER, Train(arrived, 7, 12, {"control": vector, "own": -vector}, how), place)
    )
    request, told = requests.read_request(content, RECIPE.model)
    assert same(request.weights, arrived) and (request.number, request.devices) == (7, 12)
    assert list(request.vectors) == ["control", "own"]
    assert same(request.vectors["control"], vector) and same(request.vectors["own"], -vector)
    assert (request.packed is None) == (how is None)
    assert how is None or (same(request.packed.values, how.values) and same(request.packed.scales, how.scales))
    assert told == place
    assert requests.read_header(content) == HEADER


def test_weights_of_as_many_outputs_as_the_fleet_has_classes_arrive_with_them():
    place = Place((0, 1, 2), target=Target(("jäm", "ok", "worn"), (1, 2)))
    network = Network(RECIPE.model.inputs, RECIPE.model.hidden, outputs=3)
    weights = np.arange(network.parameters, dtype=np.float32)
    content = travelled(requests.ask(HEADER, Train(weights, 1, 12), place))
    request, told = requests.read_request(content, RECIPE.model)
    assert told == place and same(request.weights, weights)


def test_a_visit_of_a_tour_and_the_last_request_arrive_whole():
    asked = requests.ask(HEADER, Visit(WEIGHTS, 2, 3, 4), PLACE)
    visit, place = requests.read_request(travelled(asked), RECIPE.model)
    assert (visit.number, visit.devices, visit.tour, place) == (2, 3, 4, PLACE) and same(visit.weights, WEIGHTS)
    stages = {"serial": WEIGHTS + 1, "parallel": WEIGHTS}
    asked = requests.ask(HEADER, Finish(WEIGHTS, 1, 12, stages), PLACE)
    finish, _ = requests.read_request(travelled(asked), RECIPE.model)
    assert finish.devices == 12 and list(finish.stages) == ["serial", "parallel"]
    assert all(same(finish.stages[name], stages[name]) for name in stages)


@given(weights, formats, st.floats(0, 3e38), st.floats(0, 1), st.floats(1e-30, 1), st.integers(1, 5 * 10**8))
@settings(max_examples=30, deadline=None)
def test_an_update_arrives_bit_for_bit_in_every_format(vector, format, loss, accuracy, score, samples):
    arrived, how = packed(vector, format)
    vectors = {"control": vector}
    update = Update(arrived, score, samples, 2 * samples, loss, loss / 3, accuracy, samples - 1, vectors, how)
    request = replace(TRAIN, vectors={"control": WEIGHTS})
    content = travelled(replies.write_reply("pump", RUN, request, update))
    read = replies.read_reply(content, HEADER, request, NETWORK)
    assert same(read.delta, arrived) and (read.packed is None) == (how is None)
    assert list(read.vectors) == ["control"] and same(read.vectors["control"], vector)
    without = {"delta": None, "packed": None, "vectors": None}
    assert replace(read, **without) == replace(update, **without)


def test_how_scores_lie_arrives_and_is_handed_to_all():
    request, counts = Score(WEIGHTS, 1, 12, {"fold.0": -WEIGHTS}), np.arange(2 * BINS).reshape(2, BINS)
    asked, _ = requests.read_request(travelled(requests.ask(HEADER, request, PLACE)), RECIPE.model)
    assert isinstance(asked, Score) and same(asked.vectors["fold.0"], -WEIGHTS)
    content = travelled(replies.write_reply("pump", RUN, request, Scores(counts)))
    assert same(replies.read_reply(content, HEADER, request, NETWORK).counts, counts)
    finish = Finish(WEIGHTS, 1, 12, {}, counts=counts)
    told, _ = requests.read_request(travelled(requests.ask(HEADER, finish, PLACE)), RECIPE.model)
    assert same(told.counts, counts)


@pytest.mark.parametrize(
    "counts", [np.full((2, BINS), -1), np.zeros((2, BINS)), np.zeros((2, 3), int), np.full((2, BINS), 10**12)]
)
def test_what_are_no_counts_of_scores_is_refused(counts):
    request = Score(WEIGHTS, 1, 12)
    content = travelled(replies.write_reply("pump", RUN, request, Scores(counts)))
    with pytest.raises(WireError, match=r"The counts of scores are not two rows of 64 whole numbers\."):
        replies.read_reply(content, HEADER, request, NETWORK)


def test_what_a_visit_and_an_introduction_answer_arrives():
    visit, local = Visit(WEIGHTS, 1, 2, 1), Local(weights=WEIGHTS * 2, **MEASURED)
    read = replies.read_reply(travelled(replies.write_reply("pump", RUN, visit, local)), HEADER, visit, NETWORK)
    assert same(read.weights, local.weights) and read.samples == 40
    content = travelled(replies.write_hello("pump", RUN, Hello(("a", "b", "c"), ("", "K", "mm"), MOMENTS)))
    found = replies.read_hello(content, POOLING)
    assert replies.read_name(content) == "pump" and found.features == ("a", "b", "c")
    assert found.units == ("", "K", "mm")
    assert found.moments.count == 5 and same(found.moments.mean, MOMENTS.mean)


def test_quantiles_arrive_bit_for_bit():
    columns = np.random.default_rng(0).normal(size=(200, 3)) * [1, 1e-9, 1e9]
    columns[:, 1] = 1 / 3
    sketches = tuple(map(Sketch.of, columns.T))
    hello = Hello(("a", "b", "c"), ("", "K", "mm"), sketches=sketches)
    found = replies.read_hello(travelled(replies.write_hello("pump", RUN, hello)), QUANTILES)
    assert found.moments is None and len(found.sketches) == 3
    for told, sketch in zip(found.sketches, sketches, strict=True):
        assert told.count == 200 and same(told.knots, sketch.knots) and same(told.ranks, sketch.ranks)


def test_correlations_arrive_bit_for_bit_where_the_recipe_asks_for_them():
    values = np.array([[1, 1 / 3, -1e-9], [1 / 3, 1, 0], [-1e-9, 0, 1]])
    hello = replace(Hello(("a", "b", "c"), ("", "K", "mm"), MOMENTS), correlations=values)
    content = travelled(replies.write_hello("pump", RUN, hello))
    regression = replace(POOLING, recipe=recipes.with_settings(POOLING.recipe, {"fleet.missing": "regression"}))
    assert same(replies.read_hello(content, regression).correlations, values)
    assert replies.read_hello(content, POOLING).correlations is None


def npy(array):
    file = BytesIO()
    np.save(file, array, allow_pickle=True)
    return file.getvalue()


def archive():
    file = BytesIO()
    with zipfile.ZipFile(file, "w") as found:
        found.writestr("delta.npy", npy(WEIGHTS))
    return file.getvalue()


def claiming(shape, dtype="<f4"):
    """A header without the array that it tells of."""
    file = BytesIO()
    np.lib.format.write_array_header_1_0(file, {"descr": dtype, "fortran_order": False, "shape": shape})
    return file.getvalue()


def raw(data, kind="numpy.ndarray"):
    return ArrayRecord({"delta": Array("float32", (NETWORK.parameters,), kind, data)})


def delta(values):
    return ArrayRecord({"delta": Array(np.asarray(values))})


def spoilt(value, index=3):
    vector = WEIGHTS.copy()
    vector[index] = value
    return delta(vector)


def half(**other):
    """A delta packed in float16, but for what is given."""
    _, how = packed(WEIGHTS, "float16")
    found = {"delta.float16": how.values, "delta.scales": how.scales} | other
    return ArrayRecord({key: Array(value) for key, value in found.items() if value is not None})


@pytest.mark.parametrize(
    ("arrays", "wrong"),
    {
        "NaN": (spoilt(np.nan), "not finite"),
        "infinite": (spoilt(-np.inf), "not finite"),
        "huge": (spoilt(3e38), "beyond 10000"),
        "too long": (delta(np.zeros(NETWORK.parameters + 1, np.float32)), "of shape"),
        "a matrix": (delta(WEIGHTS[None]), "of shape"),
        "double": (delta(WEIGHTS.astype(np.float64)), "is float64"),
        "other byte order": (delta(WEIGHTS.astype(">f4")), "is >f4"),
        "text": (delta(np.array(["a"] * NETWORK.parameters)), "is <U1"),
        "no delta": (ArrayRecord({"weights": Array(WEIGHTS)}), "'delta' is missing"),
        "empty": (raw(b""), "cannot be read"),
        "archive": (raw(archive()), "cannot be read"),
        "pickle": (raw(npy(np.array([print], object))), "cannot be read"),
        "other kind": (raw(npy(WEIGHTS), "torch"), "cannot be read"),
        "cut off": (raw(npy(WEIGHTS)[:-1]), "and has 31 bytes" if NETWORK.parameters == 8 else "and has"),
        "10^14 floats": (raw(claiming((10**14,))), "claims to be float32 of shape (100000000000000,)"),
        "2^64 floats": (raw(claiming((2**32, 2**32))), "claims"),
        "no bytes each": (raw(claiming((10**14,), "|V0")), "cannot be read|is |V0"),
        "negative": (raw(claiming((-2, -4)) + WEIGHTS.tobytes()), "cannot be read|of shape"),
        "scale missing": (half(**{"delta.scales": None}), "scales"),
        "scale zero": (half(**{"delta.scales": np.zeros(len(LAYERS), np.float32)}), "scale"),
        "scale huge": (half(**{"delta.scales": np.full(len(LAYERS), 3e38, np.float32)}), "scale"),
        "half NaN": (half(**{"delta.float16": np.full(NETWORK.parameters, np.nan, np.float16)}), "not finite"),
        "half too long": (half(**{"delta.float16": np.zeros(999, np.float16)}), "shape (999,)"),
    }.values(),
)
def test_a_delta_that_is_none_is_refused(arrays, wrong):
    records = replies.write_reply("pump", RUN, TRAIN, Update(WEIGHTS, 0.8, **TRAINED))
    records["arrays"] = arrays
    with pytest.raises(WireError) as refused:
        replies.read_reply(travelled(records), HEADER, TRAIN, NETWORK)
    assert any(part in str(refused.value) for part in wrong.split("|"))


def test_what_flower_says_of_an_array_is_not_believed():
    records = replies.write_reply("pump", RUN, TRAIN, Update(WEIGHTS, 0.8, **TRAINED))
    records["arrays"] = ArrayRecord({"delta": Array("int8", (10**14,), "numpy.ndarray", npy(WEIGHTS))})
    assert same(replies.read_reply(travelled(records), HEADER, TRAIN, NETWORK).delta, WEIGHTS)


def test_arrays_are_read_without_pythons_parser(monkeypatch):
    """It is not for a stranger's bytes, and fails at times where two threads of CPython 3.11.7 use it."""
    records = travelled(replies.write_reply("pump", RUN, TRAIN, Update(WEIGHTS, 0.8, **TRAINED)))
    monkeypatch.delattr(ast, "literal_eval")
    monkeypatch.delattr(ast, "parse")
    with pytest.raises(AttributeError):
        records["arrays"]["delta"].numpy()
    assert same(replies.read_reply(records, HEADER, TRAIN, NETWORK).delta, WEIGHTS)
