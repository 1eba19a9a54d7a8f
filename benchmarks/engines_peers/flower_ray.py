"""Flower's simulation with Ray: federated averaging by FedAvg, the devices' step in a ClientApp."""

from collections.abc import Callable
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from engines_peers.problem import Problem
from flwr.app import Array, ArrayRecord, ConfigRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import FedAvg
from flwr.simulation import run_simulation
from online.problem import HIDDEN, INPUTS, LEARNING_RATE

# In the module, and not made by a function: Ray then sends their names, not their code, with every message.
torch_app, ours_app = ClientApp(), ClientApp()

problem = cache(Problem.load)  # once an actor


def samples(message: Message, context: Context) -> tuple[np.ndarray, np.ndarray]:
    fleet = problem(Path(message.content["config"]["folder"]))
    device = int(context.node_config["partition-id"])
    return fleet.x[device], fleet.y[device]


def reply(message: Message, arrays: ArrayRecord, count: int) -> Message:
    content = RecordDict({"arrays": arrays, "metrics": MetricRecord({"num-examples": count})})
    return Message(content, reply_to=message)


@torch_app.train()
def train_with_torch(message: Message, context: Context) -> Message:
    from engines_peers.pytorch import network, train

    x, y = samples(message, context)
    model = network(problem(Path(message.content["config"]["folder"])).weights)
    model.load_state_dict(message.content["arrays"].to_torch_state_dict())
    train(model, x, y, message.content["config"]["step"])
    return reply(message, ArrayRecord(model.state_dict()), len(y))


@ours_app.train()
def train_with_ours(message: Message, context: Context) -> Message:
    from fedmetaalign.model.mlp import Network
    from fedmetaalign.model.online import Samples, train

    x, y = samples(message, context)
    in_order: Any = SimpleNamespace(permutation=np.arange)  # instead of a random generator
    trained = train(
        Network(INPUTS, HIDDEN),
        message.content["arrays"]["weights"].numpy(),
        Samples(x, y),
        learning_rate=LEARNING_RATE,
        epochs=1,
        random=in_order,
    )
    return reply(message, ArrayRecord({"weights": Array(np.asarray(trained.weights))}), len(y))


def run(folder: Path, step: str, rounds: int, cores: int | None, tell: Callable[[np.ndarray], None]) -> None:
    """Trains rounds + 1 times and tells the weights; the first round counts Ray's start."""
    fleet = Problem.load(folder)
    if step == "ours":
        client_app, first = ours_app, ArrayRecord({"weights": Array(np.array(fleet.weights))})
        weights_of = weights_of_ours
    else:
        from engines_peers.pytorch import network

        client_app, first = torch_app, ArrayRecord(network(fleet.weights).state_dict())
        weights_of = weights_of_torch
    server_app = ServerApp()

    @server_app.main()
    def main(grid: Grid, context: Context) -> None:
        def end_of_round(number: int, arrays: ArrayRecord) -> None:
            if number > 0:
                tell(weights_of(arrays))

        devices = len(fleet.y)
        strategy = FedAvg(fraction_evaluate=0.0, min_train_nodes=devices, min_available_nodes=devices)
        config = ConfigRecord({"folder": str(folder), "step": step})
        strategy.start(grid, first, rounds + 1, train_config=config, evaluate_fn=end_of_round)

    # By itself Flower gives a device two cores, though a step on one thread needs but one.
    init: dict[str, Any] = {"log_to_driver": False}
    settings: dict[str, Any] = {"init_args": init}
    if cores:
        init["num_cpus"] = cores
        settings["client_resources"] = {"num_cpus": 1, "num_gpus": 0.0}
    run_simulation(server_app, client_app, len(fleet.y), backend_config=settings)


def weights_of_ours(arrays: ArrayRecord) -> np.ndarray:
    return arrays["weights"].numpy()


def weights_of_torch(arrays: ArrayRecord) -> np.ndarray:
    from engines_peers.pytorch import flat

    return flat(arrays.to_torch_state_dict().values())
