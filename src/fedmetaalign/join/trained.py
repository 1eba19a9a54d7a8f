"""What is left of a fleet when it is trained, and what a device needs that comes later."""

import json
import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from fedmetaalign import methods
from fedmetaalign import recipe as recipes
from fedmetaalign.engine.device_runner import learner_of
from fedmetaalign.errors import RecipeError, RunError
from fedmetaalign.fleet.device import Device, Part
from fedmetaalign.fleet.shared import Shared, load_shared
from fedmetaalign.methods._method import Method
from fedmetaalign.model.learner import NetworkLearner
from fedmetaalign.model.online import Samples
from fedmetaalign.phases.server import Final, State, one_for_all
from fedmetaalign.recipe import Recipe
from fedmetaalign.run_folder import SHARED, checkpointed, read_state
from fedmetaalign.system.sealed import sealed
from fedmetaalign.system.writing import replace as write
from fedmetaalign.system.writing import writing_to

HANDOVER = "join.json"
"""In a folder that `export` made: what is known of the fleet's devices."""

CHECKPOINT = "checkpoint.safetensors"


@dataclass(frozen=True)
class Trained:
    """What a device is given that comes when its fleet is trained.

    Attributes:
        recipe: the fleet's.
        method: by which it was trained.
        shared: what its devices agreed on.
        learner: how they train.
        state: the global weights after the last round, those of each phase, and what else the method sends.
        names: of the devices.
        samples: how many the mean device has, by phase and in all.
    """

    recipe: Recipe
    method: Method
    shared: Shared
    learner: NetworkLearner
    state: State
    names: tuple[str, ...]
    samples: dict[str, float]

    @property
    def groups(self) -> bool:
        """The method has a model for each group of devices."""
        return self.method.finals is not one_for_all

    def finals(self) -> list[Final]:
        """Returns what the devices were sent in the end: one model for all, or one for each group."""
        return self.method.finals(self.names, self.state)

    def mean_member(self, device: Device) -> Device:
        """Returns a device as large as the mean one of the fleet, by which steps are counted.

        Args:
            device: what else it is like.
        """
        query = self.recipe.splits.query

        def part(phase: str) -> Part:
            rows = np.zeros((round(self.samples.get(phase, 0) * (1 - query)), 0), np.float32)
            nothing = np.zeros(0, np.float32)
            return Part(Samples(rows, np.zeros(len(rows), np.float32)), Samples(rows[:0], nothing))

        return replace(device, parts={phase: part(phase) for phase in device.parts})


def read_trained(folder: Path) -> Trained:
    """Reads a finished run, or what `export` made of one.

    Raises:
        RunError: it is none, or damaged, or its method has no global model.
        RecipeError: its recipe is not one.
    """
    if not (folder / "recipe.toml").is_file():
        raise RunError(
            f"{folder} holds no run: give the folder of a finished one, or what --export has written."
        )
    recipe = recipes.load(str(folder / "recipe.toml"))
    method = methods.deployable(recipe, elsewhere=False)
    if not method.federates or not (method.one_model or method.finals is not one_for_all):
        raise RecipeError(
            f"The method {recipe.method} has no global model that a device could be given: join a run of"
            " another, such as fed_meta_align."
        )
    names, samples = _devices(folder)
    path = folder / SHARED
    try:
        shared = load_shared(path)
        learner = learner_of(recipe, shared.target)
        path = folder / CHECKPOINT
        state, _ = read_state(path, sum(learner.layer_sizes))
        trained = Trained(recipe, method, shared, learner, state, names, samples)
        trained.finals()  # raises where the groups are not of these devices
    except FileNotFoundError:
        raise RunError(
            f"{path} is missing: copy it again, or make it by `fedmetaalign run --resume --out {folder}`."
        ) from None
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise RunError(
            f"{path} is damaged ({error}): copy it again, or run again with another --out."
        ) from None
    return trained


def export(folder: Path, out: Path) -> None:
    """Copies what `join` needs of a run, for a device on another machine. There is no sample in it.

    Raises:
        FedMetaAlignError: the run cannot be joined, or `out` holds something or cannot be written.
    """
    trained = read_trained(folder)
    partial = out.with_name(f".{out.name}.partial")
    with writing_to(out, "call again"):
        if out.exists() and (not out.is_dir() or any(out.iterdir())):
            raise RunError(f"{out} is not empty: choose another --export.")
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        try:
            for name in ("recipe.toml", SHARED):
                shutil.copyfile(folder / name, partial / name)
            # What the server only needs for further rounds stays with it.
            state = trained.state if trained.groups else replace(trained.state, memory={})
            write(partial / CHECKPOINT, sealed(*checkpointed(state, 0)))
            known = {"devices": trained.names, "samples": trained.samples}
            write(partial / HANDOVER, json_bytes(known))
            partial.replace(out)
        finally:
            shutil.rmtree(partial, ignore_errors=True)


def is_exported(folder: Path) -> bool:
    """Tells whether a folder is what `export` has made of a run, and not the run's own."""
    return (folder / HANDOVER).exists()


def _devices(folder: Path) -> tuple[tuple[str, ...], dict[str, float]]:
    """Returns the names of the fleet's devices, and how many samples the mean one has."""
    path = folder / HANDOVER
    exported = is_exported(folder)
    if not exported:
        path = folder / "results.json"
        if not path.exists():
            raise RunError(f"{folder} is not a finished run: go on with it by --resume, and join it then.")
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
        if exported:
            return tuple(map(str, told["devices"])), {str(k): float(v) for k, v in told["samples"].items()}
        counts = [device["samples"] for device in told["devices"].values()]
        mean = {part: float(np.mean([count[part] for count in counts])) for part in counts[0]}
        # Those are missing that did not finish.
        path = folder / "status.json"
        status = json.loads(path.read_text(encoding="utf-8"))
        return tuple(sorted({*map(str, told["devices"]), *map(str, status["devices"])})), mean
    except (OSError, AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        raise RunError(f"{path} is damaged ({error!r}): copy it again, or run --resume.") from None


def json_bytes(value: Any) -> bytes:
    """Returns a JSON file."""
    return (json.dumps(value, indent=2, allow_nan=False) + "\n").encode()
