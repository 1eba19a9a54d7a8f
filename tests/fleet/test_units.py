from pathlib import Path

import polars as pl
import pytest

from fedmetaalign.errors import DataError
from fedmetaalign.fleet.columns.units import in_units
from fedmetaalign.fleet.files import Raw


def table(*columns):
    return Raw(Path("new.csv"), pl.DataFrame({column: ["1"] for column in columns}))


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        (("Ia [A]", "Va"), ["Ia", "Va"]),
        (("Ia(A)", "Va [ p.u. ]"), ["Ia", "Va"]),
        (("Va", "note [mA]", "Ia (A) "), ["Va", "note [mA]", "Ia"]),
        (("Ia", "Va", "Ia [mA]"), ["Ia", "Va", "Ia [mA]"]),  # the name itself counts
        (("Ia [A]", "Ia (A)", "Va"), ["Ia", "Ia (A)", "Va"]),
    ],
)
def test_a_unit_in_the_header_is_understood(columns, expected):
    assert in_units(table(*columns), ("Ia", "Va"), ("A", "p.u.")).frame.columns == expected


def test_any_unit_will_do_where_none_is_known():
    assert in_units(table("flow [l/s]"), ("flow",), ("",)).frame.columns == ["flow"]


def test_a_feature_named_with_brackets_is_left_alone():
    assert in_units(table("Output (S)"), ("Output (S)",), ("",)).frame.columns == ["Output (S)"]


def test_another_unit_is_refused():
    with pytest.raises(
        DataError, match=r"new\.csv has 'Ia' in mA, but A is needed: convert column 'Ia \[mA\]'"
    ):
        in_units(table("Ia [mA]", "Va"), ("Ia", "Va"), ("A", ""))
