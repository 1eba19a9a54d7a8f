"""Cohorts that memory does not hold at once."""

import subprocess
import sys
from dataclasses import astuple

import numpy as np
import pytest

from fedmetaalign.aggregation import Cohort, over, stacked
from fedmetaalign.aggregation.median import median
from fedmetaalign.aggregation.similarity import similarity
from fedmetaalign.aggregation.similarity_stream import Settings, of_any_size
from fedmetaalign.errors import RunError
from fedmetaalign.federation.messages import Update
from fedmetaalign.federation.spool import Spool, Spooled


@pytest.fixture
def cohort():
    random = np.random.default_rng(0)
    deltas = random.normal(0.2, 1, (40, 300)).astype(np.float32)
    deltas[7] = 0
    return Cohort(
        deltas,
        random.uniform(0.1, 1, 40),
        random.integers(1, 9, 40),
        np.ones(40, int),
        tuple(map(str, range(40))),
        random.normal(size=300).astype(np.float32),
    )


SETTINGS = [
    Settings(),
    Settings(0.0, "others"),
    Settings(0.1, "root"),
    Settings(0.1, "mean", True),
    Settings(0.1, "others", True, ("alignment",)),
    Settings(criteria=()),
]


@pytest.mark.parametrize("settings", SETTINGS)
@pytest.mark.parametrize("held", [0, 12 * 300])
def test_one_by_one_is_the_rule_itself(cohort, settings, held):
    found, whole = over(of_any_size(settings, held), cohort), similarity(cohort, *astuple(settings))
    assert found.step == pytest.approx(whole.step, rel=1e-12, abs=1e-14)
    assert found.weights == pytest.approx(whole.weights, rel=1e-12)
    assert found.alignment == pytest.approx(whole.alignment, rel=1e-12, abs=1e-15)


def test_what_fits_is_taken_at_once_for_the_same_bits_as_ever(cohort):
    found, whole = over(of_any_size(Settings(), 40 * 300), cohort), similarity(cohort)
    assert (found.step == whole.step).all() and (found.weights == whole.weights).all()


def test_deltas_that_cancel_out_weigh_the_same_where_nobody_is_aligned(cohort):
    two = Cohort(
        np.float32([[1, 0], [-1, 0]]), np.array([0.2, 0.9]), np.ones(2, int), np.ones(2, int), ("a", "b")
    )
    found = over(of_any_size(Settings(floor=0.0), 0), two)
    assert found.weights.tolist() == [0.5, 0.5] and found.step.tolist() == [0.0, 0.0]


def test_a_rule_that_needs_all_at_once_says_so_where_they_do_not_fit(cohort, monkeypatch):
    monkeypatch.setattr("fedmetaalign.aggregation.memory_bytes", lambda: 8 * 10 * 300 * 4.0)
    with pytest.raises(RunError, match="those of 11 would take more than half of this machine's memory"):
        over(stacked(median), cohort)


def test_a_spooled_update_is_read_as_often_as_it_is_asked_for():
    spool = Spool(3)
    sent = [Update(np.float32([i, 0.1, -i]), 0.5, 4, 8, 0.1, 0.2, 0.9) for i in range(3)]
    kept = [Spooled(update, spool) for update in sent]
    for update, other in zip(sent, kept, strict=True):
        assert other.delta.tobytes() == other.delta.tobytes() == update.delta.tobytes()
        assert isinstance(other, Update) and (other.query_score, other.samples, other.packed) == (0.5, 4, None)


LIMITED = """
import resource
import numpy as np
from fedmetaalign.aggregation import Contribution, aggregate
from fedmetaalign.aggregation.similarity_stream import Settings, of_any_size
from fedmetaalign.federation.messages import Update
from fedmetaalign.federation.spool import Spool, Spooled

used = 1024 * int(open("/proc/self/status").read().split("VmData:")[1].split()[0])
resource.setrlimit(resource.RLIMIT_DATA, (used + 40_000_000, used + 40_000_000))
random, spool = np.random.default_rng(0), Spool(100_000)
updates = [
    Spooled(Update(random.normal(size=100_000).astype(np.float32), 0.5, 1, 1, 0, 0, 1), spool)
    for _ in range(150)
]

class Sent:
    def __iter__(self):
        return (Contribution(str(i), u.delta, u.query_score, 1, 1) for i, u in enumerate(updates))

print(aggregate(of_any_size(Settings(), 1_000_000), Sent()).weights.sum())
held = [u.delta for u in updates]
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the limit is Linux's")
def test_a_round_takes_no_more_memory_than_some_deltas():
    """150 deltas of 400 KB are summed in 40 MB, where they have no room: to hold them all ends in an error."""
    done = subprocess.run([sys.executable, "-c", LIMITED], capture_output=True, text=True, check=False)  # noqa: S603
    assert float(done.stdout) == pytest.approx(1)
    assert done.stderr.endswith("MemoryError\n")
