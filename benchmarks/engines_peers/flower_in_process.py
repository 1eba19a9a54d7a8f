"""Our engine over Flower's messages, serialised as on the wire, with every node a thread of this process."""

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from engines_peers.ours import runners, settings_of
from engines_peers.ours import train as train_rounds
from engines_peers.problem import Problem
from flwr.app import Context, Message
from flwr.clientapp import ClientApp

from fedmetaalign.engine.device_runner import learner_of, network_of
from fedmetaalign.engine.flower import replies
from fedmetaalign.engine.flower.engine import FlowerEngine
from fedmetaalign.engine.flower.node_registry import NodeRegistry
from fedmetaalign.engine.flower.requests import Header, read_header, read_request
from fedmetaalign.fleet.shared import Hello
from fedmetaalign.integrations.flower_grid import InProcessGrid
from fedmetaalign.phases.server import Server

HOUR = 3600.0


def run(folder: Path, step: str, rounds: int, cores: int | None, tell: Callable[[np.ndarray], None]) -> None:
    """Trains rounds + 1 times and tells the weights. The first round takes the mean, as the peers do."""
    problem = Problem.load(folder)
    settings = settings_of(problem)
    fleet = {each.device.name: each for each in runners(problem, settings)}
    app = ClientApp()

    @app.query("introduce")
    def introduce(message: Message, context: Context) -> Message:
        name, header = str(context.node_config["name"]), read_header(message.content)
        preparation = fleet[name].device.preparation
        about = Hello(preparation.features, preparation.units)
        return Message(replies.write_hello(name, header.run, about), reply_to=message)

    @app.train("train")
    def train(message: Message, context: Context) -> Message:
        name, header = str(context.node_config["name"]), read_header(message.content)
        request, _ = read_request(message.content, network_of(settings))
        return Message(
            replies.write_reply(name, header.run, request, fleet[name].answer(request)), reply_to=message
        )

    with InProcessGrid(app, {name: {"name": name} for name in fleet}, workers=cores) as grid:
        registry = NodeRegistry(grid, Header("", "benchmark", settings), lambda: tuple(fleet), HOUR)
        engine = FlowerEngine(registry, poll_interval=0.005)
        while len(registry.poll()) < len(fleet):
            time.sleep(0.005)
        train_rounds(Server(settings, engine, learner_of(settings)), problem, rounds, tell)
