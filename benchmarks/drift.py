"""How often is an alarm of drift wrong, how late is a right one, its cost, and what does validation see?

    python benchmarks/drift.py --markdown docs/time.md    # two minutes

All samples are simulated: independent normal ones; such as follow one another slowly; and, for validation,
spells of faults in signals that wander. Instructions are counted in the emulator, and do not depend on the
machine.
"""

import argparse
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from markers import replace_between
from online.tables import table
from sklearn.ensemble import RandomForestClassifier

from fedmetaalign.drift import Reference, follow
from fedmetaalign.drift.detector import calibrated
from fedmetaalign.fleet.times.periods import deal
from fedmetaalign.tinyml import compiled
from fedmetaalign.tinyml.drift_code import reference_header
from fedmetaalign.tinyml.elf import sizes
from fedmetaalign.tinyml.emulator import Emulator
from fedmetaalign.tinyml.toolchain import CORES, FIRMWARE, Core

TRAINED = (100, 300, 1000)
SHIFTS = (0.5, 1.0, 2.0)
FEATURES, DRAWS, CALM, MOVED = 6, 40, 20_000, 4000
SLOW = 0.95  # of a sample is left in the next one
NAMES = ("cortex-m0", "cortex-m3", "cortex-m4")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="rewrite the tables in FILE")
    options = parser.parse_args()
    text = "\n\n".join((alarms(), cost(), validation()))
    print(text)
    if options.markdown:
        replace_between(options.markdown, "drift", text)


def drawn(random: np.random.Generator, rows: int, kept: float) -> np.ndarray:
    """Returns standard normal samples, (rows, FEATURES), each of which keeps a share of the one before it."""
    x = random.normal(size=(rows, FEATURES)) * np.sqrt(1 - kept**2)
    x[0] /= np.sqrt(1 - kept**2)
    for row in range(1, rows if kept else 0):
        x[row] += kept * x[row - 1]
    return x


def alarms() -> str:
    """Returns false alarms and delays, by how many samples a device was trained on."""
    rows = []
    for kept, what in ((0.0, "independent"), (SLOW, f"correlation {SLOW} with the next")):
        for trained in TRAINED:
            random, wrong, delays = np.random.default_rng(trained), 0, {shift: [] for shift in SHIFTS}
            for _ in range(DRAWS):
                x, none = drawn(random, trained, kept), np.zeros(CALM, bool)
                reference = calibrated(Reference.of(x, none[:trained]), x, none[:trained])
                wrong += len(follow(reference, drawn(random, CALM, kept), none).drifted)
                for shift, found in delays.items():
                    since = follow(reference, drawn(random, MOVED, kept) + shift, none[:MOVED]).since
                    found += np.where(since < 0, MOVED, since + 1).tolist()
            seen = DRAWS * CALM * FEATURES
            late = (
                f"{np.median(found):,.0f}" if np.median(found) < MOVED else "never" for found in delays.values()
            )
            rows.append((what, f"{trained:,}", f"{1e6 * wrong / seen:.1f}", *late))
    header = ("samples", "trained on", "false alarms", *(f"shift of {s:g}: after" for s in SHIFTS))
    return (
        "False alarms in a million samples of a feature; after how many samples half of the features that shift"
        f" by so many standard deviations raise the alarm.\n\n{table(header, rows)}"
    )


def cost() -> str:
    """Returns what the detector takes on microcontrollers, for FEATURES features and two references."""
    random = np.random.default_rng(0)
    x, faults = drawn(random, 300, 0), np.arange(300) < 100
    rows = []
    with TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "fma_model.h").write_text(f"#include <stdint.h>\n#define FMA_FEATURES {FEATURES}\n")
        (folder / "fma_reference.h").write_text(reference_header(Reference.of(x, faults)))
        for core in NAMES:
            rows.append(
                (core, *(f"{count:,}" for count in costs(folder, x[:32].astype(np.float32), CORES[core])))
            )
    header = ("core", "instructions a sample", "flash, B", "RAM, B", "stack, B")
    return f"{FEATURES} features, samples and faults apart:\n\n{table(header, rows)}"


def costs(folder: Path, raw: np.ndarray, core: Core) -> tuple[int, ...]:
    """Returns mean instructions a sample, bytes of flash, of the state and of stack."""
    elf = compiled.elf([FIRMWARE / "fma_drift.c"], [folder], core, ["fma_drift"])
    emulator = Emulator(elf, core)
    state, sample = emulator.allocate(8 * FEATURES + 2), emulator.allocate(raw[0].nbytes)
    emulator.write(state, bytes(8 * FEATURES + 2))
    calls = []
    for row in raw:
        emulator.write(sample, row.tobytes())
        calls.append(emulator.call("fma_drift", state, sample, 0))
    instructions = round(float(np.mean([call.instructions for call in calls])))
    return instructions, sizes(elf).flash, 8 * FEATURES + 2, max(call.stack for call in calls)


def validation() -> str:
    """Returns what a forest's accuracy is on rows held out in three ways, and on what comes later."""
    found: dict[str, list[float]] = {
        "random rows": [],
        "blocks of time": [],
        "the latest part": [],
        "later": [],
    }
    for seed in range(20):
        random = np.random.default_rng(seed)
        x = drawn(random, 1500, 0.98)
        y = np.repeat(random.random(60) < 0.4, 25).astype(int)  # spells of 25 rows
        x[:, :2] += 0.7 * y[:, None]
        x, later_x, y, later_y = x[:1200], x[1200:], y[:1200], y[1200:]
        even = {"fit": 0.8, "held": 0.2}
        held = {
            "random rows": deal(np.arange(1200), y, even, random)["held"],
            "blocks of time": deal(np.arange(1200) // 24, y, even, random)["held"],
            "the latest part": np.arange(960, 1200),
        }
        for name, rows in held.items():
            rest = np.setdiff1d(np.arange(1200), rows)
            found[name].append(fitted(x[rest], y[rest], seed).score(x[rows], y[rows]))
        found["later"].append(fitted(x, y, seed).score(later_x, later_y))
    means = [f"{100 * np.mean(each):.1f}" for each in found.values()]
    return (
        "Accuracy of a forest, in %, on 240 of 1,200 samples that it was not trained on, and on the next 300;"
        f" means of 20 seeds.\n\n{table((*found,), [means])}"
    )


def fitted(x: np.ndarray, y: np.ndarray, seed: int) -> RandomForestClassifier:
    """Returns a forest of some samples."""
    return RandomForestClassifier(100, random_state=seed, n_jobs=1).fit(x, y)


if __name__ == "__main__":
    main()
