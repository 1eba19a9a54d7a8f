"""What a fleet of real processes, with TLS and keys, survives: power cuts, lies, a server that is killed."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
from fleet_of_processes import LIMIT, Fleet, fleet_of
from safetensors.numpy import load_file

from fedmetaalign import recipe as recipes
from fedmetaalign.engine.device_runner import DeviceRunner, learner_of
from fedmetaalign.engine.local import LocalEngine
from fedmetaalign.federation.engine import Liveness, Replies
from fedmetaalign.federation.messages import Reply, Request, Train
from fedmetaalign.fleet.local_device import build_device, hello, read_table
from fedmetaalign.fleet.shared import load_shared
from fedmetaalign.methods import find
from fedmetaalign.phases.client import Client
from fedmetaalign.phases.server import Server, State, rounds
from fedmetaalign.run import run
from fedmetaalign.serving.server_app import SHARED

pytestmark = [
    pytest.mark.processes,
    pytest.mark.slow,
    pytest.mark.skipif(not Path("/proc").exists(), reason="needs /proc"),
    pytest.mark.usefixtures("no_report"),
]

F0, F1, F2, F3 = (f"feeder-0{i}" for i in range(4))
STRANGER = "stranger"

# Flower takes a device that is silent for gone after 60 seconds; with this after 30.
QUICK = """
for name in ("flwr.supercore.heartbeat", "flwr.supernode.fleet_http_connection"):
    after(name, lambda module: setattr(module, "HEARTBEAT_DEFAULT_INTERVAL", 15))
"""

DEADLINE = 90
"""Seconds for an answer where one misses it: far more than an honest device takes on a busy machine."""

# What a device does in a parallel round in place of its answer.
LIAR = """
import json
import time
from dataclasses import replace
from pathlib import Path

LIES = {}

def lying(module):
    honest = module.write_reply

    def answer(device, run, request, reply):
        lie = LIES.get(request.number) if type(request).__name__ == "Train" else None
        if lie == "NaN":
            delta = reply.delta.copy()
            delta[7] = float("nan")
            reply = replace(reply, delta=delta)
        if lie == "shape":
            reply = replace(reply, delta=reply.delta[:-1])
        if lie == "score":
            reply = replace(reply, query_score=2.0)
        if lie == "stale":
            request = replace(request, number=1)
        if lie == "name":
            device = "feeder-00"
        if lie == "slow":  # until the next round: then its answer is late for sure
            while json.loads(Path(STATUS).read_text())["round"] <= request.number:
                time.sleep(0.1)
        return honest(device, run, request, reply)

    module.write_reply = answer

after("fedmetaalign.engine.flower.replies", lying)
"""


def liar(lies: Mapping[int, str], fleet: Fleet) -> str:
    return LIAR.replace("{}", repr(lies)).replace("STATUS", repr(str(fleet.out / "status.json")))


def power_cuts(fleet: Fleet) -> int:
    """Cuts a device off in every phase, lets one come and revokes one; returns in which round."""
    fleet.serve()
    for name in (F0, F1, F2):
        fleet.join(name, QUICK)

    def cut(name: str, message: str) -> None:
        fleet.until(lambda: fleet.received(name, message), f"{name} has a {message}")
        fleet.programs[name].kill()
        fleet.join(name, QUICK)

    cut(F0, "train.visit")
    cut(F1, "train.train")
    fleet.enroll("--device", F3)
    fleet.join(F3)
    # Not before one of those that were cut off is back, so that the round has an answer.
    fleet.until(lambda: fleet.received(F0, "train.train"), f"{F0} is back")
    fleet.enroll("--revoke", F2)
    number = int(fleet.status()["round"])
    assert fleet.status()["phase"] == "parallel"
    for wrong in (["--insecure"], []):
        refused = fleet.call(*fleet.device(STRANGER, F0), *wrong)
        (fleet.folder / f"{STRANGER}{len(wrong)}.err").write_text(f"{refused.returncode} {refused.stderr}")
    cut(F0, "train.finish")
    fleet.finish()
    return number


def lies(fleet: Fleet) -> None:
    """Lets two of three devices lie in every parallel round but the last."""
    fleet.serve()
    fleet.join(F0)
    fleet.join(F1, liar({1: "NaN", 2: "score", 3: "name"}, fleet))
    fleet.join(F2, liar({1: "shape", 2: "stale", 3: "slow"}, fleet))
    fleet.finish()


def killed_servers(fleet: Fleet) -> None:
    """Kills the server in every phase; the devices go on."""
    fleet.serve()
    for name in (F0, F1):
        fleet.join(name)
    devices = [fleet.programs[name].process for name in (F0, F1)]

    fleet.until(lambda: fleet.received(F0, "train.visit"), f"the tour is at {F0}")
    fleet.programs["server"].kill()
    fleet.serve("--resume")

    fleet.until(lambda: fleet.received(F0, "train.train") >= 2, f"{F0} works in the second round")
    server = fleet.programs["server"]
    server.process.kill()  # the rest of it ends by itself, after which its port is free
    server.process.wait()
    end = time.monotonic() + LIMIT
    while server.family():
        assert time.monotonic() < end, f"something of the server stays behind{fleet.tails()}"
        time.sleep(0.1)
    fleet.serve("--resume")

    fleet.until(lambda: fleet.received(F0, "train.finish"), f"{F0} makes its own model")
    fleet.programs["server"].kill()
    fleet.serve("--resume")
    fleet.finish()
    assert all(device.poll() is None for device in devices), fleet.tails()


@dataclass(frozen=True)
class Story:
    """What happens to a fleet."""

    happens: Callable[[Fleet], int | None]
    enrolled: Sequence[str]
    tables: int
    rounds: int
    deadline: int = 600  # for which nothing waits


STORIES = (
    Story(power_cuts, (F0, F1, F2), 4, 5),
    Story(lies, (F0, F1, F2), 3, 4, DEADLINE),
    Story(killed_servers, (F0, F1), 2, 3),
)


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., tuple[Fleet, int | None]]]:
    """Lets all stories happen at once, since each waits most of the time; returns how one has ended."""

    def happen(story: Story, fleet: Fleet) -> tuple[Fleet, int | None]:
        try:
            return fleet, story.happens(fleet)
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
    fleet, _ = told(power_cuts)
    tour = {r["device"]: r for r in fleet.records() if r["phase"] == 1}
    assert "absent" in tour[F0]
    assert "absent" not in tour[F1]
    assert "absent" not in tour[F2]
    assert rounds_of(fleet, F0, "score")[-1] == 5
    assert rounds_of(fleet, F1, "absent")[0] == 1
    assert rounds_of(fleet, F1, "score")[-1] == 5
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
    fleet, number = told(power_cuts)
    assert max(rounds_of(fleet, F2, "round")) <= number
    assert 1 not in rounds_of(fleet, F3, "score")
    assert rounds_of(fleet, F3, "score")[-1] == 5
    assert f"fedmetaalign: {F3} may take part now" in fleet.said("server")
    assert f"fedmetaalign: {F2} may no longer take part" in fleet.said("server")
    assert fleet.programs[F2].process.poll() == 1
    refused = f"fedmetaalign: {fleet.address} refuses {F2}: its key was revoked,"
    assert fleet.said(F2)[-1].startswith(refused)


def test_a_device_without_a_key_or_over_plain_http_is_refused(told) -> None:
    fleet, _ = told(power_cuts)
    assert fleet.said(f"{STRANGER}0") == [
        "1 fedmetaalign: The device needs its keys: give with --keys the folder that the operator handed out."
    ]
    assert fleet.said(f"{STRANGER}1") == [
        f"1 fedmetaalign: What answers at {fleet.address} is no server of a fleet without TLS:"
        " stop it, or give another address."
    ]


@dataclass(frozen=True)
class Honest:
    """A fleet in this process that leaves devices out of some parallel rounds."""

    engine: LocalEngine
    left_out: Mapping[str, Sequence[int]]

    @property
    def names(self) -> tuple[str, ...]:
        return self.engine.names

    def liveness(self) -> Mapping[str, Liveness]:
        return self.engine.liveness()

    def exchange(self, names: Sequence[str], request: Request[Reply], patience: float = 0.0) -> Replies[Reply]:
        if isinstance(request, Train):
            names = [name for name in names if request.number not in self.left_out.get(name, ())]
        return self.engine.exchange(names, request, patience)


def test_lies_and_late_answers_are_reported_and_change_nothing_for_the_others(told) -> None:
    fleet, _ = told(lies)
    kinds = {"absent", "rejected", "late"}
    assert [record for record in fleet.records() if record.keys() & kinds] == [
        {"phase": 2, "round": number, "device": name, kind: reason}
        for number, name, kind, reason in [
            (1, F1, "rejected", "The array 'delta' holds a value that is not finite."),
            (
                1,
                F2,
                "rejected",
                "The array 'delta' is float32 of shape (120,), and not float32 of shape (121,).",
            ),
            (2, F1, "rejected", "Its score 2 is out of (0, 1]."),
            (2, F2, "rejected", "It answered round 1, and was asked 2."),
            (3, F1, "rejected", f"It answered in the name of '{F0}'."),
            (3, F2, "absent", f"It did not answer within {DEADLINE} seconds."),
            (4, F2, "late", "Its answer to train 3 came after the deadline, and was dropped."),
        ]
    ]
    missed = {F1: {"rejected": 3}, F2: {"absent": 1, "late": 1, "rejected": 2}}
    assert fleet.json("manifest.json")["missed"] == missed

    recipe = recipes.load(str(fleet.recipe))
    tables = [read_table(recipe, name, fleet.table(name)) for name in (F0, F1, F2)]
    shared = load_shared(fleet.out / SHARED)
    places = [shared.place(hello(recipe, table), recipe.model) for table in tables]
    devices = [build_device(recipe, table, place)[0] for table, place in zip(tables, places, strict=True)]
    left_out = dict.fromkeys((F1, F2), (1, 2, 3))
    learner, method = learner_of(recipe), find(recipe.method)
    fair = LocalEngine(DeviceRunner(Client(recipe, device, learner), method) for device in devices)
    plan = method.rounds(Server(recipe, Honest(fair, left_out), learner))
    done = list(rounds(plan, State(learner.initial())))
    records = [record for _, _, found in done for record in found]
    answered = [r for r in fleet.records() if r["phase"] < 3 and not r.keys() & kinds]
    assert answered == json.loads(json.dumps(records))
    checkpoint = load_file(fleet.out / "checkpoint.safetensors")
    assert checkpoint["weights"].tobytes() == done[-1][1].weights.tobytes()
    assert sorted(fleet.json("results.json")["devices"]) == [F0, F1, F2]


def test_a_server_that_is_killed_again_and_again_ends_with_the_same_bits(told, deterministic, tmp_path) -> None:
    fleet, _ = told(killed_servers)
    run(recipes.load(str(fleet.recipe)), tmp_path / "undisturbed")
    undisturbed, flower = deterministic(tmp_path / "undisturbed"), deterministic(fleet.out)
    for name in ("recipe.toml", "rounds.jsonl", "checkpoint.safetensors", "results.json"):
        assert flower[name] == undisturbed[name], name
    for device in (F0, F1):
        at_home = deterministic(fleet.state(device) / "bundle")
        assert at_home == deterministic(tmp_path / "undisturbed" / "devices" / device)
        assert any((fleet.state(device) / "flower" / "jax").iterdir())  # what was compiled is kept
