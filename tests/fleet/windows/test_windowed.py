"""Samples become windows: which ones there are, their labels, and what is done about missing samples."""

from dataclasses import replace

import numpy as np
import pytest

from fedmetaalign.errors import DataError
from fedmetaalign.fleet import files
from fedmetaalign.fleet.missing.gaps import Gaps, filled, notices
from fedmetaalign.fleet.schema import Table, Times
from fedmetaalign.fleet.sources import columns_of
from fedmetaalign.fleet.tables import read
from fedmetaalign.fleet.windows import windowed
from fedmetaalign.fleet.windows.wording import rates_told
from fedmetaalign.model.missing import Missing
from fedmetaalign.recipe import Source, Splits, Window
from fedmetaalign.signals import Signal


def window(length=4, stride=2, **more):
    return Window(length=length, stride=stride, front=more.pop("front", ("raw",)), **more)


def samples(y, recordings=None, times=None, **more):
    y = np.asarray(y, np.int8)
    x = np.arange(len(y), dtype=float)[:, None]
    names = None if recordings is None else np.array([*recordings])
    clock = None if times is None else Times(np.asarray(times, np.int64), dated=False)
    return Table("pump", ("flow",), x, y, ("l/s",), recordings=names, times=clock, **more)


def starts(table):
    """The first sample of each window: a sample's value is its number."""
    return table.x[:, 0].astype(int).tolist()


def holes(table, *rows):
    codes = np.zeros(table.x.shape, np.int16)
    codes[list(rows)] = 1
    return Gaps(codes, ("", "empty"))


# Which windows there are


def test_a_window_is_so_many_samples_and_begins_every_stride():
    table = windowed(samples([0] * 9), window())
    assert table.features == ("flow.0", "flow.1", "flow.2", "flow.3")
    assert table.units == ("l/s",) * 4
    assert table.x.tolist() == [[0, 1, 2, 3], [2, 3, 4, 5], [4, 5, 6, 7]]
    assert table.windows.spans.tolist() == [[0, 4], [2, 6], [4, 8]]


def test_no_window_crosses_recordings_wherever_their_rows_stand():
    table = windowed(samples([0] * 11, "aaaaabbbbbb"), window())
    assert starts(table) == [0, 5, 7]
    assert table.windows.recordings.tolist() == ["a", "b", "b"]
    mixed = windowed(samples([0] * 8, "abababab"), window())
    assert mixed.x.tolist() == [[0, 2, 4, 6], [1, 3, 5, 7]]


def test_samples_are_put_in_order_of_time_within_a_recording():
    table = windowed(samples([0] * 8, "aaaabbbb", [3, 2, 1, 0, 0, 1, 2, 3]), window())
    assert table.x.tolist() == [[3, 2, 1, 0], [4, 5, 6, 7]]
    assert table.times.values.tolist() == [3, 3]


def test_a_gap_ends_a_stretch_and_is_told():
    times = [0, 10, 20, 30, 50, 60, 70, 80, 90, 100]
    table = windowed(samples([0] * 10, times=np.array(times) * 1000), window())
    assert starts(table) == [0, 4, 6]
    assert table.windows.notes == ("pump: 1 gap, the longest 0.02 before row 5; no window crosses it.",)
    assert table.signal.rate == 100


def test_a_recording_too_short_for_a_window_is_told():
    table = windowed(samples([0] * 10, "aaabbbbccc"), window())
    assert starts(table) == [3]
    assert table.windows.notes == ("pump: 2 recordings that have no 4 samples in a row left out (a, c).",)


def test_what_the_front_end_makes_of_a_window_are_its_features():
    random = np.random.default_rng(0)
    table = Table("p", ("a", "b"), random.standard_normal((64, 2)), np.zeros(64, np.int8), ("g", "g"))
    found = windowed(table, window(32, 32, front=("statistics",)))
    assert len(found) == 2
    rms = found.x[:, found.features.index("b.rms")]
    assert rms == pytest.approx(np.sqrt((table.x[:, 1].reshape(2, 32) ** 2).mean(axis=1)), rel=1e-6)
    assert set(found.units) == {""}


# Labels


@pytest.mark.parametrize(
    ("rule", "classes"),
    [("any", [1, 2, 2, 1]), ("majority", [0, 2, 2, 1]), ("last", [0, 2, 2, 1])],
)
def test_the_label_of_a_window_by_each_rule(rule, classes):
    # 0 is normal; of 2 and 1, equally often in the last window, the fault that comes first counts.
    y = [0, 1, 0, 0, 2, 2, 0, 2, 2, 0, 2, 2, 1, 2, 2, 1]
    table = samples(y, classes=("ok", "leak", "worn"), normal=("ok",))
    assert windowed(table, window(4, 4, label=rule)).y.tolist() == classes


def test_a_label_that_changes_inside_a_window_is_refused_under_all():
    with pytest.raises(DataError) as caught:
        windowed(samples([0] * 7 + [1] * 3, "aaaaabbbbb"), window(label="all"))
    assert str(caught.value) == (
        "Device pump, recording 'b', row 8: the label changes here from 'normal' to 'fault', inside a window,"
        ' and fleet.window.label = "all" takes no such window; choose "any", "last" or "majority".'
    )


def test_the_kind_of_a_window_is_that_of_its_last_sample_of_its_class():
    kinds = np.array(["ok", "leak", "worn", "ok"])
    assert windowed(samples([0, 1, 1, 0], kinds=kinds), window()).kinds.tolist() == ["worn"]


def test_a_window_with_a_sample_without_a_label_has_none():
    empty = np.array([0, 0, 0, 0, 1, 0, 0, 0, 0, 0], bool)
    table = windowed(samples([0] * 10), window(), empty=empty)
    assert starts(table) == [0, 6]
    assert table.unlabelled[:, 0].tolist() == [2, 4]
    last = windowed(samples([0] * 10), window(label="last"), empty=empty)
    assert starts(last) == [0, 2, 4, 6]


# Missing samples


def test_dropping_leaves_out_every_window_with_a_missing_sample():
    table = samples([0] * 10)
    found = windowed(table, window(), holes(table, 4), Missing("drop"))
    assert starts(found) == [0, 6]
    assert [*notices([found])] == [
        "Missing values, drop: left out 2 of 4 windows of pump, for 1 cell of 'flow' (1 empty)."
    ]


def test_the_median_of_the_samples_or_the_last_one_stands_for_a_missing_one():
    table = samples([0] * 9, "aaaaabbbb")
    gaps = holes(table, 3, 5)
    assert windowed(table, window(stride=4), gaps, Missing("median")).x.tolist() == [[0, 1, 2, 4], [4, 6, 7, 8]]
    found = windowed(table, window(stride=4), gaps, Missing("last"))
    assert found.x.tolist() == [[0, 1, 2, 2], [4, 6, 7, 8]]
    assert [*notices([filled(found, np.array([0, 1]))])] == [
        "Missing values, last: filled 2 cells of 'flow' (2 empty) on pump."
    ]


def test_a_channel_without_a_value_is_none_of_the_devices():
    table = Table("p", ("a", "b"), np.ones((8, 2)), np.zeros(8, np.int8), ("", ""))
    codes = np.zeros((8, 2), np.int16)
    codes[:, 1] = 1
    found = windowed(table, window(), Gaps(codes, ("", "empty")), Missing("median"))
    assert found.signal.channels == ("a",)
    assert "it never gave 'b', and lacks that" in next(notices([found]))


def test_ranges_of_sensors_are_those_of_samples():
    table = samples([0] * 4)
    found = windowed(table, window(), None, Missing("median", ranges={"flow": (0.0, 9.0)}))
    assert found.signal.ranges == {"flow": (0.0, 9.0)}
    assert not found.missing.ranges


# What cannot be used


def test_a_window_longer_than_every_recording_is_refused():
    with pytest.raises(DataError) as caught:
        windowed(samples([0] * 9, "aaaabbbbb"), window(6))
    assert str(caught.value) == (
        "Device pump has no window of 6 samples: its recording 'b' has 5 rows, and no other has more; lower"
        " fleet.window.length."
    )


def test_irregular_sampling_is_refused_by_its_worst_row():
    times = np.array([0, 100, 200, 315, 400, 500, 600, 700, 812, 900]) * 1000
    with pytest.raises(DataError) as caught:
        windowed(samples([0] * 10, times=times), window())
    assert str(caught.value) == (
        "Device pump, row 4: it comes 0.115 after the one before, where samples come every 0.1, and"
        " fleet.window.tolerance = 0.1 of that is less (as for 3 more rows): resample, raise the tolerance, or"
        " leave `time` out."
    )
    assert len(windowed(samples([0] * 10, times=times), window(tolerance=0.2))) == 4


def test_recordings_of_unlike_rates_are_refused():
    times = [*range(0, 8000, 1000), *range(0, 16000, 2000)]
    with pytest.raises(
        DataError, match=r"Device pump, recording 'b', row 9: samples come every 0\.002 from here"
    ):
        windowed(samples([0] * 16, "a" * 8 + "b" * 8, times), window())


def test_times_that_contradict_the_rate_are_refused():
    with pytest.raises(DataError, match=r"and every 0\.01 by fleet\.window\.rate = 100: recordings"):
        windowed(samples([0] * 8, times=range(0, 8000, 1000)), window(rate=100.0))


def test_a_channel_of_another_rate_is_refused():
    table = Table("p", ("fast", "slow"), np.ones((40, 2)), np.zeros(40, np.int8), ("", ""))
    codes = np.ones((40, 2), np.int16)
    codes[:, 0] = 0
    codes[::4, 1] = 0
    with pytest.raises(DataError) as caught:
        windowed(table, window(), Gaps(codes, ("", "empty")), Missing("median"))
    assert str(caught.value) == (
        "Device p: 'slow' has a value in one row of 4 alone, and others have one in each: the channels of a"
        " window have one sampling rate. Leave it out of the channels, or resample it."
    )


def test_a_unit_that_cuts_through_a_recording_is_refused():
    table = samples([0] * 8, "aaaabbbb", groups=np.array(["1", "1", "2", "2", "2", "2", "2", "2"]))
    with pytest.raises(
        DataError, match=r"recording 'a' is of unit 1 and of unit 2, and a unit holds recordings"
    ):
        windowed(table, window())


def test_a_simulators_channel_that_is_none_is_refused():
    with pytest.raises(
        DataError, match=r"Device pump has no channel 'heat', which fleet\.window names: it has flow"
    ):
        windowed(samples([0] * 8), window(channels=("heat",)))


# Files

LONG = "run,t,state,flow,rpm\n" + "".join(
    f"{run},{t / 100:.2f},{'leak' if run == 'b' else 'ok'},{t % 5},{600 + t}\n"
    for run in "ab"
    for t in range(16)
)


def of_file(write, text, window, **more):
    source = Source(table="t.csv", label="state", normal=("ok",), window=window, **more)
    return read(write(text), columns_of(source, Splits()), "pump")


def test_a_file_of_recordings_is_read_as_windows(write):
    cut = Window(length=8, channels=("flow",), by="run", front=("bands",), bands=2, speed="rpm")
    table = of_file(write, LONG, cut, time="t")
    assert table.features[0].startswith("flow.band")
    assert table.signal.columns == ("flow", "rpm")
    assert table.signal.rate == 100
    assert table.windows.recordings.tolist() == ["a", "b", "a", "b"]  # in order of their time
    assert [table.classes[y] for y in table.y] == ["ok", "leak", "ok", "leak"]


@pytest.mark.parametrize(
    "wrong", [{"channels": ("heat",)}, {"by": "lot"}, {"speed": "heat", "front": ("bands",), "bands": 2}]
)
def test_a_column_that_is_not_there_is_named(write, wrong):
    cut = Window(**({"length": 8, "channels": ("flow",), "front": ("raw",)} | wrong))
    with pytest.raises(DataError, match=r"has no column '(heat|lot)'.* it has"):
        of_file(write, LONG, cut)


WIDE = "state,p_10,p_2,p_1\nok,3,2,1\nleak,6,,4\n"


def test_a_row_of_points_is_a_window_in_natural_order(write):
    table = of_file(write, WIDE, Window(points="p_*", front=("raw",)))
    assert table.features == ("p.0", "p.1", "p.2")
    assert table.x.tolist() == [[1, 2, 3], [4, 3, 6]]  # the median of 1, 2, 3, 4, 6
    assert (table.signal.length, table.signal.stride) == (3, 3)
    assert table.windows is None
    last = of_file(
        write, WIDE, Window(points="p_*", front=("raw",), channels=("level",)), missing_values="last"
    )
    assert last.x[1].tolist() == [4, 4, 6]
    assert last.features[0] == "level.0"
    dropped = of_file(write, WIDE, Window(points="p_*", front=("raw",)), missing_values="drop")
    assert len(dropped) == 1


def test_points_of_unlike_numbers_are_refused(write):
    with pytest.raises(
        DataError, match=r"the columns of points 3 like 'p_\*', 0 like 'q\*': a window needs two"
    ):
        of_file(write, WIDE, Window(points=("p_*", "q*"), front=("raw",)))


def test_the_columns_of_a_table_are_loaded_whole_or_not_at_all(write):
    path = write(LONG)
    source = Source(table="t.csv", label="state", window=window(channels=("flow",), by="run"))
    columns = columns_of(source, Splits())
    assert set(files.load(path, columns.needed, columns.texts).frame.columns) == {"state", "flow", "run"}


def test_a_table_without_a_label_is_all_unlabelled_windows(write):
    text = LONG.replace(",leak,", ",,").replace(",ok,", ",,")
    table = of_file(write, text, Window(length=8, channels=("flow",), by="run", front=("raw",)))
    assert (len(table), table.known, table.unlabelled.shape) == (0, "nothing", (4, 8))


def test_devices_that_sample_at_unlike_rates_are_told():
    signals = {
        name: Signal(64, 64, ("x",), ("bands",), rate)
        for name, rate in [("a", 100.0), ("b", 100.2), ("c", 50.0)]
    }
    (told,) = rates_told(signals)
    assert told.startswith("Samples come at unlike rates (50 a second on c; 100 a second on a, b): what one")
    assert not [*rates_told({"a": signals["a"], "b": signals["b"]})]
    assert not [*rates_told({name: replace(each, front=("statistics",)) for name, each in signals.items()})]


def test_times_that_are_all_alike_tell_no_rate():
    with pytest.raises(
        DataError, match="most of its rows have the time of the row before, which tells no sampling"
    ):
        windowed(samples([0] * 8, times=[5] * 8), window())
    assert windowed(samples([0] * 4, "aabb", [5] * 4), window(2)).signal.rate == 0
