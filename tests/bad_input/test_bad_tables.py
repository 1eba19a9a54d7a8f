"""Tables and fleets that cannot be used."""

from pathlib import Path

import pytest

FLEET = '[fleet]\ntable = "{table}"\nlabel = "fault"\nfeatures = ["speed", "load", "heat"]\n'
PUMP = FLEET.format(table="pump.csv")


def test_a_table_that_is_not_there(recipe, refused):
    assert refused("run", recipe()).endswith(
        "pump.csv does not exist; check the path, or name the tables' folder with --data."
    )


def test_a_missing_column_is_answered_with_the_nearest(recipe, refused, device_table):
    table = device_table()
    table.header[1] = "Loads"
    table.write(Path("pump.csv"))
    assert refused("run", recipe()).endswith("pump.csv has no column 'load'; did you mean 'Loads'?")


def test_a_column_that_is_there_twice(recipe, refused, device_table):
    table = device_table()
    table.header[2] = "load"
    table.write(Path("pump.csv"))
    assert "pump.csv, line 1 names column 'load' twice" in refused("run", recipe())


@pytest.mark.parametrize(
    ("cell", "reason"),
    [
        ("high", "'high', which is not a number; correct it"),
        ("1,5", "'1,5', which is not a number; correct it"),
        ("", "is empty; fill the cell in or remove the row"),
        ("  ", "is empty; fill the cell in or remove the row"),
        ("NaN", "'NaN', which is not a finite number; correct it"),
        ("inf", "'inf', which is not a finite number; correct it"),
        ("-Infinity", "'-Infinity', which is not a finite number; correct it"),
        ("1e999", "1e999"),
    ],
)
def test_a_cell_that_is_no_finite_number_is_named_by_line_and_column(
    recipe, refused, device_table, cell, reason
):
    table = device_table()
    table.rows[41][1] = cell
    table.write(Path("pump.csv"))
    sentence = refused("run", recipe())
    assert "pump.csv, line 43, column 'load'" in sentence
    assert reason in sentence


def test_numbers_too_large_to_standardise(recipe, refused, device_table):
    table = device_table()
    table.rows[41][1] = "1e200"
    table.write(Path("pump.csv"))
    sentence = refused("run", recipe())
    assert "pump" in sentence
    assert "load" in sentence


def test_a_table_with_a_header_only(recipe, refused, device_table):
    device_table(samples=0).write(Path("pump.csv"))
    assert refused("run", recipe()).endswith(
        "pump.csv has a header but no rows; remove the device or give it data."
    )


def test_an_empty_file(recipe, refused):
    Path("pump.csv").touch()
    assert refused("run", recipe()).endswith("pump.csv is empty; give it a header and rows.")


def test_a_table_that_is_a_directory(recipe, refused):
    Path("pump.csv").mkdir()
    assert "pump.csv is a directory" in refused("run", recipe())


@pytest.mark.parametrize(("label", "kind"), [("0", "normal samples"), ("1", "faults")])
def test_a_device_with_one_class(recipe, refused, device_table, label, kind):
    table = device_table()
    for row in table.rows:
        row[3] = label
    table.write(Path("pump.csv"))
    sentence = refused("run", recipe())
    assert sentence.startswith("Device pump in ")
    assert f"pump.csv has only {kind}: a classifier needs samples of both" in sentence


@pytest.mark.parametrize("label", ["2", "broken", "-1", "0.5"])
def test_labels_that_are_not_binary(recipe, refused, device_table, label):
    table = device_table()
    table.rows[7][3] = label
    table.write(Path("pump.csv"))
    sentence = refused("run", recipe())
    assert "pump.csv, line 9, column 'fault' is a label but not 0/1" in sentence
    assert "`positive`" in sentence


def test_an_empty_label(recipe, refused, device_table):
    table = device_table()
    table.rows[7][3] = ""
    table.write(Path("pump.csv"))
    assert "pump.csv, line 9, column 'fault' is empty" in refused("run", recipe())


def test_a_positive_value_that_never_occurs(recipe, refused, device_table):
    device_table().write(Path("pump.csv"))
    sentence = refused("run", recipe(), "--set", 'fleet.positive=["broken"]')
    assert "pump.csv" in sentence
    assert "broken" in sentence


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


def test_a_class_with_one_sample_in_the_whole_fleet(recipe, refused, states):
    states(["leak"])
    states(name="press.csv")
    assert refused("run", recipe(STATES.format(table="p*.csv"))) == (
        "One sample of the whole fleet is of class 'leak', which cannot be both learnt and tested: add some, or"
        " leave it out."
    )


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


def test_public_samples_of_a_class_that_the_fleet_lacks(recipe, refused, states):
    states()
    states(["leak"] * 9, name="open.csv")
    public = STATES.format(table="open.csv").replace("[fleet]", "[foundation]")
    sentence = refused("run", recipe(STATES.format(table="pump.csv"), public))
    assert sentence.startswith("open has samples of class 'leak', which no device of the fleet had")


@pytest.mark.parametrize("samples", [2, 4, 8, 12])
def test_fewer_samples_than_the_splits_need(recipe, refused, device_table, samples):
    table = device_table()
    table.rows = [row for y in "01" for row in [r for r in table.rows if r[3] == y][: samples // 2]]
    table.write(Path("pump.csv"))
    sentence = refused("run", recipe())
    assert "Device pump " in sentence
    assert "[splits]" in sentence


def test_a_fault_too_rare_for_a_test_set(recipe, refused, device_table):
    table = device_table()
    table.rows = [r for r in table.rows if r[3] == "0"] + [r for r in table.rows if r[3] == "1"][:1]
    table.write(Path("pump.csv"))
    assert "Device pump has only normal samples in its " in refused("run", recipe())


def test_a_pattern_that_matches_no_file(recipe, refused):
    sentence = refused("run", recipe(FLEET.format(table="*.csv")))
    assert sentence.startswith("No file matches ")
    assert "*.csv" in sentence


def test_a_spoilt_file_among_those_of_a_pattern_is_named(recipe, refused, device_table):
    device_table().write(Path("pump.csv"))
    table = device_table()
    table.rows[0][0] = "fast"
    table.write(Path("valve.csv"))
    assert "valve.csv, line 2, column 'speed' holds 'fast'" in refused(
        "run", recipe(FLEET.format(table="*.csv"))
    )


def test_two_devices_of_one_name(recipe, refused, device_table):
    device_table().write(Path("pump.csv"))
    one = PUMP.replace("[fleet]", "[[fleet.devices]]")
    assert refused("run", recipe(one + one)).startswith("Two devices are called pump")


def test_more_features_than_the_network_takes(recipe, refused, device_table):
    device_table().write(Path("pump.csv"))
    sentence = refused("run", recipe(), "--set", "model.inputs=2")
    assert "Device pump has 3 features and the network takes 2: raise model.inputs" in sentence


def test_a_partition_that_asks_for_more_samples_than_there_are(recipe, refused, device_table):
    device_table().write(Path("pump.csv"))
    sentence = refused("run", recipe(), "--set", "fleet.partition={count = 2, samples = 100}")
    assert "2 devices of 100 samples need 200 rows, and the table has 120 to give" in sentence


def test_units_without_their_column(recipe, refused, device_table):
    device_table().write(Path("pump.csv"))
    assert "splits.unit" in refused("run", recipe(), "--set", "splits.kind=units")
    assert "no column 'wave'" in refused(
        "run", recipe(), "--set", "splits.kind=units", "--set", "splits.unit=wave"
    )


def test_public_data_that_cannot_be_used(recipe, refused, device_table):
    device_table().write(Path("pump.csv"))
    table = device_table()
    table.rows[41][1] = "high"
    table.write(Path("public.csv"))
    public = FLEET.format(table="public.csv").replace("[fleet]", "[foundation]")
    assert "public.csv, line 43, column 'load' holds 'high'" in refused("run", recipe(more=public))


@pytest.mark.parametrize("samples", [1, 2, 3])
def test_public_data_of_too_few_samples(recipe, refused, device_table, samples):
    device_table().write(Path("pump.csv"))
    table = device_table()
    table.rows = [row for y in "01" for row in [r for r in table.rows if r[3] == y]][60 - samples // 2 :][
        :samples
    ]
    table.write(Path("public.csv"))
    public = FLEET.format(table="public.csv").replace("[fleet]", "[foundation]")
    assert "public" in refused("run", recipe(more=public))


def test_a_simulator_asked_for_too_few_samples(refused):
    Path("recipe.toml").write_text('[fleet]\nsimulator = "feeder"\nsamples = 3\n', encoding="utf-8")
    assert "feeder-00" in refused("run", "recipe.toml")
