"""What one command makes of a run over Flower on this machine: its refusals, and how it ends.

That it leaves the folder of a local run, bit for bit, is seen in tests/docs/test_deploy_guide.py.
"""

import json
import subprocess
import sys
from contextlib import contextmanager

import pytest

from fedmetaalign import recipe as recipes
from fedmetaalign.errors import RunError
from fedmetaalign.gateways.superlink import SuperLink
from fedmetaalign.serving import loopback, server
from fedmetaalign.system.locking import alone

RECIPE = {
    "name": "two",
    "fleet": {"simulator": "feeder", "count": 2, "samples": 200, "scaling": "fleet"},
    "model": {"hidden": [8, 4]},
    "optimizer": {"learning_rate": 0.01},
    "serial": {"rounds": 1},
    "parallel": {"rounds": 1},
    "transport": {"send": "int8"},
    "personalize": {"epochs": 2},
}


def test_a_fleet_too_large_for_one_machine_is_refused_before_anything_is_started(here):
    recipe = recipes.parse(
        RECIPE | {"fleet": {"simulator": "feeder", "count": loopback.MOST + 1, "samples": 100}}, "here"
    )
    with pytest.raises(RunError, match=r"has 65 devices, and each would take 340 MB: use --engine local"):
        loopback.run_on_loopback(recipe, here / "run", resume=False)
    assert list(here.iterdir()) == []


@pytest.fixture
def recipe():
    return recipes.parse(RECIPE, "here")


@pytest.fixture
def imagined(monkeypatch):
    """Lets runs be carried out by a function that is added to this list, and devices be programs that wait."""
    acts = []

    @contextmanager
    def started(address, folder, certificates, *locks):
        folder.mkdir(exist_ok=True)
        yield SuperLink(address, None)

    @contextmanager
    def waiting(name, address, folder, lock):
        with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
            yield process

    def execute(superlink, recipe, out, fleet, look, **settings):
        acts.pop(0)(out, look)

    monkeypatch.setattr(loopback, "started", started)
    monkeypatch.setattr(loopback, "_device", waiting)
    monkeypatch.setattr(loopback, "execute", execute)
    monkeypatch.setattr(loopback, "write_report", lambda folder: None)
    monkeypatch.setattr(server, "LINGER", 0.0)
    return acts


def stopped(out, look):
    """The devices have kept something, and the run is stopped."""
    out.mkdir()
    (out / "recipe.toml").touch()
    kept = out.parent / f".{out.name}.flower/feeder-01/state/kept"
    kept.parent.mkdir()
    kept.write_bytes(b"only here")
    raise KeyboardInterrupt


def test_the_same_command_again_leaves_a_run_that_was_stopped_as_it_was(here, recipe, imagined, contents):
    imagined.append(stopped)
    with pytest.raises(KeyboardInterrupt):
        loopback.run_on_loopback(recipe, here / "run", resume=False)
    before = contents(here)
    assert ".run.flower/feeder-01/state/kept" in before
    with pytest.raises(RunError, match="is not empty: continue it with --resume, or choose another --out"):
        loopback.run_on_loopback(recipe, here / "run", resume=False)
    assert contents(here) == before


@pytest.mark.parametrize("resume", [False, True])
def test_a_run_that_goes_on_is_left_alone(here, recipe, imagined, contents, resume):
    (here / ".run.flower/feeder-01").mkdir(parents=True)
    (here / ".run.flower/feeder-01/kept").touch()
    with alone(here / ".run.flower", "", ""):
        before = contents(here)
        with pytest.raises(RunError, match=r"Another run writes to .*run: wait until it ends, or choose"):
            loopback.run_on_loopback(recipe, here / "run", resume)
        assert contents(here) == before


def test_a_device_that_missed_the_last_phase_has_no_bundle_and_the_others_have(here, recipe, imagined):
    def one_finishes(out, look):
        look()
        bundle = out.parent / ".run.flower/feeder-01/state/bundle"
        bundle.mkdir(parents=True)
        (bundle / "bundle.json").touch()
        out.mkdir()
        (out / "results.json").write_text(json.dumps({"devices": {"feeder-01": {}}}), encoding="utf-8")

    imagined.append(one_finishes)
    loopback.run_on_loopback(recipe, here / "run", resume=False)
    assert [path.name for path in (here / "run/devices").iterdir()] == ["feeder-01"]
    assert not (here / ".run.flower").exists()


def test_a_device_that_has_ended_ends_the_run(here):
    log = here / "work/fan/supernode.log"
    log.parent.mkdir(parents=True)
    log.write_bytes(b"ERROR: no memory\n")
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
        with pytest.raises(RunError) as told:
            loopback._check_there({"fan": process}, here / "work", here / "run", float("inf"))
    assert str(told.value) == f"The device fan ended: no memory; see {log}, fix that, and use --resume."


def test_a_device_that_never_comes_ends_the_run_with_what_is_known_of_it(here):
    run = here / "run"
    run.mkdir()
    (run / "recipe.toml").touch()
    status = {
        "state": "waiting",
        "phase": "serial",
        "message": "0 of 1 devices are there; waiting. fan: It has a bad table.",
    }
    (run / "status.json").write_text(json.dumps(status), encoding="utf-8")
    loopback._check_there({}, here / "work", run, float("inf"))
    with pytest.raises(
        RunError, match=r"fan: It has a bad table\. Not all came within 900 seconds: look into .*work"
    ):
        loopback._check_there({}, here / "work", run, 0.0)
    (run / "status.json").write_text(json.dumps(status | {"state": "running"}), encoding="utf-8")
    loopback._check_there({}, here / "work", run, 0.0)
