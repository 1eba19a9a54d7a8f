"""What does quantisation to 8 bits cost, with ranges from minimum to maximum and with ranges that are clipped?

    python benchmarks/calibration.py --data FOLDER --markdown docs/firmware.md    # five minutes on two cores

FOLDER holds the tables that `fedmetaalign data list` names. The first table is of simulated devices with three
rows in 3,000 that say 0 everywhere, as when a device is off; these are not tested on. The second is of ordinary
recipes: every device's personal model, and what becomes of it; inputs by quantiles are taken as far as they
go, too. Accuracies are at a threshold of 0.5.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from markers import replace_between
from max_bytes import train
from online.tables import table
from sklearn.metrics import average_precision_score

from fedmetaalign import load_recipe
from fedmetaalign.fleet.simulators import SIMULATORS
from fedmetaalign.model import online
from fedmetaalign.model.curve import LARGEST_LEVEL
from fedmetaalign.model.mlp import Network, initialize
from fedmetaalign.model.online import Samples
from fedmetaalign.phases.layers import float_layers
from fedmetaalign.recipe import load
from fedmetaalign.recipe.simulated import WINDOWS
from fedmetaalign.tinyml.calibration import Calibration, observe, pushed_out
from fedmetaalign.tinyml.network import Layers
from fedmetaalign.tinyml.quantize import quantize
from fedmetaalign.tinyml.runtimes import scores
from fedmetaalign.tinyml.tflite import write

RECIPES = ("demo", "feeders", "equipment", "machines")
WAYS: tuple[Calibration, ...] = ("range", "error")
EDGES = ("uint8", "int8")
TRAINED, OFF, TESTED = 3000, 3, 5000
DEVICES, SEEDS = 2, 2


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder of the recipes' tables")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="rewrite the tables in FILE")
    options = parser.parse_args()
    text = switched_off() + "\n\n" + ordinary(options.data)
    print(text)
    if options.markdown:
        replace_between(options.markdown, "calibration", text)


def switched_off() -> str:
    """Returns the table of devices that were off for three samples."""
    lines = []
    for name in (each for each in SIMULATORS if each not in WINDOWS):
        found = np.array([measured for seed in range(SEEDS) for measured in met_zeros(name, seed)])
        accuracy, precision = found.mean(axis=0).T
        cells = [f"{100 * a:.1f}, {p:.3f}" for a, p in zip(accuracy, precision, strict=True)]
        worst = [f"{100 * (found[:, i, 0] - found[:, 0, 0]).min():+.1f}" for i in (1, 2)]
        lines.append((name, *cells, *worst))
    header = ["simulator", "float: accuracy, PR-AUC", *WAYS, *(f"{way}: worst device, points" for way in WAYS)]
    return table(header, lines)


def met_zeros(name: str, seed: int) -> Iterator[list[tuple[float, float]]]:
    """Yields each device's accuracy and PR-AUC in float and, in uint8, with either kind of ranges."""
    hidden = load("fleet", ['fleet.simulator="feeder"']).model.hidden
    for device in SIMULATORS[name](DEVICES, TRAINED + TESTED, seed):
        x = np.concatenate([device.x[:TRAINED], np.zeros((OFF, device.x.shape[1]))])
        y = np.concatenate([device.y[:TRAINED], np.zeros(OFF)]).astype(np.float32)
        mean, scale = x.mean(axis=0), x.std(axis=0)
        inputs, tests = (((rows - mean) / scale).astype(np.float32) for rows in (x, device.x[TRAINED:]))
        network, random = Network(x.shape[1], tuple(hidden)), np.random.default_rng(seed)
        start = initialize(network, random)
        trained = online.train(network, start, Samples(inputs, y), learning_rate=1e-3, epochs=8, random=random)
        layers, faults = float_layers(network, trained.weights), device.y[TRAINED:] > 0
        found = [probabilities(layers, tests)]
        found += [scores(write(quantize(layers, inputs, by=way)), tests, "firmware") for way in WAYS]
        yield [(np.mean((p > 0.5) == faults), average_precision_score(faults, p)) for p in found]


def ordinary(data: Path) -> str:
    """Returns the table of recipes, each with either encoding of its features."""
    lines = []
    for name in RECIPES:
        for encoding in ("linear", "quantiles"):
            changes = {(edges, way): [] for edges in EDGES for way in (*WAYS, "reach")}
            for seed in range(SEEDS):
                for device in train(load_recipe(name, [f"fleet.encoding={encoding}"], seed, data)):
                    layers = float_layers(device.network, device.personal.weights)
                    x, test, faults = device.client.device.train.x, device.test.x, device.test.y > 0
                    right = np.mean((probabilities(layers, test) > 0.5) == faults)
                    far = pushed_out(x, LARGEST_LEVEL) if encoding == "quantiles" else x
                    for (edges, way), found in changes.items():
                        rows, by = (far, "error") if way == "reach" else (x, way)
                        model = write(quantize(layers, rows, edges=edges, by=by))
                        found.append(100 * (np.mean((scores(model, test, "firmware") > 0.5) == faults) - right))
            cells = [f"{np.mean(c):+.2f}, {sum(one < -1 for one in c)} of {len(c)}" for c in changes.values()]
            lines.append((name, encoding, *cells))
    header = [f"{edges}, {way}" for edges in EDGES for way in (*WAYS, "reach")]
    return table(["recipe", "encoding", *header], lines)


def probabilities(layers: Layers, x: np.ndarray) -> np.ndarray:
    return observe(layers, x).scores


if __name__ == "__main__":
    main()
