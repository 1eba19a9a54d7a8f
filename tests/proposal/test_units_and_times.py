"""Sister tables in several units, times in two columns, and kinds of fault that have few recordings each."""

import tomllib

import numpy as np
import pytest

from fedmetaalign import recipe as recipes
from fedmetaalign.fleet.build import build
from fedmetaalign.fleet.sources import raw_tables
from fedmetaalign.proposal.propose import propose
from fedmetaalign.proposal.reading import read
from fedmetaalign.proposal.text import recipe_text
from fedmetaalign.proposal.trial import runnable


def proposed(paths, folder):
    """The recipe's keys and its text, as `init` writes it."""
    families, wrong = read(paths)
    proposal = propose(families, "x", wrong=wrong)
    proposal, trial = runnable(proposal, lambda each: recipe_text(each, folder, "init", "run"), folder)
    assert not trial.refusal and not trial.left_out, trial
    text = recipe_text(proposal, folder, "init", "run")
    (folder / "recipe.toml").write_text(text, encoding="utf-8")
    return tomllib.loads(text), " ".join(text.replace("\n# ", " ").split())


def write(folder, name, header, seed, change=lambda t, p: (t, p)):
    random = np.random.default_rng(seed)
    t, p = random.normal([60, 6], [8, 1], (120, 2)).T
    fault = t + 4 * p > 88
    t, p = change(t, p)
    rows = [f"{a:.6f},{b:.6f},{'leak' if c else 'ok'}" for a, b, c in zip(t, p, fault, strict=True)]
    (folder / f"{name}.csv").write_text("\n".join([f"{header},state", *rows]), encoding="utf-8")


def test_one_sensor_in_several_units_is_one_feature_with_a_conversion(tmp_path):
    kept = {
        name: write(tmp_path, name, "heat [°C],press [bar]", seed) for seed, name in enumerate(("ann", "bob"))
    }
    kept["eve"] = write(
        tmp_path, "eve", "heat [degF],press [psi]", 2, lambda t, p: (t * 1.8 + 32, p / 0.0689475729)
    )
    kept["kim"] = write(tmp_path, "kim", "heat,press [kPa]", 3, lambda t, p: (t, p * 100))
    keys, text = proposed(sorted(tmp_path.glob("*.csv")), tmp_path)
    assert keys["fleet"]["features"] == ["heat", "press"] and "units" not in keys["fleet"]
    found = keys["fleet"]["conversions"]
    assert found["degF"] == {"to": "°C", "factor": pytest.approx(5 / 9), "offset": pytest.approx(-160 / 9)}
    assert found["psi"] == {"to": "bar", "factor": pytest.approx(0.0689475729)}
    assert found["kPa"] == {"to": "bar", "factor": pytest.approx(0.01)} and found.keys() == {
        "degF",
        "psi",
        "kPa",
    }
    assert "CHECK 'kim.csv': no unit is stated there, and it is taken for °C." in text
    assert "'press' is in bar in 'ann.csv', 'bob.csv'; in psi in 'eve.csv'; in kPa in 'kim.csv'" in text
    recipe = recipes.load(str(tmp_path / "recipe.toml"))
    for table in raw_tables(recipe):
        assert 50 < table.x[:, 0].mean() < 70 and 5 < table.x[:, 1].mean() < 7, table.name
    assert {len(each.preparation.features) for each in build(recipe).devices} == {2}


@pytest.mark.parametrize(
    ("own", "other"),
    [("heat_degC,press (bar)", "heat_degF,press_psi"), ("Heat °C,press_bar", "Heat_f,press psi")],
)
def test_units_that_are_words_of_the_names_are_turned_as_well(tmp_path, own, other):
    write(tmp_path, "ann", own, 0)
    write(tmp_path, "bob", own, 1)
    write(tmp_path, "eve", other, 2, lambda t, p: (t * 1.8 + 32, p / 0.0689475729))
    keys, text = proposed(sorted(tmp_path.glob("*.csv")), tmp_path)
    heat = own[:4]
    assert keys["fleet"]["features"] == [heat, "press"]
    assert {*keys["fleet"]["conversions"]} == {"°F", "psi"}
    assert f"'{heat}' is in °C in 'ann.csv', 'bob.csv'; in °F in 'eve.csv': turned into °C" in text
    fleet = build(recipes.load(str(tmp_path / "recipe.toml")))
    for table in raw_tables(recipes.load(str(tmp_path / "recipe.toml"))):
        assert 50 < table.x[:, 0].mean() < 70 and 5 < table.x[:, 1].mean() < 7, table.name
    assert [device.preparation.features for device in fleet.devices] == [(heat, "press")] * 3
    assert {name: own.unit for name, own in fleet.devices[2].converted.items()} == {heat: "°F", "press": "psi"}


def test_a_recipe_that_names_both_is_told_what_would_make_them_one(tmp_path):
    write(tmp_path, "ann", "heat_degC,press", 0)
    write(tmp_path, "bob", "heat_degF,press", 1, lambda t, p: (t * 1.8 + 32, p))
    (tmp_path / "r.toml").write_text(
        '[fleet]\ntable = "*.csv"\nlabel = "state"\nnormal = ["ok"]\nscaling = "fleet"\n'
        'features = ["heat_degC", "heat_degF", "press"]\n'
    )
    fleet = build(recipes.load(str(tmp_path / "r.toml")))
    assert (
        "'heat_degC' and 'heat_degF' look like one sensor in several units, and are features apart: to make"
        ' them one, call it \'heat\' in features, and say in fleet.conversions: "°F" = { to = "°C", factor ='
        " 0.5555555556, offset = -17.77777778 }."
    ) in fleet.notices


def test_units_that_nobody_can_turn_are_left_apart_with_a_word(tmp_path):
    write(tmp_path, "ann", "heat [°C],flow [gpm]", 0)
    write(tmp_path, "bob", "heat [°C],flow [l/min]", 1)
    keys, text = proposed(sorted(tmp_path.glob("*.csv")), tmp_path)
    assert "conversions" not in keys["fleet"]
    assert "CHECK the units: 'flow' is in gpm in 'ann.csv'; in l/min in 'bob.csv'" in text


def test_the_same_unit_in_two_spellings_needs_no_conversion(tmp_path):
    write(tmp_path, "ann", "heat [°C],press [bar]", 0)
    write(tmp_path, "bob", "heat [degC],press [bar]", 1)
    keys, text = proposed(sorted(tmp_path.glob("*.csv")), tmp_path)
    assert keys["fleet"]["features"][0] == "heat" and "conversions" not in keys["fleet"]
    assert "CHECK the units" not in text


@pytest.mark.parametrize(
    ("header", "stamp"),
    [("Datum,Uhrzeit", "{d:02d}.03.2025,{h:02d}:{m:02d}"), ("date,time", "2025-03-{d:02d},{h:02d}:{m:02d}:00")],
)
def test_a_date_and_a_time_of_day_are_one_time(tmp_path, header, stamp):
    for seed, name in enumerate(("ann", "bob")):
        random = np.random.default_rng(seed)
        lines = [f"{header},load,heat,state"]
        for i in range(300):
            when = stamp.format(d=1 + i // 24, h=i % 24, m=0)
            load, heat = random.normal([40, 60], [8, 5])
            lines.append(f"{when},{load:.3f},{heat:.3f},{'leak' if load + heat > 108 else 'ok'}")
        (tmp_path / f"{name}.csv").write_text("\n".join(lines))
    keys, _ = proposed(sorted(tmp_path.glob("*.csv")), tmp_path)
    assert keys["fleet"]["time"] == header.split(",") and keys["splits"]["kind"] == "time"
    assert keys["fleet"]["features"] == ["load", "heat"]
    table = raw_tables(recipes.load(str(tmp_path / "recipe.toml")))[0]
    assert np.diff(table.times.values).tolist() == [3_600_000_000] * 299


def test_two_recordings_of_each_kind_are_enough_for_kinds(real_data, tmp_path):
    keys, _ = proposed([real_data / "series" / "tennessee_eastman.parquet"], tmp_path)
    assert keys["fleet"]["normal"] == [0] and "positive" not in keys["fleet"]
    assert keys["splits"] == {"kind": "units"} and keys["fleet"]["window"]["by"] == "recording"
    fleet = build(recipes.load(str(tmp_path / "recipe.toml")))
    [device] = fleet.devices
    assert len({*fleet.test[device.name].y}) == len({*device.train.y}) == 22
