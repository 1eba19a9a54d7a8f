"""What a fleet of real processes, with TLS and keys, survives: power cuts, late answers, a killed server."""

import json
import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest
from fleet_of_processes import LIMIT, Fleet
from stories import DEADLINE, F0, F1, F2, F3, KEPT

from fedmetaalign import recipe as recipes
from fedmetaalign.run import run

pytestmark = [
    pytest.mark.processes,
    pytest.mark.slow,
    pytest.mark.skipif(not Path("/proc").exists(), reason="needs /proc"),
    pytest.mark.usefixtures("no_report"),
]

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


@pytest.mark.story("troubles")
def test_a_device_that_loses_power_is_skipped_and_comes_back(told) -> None:
    fleet = told("troubles")
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


@pytest.mark.story("troubles")
def test_a_device_is_enrolled_and_another_revoked_in_the_middle_of_a_run(told) -> None:
    fleet = told("troubles")
    assert rounds_of(fleet, F2, "round")[-1] == 3
    assert 1 not in rounds_of(fleet, F3, "score")
    assert rounds_of(fleet, F3, "score")[-1] == 4
    assert f"fedmetaalign: {F3} may take part now" in fleet.said("server")
    assert f"fedmetaalign: {F2} may no longer take part" in fleet.said("server")
    assert fleet.programs[F2].process.poll() == 1
    refused = f"fedmetaalign: {fleet.address} refuses {F2}: its key was revoked,"
    assert fleet.said(F2)[-1].startswith(refused)


@pytest.mark.story("troubles")
def test_an_answer_after_the_deadline_is_reported_and_the_device_asked_again(told) -> None:
    fleet = told("troubles")
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


@pytest.mark.story("killed servers")
def test_a_server_that_is_killed_again_and_again_ends_with_the_same_bits(told, deterministic, tmp_path) -> None:
    fleet = told("killed servers")
    run(recipes.load(str(fleet.recipe), KEPT), tmp_path / "undisturbed")
    undisturbed, flower = deterministic(tmp_path / "undisturbed"), deterministic(fleet.out)
    for name in ("recipe.toml", "rounds.jsonl", "checkpoint.safetensors", "results.json"):
        assert flower[name] == undisturbed[name], name
    for device in (F0, F1):
        at_home = deterministic(fleet.state(device) / "bundle")
        assert at_home == deterministic(tmp_path / "undisturbed" / "devices" / device)
