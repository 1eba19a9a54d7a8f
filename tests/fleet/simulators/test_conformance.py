"""What every simulator of rows must be, whatever it simulates; of signals see test_signal_conformance.py."""

import numpy as np
import pytest

from fedmetaalign.errors import DataError
from fedmetaalign.fleet.simulators import KINDS, SIMULATORS
from fedmetaalign.recipe.simulated import WINDOWS

DEVICES, SAMPLES, SEEDS = 10, 400, (0, 1, 2)

each = pytest.mark.parametrize("name", [name for name in SIMULATORS if name not in WINDOWS])


def best_single_threshold(x, y):
    """Accuracy of the best rule "feature above (or below) threshold" on the rows themselves."""
    best = max(y.mean(), 1 - y.mean())
    for column in x.T:
        order = np.argsort(column)
        below = np.concatenate([[0], np.cumsum(y[order])])  # faults among the k smallest
        cut = np.arange(len(y) + 1)
        accuracy = (cut - below + below[-1] - below) / len(y)
        between = np.concatenate([[True], np.diff(column[order]) > 0, [True]])
        best = max(best, accuracy[between].max(), (1 - accuracy[between]).max())
    return best


def test_best_single_threshold_finds_the_rule_in_both_directions():
    x = np.array([[5.0, 1.0], [5.0, 2.0], [5.0, 3.0], [5.0, 4.0]])
    assert best_single_threshold(x, np.array([1, 1, 0, 0])) == 1.0
    assert best_single_threshold(x, np.array([0, 1, 0, 1])) == 0.75


def test_there_are_six_simulators():
    assert list(SIMULATORS) == list(KINDS)
    assert list(SIMULATORS) == ["feeder", "milling", "motor_current", "rotating", "vibration", "waveform"]
    assert list(WINDOWS) == ["motor_current", "vibration", "waveform"]


@each
def test_tables_are_well_formed(name):
    tables = SIMULATORS[name](devices=3, samples=50, seed=7)
    assert [t.name for t in tables] == [f"{name}-00", f"{name}-01", f"{name}-02"]
    for table in tables:
        assert len(table) == 50
        assert table.features == tables[0].features
        assert len(set(table.features)) == len(table.features) == len(table.units)
        assert table.units == tables[0].units
        assert table.x.shape == (50, len(table.features))
        assert table.x.dtype == np.float64
        assert np.isfinite(table.x).all()
        assert table.y.dtype == np.int8
        assert set(table.y) == {0, 1}
        assert table.kinds.shape == table.groups.shape == (50,)
        assert table.kinds.dtype.kind == table.groups.dtype.kind == "U"
        assert ((table.kinds == "normal") == (table.y == 0)).all()
        assert table.source is None


@each
@pytest.mark.parametrize("samples", [1, 5, 20, 21, 39])
def test_small_devices_have_all_their_rows(name, samples):
    for seed in range(5):
        for table in SIMULATORS[name](devices=3, samples=samples, seed=seed):
            assert len(table) == len(table.x) == len(table.kinds) == len(table.groups) == samples
            if samples >= 20:
                assert set(table.y) == {0, 1}


@each
def test_seed_decides_every_byte(name):
    first, again, other = (SIMULATORS[name](2, 60, seed) for seed in (3, 3, 4))
    for a, b, c in zip(first, again, other, strict=True):
        for field in ("x", "y", "kinds", "groups"):
            assert getattr(a, field).tobytes() == getattr(b, field).tobytes()
        assert a.x.tobytes() != c.x.tobytes()


@each
def test_a_device_does_not_depend_on_how_many_others_there_are(name):
    few, many = SIMULATORS[name](2, 60, 3), SIMULATORS[name](5, 60, 3)
    assert few[1].x.tobytes() == many[1].x.tobytes()
    assert few[0].x.tobytes() != few[1].x.tobytes()


@each
@pytest.mark.parametrize("seed", SEEDS)
def test_no_device_is_trivial(name, seed):
    for table in SIMULATORS[name](DEVICES, SAMPLES, seed):
        assert 0.1 < table.y.mean() < 0.9, table.name
        assert best_single_threshold(table.x, table.y) < 0.97, table.name


@each
@pytest.mark.parametrize("seed", SEEDS)
def test_rows_are_shuffled_and_differ(name, seed):
    for table in SIMULATORS[name](DEVICES, SAMPLES, seed):
        assert len(np.unique(table.x, axis=0)) == SAMPLES
        # Wald-Wolfowitz: the number of label runs in random order has this mean and variance.
        faults, rows = int(table.y.sum()), len(table)
        mean = 1 + 2 * faults * (rows - faults) / rows
        variance = (mean - 1) * (mean - 2) / (rows - 1)
        runs = 1 + np.count_nonzero(np.diff(table.y))
        assert abs(runs - mean) < 5 * np.sqrt(variance), table.name


@each
def test_devices_see_different_faults(name):
    """The total variation distance between two devices' fault mixes is large on average."""
    tables = SIMULATORS[name](DEVICES, SAMPLES, 0)
    kinds = np.unique(np.concatenate([t.kinds[t.y == 1] for t in tables]))
    mixes = np.array([[(t.kinds == kind).sum() / t.y.sum() for kind in kinds] for t in tables])
    distance = np.abs(mixes[:, None] - mixes[None]).sum(axis=2) / 2
    assert len(kinds) >= 4
    assert distance[np.triu_indices(DEVICES, 1)].mean() > 0.25


@each
@pytest.mark.parametrize(("devices", "samples", "what"), [(0, 10, "0 devices"), (2, 0, "0 samples")])
def test_too_little_is_an_error_in_one_sentence(name, devices, samples, what):
    with pytest.raises(DataError, match=what) as error:
        SIMULATORS[name](devices, samples, 0)
    assert str(error.value) == f"the {name} simulator was asked for {what}; ask for at least 1."
