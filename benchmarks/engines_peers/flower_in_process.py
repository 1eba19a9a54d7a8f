"""Our engine over Flower's messages, serialised as on the wire, with every node a thread of this process."""

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from engines_peers.ours import devices, settings_of
from engines_peers.problem import Problem
from flwr.app import Context, Message
from flwr.clientapp import ClientApp

from fedmetaalign.aggregation.mean import mean
from fedmetaalign.aggregation.registry import rule
from fedmetaalign.engine.flower import answers
from fedmetaalign.engine.flower.engine import FlowerEngine
from fedmetaalign.engine.flower.in_process import InProcessGrid
from fedmetaalign.engine.flower.questions import Envelope, read_envelope, read_request
from fedmetaalign.engine.flower.roll import Roll
from fedmetaalign.engine.participant import Participant
from fedmetaalign.phases.parallel import fl_round

HOUR = 3600.0


def run(folder: Path, step: str, rounds: int, cores: int | None, tell: Callable[[np.ndarray], None]) -> None:
    """Trains rounds + 1 times and tells the weights. The first round takes the mean, as the peers do."""
    problem = Problem.load(folder)
    settings = settings_of(problem)
    fleet = {device.name: Participant(settings, device) for device in devices(problem, settings.seed)}
    app = ClientApp()

    @app.query("introduce")
    def introduce(message: Message, context: Context) -> Message:
        name, envelope = str(context.node_config["name"]), read_envelope(message.content)
        about = answers.Introduction(fleet[name].device.preparation.features, None)
        return Message(answers.introduce(name, envelope.run, about), reply_to=message)

    @app.train("train")
    def train(message: Message, context: Context) -> Message:
        name, envelope = str(context.node_config["name"]), read_envelope(message.content)
        request, _ = read_request(message.content, fleet[name].network)
        return Message(
            answers.answer(name, envelope.run, request, fleet[name].answer(request)), reply_to=message
        )

    with InProcessGrid(app, {name: {"name": name} for name in fleet}, workers=cores) as grid:
        roll = Roll(grid, Envelope("", "benchmark", settings), lambda: tuple(fleet), HOUR)
        engine = FlowerEngine(roll, poll=0.005)
        while len(roll.call()) < len(fleet):
            time.sleep(0.005)
        weights = np.array(problem.weights)
        for number in range(1, rounds + 2):
            chosen = mean if number == 1 else rule(settings.parallel)
            weights, _, _ = fl_round(engine, weights, number, chosen, settings.parallel, settings.seed)
            tell(weights)
