"""Only some rows of a file: one table serves several devices."""

import pytest

from fedmetaalign.errors import DataError
from fedmetaalign.fleet.division.cutting import cut
from fedmetaalign.fleet.tables import Columns, read

ROWS = "run,hp,a,fault\nB_0,0,1,1\nB_1,1,2,1\nN_0,0,3,0\nN_1,1,4,0\nI_3,3,5,1\n,3,6,1\n"


def columns(**only):
    return Columns("fault", ("a",), only=only, others=tuple(only))


@pytest.mark.parametrize(
    ("only", "left"),
    [
        ({}, [1, 2, 3, 4, 5, 6]),
        ({"hp": (0, "3")}, [1, 3, 5, 6]),
        ({"run": ("N_*", "B_1")}, [2, 3, 4]),
        ({"run": ("?_0",)}, [1, 3]),
        ({"run": ("*_1",), "hp": (1.0,)}, [2, 4]),
    ],
)
def test_rows_with_one_of_the_values_are_read(write, only, left):
    assert read(write(ROWS), columns(**only), "device").x[:, 0].tolist() == left


def test_a_table_is_cut_into_devices_by_what_is_left(write):
    found = cut(write(ROWS), columns(run=("B_*", "N_*")), ("hp",))
    assert [(each.name, each.read().x[:, 0].tolist()) for each in found] == [("0", [1, 3]), ("1", [2, 4])]


def test_a_row_keeps_its_line_in_messages(write):
    path = write(ROWS.replace("5,1", "oops,1"))
    with pytest.raises(DataError, match="line 6, column 'a' holds 'oops'"):
        read(path, columns(hp=(3,)), "device")


@pytest.mark.parametrize(
    ("only", "sentence"),
    [
        (
            {"hp": (2,)},
            "{}: the recipe takes only rows with 'hp' = '2', and there is none: it has '0', '1', '3'",
        ),
        ({"hp": (0,), "run": ("I*",)}, "{}: no row has all that the recipe's `only` asks for; ask for less"),
        ({"load": (0,)}, "{} has no column 'load'; it has 'run', 'hp', 'a', 'fault'"),
    ],
)
def test_what_is_not_there_is_said_in_one_sentence(write, only, sentence):
    path = write(ROWS)
    with pytest.raises(DataError) as error:
        read(path, columns(**only), "device")
    assert str(error.value) == sentence.format(path)
