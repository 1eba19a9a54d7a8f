"""Time stamps become microseconds, rows come in their order, and what is odd about them is told."""

import datetime as dt
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedmetaalign.errors import DataError
from fedmetaalign.fleet.division.cutting import cut
from fedmetaalign.fleet.files import Raw
from fedmetaalign.fleet.tables import Columns, read
from fedmetaalign.fleet.times.clock import describe, stamp, times_of
from fedmetaalign.fleet.times.stamps import SECOND, Clock
from fedmetaalign.model.missing import Missing


def read_times(*columns, **how):
    frame = pl.DataFrame({f"c{i}": column for i, column in enumerate(columns)})
    return times_of(Raw(Path("pump.csv"), frame), Clock(tuple(frame.columns), **how))


def stamps(*columns, **how):
    found = read_times(*columns, **how)
    return [stamp(int(value), found.dated) for value in found.values]


NOON = "2024-03-04 12:00:00"


@pytest.mark.parametrize(
    ("cells", "month"),
    [
        (["3. M\u00e4rz 2024", "4 mars 2024", "5-Mar-24", "6 mrt. 2024", "7 mar 2024"], 3),
        (["3 mai 2024", "4 de mayo de 2024", "5. Mai 2024", "6 maggio 2024", "7 mei 2024"], 5),
        (["3 juin 2024", "4 de junio de 2024", "5. Juni 2024", "6 giugno 2024"], 6),
        (["3 juil. 2024", "4 julio 2024", "5. Juli 2024", "6 luglio 2024"], 7),
        (["3 ao\u00fbt 2024", "4 de agosto de 2024", "5 Aug. 2024"], 8),
        (["3 d\u00e9c. 2024", "4 de diciembre de 2024", "5. Dez. 2024", "6 dez 2024"], 12),
    ],
)
def test_months_are_read_by_their_names_in_several_languages(cells, month):
    assert stamps(cells) == [f"2024-{month:02d}-{3 + i:02d} 00:00:00" for i in range(len(cells))]


@pytest.mark.parametrize(
    ("cells", "how"),
    [
        (["2024-03-04T12:00:00"], {}),
        (["2024-03-04 12:00"], {}),
        (["2024-03-04T12:00:00.000Z"], {}),
        (["2024-03-04T14:30:00+0230"], {}),
        (["20240304T120000"], {}),
        (["20240304120000"], {}),
        (["04.03.24 12:00:00,0"], {}),
        (["04/03/2024 12:00 PM", "25/03/2024 12:00 PM"], {}),
        (["03/04/2024 12:00:00", "03/25/2024 12:00:00"], {}),
        (["4-Mar-2024 12:00:00"], {}),
        (["March 4, 2024 12:00:00"], {}),
        (["04/03/2024 12h00"], {"form": "%d/%m/%Y %Hh%M"}),
        (["1709553600"], {}),
        (["1709553600000"], {}),
        (["1709553600000000"], {}),
        (["1709553600000000000"], {}),
        ([1709553600.0], {}),
        (["1709553600000"], {"form": "ms"}),
        (["2024-03-04 13:00:00"], {"zone": "Europe/Berlin"}),
        (["2024-03-04T12:00:00Z"], {"zone": "Europe/Berlin"}),
        ([dt.datetime(2024, 3, 4, 12)], {}),
        ([dt.datetime(2024, 3, 4, 13)], {"zone": "Europe/Berlin"}),
        ([dt.datetime(2024, 3, 4, 12, tzinfo=dt.UTC)], {"zone": "Europe/Berlin"}),
    ],
)
def test_a_time_is_the_same_however_it_is_written(cells, how):
    assert stamps(cells, **how)[0] == NOON


def test_date_and_time_of_day_may_stand_apart():
    assert stamps(["04.03.2024"], ["12:00"]) == [NOON]
    assert stamps([dt.date(2024, 3, 4)], [dt.time(12)]) == [NOON]
    assert stamps([dt.datetime(2024, 3, 4)], ["12:00:00"]) == [NOON]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.datetimes(dt.datetime(1970, 1, 2), dt.datetime(2068, 1, 1)), min_size=1, max_size=5))
def test_what_python_writes_is_read_back(times):
    whole = [int((time - dt.datetime(1970, 1, 1)) / dt.timedelta(microseconds=1)) for time in times]
    assert read_times([time.isoformat() for time in times]).values.tolist() == whole
    assert read_times([f"{time:%d.%m.%Y %H:%M:%S,%f}" for time in times]).values.tolist() == whole
    assert read_times(times).values.tolist() == whole


def test_the_first_hour_that_comes_twice_ends_where_the_clock_goes_back():
    night = ["2024-10-27 01:50", "2024-10-27 02:10", "2024-10-27 02:50", "2024-10-27 02:20", "2024-10-27 03:00"]
    found = read_times(night, zone="Europe/Berlin")
    # In UTC: 23:50 of the day before, 00:10 and 00:50 in summer time, 01:20 and 02:00 in winter time.
    assert np.diff(found.values).tolist() == [minutes * 60 * SECOND for minutes in (20, 40, 30, 40)]
    assert "3 rows are of an hour that Europe/Berlin has twice" in found.notes[0]
    backwards = read_times(night[::-1], zone="Europe/Berlin")
    assert backwards.values.tolist() == found.values.tolist()[::-1]


@pytest.mark.parametrize(
    ("cells", "how", "said"),
    [
        (["03/04/2024", "04/05/2024"], {}, 'say it with time_format = "%d/%m/%Y %H:%M:%S"'),
        (["13/04/2024", "04/15/2024"], {}, "write them alike"),
        (["2024-02-30"], {}, "holds '2024-02-30', which is no time stamp"),
        (["2024-03-04", "noon"], {}, "pump.csv, row 2, column 'c0' holds 'noon'"),
        (["2024-03-04", None], {}, "is empty"),
        (["2024-03-04T12:00Z", "2024-03-04T12:00"], {}, "a zone, which others have"),
        (["2024-03-31 02:30"], {"zone": "Europe/Berlin"}, "does not exist in Europe/Berlin"),
        (["2024-03-04"], {"zone": "Europe/Berlim"}, 'zone = "Europe/Berlim" is not known'),
        (["2024-03-04"], {"form": "%d.%m.%Y"}, "as '%d.%m.%Y' has it"),
        (["1709553600", "soon"], {"form": "s"}, "which is no number of s"),
    ],
)
def test_what_is_wrong_is_said_with_its_place_and_what_to_do(cells, how, said):
    with pytest.raises(DataError) as error:
        read_times(cells, **how)
    assert said in str(error.value)


def test_numbers_that_count_from_nowhere_are_no_dates():
    assert read_times(["0,5", "1"]).values.tolist() == [SECOND // 2, SECOND]
    found = read_times(["0", "0.5", "12"])
    assert not found.dated
    assert found.values.tolist() == [0, SECOND // 2, 12 * SECOND]


def test_disorder_duplicates_and_gaps_are_counted():
    regular = [0, 1, 2, 3, 4, 5, 9, 10, 11, 11, 12]
    assert describe(np.array(regular) * SECOND) == (
        "1 row has the time of another",
        "1 gap, the longest 4 s from 1970-01-01 00:00:05",
    )
    assert describe(np.array([0, 2, 1, 3]) * SECOND) == ("1 row is earlier than the row before",)
    assert describe(np.arange(9)[::-1]) == ("the latest rows come first",)
    irregular = np.cumsum(np.random.default_rng(0).exponential(60 * SECOND, 300)).astype(np.int64)
    assert describe(irregular) == ()


def test_rows_come_in_order_of_time_and_those_of_one_time_as_they_were(tmp_path):
    path = tmp_path / "pump.csv"
    path.write_text(
        "at,x,fault\n2024-01-03,1,0\n2024-01-01,2,1\n2024-01-03,3,1\n2024-01-02,4,\n2024-01-02,5,0\n"
    )
    columns = Columns(label="fault", features=("x",), clock=Clock(("at",)))
    table = read(path, columns, "pump")
    assert table.x.ravel().tolist() == [2, 5, 1, 3]
    assert table.y.tolist() == [1, 0, 0, 1]
    assert table.unlabelled.tolist() == [[4]]
    assert table.times.notes == ("2 rows are earlier than the row before", "2 rows have the time of another")


def test_each_device_of_a_table_is_put_in_order_by_itself(tmp_path):
    path = tmp_path / "fleet.csv"
    path.write_text("at,who,x,fault\n2,a,1,0\n9,b,2,1\n1,a,3,1\n8,b,4,0\n")
    columns = Columns(label="fault", features=("x",), clock=Clock(("at",)))
    a, b = (device.read() for device in cut(path, columns, ("who",)))
    assert (a.x.ravel().tolist(), b.x.ravel().tolist()) == ([3, 1], [4, 2])
    assert a.times.values.tolist() == [SECOND, 2 * SECOND]


def test_the_last_value_is_the_one_before_in_time_not_in_the_file(tmp_path):
    path = tmp_path / "pump.csv"
    path.write_text("at,x,fault\n3,,0\n1,5,1\n2,7,0\n0,9,1\n")
    columns = Columns(label="fault", features=("x",), clock=Clock(("at",)), missing=Missing("last"))
    assert read(path, columns, "pump").x.ravel().tolist() == [9, 5, 7, 7]
