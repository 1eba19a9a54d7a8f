"""Devices whose tables are not alike: inputs go by the name of a feature, what is missing is reported once."""

import json
from pathlib import Path

import pytest

ORDERS = {"a": ("speed", "load"), "b": ("load", "speed"), "c": ("speed", "load"), "d": ("load", "speed")}
SAME = (
    "have the same samples: one trains on what another is tested on. Leave all but one out with fleet.exclude."
)


def recipe(small, features, name):
    """Writes a recipe of devices that share one table."""
    devices = "".join(
        f'[[fleet.devices]]\nname = "{device}"\ntable = "t.csv"\nlabel = "fault"\nfeatures = {list(columns)}\n'
        for device, columns in features.items()
    )
    path = Path(f"{name}.toml")
    path.write_text(f'name = "fleet"\n{devices}{small}\n[fleet]\nscaling = "fleet"\n', encoding="utf-8")
    return path


@pytest.mark.usefixtures("no_report")
def test_two_of_four_equal_devices_may_list_their_features_the_other_way_round(cli, here, small, device_table):
    device_table().write(here / "t.csv")
    turned = recipe(small, ORDERS, "turned")
    straight = recipe(small, dict.fromkeys(ORDERS, ORDERS["a"]), "straight")
    for path in (turned, straight):
        done = cli("run", path, "--out", path.stem, "--json")
        assert (done.status, done.err) == (0, f"fedmetaalign: a, b, c and d {SAME}\n")
    one, other = (json.loads(Path(path.stem, "results.json").read_text()) for path in (turned, straight))
    for device in ORDERS:
        assert one["devices"][device]["stages"] == other["devices"][device]["stages"]
        assert one["devices"][device]["alone"] == other["devices"][device]["alone"]
    assert one["fleet"] == other["fleet"]
    assert Path("turned/rounds.jsonl").read_bytes() == Path("straight/rounds.jsonl").read_bytes()


def test_what_devices_lack_is_reported_once(cli, here, small, device_table):
    device_table().write(here / "t.csv")
    path = recipe(small, {**ORDERS, "d": ("load", "heat")}, "unlike")
    lines = [
        f"fedmetaalign: a, b and c {SAME}",
        "fedmetaalign: Some devices lack features of others, and have zeros in their place: 'speed' on d.",
        "fedmetaalign: Some devices add features, whose inputs are zero on the others: 'heat' on d.",
    ]
    done = cli("run", path, "--out", "run", "--json")
    assert (done.status, done.err.splitlines()) == (0, lines)
    assert json.loads(done.out)["devices"].keys() == ORDERS.keys()
    told = json.loads(Path("run/manifest.json").read_text(encoding="utf-8"))["notices"]
    assert [f"fedmetaalign: {sentence}" for sentence in told] == lines
    done = cli("compare", path, "--methods", "majority,one_rule", "--seeds", 2, "--out", "compared")
    assert (done.status, done.err.splitlines()) == (0, lines)
