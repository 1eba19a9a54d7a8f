"""The device's end answers what it can use, and says in one sentence what is in its way."""

from dataclasses import replace

import pytest
from flwr.app import ConfigRecord, Message
from over_flower import nodes_of
from small_run import RUN

from fedmetaalign import recipe as recipes
from fedmetaalign.engine.device_runner import learner_of
from fedmetaalign.engine.flower import replies, requests
from fedmetaalign.engine.flower.client_app import app
from fedmetaalign.engine.flower.requests import Header
from fedmetaalign.engine.flower.wire import WireError
from fedmetaalign.federation.messages import Train, Visit
from fedmetaalign.fleet.shared import Place
from fedmetaalign.integrations.flower_grid import InProcessGrid


@pytest.fixture
def recipe(finished):
    return finished.recipe


@pytest.fixture(scope="module")
def nodes(finished, tmp_path_factory):
    """The devices, whose tables are only read."""
    return nodes_of(finished.recipe, tmp_path_factory.mktemp("tables"))


@pytest.fixture
def ask(recipe, nodes, tmp_path):
    """Asks the first device something, with a node_config and words that may be changed."""
    name = sorted(nodes)[0]
    node = {**nodes[name], "state": str(tmp_path / name / "state")}

    def exchange(content, what, config=None, **said):
        record = ConfigRecord({**content["request"], **said})
        content["request"] = record
        with InProcessGrid(app, {name: {**node, **(config or {})}}) as grid:
            (reply,) = grid.send_and_receive([Message(content, 2, what, ttl=600.0)])
        return reply.content

    exchange.name = name
    exchange.place = Place((0, 1, 2, 3, 4, 5, -1, -1, -1))
    exchange.header = Header(name, RUN, recipe)
    exchange.train = Train(learner_of(recipe).initial(), 1, 3)
    return exchange


def sentence(content):
    """What a device says is in its way."""
    assert set(content) == {"reply"}
    with pytest.raises(WireError) as refused:
        replies.read_hello(content, Header("", RUN, recipes.load("demo")))
    return str(refused.value)


def test_introduces_itself_with_its_features(ask):
    question = requests.ask_hello(replace(ask.header, device=""))
    found = ask(question, "query.introduce", {"state": ""})  # which is for training only
    assert replies.read_name(found) == ask.name
    told = replies.read_hello(found, ask.header)
    assert told.features == ("Ia", "Ib", "Ic", "Va", "Vb", "Vc") and told.moments is None
    assert told.units == ("A", "A", "A", "p.u.", "p.u.", "p.u.")


@pytest.mark.parametrize(
    ("said", "wrong"),
    [
        ({"run": "../../elsewhere"}, "The server calls the run '../../elsewhere'"),
        ({"device": "somebody"}, "The server took this device for 'somebody'."),
    ],
)
def test_refuses_what_it_cannot_follow(ask, tmp_path, said, wrong):
    found = ask(requests.ask(ask.header, ask.train, ask.place), "train.train", **said)
    assert wrong in sentence(found)
    assert not (tmp_path / ask.name / "state").exists()


@pytest.mark.parametrize(
    ("kind", "config", "wrong"),
    [
        (kind, *case)
        for kind in ("query.introduce", "train.train")
        for case in (
            ({"name": ""}, "The node's configuration lacks 'name': start it with `fedmetaalign device`."),
            ({"name": 5}, "The node's configuration lacks 'name'"),
            ({"table": ""}, "The node's configuration lacks 'table'"),
            ({"table": "nowhere.csv"}, "Its table cannot be used"),
            ({"table": "nowhere.safetensors"}, "Its table cannot be used"),
        )
    ]
    + [("train.train", {"state": ""}, "lacks 'state'")],
)
def test_says_what_its_own_configuration_lacks(ask, kind, config, wrong):
    request = requests.ask_hello(ask.header)
    if kind == "train.train":
        request = requests.ask(ask.header, ask.train, ask.place)
    assert wrong in sentence(ask(request, kind, config))


def test_what_is_wrong_with_its_table_is_reported_beside_the_device_alone(ask, tmp_path, capfd):
    columns = ["Ia", "Ib", "Ic", "Va", "Vb", "Vc", "fault"]
    table = tmp_path / "t.csv"
    table.write_text(f"{','.join(columns)}\n1,2,3,4,5,secret 7,0\n", encoding="utf-8")
    found = ask(requests.ask_hello(ask.header), "query.introduce", {"table": str(table)})
    assert sentence(found) == (
        "Its table cannot be used: what is wrong with it is reported beside the device, and in its"
        " supernode.log."
    )
    (told,) = [line for line in capfd.readouterr().err.splitlines() if line.startswith("fedmetaalign-device: ")]
    assert "secret 7" in told and str(table) in told


def test_an_error_of_which_nobody_thought_leaves_what_it_holds_on_the_device(ask, monkeypatch, capfd):
    def fail(*_):
        raise ValueError("secret 7\nand more")

    monkeypatch.setattr("fedmetaalign.engine.flower.client_app.read_table", fail)
    said = sentence(ask(requests.ask_hello(ask.header), "query.introduce"))
    assert said.startswith("It failed with ValueError: ") and "secret" not in said
    told = capfd.readouterr().err
    assert "fedmetaalign-device: ValueError: secret 7 and more\n" in told and "Traceback" in told


def test_weights_of_another_network_are_refused(ask):
    visit = Visit(ask.train.weights[:-1], 1, 3, 1)
    assert "'weights' is float32 of shape" in sentence(
        ask(requests.ask(ask.header, visit, ask.place), "train.visit")
    )
