"""The audit names what was planted in small tables, and what is known about the real ones."""

import json

import numpy as np
import pytest

from fedmetaalign.errors import DataError
from fedmetaalign.fleet.audit.fleet import audit_files
from fedmetaalign.fleet.audit.rows import runs_test
from fedmetaalign.fleet.audit.table import audit, audit_file, sentences
from fedmetaalign.fleet.schema import Table


def write(path, **columns):
    """Writes columns (with `_` for a space in their names) as a .csv file."""
    lines = [",".join(name.replace("_", " ") for name in columns)]
    lines += [",".join(str(cell) for cell in row) for row in zip(*columns.values(), strict=True)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def codes(result):
    return {(finding.code, finding.column) for finding in result.findings}


def sentence(result, code):
    return next(finding.sentence for finding in result.findings if finding.code == code)


@pytest.fixture
def random():
    return np.random.default_rng(5)


def table(x, y, **more):
    features = tuple("abcdefgh"[: x.shape[1]])
    return Table("device", features, x, np.asarray(y, np.int8), ("",) * len(features), **more)


class TestTable:
    def test_rule_balance_and_json(self):
        result = audit(table(np.array([[1.0], [2.0], [3.0], [4.0]]), [0, 0, 0, 1]))
        assert result.majority == 0.75
        assert (result.rows, result.faults, result.features) == (4, 1, ("a",))
        assert sentence(result, "rule") == "The single rule 'a > 3.5 means fault' is right in 100.00%."
        assert json.loads(json.dumps(result.to_dict()))["rule"] == {
            "feature": "a", "threshold": 3.5, "above": True, "accuracy": 1.0,
        }  # fmt: skip
        assert any(line.startswith("error: Column 'a' alone") for line in sentences(result))

    def test_constant_rule_is_null_in_json(self):
        result = audit(table(np.array([[1.0], [1.0], [1.0]]), [0, 0, 1]))
        assert ("constant", "a") in codes(result)
        assert json.loads(json.dumps(result.to_dict(), allow_nan=False))["rule"]["threshold"] is None

    def test_one_class(self):
        result = audit(table(np.arange(3.0)[:, None], [0, 0, 0]))
        assert result.findings[0].code == "one-class"
        assert result.findings[0].severity == "error"

    def test_duplicates_that_disagree(self):
        x = np.array([[1.0, 2.0], [1.0, 2.0], [0.0, 2.0], [-0.0, 2.0], [3.0, 1.0]])
        result = audit(table(x, [0, 1, 0, 0, 1]))
        assert "in every feature: 2; rows with a copy of the other label: 2;" in sentence(result, "duplicates")

    def test_random_rows_are_not_reported(self, random):
        y = random.integers(0, 2, 500)
        result = audit(table(random.normal(size=(500, 3)) + 0.7 * y[:, None], y))
        assert {finding.code for finding in result.findings} == {"balance", "rule"}

    def test_noise_is_reported(self, random):
        result = audit(table(random.normal(size=(500, 3)), random.integers(0, 2, 500)))
        assert "No single feature carries signal" in sentence(result, "no-signal")

    def test_a_wider_spread_is_signal(self, random):
        y = random.integers(0, 2, 500)
        result = audit(table(random.normal(size=(500, 3)) * (1 + 3 * y[:, None]), y))
        assert "no-signal" not in {finding.code for finding in result.findings}

    def test_order(self, random):
        y = np.repeat([0, 1], 100)
        result = audit(table(np.sort(random.normal(size=(200, 1)), axis=0), y))
        assert "in order of their label: 2 runs where a random order has about 101" in sentence(result, "order")
        assert "from 0.0% in the first fifth to 100.0% in the last" in sentence(result, "drift")
        assert ("sorted", "a") in codes(result)

    def test_order_by_kind(self, random):
        kinds = np.repeat(["x", "y", "z"], 40)
        y = np.repeat([0, 1, 1], 40)
        result = audit(table(random.normal(size=(120, 1)), y, kinds=kinds))
        assert ": 3 runs where a random order has about 81" in sentence(result, "order")


class TestRuns:
    def test_by_hand(self):
        # 5 and 5: mean 1 + 2*25/10 = 6, variance 50 * (50 - 10) / (100 * 9) = 20/9
        runs, expected, z = runs_test(np.array([0] * 5 + [1] * 5))
        assert (runs, expected) == (2, 6.0)
        assert z == pytest.approx(-4 / np.sqrt(20 / 9))

    def test_against_shuffles_of_three_kinds(self, random):
        kinds = np.repeat([0, 1, 2], [5, 10, 15])
        drawn = [runs_test(random.permutation(kinds))[0] for _ in range(3000)]
        runs, expected, z = runs_test(kinds)
        assert np.mean(drawn) == pytest.approx(expected, abs=0.2)
        assert np.std(drawn) == pytest.approx((runs - expected) / z, rel=0.05)

    def test_one_kind(self):
        assert runs_test(np.zeros(4)) == (1, 1.0, 0.0)
        assert runs_test(np.zeros(1)) == (1, 1.0, 0.0)


class TestFile:
    def test_planted_columns(self, tmp_path, random):
        rows = 400
        y = random.integers(0, 10, rows) == 0
        y[:25] = True
        y = random.permutation(y).astype(int)
        part = np.zeros(rows, int)
        part[np.flatnonzero(y)[:22]] = 1
        rare = np.zeros(rows, int)
        rare[[3, 50]] = 1
        load = random.normal(size=rows)
        path = write(
            tmp_path / "t.csv",
            row_number=range(1, rows + 1),
            serial=[f"S{n}" for n in range(rows)],
            machine_id=random.integers(0, 5, rows),
            load=load,
            always=[7] * rows,
            nothing=[""] * rows,
            gaps=["" if n % 100 == 0 else random.normal() for n in range(rows)],
            mixed=["?" if n == 9 else random.normal() for n in range(rows)],
            site=random.choice(["x", "y", "z"], rows),
            cause=["wear" if fault else "none" for fault in y],
            score=y + 0.001 * random.normal(size=rows),
            faulty=y,
            part=part,
            rare=rare,
        )
        result = audit_file(path)
        assert result.label == ("faulty",)
        assert result.features == ("load", "gaps", "mixed")
        assert codes(result) >= {
            ("identifier", "row number"),
            ("identifier", "serial"),
            ("identifier", "machine id"),
            ("constant", "always"),
            ("empty", "nothing"),
            ("missing", "gaps"),
            ("mixed", "mixed"),
            ("text", "site"),
            ("leak", "cause"),
            ("leak", "score"),
            ("leak", "part"),
            ("suspect", "rare"),
        }
        assert "100.0% of the 22 rows where it is 1 are faults" in next(
            finding.sentence for finding in result.findings if finding.column == "part"
        )
        severities = [finding.severity for finding in result.findings]
        assert severities == sorted(severities, key=["error", "warning", "info"].index)

    @pytest.mark.parametrize(
        ("columns", "label", "faults", "why"),
        [
            ({"flag": [0, 1, 0], "Failure": ["No", "Yes", "No"]}, ("Failure",), 1, "'Yes' means fault"),
            ({"Output (S)": [0, 1, 1], "flag": [1, 1, 0]}, ("Output (S)",), 2, "by its name"),
            ({"G": [0, 1, 0], "C": [1, 1, 0], "v": [1, 2, 3]}, ("G", "C"), 2, "a fault if any is set"),
            ({"on": [0, 1, 1], "v": [1, 2, 3], "x": [1, 0, 0]}, ("x",), 1, "these are 0/1"),
            (
                {"v": [1, 2, 3], "state": ["up", "down", "up"]},
                ("state",),
                1,
                "'down' means fault and 'up' no fault (by its name",
            ),
            ({"fault": ["true", "false", "true"], "v": [1, 2, 3]}, ("fault",), 2, "by its name"),
        ],
    )
    def test_the_label_is_guessed_and_said(self, tmp_path, columns, label, faults, why):
        result = audit(str(write(tmp_path / "t.csv", **columns)))
        assert result.label == label
        assert result.faults == faults
        assert why in sentence(result, "label")

    def test_the_label_is_named(self, tmp_path):
        path = write(tmp_path / "t.csv", failure=[0, 0, 1], mode=[0, 1, 2], v=[1, 2, 3])
        assert audit_file(path, "mode", positive=(1, 2)).faults == 2
        assert audit_file(path, ("failure", "mode")).faults == 2
        result = audit_file(path, "mode")
        assert result.faults == 2
        assert "'1', '2' mean fault and '0' no fault" in sentence(result, "label")

    def test_hardly_anything(self, tmp_path):
        assert audit_file(write(tmp_path / "t.csv", fault=[0, 1])).features == ()
        result = audit_file(write(tmp_path / "t.csv", a=[1], fault=[0]))
        assert {("one-class", None), ("constant", "a")} <= codes(result)
        with pytest.raises(DataError, match="no row with a label"):
            audit_file(write(tmp_path / "t.csv", a=[1, 2], fault=["", ""]), "fault")

    def test_no_label(self, tmp_path):
        with pytest.raises(DataError, match="no column that looks like a label"):
            audit_file(write(tmp_path / "t.csv", a=[1, 2, 3], b=[1, 2, 3]))

    def test_rows_without_a_label(self, tmp_path):
        result = audit_file(write(tmp_path / "t.csv", a=[1, 2, 3, 4], fault=[0, "", 1, 1]))
        assert (result.rows, result.faults) == (3, 2)
        assert "Rows without a label, left out here: 1;" in sentence(result, "missing")

    def test_missing_values_that_mean_fault(self, tmp_path, random):
        y = np.tile([0, 0, 0, 1], 30)
        cells = ["" if fault else random.normal() for fault in y]
        result = audit_file(write(tmp_path / "t.csv", a=cells, b=random.normal(size=120), fault=y))
        assert "of the 30 rows where it is missing are faults" in sentence(result, "leak")
        assert result.features == ("b",)


class TestFiles:
    def test_both_audits_name_the_overlap(self, tmp_path, random):
        columns = {"a": random.normal(size=60), "b": random.normal(size=60), "fault": [0, 1] * 30}
        whole = write(tmp_path / "whole.csv", **columns)
        part = write(tmp_path / "part.csv", **{name: values[9:39] for name, values in columns.items()})
        other = write(tmp_path / "other.csv", **columns | {"a": random.normal(size=60)})
        audits = audit_files([whole, part, other])
        assert [one.findings[0].code == "contained" for one in audits] == [True, True, False]
        assert audits[1].findings[0].sentence.startswith(f"All 30 rows of {part} are also in {whole}")


class TestRealFiles:
    """The statements of the provenance notes beside the files."""

    def test_ai4i(self, real_data):
        result = audit_file(real_data / "ai4i2020.csv")
        assert result.label == ("Machine failure",)
        leaks = {finding.column for finding in result.findings if finding.code == "leak"}
        assert leaks == {"TWF", "HDF", "PWF", "OSF"}
        assert codes(result) >= {("suspect", "RNF"), ("identifier", "UDI"), ("identifier", "Product ID")}
        assert len(result.features) == 5
        assert result.majority == pytest.approx(0.9661)

    @pytest.mark.parametrize(
        ("file", "runs", "faults"), [("classData.csv", 6, 5496), ("detect_dataset.csv", 11, 5496)]
    )
    def test_electrical(self, file, runs, faults, real_data):
        result = audit_file(real_data / file)
        assert f": {runs} runs where" in sentence(result, "order")
        assert result.faults == faults
        assert "duplicates" not in {finding.code for finding in result.findings}

    def test_machine_failure(self, real_data):
        result = audit_file(real_data / "machine_failure_umerrtx.csv")
        assert ("sorted", "Temperature") in codes(result)
        assert "in every feature: 1; rows with a copy of the other label: 0;" in sentence(result, "duplicates")
        assert "from 25.4% in the first fifth to 51.1% in the last" in sentence(result, "drift")
        assert result.features[result.rule.feature] == "VOC"

    def test_equipment(self, real_data):
        result = audit_file(real_data / "equipment_anomaly_data.csv")
        chance = [f.column for f in result.findings if f.code == "text" and "no more than chance" in f.sentence]
        assert chance == ["equipment", "location"]

    def test_noise(self, real_data):
        result = audit_file(real_data / "machine_failure_3000.csv")
        assert "no-signal" in {finding.code for finding in result.findings}
        assert result.rule.accuracy == pytest.approx(result.majority)
        assert result.majority == pytest.approx(0.9007, abs=1e-4)
