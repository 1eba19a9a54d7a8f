"""Devices that lie in every round but the last: each lie is reported, and changes nothing for the others."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pytest
from over_flower import nodes_of
from safetensors.numpy import load_file
from test_server_app import quick_polls, settings  # noqa: F401 - a fixture of all tests here

from fedmetaalign import recipe as recipes
from fedmetaalign.engine.device_runner import DeviceRunner, learner_of
from fedmetaalign.engine.flower import replies
from fedmetaalign.engine.flower.client_app import app as client_app
from fedmetaalign.engine.local import LocalEngine
from fedmetaalign.federation.engine import Around, Replies
from fedmetaalign.federation.messages import Reply, Request, Train
from fedmetaalign.fleet.build import build
from fedmetaalign.integrations.flower_grid import InProcessGrid
from fedmetaalign.methods import find
from fedmetaalign.phases.client import Client
from fedmetaalign.phases.server import Server, State, rounds
from fedmetaalign.serving.server_app import serve

HONEST, F1, F2 = (f"feeder-0{i}" for i in range(3))

RECIPE = {
    "fleet": {"simulator": "feeder", "count": 3, "samples": 250},
    "model": {"hidden": [8, 4]},
    "optimizer": {"learning_rate": 0.01},
    "serial": {"rounds": 1},
    "parallel": {"rounds": 4},
    "personalize": {"epochs": 2},
}


def with_delta(change):
    return lambda device, request, reply: (device, request, replace(reply, delta=change(reply.delta)))


LIES = {
    "NaN": with_delta(lambda delta: np.where(np.arange(len(delta)) == 7, np.float32("nan"), delta)),
    "shape": with_delta(lambda delta: delta[:-1]),
    "score": lambda device, request, reply: (device, request, replace(reply, query_score=2.0)),
    "stale": lambda device, request, reply: (device, replace(request, number=1), reply),
    "name": lambda device, request, reply: (HONEST, request, reply),
}

TOLD = [
    (1, F1, "NaN", "The array 'delta' holds a value that is not finite."),
    (1, F2, "shape", "The array 'delta' is float32 of shape (120,), and not float32 of shape (121,)."),
    (2, F1, "score", "Its score 2 is out of (0, 1]."),
    (2, F2, "stale", "It answered round 1, and was asked 2."),
    (3, F1, "name", f"It answered in the name of '{HONEST}'."),
]
"""In which round who lies how, and what is said of it."""


@dataclass(frozen=True)
class WithoutLiars(Around):
    """A fleet in this process that leaves devices out of some parallel rounds."""

    left_out: Mapping[str, Sequence[int]]

    def exchange_each(self, requests: Mapping[str, Request[Reply]], patience: float = 0.0) -> Replies[Reply]:
        asked = {
            name: request
            for name, request in requests.items()
            if not isinstance(request, Train) or request.number not in self.left_out.get(name, ())
        }
        return super().exchange_each(asked, patience)


@pytest.mark.usefixtures("no_report")
def test_lies_are_reported_and_change_nothing_for_the_others(tmp_path, monkeypatch) -> None:
    told = {(number, device): LIES[lie] for number, device, lie, _ in TOLD}
    honest = replies.write_reply

    def write_reply(device, run, request, reply):
        if isinstance(request, Train) and (lie := told.get((request.number, device))):
            device, request, reply = lie(device, request, reply)
        return honest(device, run, request, reply)

    monkeypatch.setattr(replies, "write_reply", write_reply)
    recipe, out = recipes.parse(RECIPE, "here"), tmp_path / "run"
    (tmp_path / "recipe.toml").write_text(recipes.dump(recipe), encoding="utf-8")
    with InProcessGrid(client_app, nodes_of(recipe, tmp_path / "fleet")) as grid:
        serve(grid, settings(tmp_path / "recipe.toml", out))

    found = [json.loads(line) for line in (out / "rounds.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [record for record in found if "rejected" in record] == [
        {"phase": 2, "round": number, "device": device, "rejected": reason}
        for number, device, _, reason in TOLD
    ]
    manifest = json.loads((out / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["missed"] == {F1: {"rejected": 3}, F2: {"rejected": 2}}

    learner, method = learner_of(recipe), find(recipe.method)
    runners = [DeviceRunner(Client(recipe, device, learner), method) for device in build(recipe).devices]
    fair = WithoutLiars(LocalEngine(runners), {F1: (1, 2, 3), F2: (1, 2)})
    done = list(rounds(method.rounds(Server(recipe, fair, learner)), State(learner.initial())))
    records = [record for _, _, each in done for record in each]
    answered = [record for record in found if record["phase"] < 3 and "rejected" not in record]
    assert answered == json.loads(json.dumps(records))
    checkpoint = load_file(out / "checkpoint.safetensors")
    assert checkpoint["weights"].tobytes() == done[-1][1].weights.tobytes()
    assert sorted(json.loads((out / "results.json").read_text(encoding="utf-8"))["devices"]) == [HONEST, F1, F2]
