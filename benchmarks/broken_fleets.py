"""Does joining harm where it should not work? Fleets made to break it, against training alone.

    python benchmarks/broken_fleets.py --data FOLDER --seeds 5 --markdown docs/research.md

Ten feeders of `classData.csv` in FOLDER, of which some are changed, in training and in testing alike:

    swapped     on three devices a fault is called normal, and normal a fault
    unrelated   on five devices the columns are others: a fixed permutation of the six
    drift       on five devices all test samples read half a standard deviation too much (in testing alone)
    huge        one device has ten times the samples of the others, nearly all normal
"""

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
from markers import replace_between

from fedmetaalign import load_recipe
from fedmetaalign.comparison.cell import FINAL
from fedmetaalign.comparison.run_cell import run_cell, start
from fedmetaalign.fleet.build import build
from fedmetaalign.fleet.device import Device, Fleet, Part
from fedmetaalign.model.online import Samples
from fedmetaalign.recipe import Recipe, variants

METHODS = ("local_only", "forest_alone", "fleet")
CASES = ("as they are", "swapped", "unrelated", "drift", "huge")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of the tables")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--markdown", type=Path, help="file whose table is replaced")
    arguments = parser.parse_args()
    joining = load_recipe("joining", [], None, arguments.data)
    recipe = variants(joining)["fleet"]
    lines = ["| fleet | alone | forest, alone | fleet | gain over alone | worse off beyond chance |"]
    lines.append("|---|---|---|---|---|---|")
    for case in CASES:
        found = np.array(
            [measured(recipe.model_copy(update={"seed": s}), case) for s in range(arguments.seeds)]
        )
        lines.append(row(case, found))
        print(lines[-1], flush=True)
    if arguments.markdown is not None:
        replace_between(arguments.markdown, "broken fleets", "\n".join(lines))


def measured(recipe: Recipe, case: str) -> list[list[float]]:
    """Returns the test accuracy of each method on each device, by name."""
    fleet = changed(build(recipe), case)
    begin = start(recipe, fleet)
    cells = [run_cell(method, recipe, fleet, begin).stages[FINAL].devices for method in METHODS]
    return [[float(cell[device.name]["accuracy"] or 0) for device in fleet.devices] for cell in cells]


def row(case: str, found: np.ndarray) -> str:
    """Returns a line of the table; `found` is (seeds, methods, devices)."""
    gain = found[:, 2] - found[:, 0]
    error = gain.std(axis=0, ddof=1) / np.sqrt(len(gain))
    worse = int(((gain.mean(axis=0) < -0.01) & (gain.mean(axis=0) + 2 * error < 0)).sum())
    means = " | ".join(f"{100 * mean:.1f}" for mean in found.mean(axis=(0, 2)))
    return f"| {case} | {means} | {100 * gain.mean():+.1f} | {worse} of {gain.shape[1]} |"


def changed(fleet: Fleet, case: str) -> Fleet:
    """Returns a fleet that is broken in one way."""
    devices, test = [*fleet.devices], dict(fleet.test)
    names = [device.name for device in devices]
    if case == "swapped":
        for i in (1, 4, 7):
            devices[i] = mapped(devices[i], _swap)
            test[names[i]] = _swap(test[names[i]])
    elif case == "unrelated":
        order = np.array([3, 5, 0, 4, 1, 2])
        for i in range(5):
            devices[i] = mapped(devices[i], lambda s: _permute(s, order))
            test[names[i]] = _permute(test[names[i]], order)
    elif case == "drift":
        for i in range(5):
            test[names[i]] = Samples(test[names[i]].x + np.float32(0.5), test[names[i]].y)
    elif case == "huge":
        devices[0] = mapped(devices[0], _mostly_normal)
    return replace(fleet, devices=tuple(devices), test=test)


def mapped(device: Device, change) -> Device:  # type: ignore[no-untyped-def]
    """Returns a device whose samples are changed in all its parts."""
    parts = {name: Part(change(part.support), change(part.query)) for name, part in device.parts.items()}
    return replace(device, parts=parts, own=Part(change(device.own.support), change(device.own.query)))


def _swap(samples: Samples) -> Samples:
    return Samples(samples.x, 1 - samples.y)


def _permute(samples: Samples, order: np.ndarray) -> Samples:
    x = samples.x.copy()
    x[:, : len(order)] = x[:, order]
    return Samples(x, samples.y)


def _mostly_normal(samples: Samples) -> Samples:
    """Repeats the normal samples fifteen times, each a little off, and keeps one fault in four."""
    random = np.random.default_rng(0)
    normal, fault = np.flatnonzero(samples.y == 0), np.flatnonzero(samples.y == 1)
    rows = np.concatenate([np.repeat(normal, 15), fault[::4]])
    x = samples.x[rows] + random.normal(0, 0.05, (len(rows), samples.x.shape[1])) * (samples.x.std(axis=0) > 0)
    return Samples(x.astype(np.float32), samples.y[rows])


if __name__ == "__main__":
    main()
