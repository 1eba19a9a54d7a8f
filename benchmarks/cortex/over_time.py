"""The default convolutional network on windows of 1,024 samples; its weights change no figure."""

from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from fedmetaalign.model.mlp import Network, initialize
from fedmetaalign.model.preparation import Preparation
from fedmetaalign.operators import operator_of
from fedmetaalign.phases.layers import float_layers
from fedmetaalign.proof import replay
from fedmetaalign.recipe.network import Model
from fedmetaalign.tinyml import codegen
from fedmetaalign.tinyml.quantize import quantize
from fedmetaalign.tinyml.tflite import write
from fedmetaalign.tinyml.toolchain import CORES

WINDOW = 1024
CLASSES = 4


def measured() -> dict[str, Any]:
    """Measures it, with random weights, for each core in the order of weights that the core's target has."""
    model = Model(kind="cnn", inputs=WINDOW, channels=1)
    random = np.random.default_rng(0)
    network = Network(WINDOW, model.hidden, CLASSES, model.blocks, 1)
    layers = float_layers(network, initialize(network, random).astype(np.float32))
    made = quantize(layers, random.normal(size=(64, WINDOW)).astype(np.float32))
    names = tuple(f"sample {i}" for i in range(WINDOW))
    preparation = Preparation(names, ("",) * WINDOW, {}, (0.0,) * WINDOW, (1.0,) * WINDOW, tuple(range(WINDOW)))
    raw, costs = random.normal(size=(2, WINDOW)), {}
    for core in (core for core in CORES.values() if core.unicorn):
        with TemporaryDirectory() as name:
            texts = codegen.files("benchmark", made, preparation, 0.5, raw, target=core.name)
            for file, text in texts.items():
                Path(name, file).write_text(text, encoding="utf-8")
            cost = replay.score(Path(name), made, raw, core).cost
        costs[core.name] = asdict(cost) if cost else {}
    return {
        "bytes": len(write(made)),
        "parameters": network.parameters,
        "products": sum(operator_of(layer).products(layer) for layer in layers),
        "cores": costs,
    }
