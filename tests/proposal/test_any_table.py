"""Whatever tables hold, init and audit give a result or one of our sentences, and the recipe is TOML."""

import json
import tomllib
from datetime import datetime, timedelta

import numpy as np
import polars as pl
import pytest
from recordings import folder

from fedmetaalign.errors import DataError
from fedmetaalign.fleet.audit.fleet import audit_tables, lines
from fedmetaalign.proposal.propose import propose
from fedmetaalign.proposal.reading import read, tables_in
from fedmetaalign.proposal.summary import summary, to_dict
from fedmetaalign.proposal.text import recipe_text
from fedmetaalign.proposal.trial import runnable
from fedmetaalign.report.audit_page import audit_page

NAMES = [
    "state", "label", "machine", "recording", "time", "a b", "x[bar]", 'q"uote', "new\nline", "temp*", "",
    "T.x", "id", "ttf", "split", "Ä", "pump", "cycle", "status", "v1", "v2", "failure mode", "#x", "'",
]  # fmt: skip


def column(random, rows):
    start = datetime(2025, 1, 1)
    return [
        lambda: random.normal(size=rows),
        lambda: random.integers(0, 2, rows),
        lambda: np.arange(rows),
        lambda: [None] * rows,
        lambda: random.choice(["ok", "leak", ""], rows),
        lambda: [f"2025-01-{1 + i % 28:02d}" for i in range(rows)],
        lambda: random.integers(0, 5, rows).astype(float),
        lambda: [bool(x) for x in random.integers(0, 2, rows)],
        lambda: [[1, 2]] * rows,
        lambda: [start + timedelta(hours=i) for i in range(rows)],
        lambda: [timedelta(hours=i) for i in range(rows)],
        lambda: [None if x < 0.1 else float(x) for x in random.random(rows)],
        lambda: np.full(rows, np.nan),
        lambda: np.where(random.random(rows) < 0.1, np.inf, 1e300 * random.normal(size=rows)),
        lambda: [f"x{i}" for i in random.integers(0, rows, rows)],
        lambda: [b"a"] * rows,
    ][random.integers(16)]()


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("seed", range(16))
def test_a_result_or_a_sentence(tmp_path, seed):
    random = np.random.default_rng(seed)
    for i in range(random.integers(1, 4)):
        rows = int(random.choice([1, 3, 30, 200]))
        chosen = random.choice(NAMES, int(random.integers(1, 9)), replace=False)
        frame = pl.DataFrame({str(name): pl.Series(column(random, rows), strict=False) for name in chosen})
        frame = frame.with_columns(pl.Series("fault", random.integers(0, 2, rows)))
        plain = not any(kind.is_nested() or kind in (pl.Duration, pl.Binary) for kind in frame.dtypes)
        frame.write_csv(tmp_path / f"t{i}.csv") if plain else frame.write_parquet(tmp_path / f"t{i}.parquet")
    paths = tables_in([tmp_path])
    found = audit_tables(paths)
    assert len(found.audits) + len(found.wrong) >= len(paths)
    assert json.dumps(found.to_list(), allow_nan=False) and lines(found) and audit_page(found)
    try:
        families, wrong = read(paths)
        proposal = propose(families, "any", wrong=wrong)
    except DataError:
        return

    def write(each):
        return recipe_text(each, tmp_path, "init", "run")

    proposal, trial = runnable(proposal, write, tmp_path)
    keys = tomllib.loads(write(proposal))
    sources = keys["fleet"].get("devices", [keys["fleet"]])
    assert all({"table", "label", "features"} <= source.keys() for source in sources)
    assert json.dumps(to_dict(proposal), allow_nan=False) and summary(proposal)
    assert trial.refusal == "" or len(trial.refusal) > 20


def test_a_folder_of_recordings_becomes_windows_that_run(tmp_path, cli):
    folder(tmp_path, machines=3, rows=2048, runs=3)
    outcome = cli("init", tmp_path, "--yes", "--out", tmp_path / "recipe.toml")
    assert outcome.status == 0
    assert "refuse" not in outcome.out
    found = tomllib.loads((tmp_path / "recipe.toml").read_text(encoding="utf-8"))
    assert found["fleet"]["window"] == {
        "length": 64,
        "stride": 32,
        "by": "run",
        "front": ["statistics", "bands"],
    }
    assert (found["fleet"]["label"], found["fleet"]["normal"]) == ("state", ["normal"])
    assert found["fleet"]["features"] == ["accel"]
    assert found["splits"] == {"kind": "units"}


def test_recordings_whose_names_tell_the_label_are_answered_with_the_key_that_reads_names(tmp_path, refused):
    folder(tmp_path, machines=2, rows=64, runs=1)
    for path in tmp_path.glob("*.csv"):
        pl.read_csv(path).select("accel").write_csv(path)
    assert refused("init", tmp_path, "--yes").endswith(
        "name it with --label; or, where the names of files tell it, as of recordings, write a recipe with"
        " fleet.window.files."
    )
