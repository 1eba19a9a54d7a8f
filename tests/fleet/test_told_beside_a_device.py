"""What a device over Flower tells whoever is beside it, and nobody else."""

import pytest

from fedmetaalign import recipe as recipes
from fedmetaalign.fleet.local_device import hello, read_table, told
from fedmetaalign.fleet.table_file import load_table, save_table

RECIPE = {
    "fleet": {
        "table": "*.csv",
        "label": "fault",
        "features": ["load", "heat"],
        "time": "time",
        "missing_values": "median",
        "conversions": {"F": {"to": "degC", "factor": 0.5555555555555556, "offset": -17.77777777777778}},
    }
}


@pytest.fixture
def recipe():
    return recipes.parse(RECIPE, "here")


def test_it_tells_dialect_units_gaps_order_and_what_is_missing(recipe, tmp_path):
    lines = ["time;load;heat [F];fault"]
    for i in range(60):
        hour = i + 5 * (i > 40)
        lines.append(f"2024-03-{1 + hour // 24:02d} {hour % 24:02d}:00;{i},5;{100 + i};{i % 2}")
    lines[3] = lines[3].replace("2,5", "")
    lines[10], lines[11] = lines[11], lines[10]
    (tmp_path / "mill.csv").write_text("\n".join(lines))
    table = read_table(recipe, "mill", tmp_path / "mill.csv")
    sentences = [*told(recipe, table)]
    assert sentences == [
        "'mill.csv': semicolons, decimal commas, UTF-8.",
        "'heat' is turned from F into degC on mill: a bundle there takes it in F.",
        "Rows were put in order of time. mill: 1 row is earlier than the row before; 1 gap, the longest 6 hours"
        " from 2024-03-02 16:00:00.",
        "Missing values, median: filled 1 cell of 'load' (1 empty) on mill.",
    ]
    save_table(table, tmp_path / "mill.safetensors")  # as a fleet on one machine hands it over
    assert [*told(recipe, load_table(tmp_path / "mill.safetensors", "mill"))] == sentences[1:]
    assert hello(recipe, table).features == ("load", "heat")
