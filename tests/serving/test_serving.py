"""The ServerApp: how it is configured, whom it waits for, what it says meanwhile, and where it goes on."""

import json
import time
from types import SimpleNamespace

import pytest
from flwr.app import Context, RecordDict
from flwr.clientapp import ClientApp
from over_flower import nodes_of
from test_server_app import quick_polls, settings  # noqa: F401 - a fixture of all tests here
from toy_fleet import ToyGrid

from fedmetaalign import recipe as recipes
from fedmetaalign.engine.flower import replies
from fedmetaalign.engine.flower.client_app import app as client_app
from fedmetaalign.errors import RunError
from fedmetaalign.gateways.certificates import EnrolmentError
from fedmetaalign.integrations.flower_grid import InProcessGrid
from fedmetaalign.report.status import Status
from fedmetaalign.run import Watcher, run
from fedmetaalign.serving import server_app
from fedmetaalign.serving.server_app import Settings, read_settings, serve

pytestmark = pytest.mark.usefixtures("no_report")

STOPS = {
    "before anybody came": ("query.introduce", 2),
    "in the tour": ("train.visit", 2),
    "in the second tour": ("train.visit", 4),
    "in a round": ("train.train", 2),
    "in the next round": ("train.train", 5),
    "in phase 3": ("train.finish", 2),
}
"""Killed when it has sent so many messages of a type, one to each of three devices in turn."""


class Killed(BaseException):
    """No handler of an Exception sees it, as none sees the end of a process."""


class Fragile(InProcessGrid):
    """A grid that dies when it is to send the so manieth message of a type."""

    def __init__(self, nodes, what, number):
        super().__init__(client_app, nodes)
        self._what, self._left = what, number

    def push_messages(self, messages):
        [message] = messages
        self._left -= message.metadata.message_type == self._what
        if not self._left:
            raise Killed
        return super().push_messages(messages)


@pytest.fixture(scope="module")
def recipe(finished):
    """A small recipe with all that has to be kept over a restart."""
    changes = [
        "fleet.scaling=fleet",
        "transport.send=int8",
        "transport.receive=float16",
        "evaluation.alone=false",
    ]
    return recipes.load(str(finished.folder / "recipe.toml"), changes)


@pytest.fixture
def recipe_file(recipe, tmp_path):
    path = tmp_path / "recipe.toml"
    path.write_text(recipes.dump(recipe), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def undisturbed(recipe, tmp_path_factory):
    """The folder of a run that nothing stopped, and beside it those of its devices."""
    folder = tmp_path_factory.mktemp("undisturbed")
    (folder / "recipe.toml").write_text(recipes.dump(recipe), encoding="utf-8")
    with (
        pytest.MonkeyPatch.context() as patch,
        InProcessGrid(client_app, nodes_of(recipe, folder / "fleet")) as grid,
    ):
        patch.setattr("fedmetaalign.run.write_report", lambda folder: None)
        serve(grid, settings(folder / "recipe.toml", folder / "run"))
    return folder


def status(folder):
    return json.loads((folder / "status.json").read_text(encoding="utf-8"))


def wait_until_told(monkeypatch, *words):
    """Lets the server wait for devices until it tells something with all these words; returns what it tells."""
    told, update = [], Status.update

    def listen(self, *where, **more):
        told.append((where, more))
        update(self, *where, **more)

    def now():
        enough = any(all(word in more.get("message", "") for word in words) for _, more in told)
        return time.monotonic() + 10_000 * enough

    monkeypatch.setattr(Status, "update", listen)
    monkeypatch.setattr(server_app, "time", SimpleNamespace(monotonic=now, sleep=time.sleep))
    return told


@pytest.mark.parametrize("when", STOPS)
def test_a_run_that_is_killed_and_resumed_gives_the_same_bits(
    undisturbed, recipe, recipe_file, deterministic, tmp_path, when
):
    nodes, out = nodes_of(recipe, tmp_path / "fleet"), tmp_path / "run"
    with pytest.raises(Killed), Fragile(nodes, *STOPS[when]) as grid:
        serve(grid, settings(recipe_file, out))
    assert (status(out)["state"], status(out)["message"]) == ("failed", "It was stopped.")
    name = (out / "run_id").read_text(encoding="ascii")
    with InProcessGrid(client_app, nodes) as grid:
        serve(grid, settings(recipe_file, out, resume=True))
    assert status(out)["state"] == "done"
    assert (out / "run_id").read_text(encoding="ascii") == name
    found, wanted = deterministic(out), deterministic(undisturbed / "run")
    assert {file for file in wanted if found[file] != wanted[file]} == {"run_id"}
    for device in nodes:
        at_home = deterministic(tmp_path / "fleet" / device / "state/bundle")
        assert at_home == deterministic(undisturbed / "fleet" / device / "state/bundle")


def test_what_devices_are_standardised_with_stays_when_their_tables_change(recipe, recipe_file, tmp_path):
    nodes, out = nodes_of(recipe, tmp_path / "fleet"), tmp_path / "run"
    with pytest.raises(Killed), Fragile(nodes, "train.train", 1) as grid:
        serve(grid, settings(recipe_file, out))
    before = (out / "fleet.json").read_bytes()
    assert len(json.loads(before)["moments"]) == 6
    other = recipes.load(str(recipe_file), ["seed=9"])  # divides the samples otherwise
    with pytest.raises(RunError, match="made by another recipe"), InProcessGrid(client_app, nodes) as grid:
        (tmp_path / "other.toml").write_text(recipes.dump(other), encoding="utf-8")
        serve(grid, settings(tmp_path / "other.toml", out, resume=True))
    nodes.pop(sorted(nodes)[0])
    with pytest.raises(Killed), Fragile(nodes, "train.train", 1) as grid:
        serve(grid, settings(recipe_file, out, resume=True, devices=2))
    assert (out / "fleet.json").read_bytes() == before


@pytest.mark.parametrize("file", ["run_id", "fleet.json", "checkpoint.safetensors"])
@pytest.mark.parametrize("damage", [b"", b"\xff\xfe nonsense", b"\x08\0\0\0\0\0\0\0{}      "])
def test_a_damaged_file_is_reported_in_one_sentence(undisturbed, recipe_file, tmp_path, file, damage):
    out = tmp_path / "run"
    out.mkdir()
    for path in (undisturbed / "run").iterdir():
        (out / path.name).write_bytes(path.read_bytes())
    (out / file).write_bytes(damage)
    with pytest.raises(RunError) as failed, ToyGrid(["a", "b", "c"]) as grid:
        serve(grid, settings(recipe_file, out, resume=True, wait=0.3))
    sentence = str(failed.value)
    assert f"{file} is damaged (" in sentence and sentence.endswith("start the run again with another --out.")
    assert "\n" not in sentence


@pytest.mark.parametrize(
    ("config", "sentence"),
    [
        ({"waiting": 3.0}, "setting waiting cannot be used: Extra inputs are not permitted"),
        ({"deadline": 0.0}, "setting deadline cannot be used: Input should be greater than 0"),
        ({"devices": -1}, "setting devices cannot be used"),
        ({"devices": "3"}, "setting devices cannot be used: Input should be a valid integer"),
        ({"patience": float("inf")}, "setting patience cannot be used: Input should be a finite number"),
    ],
)
def test_a_setting_that_cannot_be_used_is_named(config, sentence):
    with pytest.raises(RunError) as failed:
        read_settings(config)
    assert sentence in str(failed.value) and str(failed.value).endswith(".")


def test_reads_what_flower_hands_over(monkeypatch):
    told = []
    monkeypatch.setattr(server_app, "serve", lambda grid, settings: told.append((grid, settings)))
    config = {"recipe": "paper", "out": "x", "resume": True, "devices": 4, "wait": 3}
    server_app.main("grid", Context(1, 1, {}, RecordDict(), config))
    assert told == [("grid", Settings(recipe="paper", out="x", resume=True, devices=4, wait=3.0))]


def test_without_any_device_it_fails_and_says_so(recipe_file, tmp_path):
    with (
        pytest.raises(RunError, match=r"No device came within 0\.3 seconds"),
        InProcessGrid(ClientApp(), {}) as grid,
    ):
        serve(grid, settings(recipe_file, tmp_path / "run", wait=0.3))
    told = status(tmp_path / "run")
    assert told["state"] == "failed" and "No device came" in told["message"] and told["phase"] == "foundation"


def test_a_device_that_cannot_take_part_is_reported_while_the_others_wait(recipe_file, tmp_path, monkeypatch):
    told = wait_until_told(monkeypatch, "fan:", "pump:")

    with ToyGrid() as grid, pytest.raises(RunError, match="No device came within 600 seconds"):
        grid.toys.deeds = {
            (name, "introduce"): lambda content: replies.refuse(
                content["reply"]["device"], "It has\n120 rows too few."
            )
            for name in ("fan", "pump")
        }
        serve(grid, settings(recipe_file, tmp_path / "run"))
    assert told[0] == (("waiting", "foundation"), {"message": "Waiting for the devices."})
    assert told[-1][1]["message"] == (
        "0 of 3 devices are there; waiting. fan: It has 120 rows too few. pump: It has 120 rows too few."
    )


def test_goes_on_after_a_while_with_those_that_are_there(recipe, recipe_file, tmp_path, monkeypatch):
    nodes, out = nodes_of(recipe, tmp_path / "fleet"), tmp_path / "run"
    left_out = sorted(nodes)[0]
    del nodes[left_out]
    seen = []
    wait_until_told(monkeypatch, "2 of 3 devices are there")

    class Look(Watcher):
        def phase(self, name):
            seen.append(name)
            seen.append(status(out)["state"])

    with InProcessGrid(client_app, nodes) as grid:
        results = serve(grid, settings(recipe_file, out), Look())
    assert sorted(results["devices"]) == sorted(nodes)
    assert seen[:2] == ["foundation", "waiting"] and seen[2:4] == ["serial", "running"]
    assert status(out)["state"] == "done"
    assert json.loads((out / "manifest.json").read_text(encoding="utf-8"))["missed"] == {}


def test_a_run_that_rounds_is_resumed_only_where_what_is_lost_is_kept(recipe, recipe_file, tmp_path):
    nodes, out = nodes_of(recipe, tmp_path / "fleet"), tmp_path / "run"
    with pytest.raises(Killed), Fragile(nodes, "train.train", 1) as grid:
        serve(grid, settings(recipe_file, out))
    with pytest.raises(RunError, match="can only be resumed over Flower, with --engine flower or"):
        run(recipe, out, resume=True)
    (out / "run_id").unlink()
    (out / "memory").mkdir()
    with (
        pytest.raises(RunError, match="can only be resumed in one process, by `fedmetaalign run`: what"),
        InProcessGrid(client_app, nodes) as grid,
    ):
        serve(grid, settings(recipe_file, out, resume=True))


def test_a_folder_that_cannot_be_read_for_a_while_does_not_end_the_run(monkeypatch):
    keys = {"fan": "fan.pub"}

    def enrolled(folder):
        if isinstance(keys, Exception):
            raise keys
        return keys

    monkeypatch.setattr(server_app, "enrolled", enrolled)
    roster = server_app._roster(Settings(fleet="fleet"))
    assert roster() == ("fan",)
    keys = EnrolmentError("a (copy).pub is no name of a device")
    assert roster() == roster() == ("fan",)
    keys = {"fan": "fan.pub", "pump": "pump.pub"}
    assert roster() == ("fan", "pump")
    keys = EnrolmentError("fleet is not a fleet folder")
    with pytest.raises(EnrolmentError):
        server_app._roster(Settings(fleet="fleet"))
