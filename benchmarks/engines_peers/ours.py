"""Our local engine: `fl_round` over devices on threads of this process."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from engines_peers.problem import SAMPLES, Problem
from online.problem import HIDDEN, INPUTS, LEARNING_RATE

from fedmetaalign import recipe
from fedmetaalign.aggregation import stacked
from fedmetaalign.aggregation.mean import mean
from fedmetaalign.aggregation.registry import aggregator
from fedmetaalign.engine.device_runner import DeviceRunner, learner_of
from fedmetaalign.engine.local import LocalEngine
from fedmetaalign.fleet.device import Device, Part
from fedmetaalign.methods.fed_meta_align import METHOD
from fedmetaalign.model.online import Samples
from fedmetaalign.model.preparation import Preparation
from fedmetaalign.phases.client import Client
from fedmetaalign.phases.parallel import fl_round
from fedmetaalign.phases.server import Server, State
from fedmetaalign.randomness import generator

QUERY = SAMPLES // 4
"""Samples that a device scores its update on, as similarity needs: work that no peer has."""


def run(folder: Path, step: str, rounds: int, cores: int | None, tell: Callable[[np.ndarray], None]) -> None:
    """Trains rounds + 1 times and tells the weights. The first round takes the mean, as the peers do."""
    problem = Problem.load(folder)
    settings = settings_of(problem)
    engine = LocalEngine(runners(problem, settings), cores)
    train(Server(settings, engine, learner_of(settings)), problem, rounds, tell)


def runners(problem: Problem, settings: recipe.Recipe) -> list[DeviceRunner]:
    """Returns the devices, ready to be asked."""
    learner, fleet = learner_of(settings), devices(problem, settings.seed)
    return [DeviceRunner(Client(settings, device, learner), METHOD) for device in fleet]


def train(server: Server, problem: Problem, rounds: int, tell: Callable[[np.ndarray], None]) -> None:
    """Runs the rounds on any engine."""
    state = State(np.array(problem.weights))
    for number in range(1, rounds + 2):
        chosen = stacked(mean) if number == 1 else aggregator(server.recipe.parallel)
        state, _ = fl_round(server, state, number, chosen)
        tell(state.weights)


def settings_of(problem: Problem) -> recipe.Recipe:
    """Returns the recipe: the paper's network, and rounds as they come."""
    return recipe.parse(
        {
            "fleet": {"simulator": "feeder", "count": len(problem.y)},
            "model": {"inputs": INPUTS, "hidden": HIDDEN},
            "optimizer": {"learning_rate": LEARNING_RATE},
        },
        "benchmark",
    )


def devices(problem: Problem, seed: int) -> list[Device]:
    """Makes the fleet; its samples lie so that the first round's shuffle puts them into the problem's order."""
    preparation = Preparation(
        features=tuple(f"x{i}" for i in range(INPUTS)),
        units=("",) * INPUTS,
        categories={},
        mean=(0.0,) * INPUTS,
        scale=(1.0,) * INPUTS,
        columns=tuple(range(INPUTS)),
    )
    made = []
    for i, (x, y) in enumerate(zip(problem.x, problem.y, strict=True)):
        name = f"device-{i:04}"
        shuffle = generator(seed, "stream", "parallel", 1, name).permutation(SAMPLES)
        laid = np.argsort(shuffle)
        part = Part(Samples(x[laid], y[laid]), Samples(x[:QUERY], y[:QUERY]))
        made.append(Device(name, preparation, x[:0], {"parallel": part}, part))
    return made
