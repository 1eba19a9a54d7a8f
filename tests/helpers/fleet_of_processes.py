"""A fleet of the real commands as processes on loopback, of which any can be killed at any moment."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

from fedmetaalign.fleet.export import write_devices
from fedmetaalign.gateways import addresses
from fedmetaalign.gateways.enrolment import enroll, revoke

LIMIT = 1800.0
"""Seconds after which a test that hangs is ended; nothing is said about how long anything takes."""

RECIPE = """
[model]
hidden = [8, 4]
[optimizer]
learning_rate = 0.01
[serial]
rounds = 1
[parallel]
rounds = {rounds}
[personalize]
epochs = 2
"""

COMMAND = (sys.executable, "-m", "fedmetaalign")

# A device's `sitecustomize.py`, by which its processes behave otherwise; it is followed by calls of `after`.
SITE = """
import sys
from importlib.machinery import PathFinder

class After:
    def __init__(self, name, change):
        self.name, self.change = name, change

    def find_spec(self, name, path=None, target=None):
        if name != self.name:
            return None
        spec = PathFinder.find_spec(name, path, target)
        execute = spec.loader.exec_module
        spec.loader.exec_module = lambda module: (execute(module), self.change(module))
        return spec

def after(name, change):
    '''Changes a module as soon as it is imported.'''
    sys.meta_path.insert(0, After(name, change))
"""


@dataclass(frozen=True)
class Program:
    """A command that was started."""

    process: subprocess.Popen[bytes]
    mark: str

    def family(self) -> list[int]:
        """Returns its process and all that come of it, which inherit the mark."""
        found = []
        for process in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):  # it has just ended, or is somebody else's
                if self.mark.encode() in (process / "environ").read_bytes():
                    found.append(int(process.name))
        return found

    def kill(self) -> None:
        """Kills them all at once, as a power cut does."""
        while family := self.family():
            for number in family:
                with suppress(ProcessLookupError):
                    os.kill(number, signal.SIGKILL)
            time.sleep(0.02)
        self.process.wait()


@dataclass
class Fleet:
    """A server and its devices, with keys and TLS.

    Attributes:
        folder: holds `tables` with the recipe, `keys` (the operator's fleet folder), `run`, for every device
            `state/NAME`, and for every program `NAME.err`.
        deadline: seconds that a device has for an answer.
        address: the server's.
        programs: the one that was started last under each name; the server's is "server".
        closed: nothing may be started any more.
    """

    folder: Path
    deadline: int
    address: str = field(default_factory=lambda: f"127.0.0.1:{addresses.free_port()}")
    programs: dict[str, Program] = field(default_factory=dict)
    closed: bool = False

    @property
    def out(self) -> Path:
        return self.folder / "run"

    @property
    def recipe(self) -> Path:
        return self.folder / "tables" / "recipe.toml"

    def table(self, name: str) -> Path:
        return self.folder / "tables" / f"{name}.csv"

    def state(self, name: str) -> Path:
        return self.folder / "state" / name

    def enroll(self, *names: str) -> None:
        enroll(self.folder / "keys", [], names, None, datetime.now(UTC))

    def revoke(self, name: str) -> None:
        revoke(self.folder / "keys", [name])

    def serve(self, *more: str) -> None:
        """Starts the server."""
        where = ["--fleet", str(self.folder / "keys"), "--address", self.address, "--out", str(self.out)]
        self._start("server", ["server", str(self.recipe), *where, "--deadline", str(self.deadline), *more])

    def join(self, name: str, site: str = "") -> None:
        """Starts a device; `site` changes what its processes import."""
        keys = self.state(name) / "keys"
        if not keys.exists():  # what was handed out is taken along
            keys.parent.mkdir(parents=True)
            (self.folder / "keys" / "handout" / name).rename(keys)
        environment = {}
        if site:
            folder = self.folder / "site" / name
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "sitecustomize.py").write_text(SITE + site, encoding="utf-8")
            paths = [str(folder), *filter(None, [os.environ.get("PYTHONPATH")])]
            environment = {"PYTHONPATH": os.pathsep.join(paths)}
        where = ["--table", str(self.table(name)), "--state", str(self.state(name)), "--keys", str(keys)]
        self._start(name, ["device", "--name", name, "--server", self.address, *where], environment)

    def log(self, name: str, words: str) -> int:
        """Counts words in what a device's SuperNode has written since it was started."""
        path = self.state(name) / "supernode.log"
        return path.read_text(errors="replace").count(words) if path.exists() else 0

    def there(self, *names: str) -> bool:
        """Tells whether the server finds all of these devices there."""
        return all(self.status()["devices"].get(name, {}).get("present") for name in names)

    def status(self) -> Any:
        path = self.out / "status.json"
        return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}

    def records(self) -> list[dict[str, Any]]:
        lines = (self.out / "rounds.jsonl").read_text(encoding="utf-8").splitlines()
        return [json.loads(line) for line in lines]

    def json(self, name: str) -> Any:
        return json.loads((self.out / name).read_text(encoding="utf-8"))

    def said(self, name: str) -> list[str]:
        """Returns the lines that a program has written to standard error, each time that it was started."""
        return (self.folder / f"{name}.err").read_text(encoding="utf-8").splitlines()

    def until(self, condition: Callable[[], Any], what: str) -> None:
        """Waits for something that is sure to come while the server runs."""
        end = time.monotonic() + LIMIT
        while not condition():
            assert self.programs["server"].process.poll() is None, f"ended before {what}{self.tails()}"
            assert time.monotonic() < end, f"waited in vain until {what}{self.tails()}"
            time.sleep(0.1)

    def finish(self) -> None:
        """Waits until the server is done."""
        assert self.programs["server"].process.wait(LIMIT) == 0, self.tails()

    def close(self) -> None:
        """Kills all that still runs."""
        self.closed = True
        for program in list(self.programs.values()):
            program.kill()

    def tails(self) -> str:
        """Returns the ends of all logs."""
        logs = [*self.folder.glob("*.err"), *self.folder.glob("state/*/supernode.log")]
        logs += [self.folder / "keys/superlink/superlink.log", self.out / "rounds.jsonl"]
        tails = {path: path.read_text(errors="replace").splitlines()[-25:] for path in logs if path.exists()}
        return "".join("\n".join([f"\n--- {path}", *lines]) for path, lines in tails.items())

    def _start(self, name: str, arguments: Sequence[str], environment: dict[str, str] | None = None) -> None:
        assert not self.closed, "the test is over"
        mark = uuid4().hex
        with (self.folder / f"{name}.err").open("ab") as errors:
            process = subprocess.Popen(  # noqa: S603
                [*COMMAND, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=errors,
                env={**os.environ, **(environment or {}), "FLEET_OF_PROCESSES": mark},
            )
        self.programs[name] = Program(process, mark)


@contextmanager
def fleet_of(names: Sequence[str], folder: Path, tables: int, rounds: int, deadline: int) -> Iterator[Fleet]:
    """Makes the tables of some feeders, and enrols those named; kills what runs when the context ends."""
    fleet = Fleet(folder, deadline)
    recipe = write_devices("feeder", tables, 250, 3, folder / "tables")
    with recipe.open("a", encoding="utf-8") as file:
        file.write(RECIPE.format(rounds=rounds))
    fleet.enroll(*names)
    try:
        yield fleet
    finally:
        fleet.close()
