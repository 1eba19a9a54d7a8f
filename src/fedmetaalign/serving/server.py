"""The operator's server: a run of our app on a SuperLink, watched until it is done."""

import json
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from fedmetaalign import recipe as recipes
from fedmetaalign.errors import FedMetaAlignError, RunError
from fedmetaalign.gateways.certificates import fingerprint
from fedmetaalign.gateways.enrolment import enrolled
from fedmetaalign.gateways.superlink import Certificates, SuperLink, here, started
from fedmetaalign.recipe import Recipe
from fedmetaalign.report.live import PHASES
from fedmetaalign.run_folder import sole_writer
from fedmetaalign.system.locking import LINGER, BusyError, Lock, alone
from fedmetaalign.system.writing import writing_to

APP = Path(__file__).parent / "app"
"""The folder that `flwr run` takes."""

_LOOK = 1.0  # seconds between two looks at the run


@contextmanager
def superlink_at(address: str, folder: Path, fleet: Path | None) -> Iterator[SuperLink]:
    """Uses the SuperLink at an address, or starts one there for as long as the context lasts.

    Args:
        address: HOST:PORT.
        folder: what one that is started keeps its state in.
        fleet: the fleet folder, with the server's certificate; None for neither TLS nor keys.

    Raises:
        RunError: none can be started, it would do without TLS where other machines reach it, or another server
            runs with the folder.
    """
    certificates = Certificates(fleet / "ca.crt", fleet / "server.crt", fleet / "server.key") if fleet else None
    running = here(address, certificates)
    # The SuperLink that a server has started ends with it, and is nothing that another could use.
    busy = f"Another server runs with {folder}: wait until it ends, or stop it."
    with alone_at_last(folder, busy) as lock:
        if running.answers():
            tell(f"uses the SuperLink at {address}")
            yield running
        else:
            with started(address, folder, certificates, lock) as superlink:
                tell(f"listens at {address}")
                yield superlink


def alone_at_last(folder: Path, busy: str) -> Lock:
    """Keeps other servers out of a folder, and waits for what one that was killed has left there to end.

    Args:
        folder: is made if need be.
        busy: what to say where another server stays in it.

    Raises:
        RunError: another server stays in it, or it cannot be written to.
    """
    return _at_last(lambda patience: alone(folder, busy, "fix that and call again", patience))


def execute(
    superlink: SuperLink,
    recipe: Recipe,
    out: Path,
    fleet: Path | None,
    look: Callable[[], None] = lambda: None,
    **settings: str | float | bool,
) -> None:
    """Runs a recipe with the devices of a SuperLink, whose register follows the fleet folder meanwhile.

    Args:
        superlink: runs.
        recipe: what to run.
        out: the run folder.
        fleet: the fleet folder, whose devices may take part; None where nobody is asked for a key.
        look: is called again and again meanwhile; the run is stopped where it raises.
        **settings: others of `server_app.Settings`.

    Raises:
        RunError: another run goes on there, or the run failed; the sentence says why.
    """
    _make_way(superlink, out)
    register, progress = _register(superlink, fleet), _progress(out)
    next(progress)
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
        try:
            while (status := superlink.status(run)).state != "finished":
                next(register)
                next(progress)
                look()
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


def _make_way(superlink: SuperLink, out: Path) -> None:
    """Ends what a server that was killed has left of a run, and waits until nothing writes to its folder.

    A run into the same folder has no other server, who would hold the lock of the SuperLink's folder.

    Raises:
        RunError: another run goes on there, or something stays that writes to the folder.
    """
    unfinished = superlink.unfinished()
    for into in unfinished.values():
        if into != str(out.resolve()):
            what = f"A run goes on at {superlink.address}{into and f', into {into}'}"
            raise RunError(f"{what}: wait for its end, or give another --address and --fleet.")
    for run in unfinished:
        tell(f"stops what is left of an earlier run into {out}")
        superlink.stop_run(run)
    if (out / "rounds.jsonl").exists():
        with writing_to(out):
            _at_last(lambda patience: sole_writer(out, patience))


def _at_last(take: Callable[[float], Lock]) -> Lock:
    """Takes a lock, and waits as long as what a server that was killed has left may hold it."""
    try:
        return take(0)
    except BusyError:
        tell(f"waits up to {LINGER:g} seconds for an earlier server to end")
        return take(LINGER)


def _register(superlink: SuperLink, fleet: Path | None) -> Iterator[None]:
    """Makes at each step the SuperLink's register follow the fleet folder, and tells what changes in a run.

    What is wrong with the folder at first is an error; later on it is reported, and the run goes on.
    """
    known = _keys(fleet)
    if fleet:
        superlink.sync(enrolled(fleet))
    yield
    reported = None
    while True:
        try:
            if fleet and (now := _keys(fleet)) != known:
                added, removed = superlink.sync(enrolled(fleet))
                known = now  # only now: what has failed is tried again
                for names, news in ((added, "may take part now"), (removed, "may no longer take part")):
                    if names:
                        tell(f"{', '.join(names)} {news}")
            reported = None
        except FedMetaAlignError as error:
            if str(error) != reported:
                reported = str(error)
                tell(reported)
        yield


def _keys(fleet: Path | None) -> dict[str, str]:
    """Returns the fingerprint of each device's key, which tells one that was revoked and enrolled again."""
    return {name: fingerprint(path) for name, path in enrolled(fleet).items()} if fleet else {}


def _progress(out: Path) -> Iterator[None]:
    """Tells at each step what is new in the run's status since the first."""
    path, reported, noticed = out / "status.json", None, set[str]()
    before = path.read_bytes() if path.exists() else b""
    yield
    while True:
        # There is none, or that of a run that was stopped, until this one has begun.
        now = path.read_bytes() if path.exists() else b""
        if now == before:
            yield
            continue
        status = json.loads(now)
        for sentence in status["notices"]:
            if sentence not in noticed:
                noticed.add(sentence)
                tell(sentence)
        here = sum(device["present"] for device in status["devices"].values())
        place = f"{PHASES[status['phase']]}, round {status['round']} of {status['rounds']}"
        news = status["message"] or f"{place}, {here} of {len(status['devices'])} devices are there"
        if status["state"] in ("running", "waiting") and news != reported:
            tell(news)
            reported = news
        yield
