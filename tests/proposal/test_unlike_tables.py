"""Tables of other kinds than the real ones: what init makes of their columns, and that `run` takes it."""

import tomllib
from datetime import datetime, timedelta

import numpy as np
import polars as pl
import pytest

from fedmetaalign.proposal.propose import propose
from fedmetaalign.proposal.reading import read, tables_in
from fedmetaalign.proposal.summary import summary
from fedmetaalign.proposal.text import recipe_text
from fedmetaalign.proposal.trial import Trial, runnable, tried


@pytest.fixture
def random():
    return np.random.default_rng(11)


def times(rows, form="%Y-%m-%d %H:%M:%S", minutes=10):
    start = datetime(2025, 3, 1, 6)
    return [(start + timedelta(minutes=minutes * i)).strftime(form) for i in range(rows)]


def proposed(folder, **more):
    """The choice for tables of one kind, after a trial of the recipe."""
    families, wrong = read(tables_in([folder]))
    assert wrong == {}
    proposal = propose(families, folder.name, **more)

    def write(each):
        return recipe_text(each, folder, "init", "run")

    proposal, trial = runnable(proposal, write, folder)
    assert trial == tried(write(proposal), folder) == Trial()
    assert len(proposal.choices) == 1
    return proposal.choices[0]


def test_pumps_a_file_each_with_words_for_labels(tmp_path, random):
    words = ["ok", "leak", "cavitation", "bearing"]
    for pump in range(4):
        state = random.choice(words, 200, p=[0.7, 0.1, 0.1, 0.1])
        code = np.array([words.index(word) for word in state])
        columns = {
            "time": times(200),
            "pump": [f"P-{pump}"] * 200,
            "serial no": [f"{1000 * pump + i:05d}" for i in range(200)],
            "pressure_bar": 6 + random.normal(size=200) - (code == 1),
            "flow [m3/h]": 40 + 3 * random.normal(size=200) - 4 * (code == 2),
            "motor_current_A": 12 + random.normal(size=200) + (code == 3),
            "valve": random.choice(["open", "closed"], 200),
            "state": state,
            "error_code": [0 if c == 0 else 100 + c for c in code],
        }
        if pump == 2:  # an older type has no current sensor
            del columns["motor_current_A"]
        pl.DataFrame(columns).write_csv(tmp_path / f"pump-{pump}.csv")
    choice = proposed(tmp_path)
    assert (choice.label.columns, choice.label.normal, choice.kinds) == (("state",), ("ok",), True)
    assert set(choice.label.faults) == {"leak", "cavitation", "bearing"}
    assert choice.features == ("pressure_bar", "flow [m3/h]", "motor_current_A", "valve")
    assert choice.categories == {"valve": ("closed", "open")}
    assert choice.units == {"pressure_bar": "bar", "flow [m3/h]": "m3/h", "motor_current_A": "A"}
    assert set(choice.left) == {"time", "pump", "serial no", "error_code"}
    assert [len(part.paths) for part in choice.parts] == [3, 1]
    assert any("'motor_current_A' (1 of 4)" in note for note in choice.notes)
    assert (choice.split.kind, choice.split.time) == ("time", "time")


def test_one_table_of_machines_with_modes_beside_an_overall_failure(tmp_path, random):
    rows = 1500
    seal, bearing = random.random(rows) < 0.06, random.random(rows) < 0.08
    torque, heat = random.normal(50, 5, rows) + 6 * seal, random.normal(80, 8, rows) + 9 * bearing
    columns = {
        "MachineID": random.integers(1, 6, rows),
        "operator": random.choice(["Ann", "Bob", "Eve"], rows),
        "shift_hour": np.arange(rows) % 24,
        "torque_nm": torque,
        "heat_degC": heat,
        "quality": random.choice(["low", "medium", "high"], rows),
        "failure": (seal | bearing).astype(int),
        "seal_failure": seal.astype(int),
        "bearing_failure": bearing.astype(int),
        "remaining_life": random.integers(0, 900, rows),
    }
    pl.DataFrame(columns).write_csv(tmp_path / "line.csv")
    choice = proposed(tmp_path)
    assert (choice.label.columns, choice.kinds, choice.device) == (("failure",), False, ("MachineID",))
    assert choice.features == ("torque_nm", "heat_degC", "quality")
    assert choice.categories == {"quality": ("low", "medium", "high")}
    assert choice.units == {"torque_nm": "Nm", "heat_degC": "°C"}
    assert set(choice.left) == {"operator", "shift_hour", "seal_failure", "bearing_failure", "remaining_life"}


def test_minus_one_and_one_with_many_sensors_and_days_first(tmp_path, random):
    rows = 800
    y = np.where(random.random(rows) < 0.1, 1, -1)
    x = random.normal(size=(rows, 60)) + 0.5 * (y == 1)[:, None]
    columns = {f"s{i:02d}": x[:, i] for i in range(60)}
    columns |= {"s07": np.full(rows, 100.0), "Pass/Fail": y, "Time": times(rows, "%d/%m/%Y %H:%M", 60)}
    pl.DataFrame(columns).write_csv(tmp_path / "fab.csv")
    choice = proposed(tmp_path)
    assert (choice.label.columns, choice.label.faults) == (("Pass/Fail",), ("1",))
    assert len(choice.features) == 59
    assert set(choice.left) == {"s07", "Time"}
    assert (choice.split.kind, choice.split.time) == ("time", "Time")


def test_a_time_after_which_nothing_fails_is_no_split(tmp_path, random):
    rows = 400
    y = (np.arange(rows) < 100) & (random.random(rows) < 0.5)
    x = random.normal(size=(rows, 2)) + y[:, None]
    columns = {"when": times(rows), "a": x[:, 0], "b": x[:, 1], "fault": y.astype(int)}
    pl.DataFrame(columns).write_csv(tmp_path / "t.csv")
    choice = proposed(tmp_path)
    assert choice.split.kind == "rows"
    assert "a split by 'when' would leave a part without a class" in choice.split.why


def test_codes_of_a_state_in_batches_of_one_state_each(tmp_path, random):
    batch = np.repeat(np.arange(40), 50)
    code = np.repeat(random.permutation([0] * 22 + [3] * 9 + [17] * 9), 50)
    drift = np.repeat(random.normal(size=(40, 3)), 50, axis=0)
    x = drift + 0.3 * random.normal(size=(2000, 3)) + (code[:, None] == [3, 17, 99])
    columns = {
        "batch": batch,
        "voltage_V": x[:, 0],
        "current_mA": x[:, 1],
        "phase_A": x[:, 2],
        "set_point": np.repeat(random.integers(1, 9, 40), 50),
        "status_code": code,
    }
    pl.DataFrame(columns).write_parquet(tmp_path / "drive.parquet")
    choice = proposed(tmp_path)
    assert (choice.label.columns, choice.label.normal, choice.kinds) == (("status_code",), ("0",), True)
    assert choice.features == ("voltage_V", "current_mA", "phase_A")
    assert choice.units == {"voltage_V": "V", "current_mA": "mA"}
    assert (choice.split.kind, choice.split.unit) == ("units", "batch")
    assert set(choice.left) == {"set_point"}


def test_engines_that_run_to_failure(tmp_path, random):
    parts = []
    for unit in range(1, 9):
        life = int(random.integers(120, 200))
        cycle = np.arange(1, life + 1)
        wear = (cycle / life)[:, None] * random.uniform(0.5, 1.5, 4)
        x = wear + 0.2 * random.normal(size=(life, 4))
        near = np.where(cycle > 0.7 * life, "yes", "no")
        parts.append(
            pl.DataFrame(
                {"unit": np.full(life, unit), "cycle": cycle, "altitude": random.choice([0, 10, 20], life)}
                | {f"sensor_{i}": x[:, i] for i in range(4)}
                | {"RUL": life - cycle, "label": near}
            )
        )
    pl.concat(parts).write_csv(tmp_path / "engines.csv")
    choice = proposed(tmp_path)
    assert (choice.label.columns, choice.label.faults, choice.device) == (("label",), ("yes",), ("unit",))
    assert choice.features == ("altitude", "sensor_0", "sensor_1", "sensor_2", "sensor_3")
    assert set(choice.left) == {"cycle", "RUL"}
    assert choice.split.kind == "blocks"


def test_two_kinds_of_tables_and_some_that_cannot_be_used(tmp_path, random):
    for i in range(2):
        y = random.integers(0, 2, 150)
        pl.DataFrame(
            {"flow": random.normal(size=150) + y, "heat": random.normal(size=150), "fault": y}
        ).write_csv(tmp_path / f"pump{i}.csv")
        pl.DataFrame(
            {
                "speed": random.normal(size=150) + y,
                "load": random.normal(size=150),
                "alarm": np.array(["no", "yes"])[y],
            }
        ).write_csv(tmp_path / f"fan{i}.csv")
    (tmp_path / "broken.csv").write_text("a,b\n1,2\n3\n")
    (tmp_path / "notes.txt").write_text("hello")
    families, wrong = read(tables_in([tmp_path]))
    proposal = propose(families, "plant", wrong=wrong)
    assert [choice.label.columns[0] for choice in proposal.choices] == ["alarm", "fault"]
    assert len(proposal.left) == 1 and "broken.csv, line 3" in proposal.left[0]
    text = recipe_text(proposal, tmp_path, "init", "run")
    assert text.count("[[fleet.devices]]") == 2
    assert 'table = "fan*.csv"' in text
    assert tried(text, tmp_path) == Trial()


def test_decimal_commas_that_nothing_proves_are_assumed_and_said(tmp_path, random):
    for pump in range(2):
        y = random.integers(0, 2, 100)
        cells = [
            f"{x:.3f};{label}".replace(".", ",")
            for x, label in zip(5 + y / 2 + random.random(100), y, strict=True)
        ]
        (tmp_path / f"p{pump}.csv").write_text("bar;fault\n" + "\n".join(cells) + "\n", encoding="cp1252")
    choice = proposed(tmp_path)
    assert [part.decimal for part in choice.parts] == [","]
    assert any("nothing proves that ',' is the decimal sign" in note for note in choice.notes)
    assert any(finding.code == "dialect" for finding in choice.audit.findings)

    (tmp_path / "p2.csv").write_text("bar;fault\n" + "5,25;0\n5,5;1\n6,125;0\n6,25;1\n" * 20, encoding="cp1252")
    choice = proposed(tmp_path)
    assert [(len(part.paths), part.decimal, part.proof) for part in choice.parts] == [(3, ",", "p2.csv")]
    assert not any("decimal sign" in note for note in choice.notes)

    (tmp_path / "p2.csv").write_text("bar;fault\n" + "5.25;0\n5.5;1\n6.15;0\n6.25;1\n" * 20, encoding="cp1252")
    choice = proposed(tmp_path)  # it has points, and says nothing of the others
    assert {(part.decimal, part.proof) for part in choice.parts} == {(",", ""), (None, "")}


def test_a_line_of_units_and_notes_beside_the_tables(tmp_path, random):
    y = random.integers(0, 2, 120)
    x = np.stack([5 + y / 2 + random.random(120), random.random(120)], axis=1)
    cells = [f"{a:.5f}\t{b:.4f}\t{'leak' if label else 'ok'}" for (a, b), label in zip(x, y, strict=True)]
    text = "pressure\tflow\tstate\nbar\tm3/h\t\n" + "\n".join(cells) + "\n"
    (tmp_path / "pump.tsv").write_bytes(text.encode("utf-16"))
    (tmp_path / "notes.txt").write_text("hello", encoding="utf-8")
    choice = proposed(tmp_path)
    assert choice.units == {"pressure": "bar", "flow": "m3/h"}


def test_a_sensor_that_gives_the_label_away_is_kept_where_there_is_no_other(tmp_path, random):
    y = random.integers(0, 2, 200)
    pl.DataFrame({"heat": 5 * y + random.random(200), "fault": y}).write_csv(tmp_path / "t.csv")
    choice = proposed(tmp_path)
    assert choice.features == ("heat",)
    assert any(note.startswith("CHECK the features: 'heat' alone all but gives") for note in choice.notes)


def test_spellings_of_one_kind_and_a_table_without_the_label_are_told(tmp_path, random):
    for pump in range(3):
        y = random.choice(["ok", "Leak", "leak"], 150, p=[0.6, 0.2, 0.2])
        columns = {"flow": random.normal(size=150) + (y != "ok"), "heat": random.normal(size=150)}
        pl.DataFrame(columns | ({"state": y} if pump else {})).write_csv(tmp_path / f"p{pump}.csv")
    choice = proposed(tmp_path)
    assert [path.name for part in choice.parts for path in part.paths] == ["p1.csv", "p2.csv"]
    assert any(
        "'Leak', 'leak' may be one kind" in note or "'leak', 'Leak' may be one kind" in note
        for note in choice.notes
    )
    assert "Left out, for want of the label 'state': 'p0.csv'." in choice.notes


def test_missing_values_are_counted_and_a_hollow_column_is_left_out(tmp_path, random):
    y = random.integers(0, 2, 200)
    flow = [f"{a:.3f}" for a in random.normal(size=200) + y]
    flow[3], flow[40], flow[90] = "", "No Data", "NA"
    hollow = ["" if i % 3 else f"{i}.5" for i in range(200)]
    lines = [
        f"{a},{b:.3f},{c},{label}" for a, b, c, label in zip(flow, random.random(200), hollow, y, strict=True)
    ]
    (tmp_path / "t.csv").write_text("flow,heat,probe,fault\n" + "\n".join(lines) + "\n", encoding="utf-8")
    choice = proposed(tmp_path)
    assert choice.features == ("flow", "heat")
    assert choice.gaps == {"flow": 3}
    assert choice.left == {"probe": "Column 'probe' lacks most of its values (133 of 200)."}


def test_public_tables_of_other_shapes_by_their_headers(tmp_path, random):
    """Headers and values as a few widely used tables have them, with invented numbers."""
    rows = 600
    y = (random.random(rows) < 0.15).astype(int)
    x = random.normal(size=(rows, 4)) + y[:, None]

    def columns(*pairs):
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        folder.mkdir()
        pl.DataFrame(dict(pairs)).write_csv(folder / "t.csv", separator=";")
        choice = proposed(folder)
        return choice.label.columns, choice.label.normal, choice.device, choice.features, set(choice.left)

    valves = columns(
        ("datetime", times(rows)), ("Accelerometer1RMS", x[:, 0]), ("Current", x[:, 1]),
        ("anomaly", y.astype(float)), ("changepoint", (random.random(rows) < 0.02).astype(float)),
    )  # fmt: skip
    assert valves == (("anomaly",), (), (), ("Accelerometer1RMS", "Current"), {"datetime", "changepoint"})
    station = columns(
        ("", np.arange(rows)), ("timestamp", times(rows)), ("sensor_00", x[:, 0]), ("sensor_15", [None] * rows),
        ("machine_status", np.where(y == 0, "NORMAL", np.where(np.arange(rows) % 9, "RECOVERING", "BROKEN"))),
    )  # fmt: skip
    assert station == (
        ("machine_status",),
        ("NORMAL",),
        (),
        ("sensor_00",),
        {"(column 1)", "timestamp", "sensor_15"},
    )
    shop = columns(
        ("machineID", 1 + np.arange(rows) % 6), ("datetime", times(rows)),
        ("volt", x[:, 0]), ("rotate", x[:, 1]),
        ("age", 3 * (1 + np.arange(rows) % 6)), ("model", [f"model{1 + i % 6 // 2}" for i in range(rows)]),
        ("failure", np.where(y == 0, "none", random.choice(["comp1", "comp2"], rows))),
    )  # fmt: skip
    assert shop == (("failure",), ("none",), ("machineID",), ("volt", "rotate"), {"datetime", "age", "model"})
    plant = columns(
        ("machine_id", random.integers(1, 11, rows)), ("vibration", x[:, 0]), ("energy", x[:, 1]),
        ("anomaly_flag", y), ("predicted_remaining_life", random.integers(0, 500, rows)),
        ("downtime_risk", random.random(rows)), ("maintenance_required", y | (random.random(rows) < 0.1)),
    )  # fmt: skip
    assert plant[:4] == (("anomaly_flag",), (), ("machine_id",), ("vibration", "energy"))
    assert plant[4] == {"predicted_remaining_life", "downtime_risk", "maintenance_required"}


def test_a_folder_of_many_dialects_has_a_pattern_and_names_what_it_leaves_out(tmp_path, random):
    def table(rows, states, separator=",", decimal="."):
        state = random.choice(["ok", "leak"], rows, p=states)
        cells = [
            separator.join([f"{a:.4f}".replace(".", decimal), f"{b:.4f}".replace(".", decimal), each])
            for a, b, each in zip(
                random.normal(size=rows) + (state == "leak"), random.random(rows), state, strict=True
            )
        ]
        return "\n".join([separator.join(["flow", "heat", "state"]), *cells]) + "\n"

    half = [0.5, 0.5]
    (tmp_path / "a.csv").write_text(table(120, half), encoding="utf-8")
    (tmp_path / "b.csv").write_text(table(120, half, ";", ","), encoding="cp1252")
    (tmp_path / "c.csv").write_text(table(120, half), encoding="utf-16")
    (tmp_path / "healthy.csv").write_text(table(120, [1, 0]), encoding="utf-8")
    (tmp_path / "tab.tsv").write_text(table(120, half, "\t"), encoding="utf-8")
    (tmp_path / "faults.csv").write_text(table(120, [0, 1]), encoding="utf-8")
    (tmp_path / "broken.csv").write_text("flow,heat,state\n1,2\n", encoding="utf-8")
    families, wrong = read(tables_in([tmp_path]))
    proposal = propose(families, "plant", wrong=wrong)
    text = recipe_text(proposal, tmp_path, "init", "run")
    keys = tomllib.loads(text)["fleet"]
    assert keys["exclude"] == ["broken"]
    assert [source["table"] for source in keys["devices"]] == ["*.csv", "tab.tsv"]
    trial = tried(text, tmp_path)
    assert trial.refusal == ""
    assert trial.left_out == ()  # a device with faults alone trains with the others


def test_days_and_months_that_nobody_can_tell_apart_are_told(tmp_path, random):
    y = random.integers(0, 2, 200)
    columns = {"when": times(200, "%d/%m/%Y %H:%M"), "a": random.normal(size=200) + y, "fault": y}
    pl.DataFrame(columns).write_csv(tmp_path / "t.csv")
    choice = proposed(tmp_path)
    assert (choice.split.kind, choice.features) == ("rows", ("a",))
    assert any(note.startswith("CHECK the time: ") and "time_format" in note for note in choice.notes)


def test_tables_that_hold_the_same_rows_are_told(tmp_path, random):
    y = random.integers(0, 2, 150)
    frame = pl.DataFrame({"flow": random.normal(size=150) + y, "heat": random.normal(size=150), "fault": y})
    for name in "ab":
        frame.write_csv(tmp_path / f"{name}.csv")
    assert any(note.startswith("CHECK the tables: All 150 rows of ") for note in proposed(tmp_path).notes)


def test_numbered_sensors_are_no_points_of_a_signal(tmp_path, random):
    """What is numbered on is a signal only if neighbours are alike; and the normal class is told first."""
    rows = 300
    y = np.where(random.random(rows) < 0.2, -1, 1)
    x = (
        random.normal(size=(rows, 40)) * np.arange(1, 41)
        + 100 * np.arange(40)
        + np.outer(y == -1, np.arange(1, 41))
    )
    columns = {f"s{i:02d}": x[:, i] for i in range(40)}
    pl.DataFrame({**columns, "Pass/Fail": y}).write_csv(tmp_path / "fab.csv")
    choice = proposed(tmp_path)
    assert choice.window is None and len(choice.features) == 40
    assert [*choice.counts.items()] == [("no fault", int((y == 1).sum())), ("fault", int((y == -1).sum()))]


def test_kinds_are_told_in_their_natural_order_and_samples_without_what_is_said_of_rows(tmp_path, random):
    rows, kinds = 60_000, [0, 1, 2, 10, 11]
    recording = np.repeat(np.arange(20), rows // 20)
    state = np.array(kinds)[recording % 5]
    x = np.cumsum(random.normal(size=rows)) + random.normal(size=rows).round(1) * (1 + state)
    pl.DataFrame({"recording": recording, "accel_g": x.round(0), "state": state}).write_parquet(
        tmp_path / "rig.parquet"
    )
    families, _ = read([tmp_path / "rig.parquet"])
    proposal = propose(families, "rig")
    (choice,) = proposal.choices
    assert [*choice.counts] == ["0", "1", "2", "10", "11"]
    assert choice.window is not None and choice.window.length
    assert "order" in {finding.code for finding in choice.audit.findings}
    assert "in order of their label" not in "\n".join(summary(proposal))


def test_links_folders_and_units_in_cells_are_told_and_left_out(tmp_path, random):
    rows = 200
    for name in ("ann", "bob"):
        heat, load = random.normal(60, 8, rows), random.normal(40, 5, rows)
        columns = {
            "heat": [f"{value:.2f} \u00b0C" for value in heat],
            "load": load.round(3),
            "flow": random.normal(5, 1, rows).round(3),
            "fault": (heat + load + random.normal(0, 5, rows) > 112).astype(int),
        }
        pl.DataFrame(columns).write_csv(tmp_path / f"{name}.csv")
    (tmp_path / "last.csv").symlink_to("ann.csv")
    (tmp_path / "nowhere.csv").symlink_to("gone.csv")
    (tmp_path / "old.csv").mkdir()
    families, wrong = read(tables_in([tmp_path]))
    assert [*wrong.values()] == [
        f"{tmp_path / 'last.csv'} is a link to {tmp_path / 'ann.csv'}, which is there already"
    ]
    proposal = propose(families, "x", wrong=wrong)
    text = recipe_text(proposal, tmp_path, "init", "run")
    assert tried(text, tmp_path) == Trial()
    keys = tomllib.loads(text)["fleet"]
    assert (keys["table"], keys["exclude"]) == ("*.csv", ["last", "nowhere", "old"])
    assert keys["features"] == ["load", "flow"]
    assert (
        proposal.choices[0]
        .left["heat"]
        .endswith("call it 'heat [\u00b0C]', with bare numbers below, and it can be a feature.")
    )
