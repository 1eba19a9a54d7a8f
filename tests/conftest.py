"""What the tests share: skips that fail in CI, calls of the command line, small fleets, a finished run."""

import csv
import json
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fedmetaalign import recipe as recipes
from fedmetaalign.cli import main
from fedmetaalign.fleet.export import write_devices
from fedmetaalign.recipe import Recipe
from fedmetaalign.run import run
from fedmetaalign.system import compiled

REAL_DATA = Path(__file__).parents[2] / "shared" / "data"

ALLOWED_SKIPS = (
    "the real tables (../shared/data) are not here",  # they may not be redistributed
    "no GPU",
)
"""The reasons for which a test may be skipped in CI; any other skip there is a failure."""

FLEETS = ("tests/docs/test_deploy_guide.py", "tests/serving/test_faults.py")
"""The files of the stories of fleets, which happen at once: minutes in which one worker mostly waits."""

SMALL = """
[model]
hidden = [8, 4]
[optimizer]
learning_rate = 0.01
[serial]
rounds = 2
[parallel]
rounds = 2
[personalize]
epochs = 2
"""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begins with what takes longest: the fleets, and then the other tests that start Flower's processes."""
    fleets = [Path(__file__).parents[1] / file for file in FLEETS]
    items.sort(key=lambda item: (item.path not in fleets, item.get_closest_marker("processes") is None))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Gives each worker a file at a time, and all stories of fleets to one."""
    from xdist.scheduler import LoadFileScheduling

    class Files(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = nodeid.split("::", 1)[0]
            return "fleets" if file in FLEETS else file

    return Files(config, log)


def pytest_collection() -> None:
    """Takes what JAX compiles from the product's cache, before any file has it compile something."""
    compiled.keep()


@pytest.fixture(scope="session")
def told(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[str], Any]]:
    """Lets all stories that any test is marked with happen at once; returns how one of them has ended."""
    from stories import happening

    marks = (mark for item in request.session.items for mark in item.iter_markers("story"))
    with happening(sorted({mark.args[0] for mark in marks}), tmp_path_factory.mktemp("stories")) as ended:
        yield ended


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Iterator[None]:
    report = yield
    return _not_skipped_in_ci(report)


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Iterator[None]:
    report = yield
    return _not_skipped_in_ci(report)


def _not_skipped_in_ci(report: Any) -> Any:
    """Turns a skip in CI into a failure, unless its reason is allowed."""
    if os.environ.get("CI") == "true" and report.skipped and not hasattr(report, "wasxfail"):
        reason = str(report.longrepr[2]).removeprefix("Skipped: ")
        if reason not in ALLOWED_SKIPS:
            report.outcome = "failed"
            report.longrepr = f"skipped in CI, where it has to run: {reason}"
    return report


@dataclass(frozen=True)
class Outcome:
    """What a call of the command line came to."""

    status: int
    out: str
    err: str


@pytest.fixture
def cli(monkeypatch, capfd) -> Callable[..., Outcome]:
    """Calls the command line as a shell would; an exception that would be a traceback fails the test."""

    def call(*arguments: object) -> Outcome:
        capfd.readouterr()
        monkeypatch.setattr(sys, "argv", ["fedmetaalign", *map(str, arguments)])
        with pytest.raises(SystemExit) as stopped:
            main()
        out, err = capfd.readouterr()
        return Outcome(int(stopped.value.code or 0), out, err)

    return call


@pytest.fixture
def here(tmp_path, monkeypatch) -> Path:
    """An empty folder that is the working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def refused(cli, here) -> Callable[..., str]:
    """Calls the command line, which has to fail and leave the working directory as it was.

    It says so in one line, but for a list of what is wrong with tables.
    """

    def call(*arguments: object) -> str:
        before = _contents(here)
        outcome = cli(*arguments)
        assert (outcome.status, outcome.out) == (1, "")
        assert outcome.err.startswith("fedmetaalign: ")
        first, *more = outcome.err.removesuffix("\n").split("\n")
        assert bool(more) == first.endswith("things are wrong with the tables:"), outcome.err
        assert all(line.startswith("  ") for line in more), outcome.err
        assert _contents(here) == before
        return outcome.err.removeprefix("fedmetaalign: ").rstrip("\n")

    return call


def _contents(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): sha256(path.read_bytes()).hexdigest() if path.is_file() else "folder"
        for path in sorted(folder.rglob("*"))
    }


@pytest.fixture(scope="session")
def contents() -> Callable[[Path], dict[str, str]]:
    """Tells every file below a folder with a hash of its bytes, and every folder."""
    return _contents


@pytest.fixture
def no_report(monkeypatch) -> None:
    """Leaves report.html out of runs: drawing it takes longer than a small run."""
    monkeypatch.setattr("fedmetaalign.run.write_report", lambda folder: None)


@pytest.fixture(scope="module")
def few_trees() -> Iterator[None]:
    """Lets forests and federated boosting grow ten trees in place of a hundred."""
    from fedmetaalign.methods import federated_boosting
    from fedmetaalign.phases import trees

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(federated_boosting, "ITERATIONS", 10)
        patch.setattr(trees, "TREES", 10)
        yield


@dataclass
class Csv:
    """A device's table of text cells, to be spoilt and written."""

    header: list[str]
    rows: list[list[str]]

    def write(self, path: Path) -> Path:
        with path.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file, lineterminator="\n").writerows([self.header, *self.rows])
        return path


@pytest.fixture
def device_table() -> Callable[..., Csv]:
    """Makes tables with the features speed, load and heat and a label, fault."""

    def make(samples: int = 120, seed: int = 0) -> Csv:
        rng = np.random.default_rng(seed)
        x = rng.normal([1500, 40, 70], [100, 10, 5], (samples, 3)).round(3)
        y = (x[:, 1] > 40).astype(int)
        rows = [[*map(repr, row), str(label)] for row, label in zip(x.tolist(), y, strict=True)]
        return Csv(["speed", "load", "heat", "fault"], rows)

    return make


@pytest.fixture
def small() -> str:
    """The sections of a recipe whose run takes a fraction of a second."""
    return SMALL


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of the real tables; its user is skipped where it is absent."""
    if not REAL_DATA.is_dir():
        pytest.skip(ALLOWED_SKIPS[0])
    return REAL_DATA


@pytest.fixture(scope="session")
def csv_fleet(tmp_path_factory) -> Path:
    """A folder with the tables of three feeders, 250 samples each, and a small recipe; not to be changed."""
    folder = tmp_path_factory.mktemp("fleet") / "feeders"
    path = write_devices("feeder", 3, 250, 5, folder)
    public = '[foundation]\nsimulator = "milling"\ncount = 1\nsamples = 300\nepochs = 1\n'
    path.write_text(path.read_text(encoding="utf-8") + SMALL + public, encoding="utf-8")
    return folder


@dataclass(frozen=True)
class Finished:
    """A finished run; not to be changed."""

    folder: Path
    recipe: Recipe
    results: dict[str, Any]

    def json(self, name: str) -> Any:
        return json.loads((self.folder / name).read_text(encoding="utf-8"))


@pytest.fixture(scope="session")
def finished(csv_fleet, tmp_path_factory) -> Finished:
    """A run of the small recipe on the three feeders."""
    folder = tmp_path_factory.mktemp("finished") / "run"
    recipe = recipes.load(str(csv_fleet / "recipe.toml"))
    return Finished(folder, recipe, run(recipe, folder))


@pytest.fixture
def deterministic(contents):
    """The files of a run folder that the recipe decides alone, each with a hash of its bytes."""

    def files(folder):
        return {
            name: digest
            for name, digest in contents(folder).items()
            if name not in ("manifest.json", "report.html", "status.json") and digest != "folder"
        }

    return files
