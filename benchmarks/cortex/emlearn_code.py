"""Writes a network as C with emlearn, in emlearn's own environment: `python emlearn_code.py WEIGHTS.npz OUT.h`.

Prints the folder of emlearn's headers and its version. The method is `loadable`, the default: `inline` raises
in 0.23 (it declares the names of activations as integers).
"""

import sys
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace

import emlearn
import numpy as np


def main() -> None:
    weights, out = sys.argv[1:]
    arrays = np.load(weights)
    depth = len(arrays) // 2
    classifier = SimpleNamespace(  # what emlearn reads of scikit-learn's MLPClassifier
        n_layers_=depth + 1,
        coefs_=[arrays[f"{i}.weight"] for i in range(depth)],
        intercepts_=[arrays[f"{i}.bias"] for i in range(depth)],
        activation="relu",
        out_activation_="logistic",
    )
    emlearn.convert(classifier, kind="MLPClassifier").save(file=out, name="emlearn_net")
    print(Path(emlearn.__file__).parent, version("emlearn"), sep="\n")


if __name__ == "__main__":
    main()
