"""Comparisons for tests: made in this process, by real cell runs or by ones that are only imagined."""

from concurrent.futures import Executor, Future
from contextlib import contextmanager

import numpy as np

from fedmetaalign.comparison import pool
from fedmetaalign.comparison.cell import FINAL, GLOBAL, Cell, Stage
from fedmetaalign.comparison.run_cell import Start
from fedmetaalign.methods import find

SMALL = """
[fleet]
simulator = "milling"
count = 3
samples = 100
[model]
hidden = [4]
[serial]
rounds = 1
[parallel]
rounds = 2
[personalize]
epochs = 1
"""
"""A fleet whose cells take some ten milliseconds."""


class InProcess(Executor):
    """Does every job at once, and remembers it.

    Attributes:
        cells: (method, seed, learning rate) of every cell that was begun.
        starts: the seed of every common start that was made.
    """

    def __init__(self, most=None):
        """Of more cells than `most`, the next one is interrupted."""
        self.cells, self.starts, self._most = [], [], most

    def submit(self, make, job, folder):
        if make is pool._make_start:
            self.starts.append(job.recipe.seed)
        elif self._most is not None and len(self.cells) >= self._most:
            raise KeyboardInterrupt
        else:
            self.cells.append((job.method, job.recipe.seed, job.learning_rate))
        future = Future()
        try:
            future.set_result(make(job, folder))
        except Exception as error:
            future.set_exception(error)
        return future


def in_process(monkeypatch, most=None):
    """Makes comparisons run here, and returns what they run in."""
    executor = InProcess(most)

    @contextmanager
    def processes(folder, workers=None):
        yield pool.Pool(folder, executor)

    monkeypatch.setattr(pool, "processes", processes)
    return executor


def imagine(monkeypatch, validation=lambda method, rate, seed: 0.25):
    """Replaces cell runs by made-up results, which `validation` (None where training diverges) is a part of."""

    def run_cell(method, recipe, fleet, begin):
        rate = recipe.optimizer.learning_rate if find(method).trains else None
        brier = validation(method, rate, recipe.seed)
        names = [device.name for device in (*fleet.devices, *fleet.unseen_devices)]
        if brier is None:
            return Cell(method, recipe.seed, rate, None, {}, (), fleet.unseen)
        accuracies = {name: (len(method) + 3 * recipe.seed + i) % 10 / 10 for i, name in enumerate(names)}
        stage = Stage(
            {name: {"accuracy": value, "threshold": 0.5} for name, value in accuracies.items()}, 9, 8, 7.0
        )
        stages = {GLOBAL: stage, FINAL: stage} if method.startswith("fed") else {FINAL: stage}
        rounds = (accuracies, accuracies) if GLOBAL in stages else ()
        return Cell(method, recipe.seed, rate, brier, stages, rounds, fleet.unseen)

    monkeypatch.setattr("os.fsync", lambda file: None)  # a test need not survive a power cut
    monkeypatch.setattr(pool, "run_cell", run_cell)
    monkeypatch.setattr(pool, "start", lambda recipe, fleet: Start(np.zeros(2, np.float32), 0, 0.0))
