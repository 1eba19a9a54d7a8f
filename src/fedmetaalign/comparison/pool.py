"""Makes the starts and cells that are missing, each in one process, as many at once as there are cores."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import lru_cache
from multiprocessing.connection import Connection
from pathlib import Path

from fedmetaalign.comparison.cell import Cell
from fedmetaalign.comparison.run_cell import run_cell, start
from fedmetaalign.comparison.store import Store, cell_key, start_key
from fedmetaalign.errors import RunError
from fedmetaalign.fleet.build import build
from fedmetaalign.fleet.device import Fleet
from fedmetaalign.recipe import Recipe
from fedmetaalign.system.cores import cores

_POLL = 0.5
"""Seconds after which an interrupt is noticed."""


@dataclass(frozen=True)
class Job:
    """A cell to be made.

    Attributes:
        row: the name of its row.
        method: its name; see `methods`.
        recipe: with the job's seed; its learning rate is the recipe's own, which phase 0 uses.
        learning_rate: what the method trains with; None where it does not train.
        data: sha256 of each file that the recipe reads.
    """

    row: str
    method: str
    recipe: Recipe
    learning_rate: float | None
    data: Mapping[str, str]

    @property
    def tuned(self) -> Recipe:
        """The recipe with the job's learning rate in all phases but phase 0."""
        if self.learning_rate is None:
            return self.recipe
        base = self.recipe
        foundation = base.foundation.model_copy(
            update={"learning_rate": base.foundation.learning_rate or base.optimizer.learning_rate}
        )
        optimizer = base.optimizer.model_copy(update={"learning_rate": self.learning_rate})
        return base.model_copy(update={"foundation": foundation, "optimizer": optimizer})

    @property
    def key(self) -> str:
        """Names the cell."""
        return cell_key(self.method, self.tuned, self.data)


@dataclass(frozen=True)
class Pool:
    """Processes that make cells, and the folder that they keep them in; see `processes`.

    Attributes:
        folder: where cells are kept.
        executor: runs the jobs.
    """

    folder: Path
    executor: Executor

    def run(self, jobs: Sequence[Job], on_cell: Callable[[], None]) -> list[Cell]:
        """Returns the cells of the jobs, in their order; finished ones are read, not made again.

        Args:
            jobs: what is wanted.
            on_cell: gets a report of every cell that is there.

        Raises:
            FedMetaAlignError: a cell cannot be made; those that could be are kept.
        """
        store = Store(self.folder)
        missing = {job.key: job for job in jobs if store.cell(job.key) is None}  # rows may share a cell
        for _ in range(len(jobs) - len(missing)):
            on_cell()
        starts = {start_key(job.recipe, job.data): job for job in missing.values()}
        self._each(_make_start, [job for key, job in starts.items() if store.start(key) is None], lambda: None)
        self._each(_make_cell, list(missing.values()), on_cell)
        cells = [store.cell(job.key) for job in jobs]
        if any(cell is None for cell in cells):
            raise RunError(f"Cells in {self.folder} have vanished meanwhile: run the comparison again.")
        return [
            replace(cell, method=job.row) for cell, job in zip(cells, jobs, strict=True) if cell is not None
        ]

    def _each(
        self, make: Callable[[Job, Path], None], jobs: Sequence[Job], on_done: Callable[[], None]
    ) -> None:
        """Has every job done; the first error ends it."""
        try:
            waiting = {self.executor.submit(make, job, self.folder) for job in jobs}
            while waiting:
                # Under the signal handler of polars an interrupt does not end a wait that has no end itself.
                done, waiting = wait(waiting, timeout=_POLL, return_when=FIRST_COMPLETED)
                for future in done:
                    future.result()
                    on_done()
        except BrokenProcessPool:
            raise RunError(
                "A process of the comparison was killed, perhaps for want of memory: the same command goes on"
                " where it stopped."
            ) from None


@contextmanager
def processes(folder: Path, workers: int | None = None) -> Iterator[Pool]:
    """Starts processes, by default one a core, and ends them after their jobs.

    On an error or an interruption, or when this process is killed, they end at once: a cell is written whole or
    not at all, and one that was not is made again.

    Args:
        folder: where cells are kept.
        workers: how many.
    """
    # Fresh interpreters: the threads of one that has trained already do not survive a fork.
    context = multiprocessing.get_context("spawn")
    held, lifeline = context.Pipe(duplex=False)
    with held, lifeline:
        executor = ProcessPoolExecutor(workers or cores(), context, _hang_on, (held,))
        try:
            yield Pool(folder, executor)
        except BaseException:
            lifeline.close()
            raise
        finally:
            executor.shutdown(wait=True, cancel_futures=True)


def _make_start(job: Job, folder: Path) -> None:
    Store(folder).keep_start(start_key(job.recipe, job.data), start(job.recipe, _fleet(job.recipe)))


def _make_cell(job: Job, folder: Path) -> None:
    store = Store(folder)
    begin = store.start(start_key(job.recipe, job.data))
    if begin is None:
        raise RunError(f"The start of a cell in {folder} has vanished: run the comparison again.")
    store.keep(job.key, run_cell(job.method, job.tuned, _fleet(job.recipe), begin))


@lru_cache(maxsize=4)  # a process makes many cells of a fleet, one after another
def _cached_fleet(recipe: str) -> Fleet:
    return build(Recipe.model_validate_json(recipe), unseen_devices=True)


def _fleet(recipe: Recipe) -> Fleet:
    """Builds the fleet of a recipe, or takes the one that a cell before was run on."""
    return _cached_fleet(recipe.model_dump_json())


def _hang_on(lifeline: Connection) -> None:
    """Leaves interrupts to the parent, and ends this process when the parent lets go of the lifeline."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with, args=(lifeline,), daemon=True).start()


def _end_with(lifeline: Connection) -> None:
    lifeline.poll(None)  # nothing is ever sent: this ends when the other end is closed
    os._exit(1)
