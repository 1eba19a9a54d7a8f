"""The operator's server: a run of our app on a SuperLink, watched until it is done."""

import json
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from fedmetaalign import recipe as recipes
from fedmetaalign.engine.flower.enrolment import enrolled
from fedmetaalign.engine.flower.superlink import Certificates, SuperLink, started
from fedmetaalign.errors import FedMetaAlignError, RunError
from fedmetaalign.recipe import Recipe
from fedmetaalign.report.live_console import PHASES

APP = Path(__file__).parent / "app"
"""The folder that `flwr run` takes."""

_LOOK = 0.5  # seconds between two looks at the run


@contextmanager
def superlink_at(address: str, folder: Path, fleet: Path | None) -> Iterator[SuperLink]:
    """Uses the SuperLink at an address, or starts one there for as long as the context lasts.

    Args:
        address: HOST:PORT.
        folder: what one that is started keeps its state in.
        fleet: the fleet folder, with the server's certificate; None for neither TLS nor keys.

    Raises:
        RunError: none can be started.
    """
    certificates = Certificates(fleet / "ca.crt", fleet / "server.crt", fleet / "server.key") if fleet else None
    running = SuperLink(address, certificates.ca if certificates else None)
    if running.answers():
        tell(f"uses the SuperLink at {address}")
        yield running
    else:
        with started(address, folder, certificates) as superlink:
            tell(f"listens at {address}")
            yield superlink


def carry_out(
    superlink: SuperLink, recipe: Recipe, out: Path, fleet: Path | None, **settings: str | float | bool
) -> None:
    """Runs a recipe with the devices of a SuperLink, whose register follows the fleet folder meanwhile.

    Args:
        superlink: runs.
        recipe: what to run.
        out: the run folder.
        fleet: the fleet folder, whose devices may take part; None where nobody is asked for a key.
        **settings: others of `server_app.Settings`.

    Raises:
        RunError: the run failed; the sentence says why.
    """
    register = _register(superlink, fleet)
    for unfinished in superlink.unfinished():
        # Of a server that was killed: it would write to the same run folder.
        superlink.stop_run(unfinished)
    with TemporaryDirectory() as folder:
        # A copy, since Flower takes into its app all that lies in the folder.
        app = Path(shutil.copytree(APP, Path(folder) / "app"))
        asked = Path(folder) / "recipe.toml"
        asked.write_text(recipes.dump(recipe), encoding="utf-8")
        next(register)
        config = {
            "recipe": str(asked),
            "out": str(out.resolve()),
            "fleet": str(fleet.resolve()) if fleet else "",
        }
        run = superlink.submit(app, {**config, **settings})
        progress = _progress(out)
        try:
            while (status := superlink.status(run)).state != "finished":
                next(register)
                next(progress)
                time.sleep(_LOOK)
        except BaseException:
            superlink.stop_run(run)
            raise
        next(progress)
    if status.outcome != "completed":
        reason = status.details.removeprefix("ServerApp failed with exception: ")
        raise RunError(reason or "The run was stopped: go on with --resume.")


def tell(news: str) -> None:
    """Tells the operator what happens, on standard error."""
    sys.stderr.write(f"fedmetaalign: {news}\n")
    sys.stderr.flush()


def _register(superlink: SuperLink, fleet: Path | None) -> Iterator[None]:
    """Makes at each step the SuperLink's register follow the fleet folder, and tells what changes in a run.

    What is wrong with the folder at first is an error; later on it is told, and the run goes on.
    """
    keys = enrolled(fleet) if fleet else {}
    if fleet:
        superlink.sync(keys)
    yield
    told = None
    while True:
        try:
            if fleet and (now := enrolled(fleet)) != keys:
                keys = now
                added, removed = superlink.sync(keys)
                for names, news in ((added, "may take part now"), (removed, "may no longer take part")):
                    if names:
                        tell(f"{', '.join(names)} {news}")
        except FedMetaAlignError as error:
            if str(error) != told:
                told = str(error)
                tell(told)
        yield


def _progress(out: Path) -> Iterator[None]:
    """Tells at each step what is new in the run's status."""
    told = None
    while True:
        try:
            status = json.loads((out / "status.json").read_text(encoding="utf-8"))
        except OSError:  # it has not begun
            yield
            continue
        here = sum(device["present"] for device in status["devices"].values())
        place = f"{PHASES[status['phase']]}, round {status['round']} of {status['rounds']}"
        news = status["message"] or f"{place}, {here} of {len(status['devices'])} devices are there"
        if status["state"] in ("running", "waiting") and news != told:
            tell(news)
            told = news
        yield
