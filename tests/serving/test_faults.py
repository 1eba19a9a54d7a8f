"""What a fleet of real processes, with TLS and keys, survives: power cuts, late answers, a killed server."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
from fleet_of_processes import LIMIT, Fleet, fleet_of

from fedmetaalign import recipe as recipes
from fedmetaalign.run import run

pytestmark = [
    pytest.mark.processes,
    pytest.mark.slow,
    pytest.mark.skipif(not Path("/proc").exists(), reason="needs /proc"),
    pytest.mark.usefixtures("no_report"),
]

F0, F1, F2, F3 = (f"feeder-0{i}" for i in range(4))

# Flower takes a device that is silent for gone after 60 seconds; with this after 30.
QUICK = """
for name in ("flwr.supercore.heartbeat", "flwr.supernode.fleet_http_connection"):
    after(name, lambda module: setattr(module, "HEARTBEAT_DEFAULT_INTERVAL", 15))
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


def cut(fleet: Fleet, name: str, message: str, times: int = 1) -> None:
    """Takes a device's power away when it has had a message so many times, and gives it back at once."""
    fleet.until(lambda: fleet.log(name, f"Receiving: {message} message") >= times, f"{name} has a {message}")
    fleet.programs[name].kill()
    (fleet.state(name) / "supernode.log").unlink()  # of its earlier life, until the next one begins it anew
    fleet.join(name, QUICK)


def troubles(fleet: Fleet) -> None:
    """Cuts devices off in every phase, makes one miss a deadline, lets one come and revokes one."""
    go = fleet.folder / "go"
    fleet.serve()
    for name in (F0, F1):
        fleet.join(name, QUICK)
    status = repr(str(fleet.out / "status.json"))
    fleet.join(F2, SLOW.replace("STATUS", status).replace("GO", repr(str(go))))
    cut(fleet, F0, "train.visit")
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


STORIES = (
    Story(troubles, (F0, F1, F2), 4, 4, DEADLINE),
    Story(killed_servers, (F0, F1), 2, 2),
)


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Fleet]]:
    """Lets both stories happen at once, since each waits most of the time; returns how one has ended."""

    def happen(story: Story, fleet: Fleet) -> Fleet:
        try:
            story.happens(fleet)
            return fleet
        finally:
            fleet.close()

    with ThreadPoolExecutor(len(STORIES)) as pool, ExitStack() as stack:
        ends = {}
        for story in STORIES:
            folder = tmp_path_factory.mktemp(story.happens.__name__)
            made = fleet_of(story.enrolled, folder, story.tables, story.rounds, story.deadline)
            fleet = stack.enter_context(made)
            ends[story.happens] = pool.submit(happen, story, fleet)
        yield lambda happens: ends[happens].result()


# Starts a process as Flower does, which waits without end, and is killed.
PARENT = """
import os, signal, subprocess, sys
subprocess.Popen([sys.executable, "-c", sys.argv[1], "--parent-pid", str(os.getpid())], stdin=subprocess.PIPE)
sys.stdin.readline()
os.kill(os.getpid(), signal.SIGKILL)
"""

CHILD = """
import os, threading
from fedmetaalign.gateways import processes
processes.GRACE = 0.1
processes.end_with_parent()
print(os.getpid(), flush=True)
threading.Event().wait()
"""


def test_a_process_that_waits_without_end_ends_with_its_parent() -> None:
    command = [sys.executable, "-c", PARENT, CHILD]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as parent:  # noqa: S603
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        try:
            parent.communicate("end\n", timeout=LIMIT)  # until both have closed their output
        finally:
            with suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)


def rounds_of(fleet: Fleet, name: str, key: str) -> list[int]:
    """Returns the parallel rounds in which a device's records have a key."""
    return [r["round"] for r in fleet.records() if r["phase"] == 2 and r["device"] == name and key in r]


def test_a_device_that_loses_power_is_skipped_and_comes_back(told) -> None:
    fleet = told(troubles)
    tour = {r["device"]: r for r in fleet.records() if r["phase"] == 1}
    assert "absent" in tour[F0]
    assert "absent" not in tour[F1]
    assert "absent" not in tour[F2]
    assert rounds_of(fleet, F0, "score")[-1] == 4
    assert rounds_of(fleet, F1, "absent")[0] == 2
    assert rounds_of(fleet, F1, "score")[-1] == 4
    # The last phase waits for who loses power in it, and asks again.
    assert fleet.said(F0).count(f"{F0}: makes its own model.") == 2
    results = fleet.json("results.json")["devices"]
    assert sorted(results) == [F0, F1, F3]
    for name, result in results.items():
        bundle = json.loads((fleet.state(name) / "bundle" / "bundle.json").read_text(encoding="utf-8"))
        assert bundle["digest"] == result["bundle"]
    missed = fleet.json("manifest.json")["missed"]
    assert missed[F0] == {"absent": 1 + len(rounds_of(fleet, F0, "absent"))}
    assert missed[F1] == {"absent": len(rounds_of(fleet, F1, "absent"))}


def test_a_device_is_enrolled_and_another_revoked_in_the_middle_of_a_run(told) -> None:
    fleet = told(troubles)
    assert rounds_of(fleet, F2, "round")[-1] == 3
    assert 1 not in rounds_of(fleet, F3, "score")
    assert rounds_of(fleet, F3, "score")[-1] == 4
    assert f"fedmetaalign: {F3} may take part now" in fleet.said("server")
    assert f"fedmetaalign: {F2} may no longer take part" in fleet.said("server")
    assert fleet.programs[F2].process.poll() == 1
    refused = f"fedmetaalign: {fleet.address} refuses {F2}: its key was revoked,"
    assert fleet.said(F2)[-1].startswith(refused)


def test_an_answer_after_the_deadline_is_reported_and_the_device_asked_again(told) -> None:
    fleet = told(troubles)
    kinds = {"absent", "rejected", "late"}
    missed = [record for record in fleet.records() if record["device"] == F2 and record.keys() & kinds]
    assert missed == [
        {"phase": 2, "round": number, "device": F2, kind: reason}
        for number, kind, reason in [
            (1, "absent", f"It did not answer within {DEADLINE} seconds."),
            (2, "late", "Its answer to train 1 came after the deadline, and was dropped."),
            (3, "absent", "It left before it answered."),
        ]
    ]
    assert rounds_of(fleet, F2, "score") == [2]


def test_a_server_that_is_killed_again_and_again_ends_with_the_same_bits(told, deterministic, tmp_path) -> None:
    fleet = told(killed_servers)
    run(recipes.load(str(fleet.recipe), KEPT), tmp_path / "undisturbed")
    undisturbed, flower = deterministic(tmp_path / "undisturbed"), deterministic(fleet.out)
    for name in ("recipe.toml", "rounds.jsonl", "checkpoint.safetensors", "results.json"):
        assert flower[name] == undisturbed[name], name
    for device in (F0, F1):
        at_home = deterministic(fleet.state(device) / "bundle")
        assert at_home == deterministic(tmp_path / "undisturbed" / "devices" / device)
