"""Executes a recipe: from raw tables to a run folder with a bundle for every device."""

import os
import platform
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from fedmetaalign.cores import cores
from fedmetaalign.engine.local import LocalEngine
from fedmetaalign.errors import RunError
from fedmetaalign.evaluation.results import evaluate
from fedmetaalign.fleet.build import build
from fedmetaalign.fleet.device import Device, Fleet
from fedmetaalign.methods import fed_meta_align
from fedmetaalign.model.mlp import LARGEST_WEIGHT, Network, diverged
from fedmetaalign.phases.budget import own_steps, shared_steps
from fedmetaalign.phases.deploy import RUNTIME, Deployed, deploy, smallest_bytes, too_large
from fedmetaalign.phases.parallel import cohort, root_size
from fedmetaalign.phases.personalize import Personal
from fedmetaalign.recipe import Recipe
from fedmetaalign.report import write_report
from fedmetaalign.run_folder import RunFolder, writing_to
from fedmetaalign.tinyml import bundle, features

SOFTWARE = ("fedmetaalign", "jax", "jaxlib", "numpy", "ai-edge-litert")


class Watcher:
    """Is told how a run gets on; this one keeps it to itself."""

    def begin(self, steps: int) -> None:
        """The run takes this many training steps."""

    def phase(self, name: str) -> None:
        """The run is now in this phase."""

    def advance(self, steps: int) -> None:
        """So many more training steps are done; called from several threads."""


def run(recipe: Recipe, out: Path, resume: bool = False, watcher: Watcher | None = None) -> dict[str, Any]:
    """Runs a recipe's phases, deploys every device and evaluates.

    Nothing is written before the recipe's data has been read and found usable.

    Args:
        recipe: what to run; its table paths are absolute or relative to the working directory.
        out: the run folder, new or empty; with `resume` one that the same recipe began.
        resume: go on where a checkpoint was left.
        watcher: is told of the progress.

    Returns:
        What results.json holds.

    Raises:
        FedMetaAlignError: the data, the folder or the training failed; the sentence says how.
    """
    watcher = watcher or Watcher()
    clock = _Clock()
    with clock.measure("data"):
        fleet = build(recipe)
        network = Network(recipe.model.inputs, recipe.model.hidden)
        _check_size(recipe, network)
        for device in fleet.devices:
            features.check(device.preparation, device.train.x)
    folder = RunFolder.reopen(out, recipe) if resume else RunFolder.create(out, recipe)
    began = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())

    engine = LocalEngine(recipe, fleet.devices, watcher.advance)
    plan = fed_meta_align.schedule(recipe, engine, fleet.public, watcher.advance)
    state = (folder.restore(network.parameters) if resume else None) or fed_meta_align.start(recipe)
    resumed_after = state.done
    watcher.begin(training_steps(recipe, fleet, plan[state.done :]))
    state = _train(plan, state, folder, watcher, clock)
    watcher.phase("personalize")
    with clock.measure("personalize"):
        personal = engine.personalize(state.weights)
        for name in engine.names:
            _check_finite(personal[name].weights, f"on {name}")
        # No checkpoint: this phase is short, and a run that is stopped in it does it again.
        folder.log([record for name in engine.names for record in personal[name].records])
    alone = None
    if recipe.evaluation.alone:
        watcher.phase("alone")
        with clock.measure("alone"):
            alone = engine.alone(fed_meta_align.start(recipe).weights)
    watcher.phase("deploy")
    with clock.measure("deploy"):
        deployed = _deploy(recipe, fleet, network, personal)
        versions = {name: version(name) for name in SOFTWARE}
        for device in fleet.devices:
            _write_bundle(folder, recipe, device, deployed[device.name], versions)
    with clock.measure("evaluate"):
        results = evaluate(fleet, network, state.stages, personal, deployed, alone)
    folder.write_json("results.json", results)
    folder.write_json(
        "manifest.json",
        {
            "versions": versions | {"python": platform.python_version()},
            "platform": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
            "seed": recipe.seed,
            "data": dict(fleet.files),
            "started": began,
            "resumed_after_rounds": resumed_after,
            "seconds": clock.seconds,
        },
    )
    write_report(out)
    return results


def training_steps(recipe: Recipe, fleet: Fleet, rounds: list[fed_meta_align.Round]) -> int:
    """Returns how many Adam steps the given rounds, phase 3 and the baseline take."""
    devices = {device.name: device for device in fleet.devices}

    def steps(round_: fed_meta_align.Round) -> int:
        if round_.phase == "foundation":
            return recipe.foundation.epochs * len(fleet.public.support) if fleet.public else 0
        if round_.phase == "serial":
            passes, names = recipe.serial.tours * recipe.serial.epochs, tuple(devices)
        else:
            passes = recipe.parallel.epochs
            names = cohort(tuple(devices), round_.number, recipe.parallel.cohort, recipe.seed)
        samples = [len(devices[name].parts[round_.phase].support) for name in names]
        if round_.phase == "parallel" and recipe.parallel.needs_root and fleet.public:
            samples.append(min(root_size(samples), len(fleet.public.support)))
        return passes * sum(samples)

    total = sum(map(steps, rounds))
    for device in fleet.devices:
        own = own_steps(recipe, device)
        alone = round(shared_steps(recipe, device, len(devices)) + own)
        total += own + (alone if recipe.evaluation.alone else 0)
    return total


def _train(
    plan: list[fed_meta_align.Round],
    state: fed_meta_align.State,
    folder: RunFolder,
    watcher: Watcher,
    clock: "_Clock",
) -> fed_meta_align.State:
    """Runs the rounds that are left, with a checkpoint after each."""
    rounds = fed_meta_align.rounds(plan, state)
    for upcoming in plan[state.done :]:
        watcher.phase(upcoming.phase)
        with clock.measure(upcoming.phase):
            done, state, records = next(rounds)
        _check_finite(state.weights, f"after {done.phase} round {done.number}")
        folder.checkpoint(state, records)
    return state


def _deploy(
    recipe: Recipe, fleet: Fleet, network: Network, personal: Mapping[str, Personal]
) -> dict[str, Deployed]:
    """Deploys every device, as many at once as there are cores: to meet a size takes seconds for each."""

    def step(device: Device) -> Deployed:
        return deploy(network, device, personal[device.name], recipe.deploy, recipe.personalize, recipe.seed)

    # A matrix product on several threads would take the cores from the other devices, and mostly wait.
    with threadpool_limits(1, "blas"), ThreadPoolExecutor(cores()) as pool:
        deployed = pool.map(step, fleet.devices)
        return {device.name: each for device, each in zip(fleet.devices, deployed, strict=True)}


def _check_finite(weights: np.ndarray, when: str) -> None:
    if diverged(weights):
        raise RunError(
            f"Training has diverged: {when} a weight is beyond {LARGEST_WEIGHT:g};"
            " lower optimizer.learning_rate or parallel.server_learning_rate, and run again."
        )


def _check_size(recipe: Recipe, network: Network) -> None:
    """Finds out before training whether any model can fit: a file's size does not depend on the weights."""
    if recipe.deploy.max_bytes is not None:
        size = smallest_bytes(network, recipe.deploy, recipe.personalize)
        if size > recipe.deploy.max_bytes:
            raise too_large(recipe.deploy, size)


def _write_bundle(
    folder: RunFolder,
    recipe: Recipe,
    device: Device,
    deployed: Deployed,
    versions: Mapping[str, str],
) -> None:
    content = bundle.Bundle(
        device=device.name,
        preparation=device.preparation,
        threshold=deployed.threshold.threshold,
        threshold_note=deployed.threshold.reason,
        target=recipe.deploy.target,
        runtime=RUNTIME,
        model=deployed.model,
    )
    path = folder.path / "devices" / device.name
    # The golden samples are the device's own: the bundle stays on the device that they come from.
    with writing_to(path):
        bundle.write(path, content, deployed.layers, device.examples, versions)


@dataclass(frozen=True)
class _Clock:
    """Adds up the seconds that each part of a run takes."""

    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def measure(self, part: str) -> Iterator[None]:
        before = time.perf_counter()
        yield
        self.seconds[part] = round(self.seconds.get(part, 0) + time.perf_counter() - before, 3)
