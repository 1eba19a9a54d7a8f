"""Similarity-aware aggregation as a Strategy of Flower.

The clients fit y = w·x, each to its one sample, with one step of gradient descent of rate 1 on half the squared
error. From w = (0, 0) the pump moves by (3, 0) and the fan by (0, 4).
"""

import doctest
import io
import itertools
import math
import re

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, ConfigRecord, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp.exception import AggregationError
from flwr.serverapp.strategy import FedAvg

from fedmetaalign.aggregation import Cohort
from fedmetaalign.aggregation.similarity import similarity
from fedmetaalign.integrations.flower_grid import InProcessGrid
from fedmetaalign.integrations.flower_strategy import SimilarityAware

PUMP, FAN, MILL = 2, 3, 4
NODES = {
    "pump": {"x0": 1.0, "x1": 0.0, "y": 3.0, "loss": 0.0, "samples": 30},
    "fan": {"x0": 0.0, "x1": 2.0, "y": 2.0, "loss": 1.0, "samples": 10},
}
THIRD = {"mill": {"x0": 1.0, "x1": 1.0, "y": 5.0, "loss": 0.0, "samples": 1000}}
LINEAR = ClientApp()


def sample(config):
    return np.array([config["x0"], config["x1"]]), config["y"]


@LINEAR.train()
def train(message, context):
    weights = message.content["arrays"]["w"].numpy()
    x, y = sample(context.node_config)
    weights = (weights - (weights @ x - y) * x).astype(weights.dtype)
    metrics = {"loss": context.node_config["loss"], "num-examples": context.node_config["samples"]}
    return answer(message, {"w": weights}, metrics)


@LINEAR.evaluate()
def evaluate(message, context):
    x, y = sample(context.node_config)
    error = abs(float(message.content["arrays"]["w"].numpy() @ x - y))
    metrics = MetricRecord({"error": error, "num-examples": context.node_config["samples"]})
    return Message(RecordDict({"metrics": metrics}), reply_to=message)


def record(arrays):
    return ArrayRecord({name: Array(np.asarray(array)) for name, array in arrays.items()})


def answer(message, arrays, metrics):
    content = {"arrays": record(arrays), "metrics": MetricRecord(metrics)}
    return Message(RecordDict(content), reply_to=message)


def fit(strategy, nodes=NODES, start=(0.0, 0.0), rounds=1, faults=None, app=LINEAR):
    with InProcessGrid(app, nodes, **({"faults": faults} if faults else {})) as grid:
        return strategy.start(grid, record({"w": np.array(start, np.float32)}), num_rounds=rounds)


def weights_of(result):
    return result.arrays["w"].numpy()


def test_the_example_of_the_docstring_runs():
    example = doctest.DocTestParser().get_doctest(SimilarityAware.__doc__, globals(), "example", None, 0)
    said = io.StringIO()
    outcome = doctest.DocTestRunner(verbose=False).run(example, out=said.write)
    assert outcome.attempted == 5 and outcome.failed == 0, said.getvalue()


def test_two_clients_by_hand():
    # D = (1.5, 2), cos = 0.6 and 0.8, scores 1 and 1/2: weights 0.6 and 0.4
    strategy = SimilarityAware()
    result = fit(strategy)
    np.testing.assert_allclose(weights_of(result), [1.8, 1.6], rtol=1e-6)
    assert weights_of(result).dtype == np.float32
    (entry,) = strategy.history
    assert entry.number == 1 and entry.rejected == ()
    assert entry.query_scores == {PUMP: 1.0, FAN: 0.5}
    assert entry.alignment == {PUMP: pytest.approx(0.6), FAN: pytest.approx(0.8)}
    assert entry.weights == {PUMP: pytest.approx(0.6), FAN: pytest.approx(0.4)}


def test_the_second_round_starts_from_the_first_one_s_weights():
    # From (1.8, 1.6): deltas (1.2, 0) and (0, -2.4), D = (0.6, -1.2), cos = 1/√5 and 2/√5: equal weights
    strategy = SimilarityAware()
    np.testing.assert_allclose(weights_of(fit(strategy, rounds=2)), [2.4, 0.4], rtol=1e-6)
    assert [entry.number for entry in strategy.history] == [1, 2]
    assert strategy.history[1].weights == {PUMP: pytest.approx(0.5), FAN: pytest.approx(0.5)}


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"server_learning_rate": 0.5}, [0.9, 0.8]),
        ({"reference": "others"}, [2.0, 4 / 3]),  # orthogonal: both at the floor, 2/3 and 1/3 by score
        ({"unit_norm": True}, [2.0, 4 / 3]),  # both align at 1/√2
        ({"floor": 0.8}, [24 / 12, 16 / 12]),  # 0.8 and 0.8 · 1/2
        ({"loss_key": "num-examples", "floor": 1.0}, [3 * 11 / 42, 4 * 31 / 42]),  # scores 1/31 and 1/11
    ],
)
def test_every_parameter_counts(options, expected):
    np.testing.assert_allclose(weights_of(fit(SimilarityAware(**options))), expected, rtol=1e-6)


def test_a_client_that_pulls_the_other_way_has_the_floor():
    app = ClientApp()

    @app.train()
    def pull(message, context):
        return answer(
            message, {"w": [np.float32(context.node_config["pull"])]}, {"score": 1.0, "num-examples": 1}
        )

    nodes = {"pump": {"pull": 4.0}, "fan": {"pull": 4.0}, "mill": {"pull": -4.0}}
    strategy = SimilarityAware(fraction_evaluate=0.0)
    result = fit(strategy, nodes, [0.0], app=app)
    np.testing.assert_allclose(weights_of(result), [(4 + 4 - 0.4) / 2.1], rtol=1e-6)
    assert strategy.history[0].alignment == {PUMP: 1.0, FAN: 1.0, MILL: -1.0}


def test_a_score_comes_before_a_loss():
    def faults(name, reply):
        reply.content["metrics"]["score"] = 0.25
        return reply

    strategy = SimilarityAware(fraction_evaluate=0.0)
    fit(strategy, faults=faults)
    assert strategy.history[0].query_scores == {PUMP: 0.25, FAN: 0.25}


def test_metrics_are_the_means_by_samples_of_what_all_clients_have():
    def faults(name, reply):
        if "w" in str(reply.content.get("arrays", "")):
            reply.content["metrics"]["accuracy"] = {"pump": 0.9, "fan": 0.5}[name]
            reply.content["metrics"][f"of-{name}"] = 1.0
            reply.content["metrics"]["by-class"] = {"pump": [1.0, 2.0], "fan": [1.0]}[name]
        return reply

    result = fit(SimilarityAware(), faults=faults)
    assert dict(result.train_metrics_clientapp[1]) == {
        "loss": pytest.approx(0.25),
        "accuracy": pytest.approx(0.8),
    }
    # at (1.8, 1.6): |1.8 - 3| = 1.2 of 30 samples, |3.2 - 2| = 1.2 of 10
    assert dict(result.evaluate_metrics_clientapp[1]) == {"error": pytest.approx(1.2, rel=1e-6)}


def test_counters_are_averaged_and_rounded_but_set_no_direction():
    app = ClientApp()

    @app.train()
    def step(message, context):
        w, n = (message.content["arrays"][name].numpy() for name in ("w", "n"))
        move, batches = {PUMP: ([3, 0], 700), FAN: ([0, 4], 202)}[context.node_id]
        arrays = {"w": w + np.array(move, np.float32), "n": n + batches}
        return answer(message, arrays, {"score": {PUMP: 1.0, FAN: 0.5}[context.node_id], "num-examples": 1})

    strategy = SimilarityAware(fraction_evaluate=0.0)
    with InProcessGrid(app, NODES) as grid:
        start = record({"w": np.zeros(2, np.float32), "n": np.array(10)})
        arrays = strategy.start(grid, start, num_rounds=1).arrays
    np.testing.assert_allclose(arrays["w"].numpy(), [1.8, 1.6], rtol=1e-6)
    assert arrays["n"].numpy().dtype == np.int64 and arrays["n"].numpy() == 511  # 10 + 0.6 · 700 + 0.4 · 202
    assert strategy.history[0].alignment == {PUMP: pytest.approx(0.6), FAN: pytest.approx(0.8)}


def test_one_nan_client_turns_fedavg_to_nan_but_is_left_out_here():
    def faults(name, reply):
        if name == "mill" and "arrays" in reply.content:
            reply.content["arrays"] = record({"w": np.array([1.0, np.nan], np.float32)})
        return reply

    nodes = NODES | THIRD
    assert np.isnan(weights_of(fit(FedAvg(), nodes, faults=faults))).any()
    strategy = SimilarityAware()
    assert (
        weights_of(fit(strategy, nodes, faults=faults)).tobytes()
        == weights_of(fit(SimilarityAware())).tobytes()
    )
    ((node, reason),) = strategy.history[0].rejected
    assert node == MILL and "a NaN or an infinity" in reason


def archive():
    target = io.BytesIO()
    np.savez(target, w=np.zeros(2))
    return target.getvalue()


def pickled():
    target = io.BytesIO()
    np.save(target, np.array([{}, {}]), allow_pickle=True)
    return target.getvalue()


def raw(data, shape=(2,)):
    return ArrayRecord({"w": Array("float32", shape, "numpy.ndarray", data)})


NPY = Array(np.zeros(3, np.float32)).data


@pytest.mark.parametrize(
    ("key", "value", "reason"),
    [
        ("arrays", record({"w": np.array([np.inf, 0], np.float32)}), "a NaN or an infinity"),
        ("arrays", record({"w": [1e200, 0.0]}), "lie too far away"),
        ("arrays", record({"w": np.zeros(3)}), r'array "w" is \(3,\) in place of \(2,\)'),
        ("arrays", record({"w": np.zeros((2, 1))}), r'array "w" is \(2, 1\) in place of \(2,\)'),
        ("arrays", record({"v": np.zeros(2)}), r"arrays are \['v'\] in place of \['w'\]"),
        ("arrays", record({"w": np.zeros(2), "v": np.zeros(2)}), r"arrays are \['v', 'w'\]"),
        ("arrays", ArrayRecord(), r"arrays are \[\] in place of"),
        ("arrays", record({"w": np.array([1j, 2j])}), "no real numbers"),
        ("arrays", record({"w": np.array(["a", "b"])}), "no real numbers"),
        ("arrays", raw(NPY), r"is \(3,\) in place of \(2,\)"),  # whatever shape it is said to have
        ("arrays", raw(NPY[:-4]), "cannot be read"),
        ("arrays", raw(b""), "cannot be read"),
        ("arrays", raw(b"PK\x03\x04 no archive"), "cannot be read"),
        ("arrays", raw(archive()), "no real numbers"),
        ("arrays", raw(pickled()), "cannot be read"),
        ("again", record({"w": np.zeros(2)}), "2 ArrayRecords"),
        ("again", MetricRecord({"score": 1.0}), "2 MetricRecords"),
        ("metrics", MetricRecord({"num-examples": 1}), 'no number "loss"'),
        ("metrics", MetricRecord({"num-examples": 1, "loss": [0.5]}), 'no number "loss"'),
        ("metrics", MetricRecord({"num-examples": 1, "loss": -0.5}), '"loss" is -0.5'),
        ("metrics", MetricRecord({"num-examples": 1, "loss": math.inf}), '"loss" is inf'),
        (
            "metrics",
            MetricRecord({"num-examples": 1, "score": 0.0}),
            r'"score" is 0.0, and must be in \(0, 1\]',
        ),
        ("metrics", MetricRecord({"num-examples": 1, "score": 1.5}), '"score" is 1.5'),
        ("metrics", MetricRecord({"num-examples": 1, "score": -1, "loss": 0.5}), '"score" is -1'),
        ("metrics", MetricRecord({"num-examples": 1, "score": math.nan}), '"score" is nan'),
        ("metrics", MetricRecord({"num-examples": 1, "score": 1.0, "x": [0.0, math.nan]}), '"x" is'),
        ("metrics", MetricRecord({"score": 1.0}), 'no number "num-examples"'),
        ("metrics", MetricRecord({"score": 1.0, "num-examples": 0}), '"num-examples" is 0'),
    ],
)
def test_an_unusable_reply_is_left_out_with_a_reason_and_the_others_count(key, value, reason, caplog):
    def faults(name, reply):
        if name == "mill":
            reply.content[key] = value
        return reply

    strategy = SimilarityAware(fraction_evaluate=0.0)
    result = fit(strategy, NODES | THIRD, faults=faults)
    np.testing.assert_allclose(weights_of(result), [1.8, 1.6], rtol=1e-6)
    ((node, told),) = strategy.history[0].rejected
    assert node == MILL
    assert re.search(reason, told), told
    assert f"left out the reply of node {MILL}: {told}" in caplog.text


def test_errors_are_left_out_with_their_reason():
    def faults(name, reply):
        if name == "mill":
            raise OSError("disk full")
        return reply

    strategy = SimilarityAware(fraction_evaluate=0.0)
    np.testing.assert_allclose(weights_of(fit(strategy, NODES | THIRD, faults=faults)), [1.8, 1.6], rtol=1e-6)
    assert strategy.history[0].rejected == ((MILL, "it is an error, <class 'OSError'>:<'disk full'>"),)


def test_without_a_usable_reply_the_weights_stay():
    def faults(name, reply):
        reply.content["metrics"]["loss"] = math.nan
        return reply

    strategy = SimilarityAware(fraction_evaluate=0.0)
    result = fit(strategy, faults=faults, rounds=2)
    assert not result.arrays and not result.train_metrics_clientapp  # Flower's word for: as they were
    assert [(entry.number, entry.weights, len(entry.rejected)) for entry in strategy.history] == [
        (1, {}, 2),
        (2, {}, 2),
    ]
    assert strategy.aggregate_train(3, []) == (None, None)


def test_needs_to_know_what_was_sent():
    with pytest.raises(AggregationError, match="call `configure_train` first"):
        SimilarityAware().aggregate_train(1, [])


def five_replies(strategy, start):
    """Five clients that move two arrays at random; their replies in the order of node ids."""
    app = ClientApp()

    @app.train()
    def step(message, context):
        rng = np.random.default_rng(context.node_id)
        arrays = {
            name: array.numpy() + rng.normal(size=array.shape).astype(array.dtype)
            for name, array in message.content["arrays"].items()
        }
        return answer(message, arrays, {"score": rng.uniform(0.1, 1), "num-examples": int(rng.integers(1, 99))})

    with InProcessGrid(app, {f"node-{i}": {} for i in range(5)}) as grid:
        replies = grid.send_and_receive(strategy.configure_train(1, record(start), ConfigRecord(), grid))
    return sorted(replies, key=lambda reply: reply.metadata.src_node_id)


START = {"kernel": np.linspace(-1, 1, 12, dtype=np.float32).reshape(3, 4), "bias": np.zeros(4, np.float32)}


def test_the_order_of_arrival_does_not_change_a_bit():
    strategy = SimilarityAware()
    start = {name: array.astype(np.float64) for name, array in START.items()}  # float32 would round it away
    replies = five_replies(strategy, start)
    outcomes = {
        tuple(array.numpy().tobytes() for array in strategy.aggregate_train(1, order)[0].values())
        for order in itertools.permutations(replies)
    }
    assert len(outcomes) == 1


@pytest.mark.parametrize("reference", ["mean", "others"])
@pytest.mark.parametrize("unit_norm", [False, True])
def test_equals_the_rule_on_flat_vectors(reference, unit_norm):
    strategy = SimilarityAware(0.2, reference, unit_norm, server_learning_rate=0.7)
    replies = five_replies(strategy, START)
    arrays, _ = strategy.aggregate_train(1, replies)

    def flat(arrays):
        return np.concatenate([np.asarray(array, np.float64).ravel() for array in arrays])

    start = flat(START.values())
    deltas = np.stack([flat(r.content["arrays"].to_numpy_ndarrays()) - start for r in replies])
    scores = np.array([r.content["metrics"]["score"] for r in replies])
    ones = np.ones(5)
    expected = similarity(Cohort(deltas, scores, ones, ones), 0.2, reference, unit_norm)
    assert list(strategy.history[0].weights.values()) == expected.weights.tolist()
    assert list(strategy.history[0].alignment.values()) == expected.alignment.tolist()
    moved = (start + 0.7 * expected.step).astype(np.float32)
    assert arrays["kernel"].numpy().tobytes() == moved[:12].tobytes()
    assert arrays["bias"].numpy().tobytes() == moved[12:].tobytes()
    assert {name: array.numpy().shape for name, array in arrays.items()} == {"kernel": (3, 4), "bias": (4,)}
