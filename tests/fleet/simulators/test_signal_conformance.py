"""What every simulator of signals must be, whatever it simulates."""

import numpy as np
import pytest

from fedmetaalign.errors import DataError
from fedmetaalign.fleet.simulators import KINDS, SIMULATORS
from fedmetaalign.recipe.simulated import WINDOWS

each = pytest.mark.parametrize("name", WINDOWS)


def windows_of(table, window):
    """How many windows the recordings of a table hold."""
    rows = np.unique(table.groups, return_counts=True)[1]
    return int(((rows - window["length"]) // window["stride"] + 1).sum())


@each
def test_tables_are_well_formed(name):
    tables = SIMULATORS[name](devices=3, samples=50, seed=7)
    assert [t.name for t in tables] == [f"{name}-00", f"{name}-01", f"{name}-02"]
    for table in tables:
        assert windows_of(table, WINDOWS[name]) == 50
        assert len(np.unique(table.groups)) == 7
        assert table.features == tables[0].features
        assert set(WINDOWS[name]["channels"]) <= set(table.features)
        assert len(set(table.features)) == len(table.features) == len(table.units)
        assert table.x.shape == (len(table), len(table.features))
        assert table.x.dtype == np.float64
        assert np.isfinite(table.x).all()
        assert table.y.dtype == np.int8
        assert set(table.y) == {0, 1}
        assert table.kinds.dtype.kind == table.groups.dtype.kind == "U"
        assert ((table.kinds == "normal") == (table.y == 0)).all()
        assert table.source is None


@each
def test_a_recording_is_one_run_of_rows_and_ends_in_one_condition(name):
    for table in SIMULATORS[name](devices=3, samples=100, seed=1):
        begins = np.flatnonzero(table.groups[1:] != table.groups[:-1]) + 1
        assert len(begins) + 1 == len(np.unique(table.groups)) == 13
        for kinds in np.split(table.kinds, begins):
            changes = np.flatnonzero(kinds[1:] != kinds[:-1])
            assert len(changes) == 0 or (len(changes) == 1 and kinds[0] == "normal")


@each
@pytest.mark.parametrize("samples", [1, 8, 9, 17])
def test_small_devices_have_all_their_windows(name, samples):
    for table in SIMULATORS[name](devices=3, samples=samples, seed=2):
        assert windows_of(table, WINDOWS[name]) == samples
        if samples >= 9:
            assert set(table.y) == {0, 1}


@each
def test_seed_decides_every_byte(name):
    first, again, other = (SIMULATORS[name](2, 20, seed) for seed in (3, 3, 4))
    for a, b, c in zip(first, again, other, strict=True):
        for field in ("x", "y", "kinds", "groups"):
            assert getattr(a, field).tobytes() == getattr(b, field).tobytes()
        assert a.x.tobytes() != c.x.tobytes()


@each
def test_a_device_does_not_depend_on_how_many_others_there_are(name):
    few, many = SIMULATORS[name](2, 20, 3), SIMULATORS[name](4, 20, 3)
    assert few[1].x.tobytes() == many[1].x.tobytes()
    assert few[0].x.tobytes() != few[1].x.tobytes()


@each
def test_devices_see_different_faults(name):
    """The total variation distance between two devices' fault mixes is large on average."""
    tables = SIMULATORS[name](10, 160, 0)
    kinds = KINDS[name][1:]
    mixes = np.array([[(t.kinds == kind).sum() / t.y.sum() for kind in kinds] for t in tables])
    distance = np.abs(mixes[:, None] - mixes[None]).sum(axis=2) / 2
    assert mixes.sum(axis=1) == pytest.approx(1)
    assert (mixes.max(axis=0) > 0).all()
    assert distance[np.triu_indices(10, 1)].mean() > 0.4


@each
@pytest.mark.parametrize(("devices", "samples", "what"), [(0, 10, "0 devices"), (2, 0, "0 samples")])
def test_too_little_is_an_error_in_one_sentence(name, devices, samples, what):
    with pytest.raises(DataError, match=what) as error:
        SIMULATORS[name](devices, samples, 0)
    assert str(error.value) == f"the {name} simulator was asked for {what}; ask for at least 1."
