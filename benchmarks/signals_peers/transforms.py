"""Peers that look at the samples of windows: runs in an environment with aeon, and knows nothing of ours.

    python transforms.py PROBLEM.npz ANSWER.json

PROBLEM holds x (windows, channels, length) float32, y (windows,) int, and for each set of training and test
windows the row numbers `train_NAME` and `test_NAME`. ANSWER has for each peer and set the classes of the test
windows.
"""

import json
import sys
import time
from pathlib import Path

import aeon
import numpy as np
from aeon.transformations.collection.convolution_based import MiniRocket
from sklearn.linear_model import RidgeClassifierCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler


def minirocket(seed: int) -> object:
    """Dempster, Schmidt, Webb, 2021: 9,996 features of random kernels, and a ridge classifier."""
    ridge = RidgeClassifierCV(alphas=np.logspace(-3, 3, 10))
    return make_pipeline(MiniRocket(random_state=seed), StandardScaler(with_mean=False), ridge)


PEERS = {"MiniRocket": minirocket}


def main(problem: str, answer: str) -> None:
    """Trains every peer on every set."""
    with np.load(problem) as given:
        x, y, seed = given["x"], given["y"], int(given["seed"])
        sets = {name.removeprefix("train_"): given[name] for name in given if name.startswith("train_")}
        tests = {name: given[f"test_{name}"] for name in sets}
    found: dict[str, dict[str, list[int]]] = {}
    for peer, make in PEERS.items():
        begin = time.perf_counter()
        for name, train in sets.items():
            model = make(seed).fit(x[train], y[train])
            found.setdefault(peer, {})[name] = model.predict(x[tests[name]]).tolist()
        print(f"{peer}: {time.perf_counter() - begin:.0f} s", file=sys.stderr)
    Path(answer).write_text(json.dumps({"aeon": aeon.__version__, "found": found}), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
