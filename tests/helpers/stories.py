"""What happens to fleets of processes: stories that happen at once, since each waits most of the time."""

import os
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from commands_of_a_page import BIN, CHECKOUT, Machine, blocks
from fleet_of_processes import LIMIT, Fleet, fleet_of

from fedmetaalign.gateways.addresses import free_port

F0, F1, F2, F3 = (f"feeder-0{i}" for i in range(4))

# Flower takes a device that is silent for gone after 60 seconds; with this after 30.
QUICK = """
for name in ("flwr.supercore.heartbeat", "flwr.supernode.fleet_http_connection"):
    after(name, lambda module: setattr(module, "HEARTBEAT_DEFAULT_INTERVAL", 15))
"""

# It is asked, and loses power before it has answered.
MUTE = """
import time

def mute(module):
    honest = module.write_reply

    def answer(device, run, request, reply):
        while (type(request).__name__, request.number) == ASKED:
            time.sleep(0.1)
        return honest(device, run, request, reply)

    module.write_reply = answer

after("fedmetaalign.engine.flower.replies", mute)
"""

DEADLINE = 90
"""Seconds for an answer, of which one is missed: far more than an honest device takes on a busy machine."""

# In the first parallel round the device answers when the next one has begun: then it is late for sure. In the
# third it answers when it is told to, so that what is to happen in this round does.
SLOW = """
import json
import time
from pathlib import Path

def slow(module):
    honest = module.write_reply

    def answer(device, run, request, reply):
        if type(request).__name__ == "Train":
            while request.number == 1 == json.loads(Path(STATUS).read_text())["round"]:
                time.sleep(0.1)
            while request.number == 3 and not Path(GO).exists():
                time.sleep(0.1)
        return honest(device, run, request, reply)

    module.write_reply = answer

after("fedmetaalign.engine.flower.replies", slow)
"""


def mute(request: str, number: int = 1) -> str:
    """Returns what a device behaves by that does not answer such a request, but is otherwise `QUICK`."""
    return QUICK + MUTE.replace("ASKED", repr((request, number)))


def cut(fleet: Fleet, name: str, message: str, times: int = 1, then: str = QUICK) -> None:
    """Takes a device's power away when it has had a message so many times, and gives it back at once.

    It must not have answered: it was started as one that is `mute` to this message.
    """
    fleet.until(lambda: fleet.log(name, f"Receiving: {message} message") >= times, f"{name} has a {message}")
    fleet.programs[name].kill()
    (fleet.state(name) / "supernode.log").unlink()  # of its earlier life, until the next one begins it anew
    fleet.join(name, then)


def troubles(fleet: Fleet) -> None:
    """Cuts devices off in every phase, makes one miss a deadline, lets one come and revokes one."""
    go = fleet.folder / "go"
    fleet.serve()
    fleet.join(F0, mute("Visit"))
    fleet.join(F1, mute("Train", 2))
    status = repr(str(fleet.out / "status.json"))
    fleet.join(F2, SLOW.replace("STATUS", status).replace("GO", repr(str(go))))
    cut(fleet, F0, "train.visit", then=mute("Finish"))
    fleet.until(lambda: fleet.log(F2, "Receiving: train.train"), "the first round has begun")
    fleet.enroll(F3)
    fleet.join(F3)
    cut(fleet, F1, "train.train", 2)
    fleet.until(lambda: fleet.log(F1, "Sending: query.introduce") and fleet.there(F1, F3), "both are there")
    fleet.until(lambda: fleet.status()["round"] == 3, f"the round has begun in which {F2} waits")
    fleet.revoke(F2)
    fleet.until(lambda: any("may no longer" in line for line in fleet.said("server")), f"{F2} is revoked")
    go.touch()
    cut(fleet, F0, "train.finish")
    fleet.finish()


KEPT = ("fleet.scaling=fleet", "transport.send=int8")
"""With these a device keeps something from message to message, each of which is a process of its own."""


def killed_servers(fleet: Fleet) -> None:
    """Kills the server with all that it has started, and then alone; the devices go on."""
    changes = [word for change in KEPT for word in ("--set", change)]
    fleet.serve(*changes)
    for name in (F0, F1):
        fleet.join(name)
    devices = [fleet.programs[name].process for name in (F0, F1)]

    fleet.until(lambda: fleet.log(F0, "Receiving: train.visit"), f"the tour is at {F0}")
    fleet.programs["server"].kill()
    fleet.serve("--resume", *changes)

    fleet.until(lambda: fleet.log(F0, "Receiving: train.train") >= 2, f"{F0} works in the second round")
    server = fleet.programs["server"]
    server.process.kill()  # the rest of it ends by itself, after which its port is free
    server.process.wait()
    end = time.monotonic() + LIMIT
    while server.family():
        assert time.monotonic() < end, f"something of the server stays behind{fleet.tails()}"
        time.sleep(0.1)
    fleet.serve("--resume", *changes)
    fleet.finish()
    assert all(device.poll() is None for device in devices), fleet.tails()


@dataclass(frozen=True)
class Story:
    """What happens to a fleet."""

    happens: Callable[[Fleet], None]
    enrolled: Sequence[str]
    tables: int
    rounds: int
    deadline: int = 600  # for which nothing waits

    @contextmanager
    def begun(self, folder: Path) -> Iterator[Callable[[], Fleet]]:
        """Makes the fleet; gives what lets it all happen."""
        with fleet_of(self.enrolled, folder, self.tables, self.rounds, self.deadline) as fleet:
            yield partial(self._happen, fleet)

    def _happen(self, fleet: Fleet) -> Fleet:
        try:
            self.happens(fleet)
            return fleet
        finally:
            fleet.close()


@contextmanager
def the_page(folder: Path) -> Iterator[Callable[[], Machine]]:
    """Makes a machine of a copy of what a wheel is made of; gives what runs docs/deploy.md on it."""
    inherited = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    path = f"{BIN}{os.pathsep}{inherited['PATH']}"
    ports = {port: str(free_port()) for port in ("8000", "8001")}
    settings = {"PATH": path, "COLUMNS": "200", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    machine = Machine(folder, ports, inherited | settings)
    for part in ("pyproject.toml", "constraints.txt", "README.md"):
        shutil.copy(CHECKOUT / part, folder)
    for part in ("recipes", "src"):
        shutil.copytree(CHECKOUT / part, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "var").mkdir()

    def run() -> Machine:
        for block in blocks((CHECKOUT / "docs" / "deploy.md").read_text(encoding="utf-8")):
            machine.perform(block)
        machine.until_done([left for left in machine.left if left.ends], "all that ends has ended")
        return machine

    try:
        yield run
    finally:
        machine.close()


STORIES: dict[str, Callable[[Path], AbstractContextManager[Callable[[], Any]]]] = {
    "the page": the_page,
    "troubles": Story(troubles, (F0, F1, F2), 4, 4, DEADLINE).begun,
    "killed servers": Story(killed_servers, (F0, F1), 2, 2).begun,
}


@contextmanager
def happening(names: Iterable[str], folder: Path) -> Iterator[Callable[[str], Any]]:
    """Lets stories happen at once, since each waits most of the time; gives what returns how one has ended."""
    with ThreadPoolExecutor(len(STORIES)) as pool, ExitStack() as stack:
        ends = {}
        for name in names:
            place = folder / name.replace(" ", "-")
            place.mkdir()
            ends[name] = pool.submit(stack.enter_context(STORIES[name](place)))
        yield lambda name: ends[name].result()
