"""The server's end: a Flower ServerApp that carries out a recipe with the devices that are there.

Its configuration, `[tool.flwr.app.config]` in the app's pyproject.toml, is `Settings`.
"""

import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from flwr.app import Context
from flwr.serverapp import Grid, ServerApp
from pydantic import ValidationError
from safetensors.numpy import load_file, save_file

from fedmetaalign import recipe as recipes
from fedmetaalign.engine.flower.engine import FlowerEngine, Pool
from fedmetaalign.engine.flower.enrolment import enrolled
from fedmetaalign.engine.flower.questions import Envelope
from fedmetaalign.engine.flower.roll import Roll
from fedmetaalign.errors import FedMetaAlignError, RunError
from fedmetaalign.fleet.build import hashes, pooled, public_part
from fedmetaalign.fleet.device import Moments
from fedmetaalign.methods import fed_meta_align
from fedmetaalign.recipe_data import Positive, Section, Whole
from fedmetaalign.recipe_errors import dotted
from fedmetaalign.run import Clock, Watcher, check_size, conduct, parameters
from fedmetaalign.run_folder import RunFolder, free_folder
from fedmetaalign.status import Status
from fedmetaalign.writing import replace, writing_to

app = ServerApp()


class Settings(Section):
    """What the ServerApp is told."""

    recipe: str = "demo"
    """A built-in name or a file."""
    out: str = ""
    """The run folder; empty for runs/NAME."""
    resume: bool = False
    """Go on where the run in `out` was stopped."""
    fleet: str = ""
    """The folder of the enrolled devices, whose keys the SuperLink asks for; empty where it asks for none."""
    devices: Whole = 0
    """How many to wait for where the SuperLink asks for no keys."""
    wait: Positive = 600.0
    """Seconds to wait for all of them before the first round."""
    deadline: Positive = 600.0
    """Seconds that a device has for an answer."""
    patience: Positive = 1200.0
    """Seconds that phase 3 waits for a device that is not there, or has left."""


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Runs a recipe."""
    serve(grid, read_settings(context.run_config))


def read_settings(config: Mapping[str, Any]) -> Settings:
    """Reads the settings of a run's configuration.

    Raises:
        RunError: there is no such setting, or it cannot have this value.
    """
    try:
        return Settings.model_validate(config)
    except ValidationError as error:
        first = error.errors()[0]
        raise RunError(f"The app's setting {dotted(first['loc'])} cannot be used: {first['msg']}.") from None


def serve(grid: Grid, settings: Settings, watcher: Watcher | None = None) -> dict[str, Any]:
    """Runs a recipe with the devices of a grid.

    Args:
        grid: Flower's.
        settings: what to run, and how.
        watcher: is told of the phases.

    Returns:
        What results.json holds.

    Raises:
        FedMetaAlignError: the recipe, the public data or the folder cannot be used, too few devices came, or
            training failed.
    """
    recipe = recipes.load(settings.recipe)
    check_size(recipe)
    clock = Clock()
    with clock.measure("data"):
        public, sources = public_part(recipe)
    out = Path(settings.out) if settings.out else free_folder(recipe.name)
    folder = RunFolder.reopen(out, recipe) if settings.resume else RunFolder.create(out, recipe)
    state = (folder.restore(parameters(recipe)) if settings.resume else None) or fed_meta_align.start(recipe)
    roll = Roll(
        grid, Envelope("", _run_name(out), recipe), _roster(settings), settings.deadline, bool(settings.fleet)
    )
    status = Status(out, roll.presence)
    engine = FlowerEngine(roll, on_poll=_seldom(status.refresh))
    plan = fed_meta_align.schedule(recipe, engine, public)
    try:
        with clock.measure("waiting"):
            _wait(roll, settings, plan[state.done :], status)
        if recipe.fleet.scaling == "fleet":
            engine.pool = _pool(out, roll)
    except FedMetaAlignError as error:
        status.end("failed", str(error))
        raise
    return conduct(
        recipe,
        engine,
        plan,
        state,
        folder,
        hashes(sources),
        status,
        watcher or Watcher(),
        clock,
        settings.patience,
    )


def _roster(settings: Settings) -> Callable[[], Sequence[str]] | None:
    """Returns who may take part; asked anew at every look, since devices are enrolled and revoked meanwhile."""
    return (lambda: tuple(enrolled(Path(settings.fleet)))) if settings.fleet else None


def _wait(roll: Roll, settings: Settings, left: Sequence[fed_meta_align.Round], status: Status) -> None:
    """Waits until all devices are there, or as long as one is told to; then some have to be."""
    refresh, until = _seldom(status.refresh), time.monotonic() + settings.wait
    phase = left[0].phase if left else "personalize"
    said = None
    while True:
        there = roll.call()
        expected = len(roll.names) if roll.roster else settings.devices
        missing = sorted(set(roll.names) - set(there))
        if len(there) >= max(expected, 1) and not missing:
            return
        if time.monotonic() > until:
            break
        message = f"{len(there)} of {expected} devices are there; waiting" + (
            f" for {', '.join(missing)}." if missing else "."
        )
        if message != said:
            status.say("waiting", phase, message=message)
            said = message
        refresh()
        time.sleep(0.2)
    if not there:
        raise RunError(
            f"No device came within {settings.wait:g} seconds: see that `fedmetaalign device` runs on each."
        )


def _run_name(out: Path) -> str:
    """Returns the name by which devices tell this run from others, also after it is resumed."""
    path = out / "run_id"
    if not path.exists():
        with writing_to(path):
            replace(path, uuid.uuid4().hex.encode())
    return path.read_text(encoding="ascii")


def _pool(out: Path, roll: Roll) -> Pool:
    """Returns the moments that all devices are standardised with: those of the first start, also resumed."""
    path = out / "moments.safetensors"
    if not path.exists():
        own = [roll.introductions[name] for name in sorted(roll.introductions)]
        pool = pooled((each.features, each.moments) for each in own if each.moments)
        arrays = {}
        for features, moments in pool.items():
            key = "\t".join(features)
            arrays[f"{key}\tmean"], arrays[f"{key}\tsquares"] = moments.mean, moments.squares
            arrays[f"{key}\tcount"] = np.array([moments.count])
        with writing_to(path):
            save_file(arrays, path)
    arrays = load_file(path)
    names = [key.removesuffix("\tmean") for key in arrays if key.endswith("\tmean")]
    return {
        tuple(key.split("\t")): Moments(
            int(arrays[f"{key}\tcount"][0]), arrays[f"{key}\tmean"], arrays[f"{key}\tsquares"]
        )
        for key in names
    }


def _seldom(act: Callable[[], None], seconds: float = 1.0) -> Callable[[], None]:
    """Returns what does the same, but not more often than every so many seconds."""
    last = [0.0]

    def perhaps() -> None:
        if time.monotonic() > last[0] + seconds:
            last[0] = time.monotonic()
            act()

    return perhaps
