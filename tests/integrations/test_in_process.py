"""The grid in this process answers as a SuperLink with SuperNodes does."""

import threading
import time
from types import SimpleNamespace

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, ConfigRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import ServerApp
from flwr.serverapp.strategy import FedAvg
from threadpoolctl import threadpool_info, threadpool_limits

from fedmetaalign.integrations import flower_grid as in_process
from fedmetaalign.integrations.flower_grid import InProcessGrid, pack

SUPERLINK, PUMP, FAN = 1, 2, 3
NODES = {"pump": {"table": "pump.csv"}, "fan": {"table": "fan.csv"}}
APP = ClientApp()


@APP.query("echo")
def echo(message, context):
    return Message(message.content, reply_to=message)


@APP.query("tell")
def tell(message, context):
    told = ConfigRecord({**context.node_config, **context.run_config, "node": context.node_id})
    return Message(RecordDict({"told": told}), reply_to=message)


@APP.query("count")
def count(message, context):
    seen = context.state.get("seen", MetricRecord({"times": 0}))["times"] + 1
    context.state["seen"] = MetricRecord({"times": seen})
    if message.content.get("fail"):
        raise ValueError("no data")
    return Message(context.state, reply_to=message)


@pytest.fixture
def grid():
    with InProcessGrid(APP, NODES, run_config={"rounds": 3}) as grid:
        yield grid


def ask(grid, node, action, content=None, ttl=None):
    (reply,) = grid.send_and_receive([Message(content or RecordDict(), node, f"query.{action}", ttl=ttl)])
    return reply


def test_lists_its_nodes_by_the_names_they_are_registered_under(grid):
    assert [(node.node_id, node.name, node.status) for node in grid.get_nodes()] == [
        (PUMP, "pump", "online"),
        (FAN, "fan", "online"),
    ]
    assert list(grid.get_node_ids()) == [PUMP, FAN]


def test_gives_each_node_its_own_config_and_the_run_s(grid):
    assert dict(ask(grid, FAN, "tell").content["told"]) == {"table": "fan.csv", "rounds": 3, "node": FAN}


def test_what_arrives_equals_what_was_sent_and_is_none_of_it(grid):
    arrays = {
        "half": np.array([[1.5, -0.25]], np.float16),
        "single": np.array([0.1, np.nan, np.inf], np.float32),
        "double": np.array(0.1),
        "count": np.arange(3),
        "twice": np.arange(3),
    }
    sent = RecordDict(
        {
            "arrays": ArrayRecord({name: Array(array) for name, array in arrays.items()}),
            "metrics": MetricRecord({"loss": 0.1, "losses": [1.0, 2.0], "steps": 2**40}),
            "config": ConfigRecord({"text": "é", "bytes": b"\0\1", "flags": [True, False]}),
        }
    )
    reply = ask(grid, PUMP, "echo", sent)
    received = reply.content
    assert (reply.metadata.src_node_id, reply.metadata.dst_node_id) == (PUMP, SUPERLINK)
    assert list(received) == ["arrays", "metrics", "config"]
    assert received["metrics"] == sent["metrics"] and received["config"] == sent["config"]
    for name, array in arrays.items():
        got = received["arrays"][name].numpy()
        assert got.dtype == array.dtype and got.shape == array.shape and got.tobytes() == array.tobytes()
    received["config"]["text"] = "other"
    assert sent["config"]["text"] == "é"


def test_a_message_is_what_it_was_when_it_was_pushed(grid):
    config = ConfigRecord({"server-round": 1})
    ids = grid.push_messages([Message(RecordDict({"config": config}), PUMP, "query.echo")])
    config["server-round"] = 2
    while not (replies := list(grid.pull_messages(ids))):
        time.sleep(0.001)
    assert replies[0].content["config"]["server-round"] == 1


def test_a_node_s_state_persists_and_is_its_own(grid):
    assert [ask(grid, PUMP, "count").content["seen"]["times"] for _ in range(3)] == [1, 2, 3]
    assert ask(grid, FAN, "count").content["seen"]["times"] == 1


def test_a_client_that_raises_is_an_error_as_the_supernode_words_it(grid):
    failing = RecordDict({"fail": ConfigRecord({"fail": True})})
    reply = ask(grid, PUMP, "count", failing)
    assert (reply.error.code, reply.error.reason) == (2, "<class 'ValueError'>:<'no data'>")
    assert reply.metadata.src_node_id == PUMP
    assert ask(grid, PUMP, "count").content["seen"]["times"] == 2  # it had counted before it failed


def test_an_action_that_no_client_has_is_an_error(grid):
    reply = ask(grid, PUMP, "dance")
    assert reply.error.code == 2 and "No query function registered with name 'dance'" in reply.error.reason


def test_a_reply_that_a_superlink_would_refuse_is_an_error():
    app = ClientApp()

    @app.train()
    def train(message, context):
        return Message(message.content, SUPERLINK, "train")  # names no message that it replies to

    with InProcessGrid(app, NODES) as grid:
        (reply,) = grid.send_and_receive([Message(RecordDict(), PUMP, "train")])
    assert reply.error.code == 2 and "A SuperLink would refuse this message" in reply.error.reason


def test_a_message_to_nobody_has_no_id_and_no_reply(grid):
    messages = [Message(RecordDict(), node, "query.echo") for node in (99, FAN)]
    assert [bool(message_id) for message_id in grid.push_messages(messages)] == [False, True]
    messages = [Message(RecordDict(), node, "query.echo") for node in (99, FAN)]
    assert [reply.metadata.src_node_id for reply in grid.send_and_receive(messages)] == [FAN]


def test_a_message_that_was_never_sent_or_is_answered_already_is_unavailable(grid):
    message = Message(RecordDict(), PUMP, "query.echo")
    list(grid.send_and_receive([message]))
    for message_id in ("0" * 64, message.metadata.message_id):
        (reply,) = grid.pull_messages([message_id])
        assert (reply.error.code, reply.metadata.src_node_id) == (3, SUPERLINK)
        assert reply.metadata.reply_to_message_id == message_id


def test_a_node_that_left_is_not_listed_and_the_superlink_answers_for_it(grid):
    ask(grid, PUMP, "count")
    grid.leave("pump")
    assert [node.name for node in grid.get_nodes()] == ["fan"]
    reply = ask(grid, PUMP, "count")
    assert (reply.error.code, reply.metadata.src_node_id) == (5, SUPERLINK)
    grid.join("pump")
    assert [node.node_id for node in grid.get_nodes()] == [PUMP, FAN]
    assert ask(grid, PUMP, "count").content["seen"]["times"] == 1  # a process of its own, again


def test_a_node_that_leaves_at_work_takes_its_answer_along():
    app, started, released = ClientApp(), threading.Event(), threading.Event()

    @app.train()
    def train(message, context):
        started.set()
        assert released.wait(60)
        return Message(message.content, reply_to=message)

    with InProcessGrid(app, NODES, workers=2) as grid:
        ids = grid.push_messages([Message(RecordDict(), PUMP, "train")])
        assert started.wait(60)
        assert list(grid.pull_messages(ids)) == []
        grid.leave("pump")
        grid.join("pump")
        released.set()
        (reply,) = grid.pull_messages(ids)
        assert reply.error.code == 5
        (reply,) = grid.send_and_receive([Message(RecordDict(), PUMP, "train")])
        assert reply.has_content()
    assert grid.traffic["pump"][1] == pack([reply], replies=True)[0].size  # and no other


def test_faults_change_or_lose_a_reply(monkeypatch):
    came = []

    def faults(name, reply):
        if name == "fan":
            return None
        reply.content["forged"] = MetricRecord({"loss": float("nan")})
        return reply

    class Grid(InProcessGrid):
        def pull_messages(self, message_ids):
            came.extend(found := list(super().pull_messages(message_ids)))
            return found

    with Grid(APP, NODES, workers=1, faults=faults) as grid:
        messages = [Message(RecordDict(), node, "query.echo") for node in (FAN, PUMP)]
        # The time is up as soon as there is a reply; by then the one thread is done with the fan.
        monkeypatch.setattr(in_process, "time", SimpleNamespace(monotonic=lambda: 100.0 * len(came)))
        (reply,) = grid.send_and_receive(messages, timeout=60)
        assert reply.metadata.src_node_id == PUMP and np.isnan(reply.content["forged"]["loss"])
        assert ask(grid, FAN, "echo", ttl=0.1).error.code == 3  # it expires


def test_a_node_answers_one_message_at_a_time_in_the_order_of_their_arrival():
    app, active, order = ClientApp(), threading.Semaphore(1), []

    @app.train()
    def train(message, context):
        assert active.acquire(blocking=False), "two at once"
        order.append(message.content["config"]["number"])
        time.sleep(0.001)
        active.release()
        return Message(message.content, reply_to=message)

    with InProcessGrid(app, NODES, workers=4) as grid:
        contents = [RecordDict({"config": ConfigRecord({"number": i})}) for i in range(20)]
        replies = list(grid.send_and_receive([Message(content, PUMP, "train") for content in contents]))
    assert not any(reply.has_error() for reply in replies)
    assert order == list(range(20))


def test_nodes_answer_side_by_side():
    app, meeting = ClientApp(), threading.Barrier(2, timeout=60)

    @app.train()
    def train(message, context):
        meeting.wait()  # breaks, and raises, unless both are here
        return Message(message.content, reply_to=message)

    with InProcessGrid(app, NODES, workers=2) as grid:
        replies = grid.send_and_receive([Message(RecordDict(), node, "train") for node in (PUMP, FAN)])
        assert not any(reply.has_error() for reply in replies)


def test_traffic_counts_what_each_node_was_sent_and_sent_back():
    app = ClientApp()

    @app.train()
    def train(message, context):
        return Message(RecordDict(), reply_to=message)

    def bytes_of(arrays):
        with InProcessGrid(app, NODES) as grid:
            list(grid.send_and_receive([Message(RecordDict({"arrays": ArrayRecord(arrays)}), FAN, "train")]))
            assert grid.traffic["pump"] == (0, 0)
            return grid.traffic["fan"]

    numbers = np.random.default_rng(0).normal(size=(2, 2000)).astype(np.float32)
    down, up = bytes_of([numbers[0, :1000]])
    assert 4000 < down < 6000 and 0 < up < 1000
    assert bytes_of([numbers[0]]) == (down + 4 * 1000, up)
    other, same = bytes_of([numbers[0], numbers[1]])[0], bytes_of([numbers[0], numbers[0]])[0]
    assert other - same > 8000  # what is there twice travels once


def test_runs_a_server_app_with_flower_s_own_strategy():
    client, server, results = ClientApp(), ServerApp(), []

    @client.train()
    def train(message, context):
        (weights,) = message.content["arrays"].to_numpy_ndarrays()
        metrics = MetricRecord({"num-examples": context.node_config["samples"]})
        arrays = ArrayRecord([weights + context.node_config["step"]])
        return Message(RecordDict({"arrays": arrays, "metrics": metrics}), reply_to=message)

    @server.main()
    def main(grid, context):
        strategy = FedAvg(fraction_evaluate=0.0)
        results.append(strategy.start(grid, ArrayRecord([np.zeros(2)]), num_rounds=2))

    nodes = {"pump": {"samples": 30, "step": 1.0}, "fan": {"samples": 10, "step": 5.0}}
    with InProcessGrid(client, nodes) as grid:
        server(grid, Context(grid.run.run_id, SUPERLINK, {}, RecordDict(), {}))
    np.testing.assert_array_equal(results[0].arrays.to_numpy_ndarrays()[0], [4.0, 4.0])  # 2 (30·1 + 10·5)/40


def test_a_nodes_limit_on_threads_does_not_end_in_the_midst_of_anothers():
    """It is the whole process's, and who leaves gives back what was before he came."""
    first_in, second_in, first_out = threading.Event(), threading.Event(), threading.Event()
    app = ClientApp()

    def blas():
        return {pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"}

    @app.query()
    def look(message, context):
        if context.node_id == PUMP:
            with threadpool_limits(1, "blas"):
                first_in.set()
                assert second_in.wait(60)
            first_out.set()
            return Message(RecordDict(), reply_to=message)
        assert first_in.wait(60)
        with threadpool_limits(1, "blas"):
            second_in.set()
            assert first_out.wait(60)
            return Message(RecordDict({"seen": ConfigRecord({"threads": sorted(blas())})}), reply_to=message)

    with threadpool_limits(2, "blas"):
        with InProcessGrid(app, NODES, workers=2) as grid:
            replies = grid.send_and_receive([Message(RecordDict(), node, "query") for node in (PUMP, FAN)])
            seen = {reply.metadata.src_node_id: reply.content for reply in replies}
        assert blas() == {2}
    assert seen[FAN]["seen"]["threads"] == [1]
