"""The ways to train that are compared: `python -m convolutional.contenders FOLDER NAME REPEATS` prints JSON.

FOLDER holds problem.npz, and loop.so for the C loop; it gets the final weights as NAME.npy. Each contender is a
function that prepares a network and returns another, which trains it from the first weights on all samples and
gives the final weights. Libraries are imported within: no environment has them all.
"""

import ctypes
import json
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from convolutional.problem import CONVOLUTIONS, EPSILON, HIDDEN, LEARNING_RATE, STEPS, Problem, layers

Train = Callable[[], np.ndarray]


def ours(problem: Problem, folder: Path) -> Train:
    from fedmetaalign.model.mlp import Network
    from fedmetaalign.model.online import Samples, train
    from fedmetaalign.operators.stack import Block

    blocks = [Block("convolution", kernel, stride, filters) for filters, kernel, stride in CONVOLUTIONS]
    network = Network(STEPS, (HIDDEN,), 1, (*blocks, Block("average", 0, 1)))
    in_order: Any = SimpleNamespace(permutation=np.arange)  # instead of a random generator
    samples = Samples(problem.x, problem.y)
    return lambda: (
        train(network, problem.weights, samples, learning_rate=LEARNING_RATE, epochs=1, random=in_order).weights
    )


def c(problem: Problem, folder: Path, library: str) -> Train:
    loop = ctypes.CDLL(str(folder / library)).train
    loop.restype = ctypes.c_double
    loop.argtypes = [*[np.ctypeslib.ndpointer(np.float32, flags="C")] * 5, ctypes.c_int]

    def run() -> np.ndarray:
        weights = problem.weights.copy()
        moments = np.zeros_like(weights), np.zeros_like(weights)
        loop(weights, *moments, problem.x, problem.y, len(problem.y))
        return weights

    return run


def torch(problem: Problem, folder: Path, fused: bool) -> Train:
    import torch
    from torch import nn

    def layer(matrix: np.ndarray, module: Any, kernel: int) -> Any:
        weights = matrix[:-1].reshape(kernel, -1, matrix.shape[1]).transpose(2, 1, 0)
        module.weight.data = torch.tensor(weights.reshape(module.weight.shape).copy())
        module.bias.data = torch.tensor(matrix[-1])
        return module

    def run() -> np.ndarray:
        (filters_1, kernel_1, stride_1), (filters_2, kernel_2, stride_2) = CONVOLUTIONS
        first, second, third, last = layers(problem.weights)
        convolutions = (
            layer(first, nn.Conv1d(1, filters_1, kernel_1, stride_1), kernel_1),
            layer(second, nn.Conv1d(filters_1, filters_2, kernel_2, stride_2), kernel_2),
        )
        dense = layer(third, nn.Linear(filters_2, HIDDEN), 1), layer(last, nn.Linear(HIDDEN, 1), 1)
        pool = (nn.AdaptiveAvgPool1d(1), nn.Flatten())
        model = nn.Sequential(
            convolutions[0], nn.ReLU(), convolutions[1], nn.ReLU(), *pool, dense[0], nn.ReLU(), dense[1]
        )
        optimizer = torch.optim.Adam(model.parameters(), LEARNING_RATE, eps=EPSILON, fused=fused)
        criterion = nn.BCEWithLogitsLoss()
        x, y = torch.tensor(problem.x[:, None]), torch.tensor(problem.y[:, None])
        for i in range(len(y)):
            optimizer.zero_grad()
            criterion(model(x[i : i + 1]), y[i : i + 1]).backward()
            optimizer.step()
        parts = []
        for module in (*convolutions, *dense):
            weights = module.weight.detach().numpy()
            order = weights.transpose(2, 1, 0) if weights.ndim == 3 else weights.T
            parts += [order.ravel(), module.bias.detach().numpy()]
        return np.concatenate(parts)

    return run


CONTENDERS: dict[str, Callable[[Problem, Path], Train]] = {
    "ours": ours,
    "c": partial(c, library="loop.so"),
    "c-native": partial(c, library="native.so"),
    "torch": partial(torch, fused=False),
    "torch-fused": partial(torch, fused=True),
}
"""By name; what stands before the hyphen is the environment it needs, or "c" or "ours"."""


def main(folder: Path, name: str, repeats: int) -> None:
    """Trains once to warm up, then `repeats` times, and prints the microseconds of a step."""
    problem = Problem(**np.load(folder / "problem.npz"))
    run = CONTENDERS[name](problem, folder)
    weights = run()
    start = time.perf_counter()
    for _ in range(repeats):
        run()
    elapsed = time.perf_counter() - start
    np.save(folder / f"{name}.npy", weights)
    print(json.dumps({"us_per_step": 1e6 * elapsed / (repeats * len(problem.y))}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
