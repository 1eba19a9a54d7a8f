"""The ways to train that are compared.

Each is a function that prepares a network and returns another, which trains it from the first weights on the
first `count` samples and gives the final weights and the mean loss met on the way. What only the first call
must do is its warm-up. Libraries are imported within: no environment has them all.
"""

import ctypes
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from online.problem import EPSILON, HIDDEN, INPUTS, LEARNING_RATE, Problem, layers

C_LIBRARIES = {name: Path(__file__).parents[2] / "build" / f"online_{name}.so" for name in ("c", "c-fused")}
"""Where `loop.c` is compiled to, plain and fused."""

Train = Callable[[int], tuple[np.ndarray, float]]


def ours(problem: Problem) -> Train:
    from fedmetaalign.model.mlp import Network
    from fedmetaalign.model.online import Samples, train

    network = Network(INPUTS, HIDDEN)
    in_order: Any = SimpleNamespace(permutation=np.arange)  # instead of a random generator

    def run(count: int) -> tuple[np.ndarray, float]:
        samples, rate = Samples(problem.x[:count], problem.y[:count]), LEARNING_RATE
        trained = train(network, problem.weights, samples, learning_rate=rate, epochs=1, random=in_order)
        return trained.weights, trained.loss

    return run


def c(problem: Problem, name: str = "c") -> Train:
    loop = ctypes.CDLL(str(C_LIBRARIES[name])).train
    loop.restype = ctypes.c_double
    loop.argtypes = [*[np.ctypeslib.ndpointer(np.float32, flags="C")] * 5, ctypes.c_int]

    def run(count: int) -> tuple[np.ndarray, float]:
        weights = problem.weights.copy()
        moments = np.zeros_like(weights), np.zeros_like(weights)
        return weights, loop(weights, *moments, problem.x, problem.y, count)

    return run


def keras(problem: Problem, **compiling: Any) -> Train:
    import keras

    model = keras.Sequential([keras.Input((INPUTS,))])
    for units in HIDDEN:
        model.add(keras.layers.Dense(units, activation="relu"))
    model.add(keras.layers.Dense(1))
    optimizer = keras.optimizers.Adam(LEARNING_RATE, epsilon=EPSILON)
    model.compile(optimizer, keras.losses.BinaryCrossentropy(from_logits=True), **compiling)
    optimizer.build(model.trainable_variables)
    fresh = [variable.numpy() for variable in optimizer.variables]

    def run(count: int) -> tuple[np.ndarray, float]:
        model.set_weights([part for matrix in layers(problem.weights) for part in (matrix[:-1], matrix[-1])])
        for variable, value in zip(optimizer.variables, fresh, strict=True):
            variable.assign(value)
        x, y = problem.x[:count], problem.y[:count, None]
        history = model.fit(x, y, batch_size=1, epochs=1, shuffle=False, verbose=0)
        return np.concatenate([part.ravel() for part in model.get_weights()]), history.history["loss"][0]

    return run


def pytorch(problem: Problem, fused: bool) -> Train:
    import torch

    def run(count: int) -> tuple[np.ndarray, float]:
        modules: list[torch.nn.Module] = []
        for matrix in layers(problem.weights):
            linear = torch.nn.Linear(matrix.shape[0] - 1, matrix.shape[1])
            linear.weight.data = torch.tensor(matrix[:-1].T).contiguous()
            linear.bias.data = torch.tensor(matrix[-1])
            modules += [linear, torch.nn.ReLU()]
        model = torch.nn.Sequential(*modules[:-1])
        optimizer = torch.optim.Adam(model.parameters(), LEARNING_RATE, eps=EPSILON, fused=fused)
        criterion = torch.nn.BCEWithLogitsLoss()
        total = torch.zeros(())
        x, y = torch.tensor(problem.x[:count]), torch.tensor(problem.y[:count, None])
        for i in range(count):
            optimizer.zero_grad()
            loss = criterion(model(x[i : i + 1]), y[i : i + 1])
            loss.backward()
            optimizer.step()
            total += loss.detach()
        parts = [part.detach().numpy().T.ravel() for part in model.parameters()]
        return np.concatenate(parts), float(total) / count

    return run


CONTENDERS: dict[str, Callable[[Problem], Train]] = {
    "c": c,
    "c-fused": partial(c, name="c-fused"),
    "ours": ours,
    "torch-fused": partial(pytorch, fused=True),
    "torch": partial(pytorch, fused=False),
    "keras": keras,
    "keras-tuned": partial(keras, steps_per_execution=100, jit_compile=True),
}
"""By name; what stands before the hyphen is the environment it needs, or "c" or "ours"."""
