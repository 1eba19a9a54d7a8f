"""docs/signals.md has every key of windows, with its default."""

import re
from pathlib import Path

import pytest

from fedmetaalign.recipe import Window

PAGE = (Path(__file__).parents[2] / "docs" / "signals.md").read_text(encoding="utf-8")
KEYS = PAGE.split("## Keys")[1].split("\n## ")[0].split("| front end |")[0]
ROWS = [row.split("|")[1:3] for row in re.findall(r"^\| `.*$", KEYS, re.MULTILINE)]


def test_the_table_has_every_key():
    assert {key for names, _ in ROWS for key in re.findall(r"`(\w+)`", names)} == set(Window.model_fields)


@pytest.mark.parametrize(
    ("key", "default"), [("tolerance", "0.1"), ("label", '`"any"`'), ("split_recordings", "false")]
)
def test_the_defaults_are_the_ones_of_the_recipe(key, default):
    (told,) = [default.strip() for names, default in ROWS if f"`{key}`" in names]
    assert told == default
    assert str(Window.model_fields[key].default).lower() == default.strip('`"').lower()
