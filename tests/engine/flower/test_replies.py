"""What a device says, or a server, is refused with a reason where it is not what it should be."""

from dataclasses import replace

import numpy as np
import pytest
from flwr.app import ConfigRecord, MetricRecord
from small_run import HEADER, MEASURED, NETWORK, PLACE, RECIPE, RUN, TRAIN, TRAINED, WEIGHTS, travelled

from fedmetaalign import recipe as recipes
from fedmetaalign.engine.flower import replies, requests
from fedmetaalign.engine.flower.requests import Header
from fedmetaalign.engine.flower.wire import WireError, plain
from fedmetaalign.errors import RecipeError
from fedmetaalign.federation.messages import Local, Update, Visit
from fedmetaalign.fleet.device import Moments
from fedmetaalign.fleet.missing.imputation import Fill
from fedmetaalign.fleet.shared import Hello, Place
from fedmetaalign.fleet.sketch import Sketch

POOLING = Header("pump", RUN, recipes.load("mixed", ["fleet.scaling=fleet"]))
QUANTILES = Header("pump", RUN, recipes.load("mixed", ["fleet.scaling=fleet", "fleet.encoding=quantiles"]))


@pytest.mark.parametrize(
    ("key", "value", "wrong"),
    [
        ("score", 0.0, "score 0 is out of (0, 1]"),
        ("score", -1.0, "score -1 is out of (0, 1]"),
        ("score", 1.5, "score 1.5 is out of (0, 1]"),
        ("score", float("nan"), "score is nan"),
        ("score", None, "score is None"),
        ("samples", 0, "trained on 0 samples"),
        ("samples", 2.5, "trained on 2.5 samples"),
        ("samples", 10**15, "trained on 1e+15 samples"),
        ("samples", 1e300, "trained on 1e+300 samples"),
        ("support_loss", -0.1, "support_loss -0.1 is out of"),
        ("query_loss", 1e300, "query_loss 1e+300 is out of"),
        ("query_loss", float("inf"), "query_loss is inf"),
        ("accuracy", 2.0, "accuracy 2 is out of [0, 1]"),
        ("accuracy", [0.5, 0.5], "accuracy is [0.5, 0.5]"),
        ("accuracy", None, "accuracy is None"),
        ("steps", 0, "steps is 0, and no count of training steps"),
        ("steps", 0.5, "steps is 0.5, and no count"),
        ("steps", 10**15, "steps is 1e+15, and no count"),
        ("steps", None, "steps is None"),
        ("left_steps", -1, "left_steps is -1, and no count"),
        ("left_steps", 10**15, "left_steps is 1e+15, and no count"),
    ],
)
def test_metrics_out_of_their_range_are_refused(key, value, wrong):
    records = replies.write_reply("pump", RUN, TRAIN, Update(WEIGHTS, 0.8, **TRAINED))
    found = {**records["metrics"], key: value}
    records["metrics"] = MetricRecord({key: value for key, value in found.items() if value is not None})
    with pytest.raises(WireError) as refused:
        replies.read_reply(travelled(records), HEADER, TRAIN, NETWORK)
    assert wrong in str(refused.value)


@pytest.mark.parametrize(
    ("asked", "sent", "wrong"),
    [
        ({}, {"own": WEIGHTS}, "the vectors own, which was not asked for"),
        ({"control": WEIGHTS}, {}, "the vectors none, which was not asked for"),
        ({"control": WEIGHTS}, {"control": WEIGHTS[1:]}, "'vector.control' is float32 of shape"),
        ({"control": WEIGHTS}, {"control": WEIGHTS + np.inf}, "'vector.control' holds a value that is no"),
    ],
)
def test_vectors_that_were_not_asked_for_or_are_none_are_refused(asked, sent, wrong):
    request = replace(TRAIN, vectors=asked)
    records = replies.write_reply("pump", RUN, request, Update(WEIGHTS, 0.8, **TRAINED, vectors=sent))
    with pytest.raises(WireError) as refused:
        replies.read_reply(travelled(records), HEADER, request, NETWORK)
    assert wrong in str(refused.value)


def test_metrics_that_nobody_asked_for_are_left_out():
    records = replies.write_reply("pump", RUN, TRAIN, Update(WEIGHTS, 0.8, **TRAINED))
    records["metrics"]["more"] = [1.0, float("nan")]
    assert replies.read_reply(travelled(records), HEADER, TRAIN, NETWORK).query_score == 0.8


@pytest.mark.parametrize(
    ("said", "wrong"),
    [
        ({"device": "fan"}, "in the name of 'fan'"),
        ({"round": 2}, "round 2, and was asked 3"),
        ({"run": "another"}, "run 'another', and was asked"),
        ({"kind": "visit"}, "kind 'visit', and was asked 'train'"),
        ({"protocol": 99}, "protocol 99, and was asked 5"),
        ({"error": "no table"}, "no table"),
        ({"error": 3}, "'error' is missing, or no text"),
    ],
)
def test_an_answer_to_something_else_or_of_someone_else_is_refused(said, wrong):
    records = replies.write_reply("pump", RUN, TRAIN, Update(WEIGHTS, 0.8, **TRAINED))
    records["reply"] = ConfigRecord({**records["reply"], **said})
    with pytest.raises(WireError) as refused:
        replies.read_reply(travelled(records), HEADER, TRAIN, NETWORK)
    assert wrong in str(refused.value)


def test_a_stale_tour_is_refused():
    stale = replies.write_reply("pump", RUN, Visit(WEIGHTS, 1, 2, 1), Local(weights=WEIGHTS, **MEASURED))
    with pytest.raises(WireError, match="tour 1, and was asked 2"):
        replies.read_reply(travelled(stale), HEADER, Visit(WEIGHTS, 1, 2, 2), NETWORK)


@pytest.mark.parametrize("missing", ["reply", "arrays", "metrics"])
def test_an_answer_without_one_of_its_records_is_refused(missing):
    records = replies.write_reply("pump", RUN, TRAIN, Update(WEIGHTS, 0.8, **TRAINED))
    for other in (None, ConfigRecord() if missing != "reply" else MetricRecord()):  # or with another kind of it
        del records[missing]
        if other is not None:
            records[missing] = other
        with pytest.raises(WireError, match="missing"):
            replies.read_reply(travelled(records), HEADER, TRAIN, NETWORK)
        records[missing] = ConfigRecord()


def pooled(mean=(0.0, 1.0, 2.0), squares=(1.0, 1.0, 1.0), count=5):
    return Hello(("a", "b", "c"), ("", "K", "mm"), Moments(count, np.array(mean), np.array(squares)))


def sketched(knots=(0.0, 1.0), ranks=(1.0, 3.0), count=5, features=("a",)):
    sketches = (Sketch(count, np.array(knots), np.array(ranks)),)
    return Hello(features, ("",) * len(features), sketches=sketches)


def labelled(classes, normal):
    return Hello(("a",), ("",), None, classes, normal)


@pytest.mark.parametrize(
    ("hello", "wrong"),
    [
        # moments that would spoil those of the others
        (pooled(mean=[0.0, 1.0, np.nan]), "float64 numbers"),
        (pooled(mean=[0.0, 1.0, 1e200]), "float64 numbers"),
        (pooled(squares=[1.0, 1.0, -1e-9]), "float64 numbers"),
        (pooled(squares=[1.0, 1.0]), "float64 numbers"),
        (pooled([0.0, 1.0], [1.0, 1.0]), "do not fit its features"),
        (pooled(count=0), "'count' is 0"),
        (pooled(count=10**18), "'count' is 1000000000000000000"),
        # quantiles likewise
        (sketched(knots=[0.0, np.nan]), "The quantiles are not"),
        (sketched(knots=[0.0, 1e200]), "The quantiles are not"),
        (sketched(knots=[0.0, 0.0]), "The quantiles are not"),
        (sketched(knots=[1.0, 0.0]), "The quantiles are not"),
        (sketched(ranks=[3.0, 1.0]), "The quantiles are not"),
        (sketched(ranks=[0.0, 1.0]), "The quantiles are not"),
        (sketched(ranks=[1.0, 5.0]), "The quantiles are not"),
        (sketched(ranks=[1.0]), "The quantiles are not"),
        (
            sketched(np.arange(34.0), np.arange(1.0, 35.0), 99),
            "The quantiles are not, for each feature, up to 33",
        ),
        (sketched([], []), "The quantiles are not"),
        (sketched(count=0), "'count' is 0"),
        (sketched(features=("a", "b")), "Its quantiles do not fit its features."),
        # features that no table has
        (Hello((), ()), "no features, or more than the network's 3 inputs"),
        (Hello(("a", "b", "c", "d"), ("",) * 4), "no features, or more than the network's 3 inputs"),
        (Hello(("a\x1b[2J",), ("",)), "a feature or a unit that is called"),
        (Hello(("a" * 501,), ("",)), "a feature or a unit that is called"),
        (Hello(("a",), ("K\x07",)), "a feature or a unit that is called"),
        (Hello(("a", "b"), ("K",)), "Its units do not fit its features."),
        (Hello(("a", "a"), ("K", "mm")), "two features of one name"),
        (Hello(("a",), ("K",), known="all"), "its labels tell 'all', and not faults, normal, faulty, nothing"),
        (Hello(("a",), ("K",), unlabelled=-1), "-1 of its samples have no label"),
        # classes that no table has
        (labelled((), ()), "no classes, or more than 64"),
        (labelled(tuple(map(str, range(65))), ("0",)), "no classes, or more than 64"),
        (labelled(("ok", "ok"), ("ok",)), "are no names, or not unlike"),
        (labelled(("ok", "\x1b[2J"), ("ok",)), "are no names, or not unlike"),
        (labelled(("ok", "bad"), ("fine",)), "are no names, or not unlike"),
    ],
)
def test_an_introduction_of_what_no_device_has_is_refused(hello, wrong):
    with pytest.raises(WireError) as refused:
        header = POOLING if hello.moments else QUANTILES if hello.sketches else HEADER
        replies.read_hello(travelled(replies.write_hello("pump", RUN, hello)), header)
    assert wrong in str(refused.value)


@pytest.mark.parametrize("name", ["", "../up", "a/b", "<b>", "a b", "\x1b[31m", "a" * 101, "é"])
def test_a_name_that_no_folder_can_have_is_refused(name):
    with pytest.raises(WireError):
        replies.read_name(travelled(replies.refuse(name, "no table")))


@pytest.mark.parametrize(
    ("said", "wrong"),
    [
        ({"protocol": 6}, "version 6 of the protocol, and this device version 5: install the same version"),
        ({"run": "../../etc"}, "calls the run '../../etc'"),
        ({"run": "a" * 65}, "calls the run"),
        ({"run": "é"}, "calls the run"),
        ({"run": 5}, "'run' is missing, or no text"),
        ({"recipe": "= 3"}, "not TOML"),
        ({"recipe": "a = " + "[" * 100_000}, "not TOML"),
        ({"recipe": "sed = 1\n" + recipes.dump(RECIPE)}, "unknown key sed; the nearest known one is seed"),
        ({"kind": "shutdown"}, "asks for 'shutdown'"),
        ({"round": 0}, "'round' is 0"),
        ({"round": True}, "'round'"),
        ({"devices": 0}, "'devices' is 0"),
    ],
)
def test_a_server_that_cannot_be_followed_hears_so(said, wrong):
    records = requests.ask(HEADER, TRAIN, PLACE)
    records["request"] = ConfigRecord({**records["request"], **said})
    with pytest.raises((WireError, RecipeError)) as refused:
        requests.read_header(arrived := travelled(records))
        requests.read_request(arrived, RECIPE.model)
    assert wrong in str(refused.value)


@pytest.mark.parametrize(
    "place",
    [
        Place((0, 1)),
        Place((0, 1, 2, 3)),
        Place((0, 1, -2)),
        Place((0, 1, 2), (1.0, 2.0, 3.0), (1.0, 2.0)),
        Place((0, 1, 2), (1.0, 2.0, float("nan")), (1.0, 2.0, 3.0)),
        Place((0, 1, 2), (1.0, 2.0, 3.0), (1.0, 0.0, 3.0)),
    ],
)
def test_a_place_that_no_device_can_take_is_refused(place):
    with pytest.raises(WireError, match="no place that fits 3 inputs"):
        requests.read_request(travelled(requests.ask(HEADER, TRAIN, place)), RECIPE.model)


@pytest.mark.parametrize(
    "fill",
    [
        Fill((1,), ((0.5, 0.0),)),
        Fill((2,), ((0.5, 0.0, 0.0),)),  # it has this one
        Fill((3,), ((0.5, 0.0, 0.0),)),
        Fill((1, 1), ((0.5, 0.0, 0.0),) * 2),
        Fill((1,), ((4.1, 0.0, 0.0),)),
        Fill((1,), ((float("nan"), 0.0, 0.0),)),
    ],
)
def test_what_cannot_make_up_for_a_missing_feature_is_refused(fill):
    asked = requests.ask(HEADER, TRAIN, Place((0, -1, 1), fill=fill))
    with pytest.raises(WireError, match=r"^What the server puts in the place of missing features cannot"):
        requests.read_request(travelled(asked), RECIPE.model)


@pytest.mark.parametrize(
    "values",
    [
        None,
        np.eye(2),
        np.eye(3, dtype=np.float32),
        np.full((3, 3), np.nan),
        17 * np.eye(3),
        np.arange(9.0).reshape(3, 3),
    ],
)
def test_correlations_that_would_spoil_those_of_the_others_are_refused(values):
    regression = {"fleet.missing": "regression", "fleet.scaling": "fleet"}
    header = replace(HEADER, recipe=recipes.with_settings(RECIPE, regression))
    content = travelled(replies.write_hello("pump", RUN, replace(pooled(), correlations=values)))
    with pytest.raises(WireError, match=r"^Its correlations do not fit its features\.$"):
        replies.read_hello(content, header)


@pytest.mark.parametrize(
    "said", [{"classes": ["a"]}, {"classes": ["a", "a"]}, {"normal": [2]}, {"normal": [1]}, {"normal": []}]
)
def test_classes_that_no_fleet_has_are_refused(said):
    asked = requests.ask(HEADER, TRAIN, PLACE)
    asked["place"] = ConfigRecord({**asked["place"], **said})
    with pytest.raises(WireError, match=r"^The server's classes cannot be used: "):
        requests.read_request(travelled(asked), RECIPE.model)


@pytest.mark.parametrize(
    "said",
    [
        {"lengths": [2], "knots": [1.0, 0.0], "levels": [0.0, 1.0]},
        {"lengths": [2], "knots": [0.0, 1.0], "levels": [0.0, 9.0]},
        {"lengths": [2], "knots": [0.0, float("nan")], "levels": [0.0, 1.0]},
        {"lengths": [3], "knots": [0.0, 1.0], "levels": [0.0, 1.0]},
        {"lengths": [3, -1], "knots": [0.0, 1.0], "levels": [0.0, 1.0]},
        {"lengths": [2, 0], "knots": [0.0, 1.0], "levels": [0.0, 1.0]},
        {"lengths": [2], "knots": [0.0, 1.0], "levels": [0.0]},
        {"lengths": [2], "knots": ["a", "b"], "levels": [0.0, 1.0]},
        {"lengths": 5},
    ],
)
def test_curves_that_are_none_are_refused(said):
    asked = requests.ask(HEADER, TRAIN, PLACE)
    asked["place"] = ConfigRecord({**asked["place"], **said})
    with pytest.raises(WireError, match=r"^The server's curves cannot be used: "):
        requests.read_request(travelled(asked), RECIPE.model)


def test_a_stranger_s_words_are_cut_and_cannot_steer_a_terminal():
    refusal = travelled(replies.refuse("pump", "\x1b]0;gone\x07no\r\n\u202etable" + "x" * 10_000_000))
    with pytest.raises(WireError) as refused:
        replies.read_reply(refusal, HEADER, TRAIN, NETWORK)
    sentence = str(refused.value)
    assert sentence.startswith("]0;gone no tablexxx") and sentence.endswith("...") and len(sentence) == 400
    assert sentence.isprintable()
    assert plain("Ein Satz\nmit  Umlaut: ä.") == "Ein Satz mit Umlaut: ä."
