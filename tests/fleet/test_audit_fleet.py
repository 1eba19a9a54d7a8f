"""Audits of fleets find what was planted: copied devices, copies across a split, neighbours, wrong labels."""

import numpy as np
import pytest

from fedmetaalign.errors import DataError
from fedmetaalign.fleet.audit.doubts import doubted
from fedmetaalign.fleet.audit.fleet import audit_files, audit_recipe, audit_tables, grouped, lines
from fedmetaalign.recipe import parse


@pytest.fixture
def random():
    return np.random.default_rng(8)


@pytest.fixture
def folder(tmp_path):
    """Writes tables with the features a and b and a label, and returns a recipe for all of them."""

    def write(**tables):
        for name, (x, y) in tables.items():
            rows = [f"{a!r},{b!r},{label}" for (a, b), label in zip(x.tolist(), y, strict=True)]
            (tmp_path / f"{name}.csv").write_text("a,b,fault\n" + "\n".join(rows) + "\n", encoding="utf-8")
        fleet = {"table": str(tmp_path / "*.csv"), "label": "fault", "features": ["a", "b"]}
        return parse({"fleet": fleet}, "test")

    return write


def device(random, rows=200):
    y = random.integers(0, 2, rows)
    return random.normal(size=(rows, 2)) + y[:, None], y


def codes(findings):
    return {finding.code for finding in findings}


def test_a_device_that_is_a_copy_is_an_error(folder, random):
    one, other = device(random), device(random)
    order = random.permutation(200)[:190]
    found = audit_recipe(folder(one=one, other=other, copy=(one[0][order], one[1][order])))
    (twin,) = [finding for finding in found.findings if finding.code == "duplicate-device"]
    assert twin.severity == "error"
    assert twin.sentence.startswith("Device copy holds rows of one (190 of 190)") or twin.sentence.startswith(
        "Device one holds rows of copy"
    )
    assert any("3 devices with 590 labelled rows" in finding.sentence for finding in found.findings)


def test_copies_on_both_sides_of_a_split(folder, random):
    x, y = device(random, 150)
    twice = (np.concatenate([x, x]), np.concatenate([y, y]))
    findings = audit_recipe(folder(one=twice, other=device(random))).audits[0].findings
    (copies,) = [finding for finding in findings if finding.code == "copies"]
    assert copies.severity == "error"
    assert "in the training set too" in copies.sentence
    nearly = (np.concatenate([x, x + 1e-7]), np.concatenate([y, y]))
    assert "near-copies" in codes(audit_recipe(folder(one=nearly, other=device(random))).audits[0].findings)


def test_a_random_split_of_a_waveform_is_told_and_one_by_blocks_is_not(folder, random):
    angle = np.arange(1500) / 40
    y = (np.arange(1500) // 250) % 2
    x = np.stack([np.sin(angle) + 3 * y + angle / 10, np.cos(angle) + angle / 10], axis=1)
    recipe = folder(wave=(x, y), plain=device(random))
    assert "neighbours" in codes(audit_recipe(recipe).audits[1].findings)
    assert "neighbours" not in codes(audit_recipe(recipe).audits[0].findings)
    blocks = recipe.model_copy(
        update={"splits": recipe.splits.model_copy(update={"kind": "blocks", "block": 50})}
    )
    assert "neighbours" not in codes(audit_recipe(blocks).audits[1].findings)


def test_a_device_that_cannot_be_divided_is_told_beside_the_others(folder, random):
    tiny = random.normal(size=(3, 2)), [0, 0, 1]
    plain, small = audit_recipe(folder(plain=device(random), tiny=tiny)).audits
    assert "split" not in codes(plain.findings)
    assert "Device tiny has" in next(finding.sentence for finding in small.findings if finding.code == "split")


def test_flipped_labels_are_found_and_honest_noise_is_not(random):
    y = random.integers(0, 2, 600)
    x = random.normal(size=(600, 3)) + 3 * y[:, None]
    flipped = random.choice(600, 18, replace=False)
    wrong = y.copy()
    wrong[flipped] = 1 - wrong[flipped]
    found = doubted(x, wrong)
    assert len({*found} & {*flipped}) >= 12  # the rule asks for as much certainty as the class has on average
    assert len({*found} - {*flipped}) <= 3
    assert len(doubted(x, y)) <= 3
    assert len(doubted(random.normal(size=(600, 3)), y)) == 0  # nothing can be learnt, and nothing is doubted


def test_likely_errors_are_named_by_their_rows(folder, random):
    y = random.integers(0, 2, 300)
    x = random.normal(size=(300, 2)) + 5 * y[:, None]
    y[41] = 1 - y[41]
    (found,) = [f for f in audit_recipe(folder(one=(x, y))).audits[0].findings if f.code == "doubts"]
    assert f"look at rows 42 ({'fault' if y[41] else 'no fault'})" in found.sentence


def test_a_bad_table_does_not_stop_the_others(tmp_path, folder, random):
    folder(one=device(random), two=device(random))
    (tmp_path / "bad.csv").write_text("a,b,fault\n1,2\n", encoding="utf-8")
    paths = [tmp_path / name for name in ("bad.csv", "one.csv", "none.csv", "two.csv")]
    found = audit_tables(paths)
    assert [audit.source for audit in found.audits] == [str(paths[1]), str(paths[3])]
    bad, none = found.wrong
    assert "bad.csv, line 2" in bad.sentence
    assert "none.csv does not exist" in none.sentence
    with pytest.raises(DataError, match=r"(?s)bad\.csv.*none\.csv"):
        audit_files(paths)


def test_words_for_labels_with_and_without_help(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("a,b,state\n" + "1,5,fine\n2,6,leaky\n3,7,dry\n1,8,fine\n" * 10, encoding="utf-8")
    assert audit_tables([path]).audits[0].faults == 20
    assert audit_tables([path], ["state"], positive=["dry"]).audits[0].faults == 10
    assert audit_tables([path], ["state"], normal=["dry"]).audits[0].faults == 30
    (wrong,) = audit_tables([path], ["state"], normal=["okay"]).wrong
    assert "column 'state' never holds 'okay'; it holds 'fine'" in wrong.sentence


def test_what_many_devices_share_is_printed_once(folder, random):
    tables = {}
    for i in range(5):
        x, y = device(random, 60)
        x[:, 1] = 7
        tables[f"d{i}"] = x, y
    found = audit_recipe(folder(**tables))
    constant = [(finding, sources) for finding, sources in grouped(found) if finding.code == "constant"]
    assert [(finding.column, len(sources)) for finding, sources in constant] == [("b", 5)]
    assert sum("'b' is always 7" in line for line in lines(found)) == 1
    assert "warning: d0 and 4 more: Column 'b' is always 7; leave it out." in lines(found)
