"""A bundle carries how its device's table is written, and `predict` reads later ones in the same way."""

import csv
import io
import json

import numpy as np
import pytest

from fedmetaalign import recipe as recipes
from fedmetaalign.model.table_format import TableFormat
from fedmetaalign.run import run
from fedmetaalign.tinyml import bundle

RECIPE = """
name = "dialects"
[fleet]
table = "*.txt"
label = "fault"
features = ["load", "heat"]
scaling = "fleet"
missing_values = "median"
missing_texts = ["defekt"]
time = ["tag", "uhr"]
time_format = "%d.%m.%Y %H:%M"
zone = "Europe/Berlin"
[model]
hidden = [4]
[serial]
rounds = 1
[parallel]
rounds = 1
[personalize]
epochs = 1
[evaluation]
alone = false
"""


def table(seed: int, decimal: str, rows: int = 80) -> str:
    random = np.random.default_rng(seed)
    lines = ["tag;uhr;load;heat;fault"]
    for i in range(rows):
        load, heat = random.normal(40, 10), random.normal(1500, 100)
        cells = [f"{load:.2f}", f"{heat:.1f}", str(int(load > 45))]
        moment = f"0{1 + i // 24 % 9}.03.2025;{i % 24:02d}:00"
        lines.append(f"{moment};" + ";".join(cell.replace(".", decimal) for cell in cells))
    return "\n".join(lines) + "\n"


@pytest.fixture(scope="module")
def devices(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dialects")
    (folder / "comma.txt").write_text(table(0, ","))
    (folder / "point.txt").write_text(table(1, "."))
    (folder / "recipe.toml").write_text(RECIPE)
    run(recipes.load(str(folder / "recipe.toml")), folder / "run")
    return folder / "run" / "devices"


def test_it_says_what_is_stated_and_what_is_proven(devices):
    stated = {"time": ["tag", "uhr"], "time_format": "%d.%m.%Y %H:%M", "zone": "Europe/Berlin"}
    for name, sign in (("comma", ","), ("point", ".")):
        facts = json.loads((devices / name / "bundle.json").read_text())
        assert facts["table"] == {"csv": {"decimal": sign}, **stated}
        assert facts["preparation"]["missing"]["texts"] == ["defekt"]


def test_a_file_that_leaves_the_decimal_sign_open_is_read_as_the_device_s_own(devices, tmp_path, cli):
    """Of "1.499" nobody can tell whether it is about one and a half, or about fifteen hundred."""
    (tmp_path / "new.csv").write_text("heat;load\n1.499;40\n1.501;defekt\n")
    rows = {}
    for name in ("comma", "point"):
        ended = cli("predict", devices / name, tmp_path / "new.csv", "--json")
        assert ended.status == 0, ended.err
        rows[name] = json.loads(ended.out)["alarms"]
        assert ("thousands with '.'" in ended.err) == (name == "comma")
        assert ("lie outside the range" in ended.err) == (name == "point")
        assert rows[name][1] != "normal" and "1 'defekt'" in ended.err
    overridden = cli("predict", devices / "comma", tmp_path / "new.csv", "--csv", "decimal=.")
    assert "lie outside the range" in overridden.err and "thousands" not in overridden.err


def test_it_needs_neither_the_label_nor_the_time_and_tells_of_rows_out_of_order(devices, tmp_path, cli):
    header, *lines = table(0, ",").splitlines()
    (tmp_path / "back.csv").write_text("\n".join([header.replace("fault", "x"), *lines[::-1]]))
    (tmp_path / "bare.csv").write_text("\n".join(line.split(";", 2)[2] for line in [header, *lines]))
    back, bare = (cli("predict", devices / "comma", tmp_path / f"{name}.csv") for name in ("back", "bare"))
    assert "Rows are not in order of 'tag', 'uhr', and drift is followed as they come." in back.err
    assert "order" not in bare.err
    scores = [[row["score"] for row in csv.DictReader(io.StringIO(each.out))] for each in (back, bare)]
    assert scores[0][::-1] == scores[1]


def test_a_forged_format_ends_in_a_sentence(devices, tmp_path, cli):
    facts = json.loads((devices / "comma" / "bundle.json").read_text())
    facts["table"]["csv"] = {"separator": "ab"}
    facts["digest"] = bundle.digest(facts)
    (devices / "comma").rename(tmp_path / "forged")
    kept = (tmp_path / "forged" / "bundle.json").read_bytes()
    (tmp_path / "forged" / "bundle.json").write_text(json.dumps(facts))
    (tmp_path / "new.csv").write_text("heat;load\n1500;40\n")
    ended = cli("predict", tmp_path / "forged", tmp_path / "new.csv")
    (tmp_path / "forged" / "bundle.json").write_bytes(kept)
    (tmp_path / "forged").rename(devices / "comma")
    assert ended.status != 0 and "separator" in ended.err and "Traceback" not in ended.err


def test_a_format_that_is_none_is_refused():
    for facts in ({"csv": {"decimal": [1]}}, {"zone": 3}):
        with pytest.raises(ValueError, match=r"text"):
            TableFormat.read(facts)
    assert TableFormat.read({}) == TableFormat() and TableFormat().to_dict() == {}
