"""Method x promise: each that can be deployed resumes anywhere, is the same over Flower, ends in bundles."""

from itertools import count

import numpy as np
import pytest
from over_flower import over_flower

from fedmetaalign import recipe as recipes
from fedmetaalign.fleet.build import build
from fedmetaalign.methods import find, names
from fedmetaalign.run import run
from fedmetaalign.run_folder import RunFolder
from fedmetaalign.tinyml.bundle import read

DEPLOYABLE = [name for name in names() if not find(name).no_bundle]
ANYWHERE = [name for name in DEPLOYABLE if not find(name).in_process]

CHECKPOINTS = {"local_only": 1, "pooled": 2, "fed_meta_align_guarded": 2, "fleet": 2}
"""Of those that have less than phase 0, a tour and three rounds."""

pytestmark = pytest.mark.usefixtures("no_report", "few_trees")


def recipe(method):
    """Three devices, of which two take part in a round: one has to remember across one that it sat out."""
    return recipes.parse(
        {
            "method": method,
            "fleet": {"simulator": "milling", "count": 3, "samples": 60},
            "model": {"hidden": [4]},
            "optimizer": {"learning_rate": 1e-2},
            "foundation": {"simulator": "milling", "count": 1, "samples": 60, "epochs": 1},
            "serial": {"rounds": 1, "parallel_tours": 2},  # of two devices, and of one
            "parallel": {"rounds": 3, "cohort": 0.7},
            "personalize": {"epochs": 1},
            "evaluation": {"alone": False},
        },
        "here",
    )


@pytest.fixture(scope="module", autouse=True)
def quick():
    """Waits for no disk: no test need survive a power cut."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("os.fsync", lambda file: None)
        yield


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """The folder of a method's run that nobody stopped, and its results; not to be changed."""
    made = {}

    def folder(method):
        if method not in made:
            out = tmp_path_factory.mktemp(method) / "run"
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr("fedmetaalign.run.write_report", lambda folder: None)
                made[method] = out, run(recipe(method), out)
        return made[method]

    return folder


def test_all_but_the_rules_the_trees_and_the_one_with_a_memory_of_samples_are_deployable():
    trees = {"forest_alone", "forest_pooled", "boosting_alone", "boosting_pooled", "federated_boosting"}
    assert set(names()) - set(DEPLOYABLE) == {"knn_per", "majority", "one_rule"} | trees
    assert set(DEPLOYABLE) - set(ANYWHERE) == {"pooled"}


class Stopped(Exception):  # noqa: N818 - stands for a crash
    """Raised by a run folder in the middle of a run."""


@pytest.mark.parametrize("method", DEPLOYABLE)
def test_it_resumes_from_every_checkpoint_to_the_same_bytes(
    method, undisturbed, deterministic, tmp_path, monkeypatch
):
    expected, _ = undisturbed(method)
    whole = RunFolder.checkpoint
    stopped = []

    def stopping(folder, state, records):
        # First before the round is noted, which the devices have answered; when it is asked again, afterwards.
        if (state.done, "before") not in stopped:
            stopped.append((state.done, "before"))
            raise Stopped
        whole(folder, state, records)
        stopped.append((state.done, "after"))
        raise Stopped

    monkeypatch.setattr(RunFolder, "checkpoint", stopping)
    for legs in count():
        try:
            run(recipe(method), tmp_path / "run", resume=legs > 0)
        except Stopped:
            continue
        break
    assert legs == len(stopped)
    checkpoints = legs // 2
    assert stopped == [(i, when) for i in range(1, checkpoints + 1) for when in ("before", "after")]
    assert checkpoints == CHECKPOINTS.get(method, 5)
    assert deterministic(tmp_path / "run") == deterministic(expected)


@pytest.mark.parametrize("method", ANYWHERE)
def test_over_flower_it_gives_the_same_bytes(method, undisturbed, deterministic, tmp_path):
    expected, results = undisturbed(method)
    given = recipe(method)
    over_flower(given, tmp_path, out := tmp_path / "flower", patience=1.0)
    here, there = deterministic(expected), deterministic(out)
    for name in ("recipe.toml", "checkpoint.safetensors", "results.json", "rounds.jsonl"):
        assert there.get(name) == here.get(name), name
    for device in results["devices"]:
        assert deterministic(tmp_path / device / "state/bundle") == deterministic(expected / "devices" / device)
        assert not list((tmp_path / device / "state").glob("runs/*"))  # what no round needs any more


@pytest.mark.parametrize("method", DEPLOYABLE)
def test_it_ends_in_bundles(method, undisturbed):
    folder, results = undisturbed(method)
    fleet = build(recipe(method))
    assert sorted(results["devices"]) == [device.name for device in fleet.devices]
    for device in fleet.devices:
        bundle, test = read(folder / "devices" / device.name), fleet.test[device.name]
        alarms = bundle.scores(bundle.preparation.raw(test.x)) > bundle.threshold
        told = results["devices"][device.name]["stages"]["deployed"]
        assert told["accuracy"] == np.mean(alarms == (test.y > 0))


def test_every_method_has_models_of_its_own(undisturbed):
    """Else the promises would be kept by methods that do not do what they are called after."""
    models = {}
    for method in DEPLOYABLE:
        folder, _ = undisturbed(method)
        found = sorted((folder / "devices").glob("*/model.tflite"))
        models[method] = tuple(path.read_bytes() for path in found)
    assert len(set(models.values())) == len(models)
