"""How do fleets of signals do beside MiniRocket and random forests, alone and pooled?

    python benchmarks/signals.py --data FOLDER --markdown docs/signals.md    # an hour on two cores
    python benchmarks/signals.py --data FOLDER --only wafer --seeds 3        # some

FOLDER holds the tables that `fedmetaalign data list` names. Every rival has the windows of the recipe's own
split: alone, each device's training windows; pooled, those of all devices. MiniRocket looks at the samples and
runs in an environment with aeon, which is made once in build/benchmark-aeon; forests look at `statistics`.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import venv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from markers import replace_between
from online.tables import table
from sklearn.ensemble import RandomForestClassifier
from sklearn.metrics import f1_score

from fedmetaalign import run_recipe
from fedmetaalign.fleet.division.splits import split
from fedmetaalign.fleet.schema import Table
from fedmetaalign.fleet.sources import raw_tables
from fedmetaalign.recipe import Recipe, load

BENCHMARKS = Path(__file__).parent
AEON = "aeon==1.6.0"
ENVIRONMENT = BENCHMARKS.parent / "build" / "benchmark-aeon"


@dataclass(frozen=True)
class Entry:
    """A fleet on the page.

    Attributes:
        recipe: of this package.
        seeds: how many.
        raw: the peers that look at samples take part.
        first: the first seed; on earlier ones settings were chosen.
    """

    recipe: str
    seeds: int
    raw: bool = True
    first: int = 0


ENTRIES = (
    Entry("wafer", 10),
    Entry("bearings", 3),
    Entry("process", 2),
    Entry("mfpt", 2, raw=False),
    Entry("vibration", 3, raw=False, first=2),
)
ROWS = (
    "majority class",
    "forest on statistics, alone",
    "forest on statistics, pooled",
    "MiniRocket, alone",
    "MiniRocket, pooled",
    "the network, alone",
    "the fleet, float",
    "the fleet, deployed",
)


@dataclass(frozen=True)
class Windows:
    """The windows of a fleet: (windows, features) of each device, its classes, and how they are divided.

    Attributes:
        tables: of the devices.
        classes: of the fleet.
        normal: those that mean no fault.
        train: by device, row numbers of its training windows.
        test: likewise.
    """

    tables: list[Table]
    classes: tuple[str, ...]
    normal: tuple[str, ...]
    train: list[np.ndarray]
    test: list[np.ndarray]

    @property
    def x(self) -> np.ndarray:
        """Of all devices, one after the other."""
        return np.concatenate([each.x for each in self.tables])

    @property
    def y(self) -> np.ndarray:
        """Classes of `x`, (windows,) int."""
        places = [np.array([self.classes.index(c) for c in each.classes])[each.y] for each in self.tables]
        return np.concatenate(places)

    def sets(self) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
        """Yields a name, training and test windows, of each device alone and of the pool on each device."""
        starts = np.cumsum([0, *map(len, self.tables)])
        train = [rows + start for rows, start in zip(self.train, starts, strict=False)]
        test = [rows + start for rows, start in zip(self.test, starts, strict=False)]
        for number, (own, tested) in enumerate(zip(train, test, strict=True)):
            yield f"alone{number}", own, tested
        yield "pooled", np.concatenate(train), np.concatenate(test)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder of the recipes' tables")
    parser.add_argument("--only", default=",".join(entry.recipe for entry in ENTRIES), help="recipes")
    parser.add_argument("--seeds", type=int, help="fewer of them")
    parser.add_argument("--first", type=int, help="the first seed")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="of the recipe")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="rewrite the tables in FILE")
    options = parser.parse_args()
    for entry in ENTRIES:
        if entry.recipe in options.only.split(","):
            first = entry.first if options.first is None else options.first
            seeds = range(first, first + (options.seeds or entry.seeds))
            text = measured(entry, seeds, options.data, options.set)
            print(text, flush=True)
            if options.markdown:
                replace_between(options.markdown, f"signals-{entry.recipe}", text)


def measured(entry: Entry, seeds: Sequence[int], data: Path | None, settings: Sequence[str]) -> str:
    """Returns the table of a fleet: means over seeds."""
    found: dict[str, list[dict[str, float]]] = {row: [] for row in ROWS}
    version, bigger, classes = "", 0, 2
    for seed in seeds:
        recipe = load(entry.recipe, settings, seed, data)
        front = windows_of(recipe, ("statistics",))
        classes = len(front.classes)
        rivals = {"majority class": majority(front), **forests(front, seed)}
        if entry.raw:
            with tempfile.TemporaryDirectory() as work:
                version, peers = aeon(windows_of(recipe, ("raw",)), seed, Path(work))
            rivals |= peers
        ours, size = of_run(recipe, front)
        bigger = max(bigger, size)
        for row, called in rivals.items():
            found[row].append(figures(front, called))
        for row, figure in ours.items():
            found[row].append(figure)
        print(entry.recipe, seed, {row: each[-1] for row, each in found.items() if each}, file=sys.stderr)
    names = ["accuracy", "F1 of faults"] + (["macro-F1 of kinds", "right kind"] if classes > 2 else [])
    lines = []
    for row, each in found.items():
        if each:
            means = [np.mean([one[name] for one in each]) for name in names]
            spread = np.std([one[names[-1 if classes == 2 else 2]] for one in each])
            lines.append((row, *(f"{100 * mean:.1f}" for mean in means), f"{100 * spread:.1f}"))
    spread_of = "F1" if classes == 2 else "macro-F1"
    told = f"aeon {version}; " if version else ""
    seeds_told = f"seeds {seeds[0]} to {seeds[-1]}" if len(seeds) > 1 else f"seed {seeds[0]}"
    head = [f"`{entry.recipe}`, {seeds_told}", *names, f"its spread ({spread_of})"]
    return f"{table(head, lines)}\n\n{told}the largest deployed model has {bigger:,} bytes."


def windows_of(recipe: Recipe, front: Sequence[str]) -> Windows:
    """Returns the windows of a recipe as another front end sees them, divided as its own are."""
    plain = {"front": tuple(front), "envelope": None, "segment": 256, "speed": None}
    changed = recipe.fleet.model_copy(
        update={
            "window": recipe.fleet.window and recipe.fleet.window.model_copy(update=plain),
            "devices": tuple(
                each.model_copy(update={"window": each.window and each.window.model_copy(update=plain)})
                for each in recipe.fleet.devices
            ),
        }
    )
    dense = {"kind": "mlp", "channels": None, "convolutions": (), "inputs": 1 << 20}
    wide = recipe.model.model_copy(update=dense)
    tables = raw_tables(recipe.model_copy(update={"fleet": changed, "model": wide}))
    rows = [split(each, recipe.splits, recipe.seed) for each in tables]
    classes = tuple(sorted({c for each in tables for c in each.classes}))
    normal = tuple(sorted({c for each in tables for c in each.normal}))
    return Windows(tables, classes, normal, [r.train for r in rows], [r.test for r in rows])


def majority(windows: Windows) -> list[np.ndarray]:
    """Returns each device's most frequent class of training, for each of its test windows."""
    y, sets = windows.y, [*windows.sets()][:-1]
    return [np.full(len(test), np.bincount(y[train]).argmax()) for _, train, test in sets]


def forests(windows: Windows, seed: int) -> dict[str, list[np.ndarray]]:
    """Returns what random forests call the test windows of each device."""
    x, y, found = windows.x, windows.y, {}
    for name, train, test in windows.sets():
        forest = RandomForestClassifier(300, random_state=seed).fit(x[train], y[train])
        found[name] = forest.predict(x[test])
    return by_device("forest on statistics", windows, found)


def aeon(windows: Windows, seed: int, work: Path) -> tuple[str, dict[str, list[np.ndarray]]]:
    """Returns the version of aeon, and what its classifiers call the test windows of each device."""
    python = ENVIRONMENT / "bin" / "python"
    if not python.exists():
        venv.create(ENVIRONMENT, with_pip=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", AEON], check=True)  # noqa: S603
    signal = windows.tables[0].signal
    channels = len(signal.channels) if signal else 1
    x = windows.x.astype(np.float32)
    arrays = {"x": x.reshape(len(x), -1, channels).swapaxes(1, 2), "y": windows.y, "seed": np.array(seed)}
    for name, train, test in windows.sets():
        arrays |= {f"train_{name}": train, f"test_{name}": test}
    np.savez(work / "problem.npz", **arrays)
    script = BENCHMARKS / "signals_peers" / "transforms.py"
    command = [python, "-W", "ignore", script, work / "problem.npz", work / "answer.json"]
    subprocess.run(command, check=True)  # noqa: S603
    answer = json.loads((work / "answer.json").read_text(encoding="utf-8"))
    found: dict[str, list[np.ndarray]] = {}
    for peer, called in answer["found"].items():
        found |= by_device(peer, windows, {name: np.array(each) for name, each in called.items()})
    return answer["aeon"], found


def by_device(rival: str, windows: Windows, called: Mapping[str, np.ndarray]) -> dict[str, list[np.ndarray]]:
    """Parts what a rival says, alone and pooled, by device."""
    sizes = np.cumsum([len(test) for test in windows.test])[:-1]
    alone = [called[f"alone{number}"] for number in range(len(windows.tables))]
    return {f"{rival}, alone": alone, f"{rival}, pooled": np.split(called["pooled"], sizes)}


def figures(windows: Windows, called: Sequence[np.ndarray]) -> dict[str, float]:
    """Returns what the columns say: the F1 of faults over all test windows, the rest device by device."""
    y = [windows.y[test] for _, _, test in [*windows.sets()][:-1]]
    fault = np.array([name not in windows.normal for name in windows.classes])
    pairs = list(zip(y, called, strict=True))
    return {
        "accuracy": float(np.mean([np.mean(fault[true] == fault[said]) for true, said in pairs])),
        "F1 of faults": float(f1_score(fault[np.concatenate(y)], fault[np.concatenate([*called])])),
        "macro-F1 of kinds": float(
            np.mean([f1_score(true, said, average="macro", zero_division=0) for true, said in pairs])
        ),
        "right kind": float(np.mean([np.mean(true == said) for true, said in pairs])),
    }


def of_run(recipe: Recipe, windows: Windows) -> tuple[dict[str, dict[str, float]], int]:
    """Runs a recipe; returns the figures of its models, and the bytes of the largest deployed one."""
    with tempfile.TemporaryDirectory() as work:
        run_recipe(recipe, Path(work) / "run")
        results = json.loads((Path(work) / "run" / "results.json").read_text(encoding="utf-8"))
    devices = [results["devices"][each.name] for each in windows.tables]
    stages = {
        "the network, alone": [each["alone"] for each in devices],
        "the fleet, float": [each["stages"]["personalized"] for each in devices],
        "the fleet, deployed": [each["stages"]["deployed"] for each in devices],
    }
    faults = [each.faults[test] for each, test in zip(windows.tables, windows.test, strict=True)]
    size = max(each["model_bytes"] for each in devices)
    return {row: told(each, faults) for row, each in stages.items()}, size


def told(stage: Sequence[Mapping[str, float]], faults: Sequence[np.ndarray]) -> dict[str, float]:
    """Returns the figures of a stage from the devices' results, and which of their test windows are faults."""
    hits = sum(each["recall"] * own.sum() for each, own in zip(stage, faults, strict=True))
    errors = sum((1 - each["accuracy"]) * len(own) for each, own in zip(stage, faults, strict=True))
    return {
        "accuracy": float(np.mean([each["accuracy"] for each in stage])),
        "F1 of faults": float(2 * hits / (2 * hits + errors)),
        "macro-F1 of kinds": float(np.mean([each.get("macro_f1", np.nan) for each in stage])),
        "right kind": float(np.mean([each.get("class_accuracy", np.nan) for each in stage])),
    }


if __name__ == "__main__":
    main()
