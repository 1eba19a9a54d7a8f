"""What does a limit of size cost in accuracy, on the real tables? And who chooses best among models that fit?

    python benchmarks/max_bytes.py --data FOLDER --markdown docs/firmware.md    # half an hour on two cores
    python benchmarks/max_bytes.py --data FOLDER --recipes paper --seeds 1      # two minutes
    python benchmarks/max_bytes.py --criteria                                   # on simulators

FOLDER holds the tables that `fedmetaalign data list` names. Training is that of each recipe; then every
device's personal model is deployed once in each size. Points lost are against the whole network in the recipe's
format.
"""

import argparse
import statistics
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np
from markers import replace_between
from online.tables import table
from scipy.special import xlogy
from scipy.stats import spearmanr
from threadpoolctl import threadpool_limits

from fedmetaalign import load_recipe
from fedmetaalign.engine.device_runner import DeviceRunner, learner_of, network_of
from fedmetaalign.engine.local import LocalEngine
from fedmetaalign.federation.messages import Personal
from fedmetaalign.fleet.build import build
from fedmetaalign.methods import find
from fedmetaalign.model.mlp import Network
from fedmetaalign.model.online import Samples
from fedmetaalign.phases.client import Client
from fedmetaalign.phases.conversion import RUNTIME, trained_layers
from fedmetaalign.phases.deploy import deploy
from fedmetaalign.phases.fitting import DistillationSet, candidates, distil
from fedmetaalign.phases.layers import float_layers
from fedmetaalign.phases.personalize import fine_tune
from fedmetaalign.phases.schedule import pretraining
from fedmetaalign.phases.server import Server, State, rounds
from fedmetaalign.phases.size_limit import fixed_layers, precisions
from fedmetaalign.randomness import generator
from fedmetaalign.recipe import Recipe
from fedmetaalign.system.cores import cores
from fedmetaalign.tinyml.runtimes import scores

SIZES = (22_790, 15_000, 10_000)
FEW = 3
"""Fleets of more devices are shown by their means."""
CRITERIA = {
    "difference from the personal model, on inputs like the device's own (what is used)": "difference",
    "difference from the personal model, on the training samples": "own",
    "cross-entropy on the validation part": "cross_entropy",
    "accuracy on the validation part": "error",
}

Result = TypeVar("Result")


class Trained(NamedTuple):
    """A device at the end of phase 3."""

    client: Client
    network: Network
    personal: Personal
    test: Samples


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder of the recipes' tables")
    parser.add_argument("--recipes", default="paper,feeders,equipment", help="built-in names or TOML files")
    parser.add_argument("--seeds", type=int, default=3, help="seeds 0, 1, ...")
    parser.add_argument("--criteria", action="store_true", help="compare criteria instead, on the recipe demo")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="rewrite the table in FILE")
    options = parser.parse_args()
    if options.criteria:
        fleets = [load_recipe("mixed", seed=seed) for seed in range(1, options.seeds + 1)]
        text = criteria([device for recipe in fleets for device in train(recipe)])
    else:
        rows = []
        for name in options.recipes.split(","):
            fleets = [load_recipe(name, (), seed, options.data) for seed in range(options.seeds)]
            rows += candidate_rows(name, [list(train(recipe)) for recipe in fleets])
        header = ["recipe", "device", "float", "whole, bytes", "accuracy"]
        for size in SIZES:
            header += [f"at most {size:,}: bytes", "accuracy", "points lost"]
        text = table(header, rows)
    print(text)
    if options.markdown and not options.criteria:
        replace_between(options.markdown, "ladder", text)


def train(recipe: Recipe) -> Iterator[Trained]:
    """Trains a recipe's fleet as a run does, up to the personal models."""
    fleet, learner, method = build(recipe), learner_of(recipe), find(recipe.method)
    clients = [Client(recipe, device, learner) for device in fleet.devices]
    engine = LocalEngine(DeviceRunner(client, method) for client in clients)
    server = Server(recipe, engine, learner, fleet.public)
    plan = pretraining(server) + method.rounds(server)
    *_, (_, last, _) = rounds(plan, State(learner.initial()))
    for client in clients:
        own = fine_tune(client, last.weights)
        yield Trained(client, network_of(recipe), own, fleet.test[client.name])


def on_every_core(step: Callable[[Trained], Result], devices: Sequence[Trained]) -> list[Result]:
    with threadpool_limits(1, "blas"), ThreadPoolExecutor(cores()) as pool:
        return list(pool.map(step, devices))


def candidate_rows(name: str, seeds: Sequence[Sequence[Trained]]) -> list[tuple[str, ...]]:
    """Returns a line a device, or one for a large fleet's mean: means over the seeds, and each seed's loss."""
    measured = [on_every_core(rungs, devices) for devices in seeds]
    if len(measured[0]) > FEW:
        groups = {f"mean of {len(measured[0])}": [np.mean(devices, axis=0) for devices in measured]}
    else:
        names = [trained.client.name for trained in seeds[0]]
        groups = {device: [devices[i] for devices in measured] for i, device in enumerate(names)}
    lines = []
    for device, found in groups.items():
        mean = np.mean(found, axis=0)
        cells = [name, device, percent(mean[0, 1]), f"{mean[1, 0]:,.0f}", percent(mean[1, 1])]
        for i in range(2, len(mean)):
            lost = ", ".join(f"{100 * (one[1, 1] - one[i, 1]):+.1f}" for one in found)
            total = f"{100 * (mean[1, 1] - mean[i, 1]):+.1f} ({lost})"
            cells += [f"{mean[i, 0]:,.0f}", percent(mean[i, 1]), total]
        lines.append(tuple(cells))
    return lines


def rungs(trained: Trained) -> np.ndarray:
    """Returns bytes and test accuracy of the float model, the whole network in its format, and each size."""
    client, network, personal, test = trained
    faults = test.y > 0
    alarms = personal.probabilities(test.x) > personal.threshold.threshold
    found = [(4.0 * network.parameters, np.mean(alarms == faults))]
    for size in (None, *SIZES):
        settings = client.recipe.deploy.model_copy(update={"max_bytes": size})
        given = replace(client, recipe=client.recipe.model_copy(update={"deploy": settings}))
        deployed = deploy(given, network, personal)
        alarms = scores(deployed.model, test.x, RUNTIME) > deployed.threshold.threshold
        found.append((len(deployed.model), np.mean(alarms == faults)))
    return np.array(found, float)


def criteria(devices: Sequence[Trained]) -> str:
    """Returns, for every size and criterion, the test accuracy of what it chooses and how well it ranks.

    The rank correlation is with the difference from the personal model on the test inputs.
    """
    rows = []
    for size in SIZES:
        judged = [models for models in on_every_core(partial(judge, size), devices) if len(models) > 1]
        for title, criterion in CRITERIA.items():
            chosen = [min(models, key=lambda model: model[criterion]) for models in judged]
            ranks = [
                spearmanr([m[criterion] for m in models], [m["truth"] for m in models]).statistic
                for models in judged
                if len({m[criterion] for m in models}) > 1
            ]
            accuracy = statistics.mean(model["accuracy"] for model in chosen)
            rows.append((f"{size:,}", title, percent(accuracy), f"{statistics.mean(ranks):.2f}"))
    return table(("at most, bytes", "chosen by the least", "test accuracy", "rank correlation"), rows)


def judge(size: int, trained: Trained) -> list[dict[str, float]]:
    """Returns what every criterion, and the test set, says of each model that fits."""
    client, network, personal, test = trained
    recipe, device = client.recipe, client.device
    settings = recipe.deploy.model_copy(update={"max_bytes": size})
    layers, head = float_layers(network, personal.weights), trained_layers(network, recipe.personalize)
    distillation = DistillationSet.of(layers, device.train.x, generator(recipe.seed, "lesson", device.name))
    found = candidates(
        layers,
        precisions(head, device.train.x, settings),
        fixed_layers(layers, head, settings),
        size,
        distillation,
        lambda pruned: distil(pruned, distillation, generator(recipe.seed, "stream", "distil", device.name)),
    )
    query = device.own.query

    def off(model: bytes, x: np.ndarray) -> float:
        difference = scores(model, x, RUNTIME) - personal.probabilities(x)
        return float(np.sqrt(np.mean(difference**2)))

    verdicts = []
    for model in (candidate.model for candidate in found if len(candidate.model) <= size):
        p = np.clip(scores(model, query.x, RUNTIME), 1 / 512, 511 / 512)
        verdicts.append(
            {
                "difference": distillation.difference(scores(model, distillation.unseen, RUNTIME)),
                "own": off(model, device.train.x),
                "cross_entropy": -float(np.mean(xlogy(query.y, p) + xlogy(1 - query.y, 1 - p))),
                "error": float(np.mean((p > 0.5) != (query.y > 0))),
                "truth": off(model, test.x),
                "accuracy": float(np.mean((scores(model, test.x, RUNTIME) > 0.5) == (test.y > 0))),
            }
        )
    return verdicts


def percent(share: float) -> str:
    return f"{100 * share:.1f}"


if __name__ == "__main__":
    main()
