"""The test set decides nothing: whatever stands in its rows, the same models and thresholds are learnt."""

import pytest

from fedmetaalign import recipe as recipes
from fedmetaalign.fleet.build import build
from fedmetaalign.fleet.division.splits import split
from fedmetaalign.fleet.tables import Columns, read
from fedmetaalign.run import run

pytestmark = pytest.mark.usefixtures("no_report")


@pytest.fixture
def poisoned(csv_fleet, tmp_path, finished):
    """Runs the recipe on tables some of whose rows were replaced by nonsense with the same labels."""

    def poison(rows_of, **fleet):
        folder = tmp_path / "poisoned"
        folder.mkdir(exist_ok=True)
        recipe = finished.recipe
        columns = Columns(label="fault", features=recipe.fleet.features)
        for path in sorted(csv_fleet.glob("*.csv")):
            rows = rows_of(split(read(path, columns, path.stem), recipe.splits, recipe.seed))
            lines = path.read_text(encoding="utf-8").splitlines()
            for row in rows:
                cells = lines[row + 1].split(",")
                cells[:6] = [repr(-1000 * float(cell)) for cell in cells[:6]]
                lines[row + 1] = ",".join(cells)
            (folder / path.name).write_text("\n".join(lines) + "\n", encoding="utf-8")
        source = recipe.fleet.model_copy(update={"table": str(folder / "*.csv"), **fleet})
        results = run(recipe.model_copy(update={"fleet": source}), tmp_path / "run")
        return results, tmp_path / "run"

    return poison


def learnt(files):
    """What a run learnt, without what it measured on the test sets."""
    return {
        name: digest
        for name, digest in files.items()
        if name in ("rounds.jsonl", "checkpoint.safetensors") or name.startswith("devices/")
    }


@pytest.mark.parametrize("scaling", ["device", "fleet"])
def test_the_test_samples_change_nothing_but_the_metrics(finished, poisoned, deterministic, tmp_path, scaling):
    fleet = finished.recipe.fleet.model_copy(update={"scaling": scaling})
    clean = run(finished.recipe.model_copy(update={"fleet": fleet}), tmp_path / "clean")
    results, out = poisoned(lambda rows: rows.test, scaling=scaling)
    assert learnt(deterministic(out)) == learnt(deterministic(tmp_path / "clean"))
    for name, device in results["devices"].items():
        before = clean["devices"][name]
        assert device["stages"]["deployed"]["brier"] != before["stages"]["deployed"]["brier"]
        for key in ("threshold", "threshold_note", "majority", "samples", "model_bytes"):
            assert device[key] == before[key]
        assert device["one_rule"]["rule"] == before["one_rule"]["rule"]
        assert device["stages"]["personalized"]["threshold"] == before["stages"]["personalized"]["threshold"]


@pytest.mark.parametrize("part", ["serial_support", "parallel_query", "personalize_support"])
def test_the_training_samples_do_change_what_is_learnt(finished, poisoned, deterministic, part):
    _, out = poisoned(lambda rows: getattr(rows, part)[:5])
    assert learnt(deterministic(out)) != learnt(deterministic(finished.folder))


def test_a_test_set_that_the_source_reserves_changes_nothing_but_the_metrics(
    device_table, small, deterministic, tmp_path
):
    table = device_table(samples=400)
    for i, row in enumerate(table.rows):
        row.append("AB"[i % 2])
    table.header.append("kind")
    fleet = f"""
        [fleet]
        table = "{tmp_path / "pump.csv"}"
        label = "fault"
        features = ["speed", "load", "heat"]
        partition = {{ by = ["fault", "kind"], count = 2, samples = 120, alpha = 5, test = "all" }}
    """
    (tmp_path / "recipe.toml").write_text(fleet + small, encoding="utf-8")
    recipe = recipes.load(str(tmp_path / "recipe.toml"))
    table.write(tmp_path / "pump.csv")
    before = build(recipe)
    run(recipe, tmp_path / "clean")
    held_out = {tuple(row) for name in before.test for row in raw_test_rows(before, name)}
    for row in table.rows:
        if tuple(float(f"{float(cell):.3f}") for cell in row[:3]) in held_out:
            row[:3] = ["-9", "-9", "-9"]
    assert sum(row[0] == "-9" for row in table.rows) > 20
    table.write(tmp_path / "pump.csv")
    run(recipe, tmp_path / "poisoned")
    assert learnt(deterministic(tmp_path / "poisoned")) == learnt(deterministic(tmp_path / "clean"))
    assert (tmp_path / "poisoned/results.json").read_bytes() != (tmp_path / "clean/results.json").read_bytes()


def raw_test_rows(fleet, name):
    """A device's test samples in raw units, rounded as the table has them."""
    device = next(device for device in fleet.devices if device.name == name)
    return device.preparation.raw(fleet.test[name].x).round(3).tolist()
