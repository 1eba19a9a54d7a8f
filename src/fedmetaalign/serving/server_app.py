"""The server's end: a Flower ServerApp that carries out a recipe with the devices that are there.

Its configuration, `[tool.flwr.app.config]` in the app's pyproject.toml, is `Settings`.
"""

import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from flwr.app import Context
from flwr.serverapp import Grid, ServerApp
from pydantic import ValidationError

from fedmetaalign import recipe as recipes
from fedmetaalign.engine.device_runner import learner_of, network_of
from fedmetaalign.engine.flower.engine import FlowerEngine
from fedmetaalign.engine.flower.node_registry import NodeRegistry
from fedmetaalign.engine.flower.requests import Header
from fedmetaalign.errors import RunError
from fedmetaalign.fleet.public import public_part, public_table
from fedmetaalign.fleet.shared import Shared, load_shared, save_shared, share
from fedmetaalign.fleet.sources import hashes
from fedmetaalign.gateways import pace, processes
from fedmetaalign.gateways.certificates import EnrolmentError
from fedmetaalign.gateways.enrolment import enrolled
from fedmetaalign.methods import deployable
from fedmetaalign.model.target import BINARY
from fedmetaalign.phases.asynchronous import check_buffer
from fedmetaalign.phases.schedule import pretraining
from fedmetaalign.phases.server import Server, State
from fedmetaalign.recipe.errors import dotted
from fedmetaalign.recipe.section import Positive, Section, Whole
from fedmetaalign.report.status import Status
from fedmetaalign.run import Clock, Watcher, check_size, execute
from fedmetaalign.run_folder import MEMORY, RUN_ID, SHARED, RunFolder, check_engine, free_folder
from fedmetaalign.system.writing import replace, writing_to

app = ServerApp()


class Settings(Section):
    """The ServerApp's configuration."""

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
    processes.end_with_parent()
    pace.hurry_grid()
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
        watcher: gets reports of the phases.

    Returns:
        What results.json holds.

    Raises:
        FedMetaAlignError: the recipe, the public data or the folder cannot be used, too few devices came, or
            training failed.
    """
    recipe = recipes.load(settings.recipe)
    method = deployable(recipe, elsewhere=True)
    check_size(recipe)
    clock = Clock()
    with clock.measure("data"):
        public, sources = public_table(recipe)
    out = Path(settings.out) if settings.out else free_folder(recipe.name)
    if settings.resume:
        check_engine(out / MEMORY, "in one process, by `fedmetaalign run`")
    with RunFolder.reopen(out, recipe) if settings.resume else RunFolder.create(out, recipe) as folder:
        registry = NodeRegistry(grid, Header("", _run_name(out), recipe), _roster(settings), settings.deadline)
        shared = _read_shared(out / SHARED)  # in a run that is resumed, from before its first round on
        known = shared.target if shared else BINARY
        restored = folder.restore(network_of(recipe, known).parameters) if settings.resume else None
        status = Status(out, registry.liveness)
        engine = FlowerEngine(registry, on_poll=_seldom(status.refresh))
        with status.of_failure():
            with clock.measure("waiting"):
                to_come = ["foundation"] * (public is not None)
                to_come += [each.phase for each in method.rounds(Server(recipe, engine, learner_of(recipe)))]
                done = restored.done if restored else 0
                _wait(engine, settings, [*to_come, "personalize"][done], status)
            if shared is None:
                check_buffer(recipe, len(engine.names))
                shared = share(registry.hellos, recipe, public)
                save_shared(shared, out / SHARED)
            engine.shared = shared
            refused = [f"{name} is left out: {why}" for name, why in sorted(registry.refused.items())]
            status.notices = (*refused, *shared.notices)
            part = public_part(recipe, public, shared) if public else None
            check_size(recipe, shared.target)
        learner = learner_of(recipe, shared.target)
        state = restored or State(learner.initial())
        server = Server(recipe, engine, learner, part)
        plan = pretraining(server) + method.rounds(server)
        return execute(
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
    """Returns who may take part; asked again at every look, since devices are enrolled and revoked meanwhile.

    Raises:
        EnrolmentError: the folder of the enrolled devices cannot be used.
    """
    if not settings.fleet:
        return None
    folder = Path(settings.fleet)
    known = [tuple(enrolled(folder))]

    def names() -> Sequence[str]:
        # `fedmetaalign server` tells what is wrong with the folder; a file there that is half written, or has a
        # name that no device can have, is no reason to end a run.
        with suppress(EnrolmentError):
            known[0] = tuple(enrolled(folder))
        return known[0]

    return names


def _wait(engine: FlowerEngine, settings: Settings, phase: str, status: Status) -> None:
    """Waits until all devices are there, or as long as configured; then some have to be."""
    registry = engine.registry
    refresh, until = _seldom(status.refresh), time.monotonic() + settings.wait
    said = None
    status.update("waiting", phase, message="Waiting for the devices.")
    while True:
        online = registry.poll()
        expected = len(registry.names) if registry.roster else settings.devices
        missing = sorted(set(registry.names) - set(online))
        if len(online) >= max(expected, 1) and not missing:
            return
        refused = "".join(f" {name}: {why}" for name, why in sorted(registry.refused.items()))
        if time.monotonic() > until:
            break
        awaited = f" for {', '.join(missing)}" if missing else ""
        message = f"{len(online)} of {expected} devices are there; waiting{awaited}.{refused}"
        if message != said:
            status.update("waiting", phase, message=message)
            said = message
        refresh()
        time.sleep(engine.poll_interval)
    if not online:
        raise RunError(
            f"No device came within {settings.wait:g} seconds: see that `fedmetaalign device` runs on each."
            + refused
        )


def _run_name(out: Path) -> str:
    """Returns the name by which devices tell this run from others, also after it is resumed.

    Raises:
        RunError: the file that keeps it is damaged, or cannot be written.
    """
    path = out / RUN_ID
    if not path.exists():
        with writing_to(path):
            replace(path, uuid.uuid4().hex.encode())
    try:
        return uuid.UUID(hex=path.read_text(encoding="ascii")).hex
    except (OSError, ValueError) as error:
        raise _damaged(path, error) from None


def _read_shared(path: Path) -> Shared | None:
    """Reads what the devices agreed on when the run was begun, None before.

    Raises:
        RunError: the file is damaged.
    """
    try:
        return load_shared(path)
    except FileNotFoundError:
        return None
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise _damaged(path, error) from None


def _damaged(path: Path, error: Exception) -> RunError:
    return RunError(f"{path} is damaged ({error}): start the run again with another --out.")


def _seldom(act: Callable[[], None], seconds: float = 1.0) -> Callable[[], None]:
    """Returns what does the same, but not more often than every so many seconds."""
    last = [0.0]

    def throttled() -> None:
        if time.monotonic() > last[0] + seconds:
            last[0] = time.monotonic()
            act()

    return throttled
