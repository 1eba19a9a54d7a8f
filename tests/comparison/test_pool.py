"""What is missing is made, once; what is there is read; and one that fails takes no other with it."""

from concurrent.futures import Executor, Future
from concurrent.futures.process import BrokenProcessPool

import pytest
from comparing import InProcess, imagine

from fedmetaalign.comparison.pool import Job, Pool
from fedmetaalign.comparison.store import Store
from fedmetaalign.errors import RecipeError, RunError
from fedmetaalign.recipe import parse

RECIPE = parse({"fleet": {"simulator": "feeder", "count": 2, "samples": 60}, "model": {"hidden": [4]}}, "here")


def job(method="fedavg", seed=0, rate=0.1, row=None, recipe=RECIPE):
    return Job(row or method, method, recipe.model_copy(update={"seed": seed}), rate, {})


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Runs jobs in this process by imagined cell runs; tells the cells and what was made of them."""
    imagine(monkeypatch)

    def call(*jobs, executor=None, told=lambda: None):
        executor = executor or InProcess()
        return Pool(tmp_path / "cells", executor).run(jobs, told), executor

    return call


JOBS = (job(seed=0), job(seed=1), job("majority", 1, None), job("fedprox", 0))


def test_every_cell_is_made_once_and_in_the_order_of_the_jobs(run):
    cells, made = run(*JOBS)
    assert [(cell.method, cell.seed, cell.learning_rate) for cell in cells] == [
        ("fedavg", 0, 0.1),
        ("fedavg", 1, 0.1),
        ("majority", 1, None),
        ("fedprox", 0, 0.1),
    ]
    assert made.cells == [(cell.method, cell.seed, cell.learning_rate) for cell in cells]


def test_cells_of_a_seed_share_their_start(run):
    _, made = run(*JOBS)
    assert sorted(made.starts) == [0, 1]


def test_finished_cells_are_read(run):
    cells, _ = run(*JOBS)
    again, made = run(*JOBS)
    assert again == cells
    assert made.cells == made.starts == []


def test_only_what_is_missing_is_made(run):
    run(*JOBS[:2])
    _, made = run(*JOBS)
    assert made.cells == [("majority", 1, None), ("fedprox", 0, 0.1)]
    assert made.starts == []


def test_a_damaged_cell_is_made_again(run, tmp_path):
    cells, _ = run(*JOBS)
    path = tmp_path / "cells" / f"{JOBS[1].key}.json"
    path.write_bytes(path.read_bytes()[:-20])
    again, made = run(*JOBS)
    assert (again, made.cells, made.starts) == (cells, [("fedavg", 1, 0.1)], [])


def test_a_damaged_start_is_made_again(run, tmp_path):
    run(*JOBS[:1])
    for path in (tmp_path / "cells").iterdir():
        path.write_bytes(b"{")
    _, made = run(*JOBS[:1])
    assert (made.cells, made.starts) == ([("fedavg", 0, 0.1)], [0])


def test_rows_may_share_a_cell(run):
    told = []
    cells, made = run(job(row="plain"), job(row="c = 0.1"), job(rate=0.2), told=lambda: told.append(1))
    assert [cell.method for cell in cells] == ["plain", "c = 0.1", "fedavg"]
    assert made.cells == [("fedavg", 0, 0.1), ("fedavg", 0, 0.2)]
    assert len(told) == 3


def test_every_job_is_reported_once(run):
    told = []
    run(*JOBS[:3])
    run(*JOBS, told=lambda: told.append(1))
    assert len(told) == len(JOBS)


def test_an_error_keeps_the_cells_beside_it(run, monkeypatch, tmp_path):
    def refuse(method, rate, seed):
        if method == "majority":
            raise RecipeError("majority cannot run here: leave it out.")
        return 0.25

    imagine(monkeypatch, refuse)
    with pytest.raises(RecipeError, match=r"^majority cannot run here: leave it out\.$"):
        run(*JOBS)
    kept = [Store(tmp_path / "cells").cell(each.key) is not None for each in JOBS]
    assert kept == [True, True, False, True]
    imagine(monkeypatch)
    _, made = run(*JOBS)
    assert made.cells == [("majority", 1, None)]


class Killed(Executor):
    """Processes of which one is killed: at a job, or before it could be given one."""

    def __init__(self, at_once):
        self._at_once = at_once

    def submit(self, *_):
        if self._at_once:
            raise BrokenProcessPool
        future = Future()
        future.set_exception(BrokenProcessPool())
        return future


@pytest.mark.parametrize("at_once", [True, False])
def test_a_killed_process_is_one_sentence(run, at_once):
    with pytest.raises(
        RunError, match=r"^A process of the comparison was killed, .*: the same command goes on"
    ):
        run(*JOBS, executor=Killed(at_once))


def test_cells_that_vanish_meanwhile_are_reported(run, tmp_path):
    def vanish():
        (tmp_path / "cells" / f"{JOBS[0].key}.json").unlink(missing_ok=True)

    with pytest.raises(RunError, match="have vanished meanwhile: run the comparison again"):
        run(*JOBS, told=vanish)


class TestTuned:
    def test_a_learning_rate_holds_in_all_phases_but_phase_0(self):
        recipe = parse(
            {
                "fleet": {"simulator": "feeder"},
                "optimizer": {"learning_rate": 0.5},
                "foundation": {"simulator": "milling"},
            },
            "here",
        )
        tuned = job(rate=0.25, recipe=recipe).tuned
        assert (tuned.optimizer.learning_rate, tuned.foundation.learning_rate) == (0.25, 0.5)
        assert tuned.personalize.learning_rate is None

    def test_phase_0_keeps_one_of_its_own(self):
        foundation = {"simulator": "milling", "learning_rate": 0.125}
        recipe = parse({"fleet": {"simulator": "feeder"}, "foundation": foundation}, "here")
        assert job(rate=0.25, recipe=recipe).tuned.foundation.learning_rate == 0.125

    def test_who_does_not_train_has_the_recipe_as_it_is(self):
        assert job("majority", rate=None).tuned == RECIPE

    def test_the_rate_and_the_seed_are_part_of_a_cells_name(self):
        keys = {job().key, job(rate=0.2).key, job(seed=1).key, job("fedprox").key}
        assert len(keys) == 4
        assert job(row="other").key == job().key
