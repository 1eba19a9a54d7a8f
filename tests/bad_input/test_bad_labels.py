"""Labels that say which fault: what is wrong with them, in a sentence each."""

from pathlib import Path

import pytest

FLEET = '[fleet]\ntable = "{table}"\nlabel = "fault"\nfeatures = ["speed", "load", "heat"]\n'
PUMP = FLEET.format(table="pump.csv")

STATES = FLEET.replace('"fault"', '"state"') + 'normal = ["ok"]\n'


@pytest.fixture
def states(device_table):
    """Writes a table with a label of three values, of which some rows may have others."""

    def write(changed=(), name="pump.csv"):
        table = device_table()
        table.header[3] = "state"
        for i, row in enumerate(table.rows):
            row[3] = (
                ("ok" if row[3] == "0" else "worn" if i % 2 else "jam") if i >= len(changed) else changed[i]
            )
        table.write(Path(name))

    return write


def test_a_label_of_several_values_without_normal(recipe, refused, states):
    states()
    sentence = refused("run", recipe(STATES.format(table="pump.csv")), "--set", "fleet.normal=[]")
    assert "column 'state' is a label but not 0/1: the column holds '" in sentence
    assert sentence.endswith(
        "say with `normal` which values mean no fault, or with `positive` which mean fault."
    )


@pytest.mark.parametrize("table", ["pump.csv", "p*.csv"])
def test_a_normal_value_that_no_row_has(recipe, refused, states, table):
    states()
    sentence = refused("run", recipe(STATES.format(table=table)), "--set", 'fleet.normal=["ok", "idle"]')
    assert "the label idle" in sentence and sentence.endswith(": correct normal.")


def test_a_normal_value_that_no_row_of_a_table_has_that_is_cut(recipe, refused, states):
    states()
    more = ("--set", 'fleet.normal=["fine"]', "--set", "fleet.device=speed")
    sentence = refused("run", recipe(STATES.format(table="pump.csv")), *more)
    assert "never holds 'fine', which `normal` names; it holds 'jam', 'ok', 'worn', so name one of" in sentence


def test_an_identifier_that_is_taken_for_a_label(recipe, refused, states):
    states([f"part {i}" for i in range(64)])
    sentence = refused("run", recipe(STATES.format(table="pump.csv")))
    assert (
        "column 'state' is a label with 67 values, and there can be 64 classes: an identifier taken" in sentence
    )


def test_devices_that_have_too_many_classes_together(recipe, refused, states):
    states([f"part {i}" for i in range(40)])
    states([f"piece {i}" for i in range(40)], name="press.csv")
    assert "The label of the fleet is a label with 83 values" in refused(
        "run", recipe(STATES.format(table="p*.csv"))
    )


def test_a_value_that_classes_lacks(recipe, refused, states):
    states()
    sentence = refused("run", recipe(STATES.format(table="pump.csv")), "--set", 'fleet.classes=["ok", "jam"]')
    assert "column 'state' holds 'worn', which `classes` lacks; add it or correct the cells" in sentence


@pytest.mark.parametrize("twins", [("le\tak", "le ak"), ("l" * 501, "l" * 502)])
def test_classes_that_no_result_could_tell_apart(recipe, refused, states, twins):
    states(twins * 9)
    sentence = refused("run", recipe(STATES.format(table="pump.csv")))
    assert f"column 'state' has the class {twins[0][:40]!r}, and the name of one has no control" in sentence


def test_a_class_that_classes_names_twice(recipe, refused, states):
    states()
    classes = 'fleet.classes=["ok", "jam", "worn", 1, "1.0"]'
    sentence = refused("run", recipe(STATES.format(table="pump.csv")), "--set", classes)
    assert sentence.endswith("column 'state': `classes` names '1' twice; name each class once.")


def test_public_samples_of_a_class_that_the_fleet_lacks(recipe, refused, states):
    states()
    states(["leak"] * 9, name="open.csv")
    public = STATES.format(table="open.csv").replace("[fleet]", "[foundation]")
    sentence = refused("run", recipe(STATES.format(table="pump.csv"), public))
    assert sentence.startswith("open has samples of class 'leak', which no device of the fleet had")


TABLE = '[fleet]\ntable = "t.csv"\nfeatures = ["x"]\n'


@pytest.mark.parametrize(
    ("fleet", "wrong"),
    [
        (
            f'{TABLE}label = "z"\nkinds = true',
            "fleet has kinds = true, which needs several label columns, or a simulator.",
        ),
        (
            f'{TABLE}label = ["z"]\nkinds = true',
            "fleet has kinds = true, which needs several label columns, or a simulator.",
        ),
        (
            f'{TABLE}label = ["y", "z"]\npositive = [1, "on"]',
            "fleet has several label columns and one list of positive values: give each column its own, such as"
            " positive = { y = [1, 'on'] }.",
        ),
        (
            f'{TABLE}label = ["y", "z"]\npositive = {{ y = [1], w = [2] }}',
            "fleet has positive for ['y', 'w'], and the label is ['y', 'z'].",
        ),
        (
            f'{TABLE}label = "z"\npositive = [1]\nnormal = [0]',
            "fleet has positive, which knows fault and no fault alone: drop it, or normal, classes and kinds.",
        ),
        (
            f'{TABLE}label = ["y", "z"]\nnormal = ["0-0"]',
            "fleet has normal and several label columns, whose combinations it names: set kinds = true, too.",
        ),
        (
            f'{TABLE}label = "z"\nclasses = ["ok", "bad"]',
            "fleet has classes and no normal, which says which of them mean no fault.",
        ),
        (
            '[fleet]\nsimulator = "feeder"\nkinds = true\nnormal = ["normal"]',
            "fleet has a simulator, whose classes are known: drop normal and classes, and set kinds = true.",
        ),
    ],
)
def test_keys_about_the_label_that_do_not_go_together(refused, fleet, wrong):
    Path("recipe.toml").write_text(fleet + "\n", encoding="utf-8")
    assert refused("run", "recipe.toml") == f"recipe.toml: {wrong}"
