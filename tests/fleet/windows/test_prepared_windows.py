"""Windows as a device keeps them: what somebody has standardised, and a new table's windows."""

from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest
from recordings import machine

from fedmetaalign import recipe
from fedmetaalign.errors import DataError
from fedmetaalign.fleet.build import build
from fedmetaalign.fleet.sources import raw_tables
from fedmetaalign.fleet.times.stamps import Clock
from fedmetaalign.fleet.windows.applied import Applied, Ring
from fedmetaalign.model.missing import Missing
from fedmetaalign.signals import Signal
from fedmetaalign.tinyml import features

RAW = Signal(4, 2, ("flow",), ("raw",))


def rows_of_points(random, rows=60, points=32):
    """Rows that are standardised each, as archives of time series have them."""
    x = random.standard_normal((rows, points)) + np.sin(np.arange(points) * random.random((rows, 1)))
    x = (x - x.mean(axis=1, keepdims=True)) / x.std(axis=1, keepdims=True)
    return pl.DataFrame({"y": np.arange(rows) % 2} | {f"t{i}": x[:, i].round(6) for i in range(points)})


@pytest.mark.parametrize("encoding", ["linear", "quantiles"])
def test_features_that_are_constant_but_for_rounding_are_no_reason_to_refuse_a_device(tmp_path, encoding):
    rows_of_points(np.random.default_rng(0)).write_csv(tmp_path / "runs.csv")
    found = recipe.parse(
        {
            "name": "runs",
            "fleet": {
                "table": str(tmp_path / "runs.csv"),
                "label": "y",
                "encoding": encoding,
                "window": {"points": "t*", "front": ["statistics"]},
            },
        },
        "here",
    )
    (device,) = build(found).devices
    features.check(device.preparation, device.train.x)  # raises where float32 is too coarse
    rms = device.preparation.columns.index(device.preparation.features.index("t.rms"))
    assert np.abs(device.train.x[:, rms]).max() < 1e-5


def windows(*given, **more):
    """All windows that are cut of a table, with the names of their recordings, and what else was found."""
    applied = Applied(*given, **more)
    parts = [*applied]
    x, rows = (np.concatenate([getattr(part, name) for part in parts]) for name in ("x", "rows"))
    recordings = [part.recording for part in parts for _ in part.rows]
    return SimpleNamespace(x=x, rows=rows, recordings=recordings, plan=applied.plan, lacking=applied.lacking)


def test_windows_of_a_new_table_are_cut_as_the_device_cuts_them(tmp_path):
    pl.DataFrame({"run": list("aaaaabbbb"), "flow [l]": range(9)}).write_csv(tmp_path / "new.csv")
    found = windows(RAW, Missing("median"), tmp_path / "new.csv", by=("run",))
    assert found.x.tolist() == [[0, 1, 2, 3], [5, 6, 7, 8]]
    assert (found.rows.tolist(), found.recordings) == ([4, 9], ["a", "b"])
    whole = windows(RAW, Missing("median"), tmp_path / "new.csv")
    assert whole.rows.tolist() == [4, 6, 8]
    assert whole.recordings == [None] * 3


@pytest.mark.parametrize("stride", [1, 2, 4, 7])
@pytest.mark.parametrize("size", [1, 3, 50])
def test_samples_that_come_in_pieces_make_the_same_windows(stride, size):
    ring = Ring(Signal(4, stride, ("flow",), ("raw",)))
    x = np.arange(30.0)[:, None]
    found = [ring.push(x[i : i + size]) for i in range(0, 30, size)]
    starts = range(0, 27, stride)
    assert np.concatenate([values for values, _ in found]).tolist() == [
        [i, i + 1, i + 2, i + 3] for i in starts
    ]
    assert np.concatenate([rows for _, rows in found]).tolist() == [i + 4 for i in starts]


def test_windows_of_a_new_table_cross_no_gap_and_keep_what_is_broken(tmp_path):
    times = [0, 1, 2, 3, 10, 11, 12, 13]
    pl.DataFrame({"t": times, "flow": [0.0, None, 2, 3, 4, 5, 6, 99]}).write_csv(tmp_path / "new.csv")
    signal = Signal(4, 2, ("flow",), ("raw",), ranges={"flow": (0.0, 9.0)})
    found = windows(signal, Missing("median"), tmp_path / "new.csv", clock=Clock(("t",)))
    assert found.rows.tolist() == [4, 8]
    assert np.isnan(found.x).tolist() == [[False, True, False, False], [False, False, False, True]]
    assert found.plan.notes == ("new.csv: 1 gap, the longest 7 before row 5; no window crosses it.",)
    assert found.lacking == {"flow": {"empty": 1, "outside 0 to 9": 1}}


def test_rows_of_points_are_windows_of_a_new_table_too(tmp_path):
    table = pl.DataFrame(
        {f"{stem}{i}": [float(i), -float(i)] for stem in ("flow", "p_") for i in (10, 2, 3, 1)}
    )
    table.select(pl.col("^flow.*$")).write_csv(tmp_path / "new.csv")
    assert windows(RAW, Missing(), tmp_path / "new.csv").x.tolist() == [[1, 2, 3, 10], [-1, -2, -3, -10]]
    table.select(pl.col("^p_.*$")).write_csv(tmp_path / "p.csv")
    assert windows(RAW, Missing(), tmp_path / "p.csv", points=("p_*",)).x[0].tolist() == [1, 2, 3, 10]
    with pytest.raises(DataError) as caught:
        windows(RAW, Missing(), tmp_path / "p.csv")
    assert str(caught.value) == (
        f"{tmp_path / 'p.csv'} has no column 'flow', whose samples are rows, and 0 columns like flow0, flow1,"
        " ..., where a window has 4 points."
    )


def test_a_recording_may_be_a_device(tmp_path):
    machine({"normal": 2}, 64, 0).with_columns(
        state=pl.when(pl.col("t") < 0.032).then(pl.lit("normal")).otherwise(pl.lit("rattle"))
    ).write_csv(tmp_path / "all.csv")
    found = recipe.parse(
        {
            "name": "line",
            "fleet": {
                "table": str(tmp_path / "all.csv"),
                "label": "state",
                "normal": ["normal"],
                "device": "run",
                "window": {"length": 4, "channels": ["accel"], "front": ["raw"], "split_recordings": True},
            },
        },
        "here",
    )
    fleet = build(found)
    assert [device.name for device in fleet.devices] == ["normal-0", "normal-1"]
    assert all(len(fleet.test[device.name]) == 4 for device in fleet.devices)  # two of each class


def test_samples_are_turned_into_one_unit_before_windows_are_cut(tmp_path):
    for name, unit, factor in (("a", "g", 1.0), ("b", "m/s2", 9.81)):
        table = machine({"normal": 2, "rattle": 2}, 64, 0).with_columns(pl.col("accel") * factor)
        table.rename({"accel": f"accel [{unit}]"}).write_csv(tmp_path / f"{name}.csv")
    found = recipe.parse(
        {
            "name": "two",
            "fleet": {
                "table": str(tmp_path / "*.csv"),
                "label": "state",
                "normal": ["normal"],
                "ranges": {"accel": [-50.0, 50.0]},
                "conversions": {"m/s2": {"to": "g", "factor": 1 / 9.81}},
                "window": {"length": 16, "channels": ["accel"], "by": "run", "front": ["statistics"]},
            },
        },
        "here",
    )
    ours, theirs = raw_tables(found)
    assert ours.x == pytest.approx(theirs.x, rel=1e-4, abs=1e-5)
    assert theirs.signal.ranges["accel"] == pytest.approx((-50 / 9.81, 50 / 9.81))
    assert theirs.windows.notes == (
        "b: samples are turned before windows are cut, and its bundle takes them so: 'accel' from m/s2 into g.",
    )
