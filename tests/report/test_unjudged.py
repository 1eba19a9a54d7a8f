"""What the report says of devices without faults, or without labels: their false alarms, and no more."""

from pages import Outline, data_of, details_of, row_of
from run_folder import device, metrics, write_run

from fedmetaalign.report.decision import headline
from fedmetaalign.report.findings import findings, verdict
from fedmetaalign.report.page import build
from fedmetaalign.report.reading import read_run


def without_faults(share, low):
    """A device's part of results.json, with as many false alarms as that."""
    return {
        "stages": {"deployed": metrics(1 - share) | {"f1": None, "recall": None, "balanced_accuracy": None}},
        "threshold": 0.4,
        "threshold_note": "There is no fault to choose it by.",
        "majority": None,
        "one_rule": None,
        "samples": {"test": 40, "train": 160},
        "model_bytes": 48_000,
        "known": "normal",
        "false_alarms": {"share": share, "low": low, "high": 0.5, "allowed": 0.01, "samples": 40},
    }


NOTHING = without_faults(0.0, 0.0) | {"known": "nothing", "false_alarms": None}


def run_of(folder, devices):
    return read_run(write_run(folder, list(devices), {"devices": devices, "fleet": {}}, entries=[]))


def words(run):
    return [sentence.replace("\u202f", " ") for sentence in verdict(run)]


def test_they_are_counted_and_change_no_other_figure(tmp_path):
    judged = {"a": device(0), "b": device(1)}
    others = {"c": without_faults(0.05, 0.006), "d": without_faults(0.025, 0.0006), "e": NOTHING}
    alone, run = run_of(tmp_path / "two", judged), run_of(tmp_path / "five", judged | others)
    assert headline(run) == headline(alone).replace("both devices", "the 2 devices that could be judged")
    assert words(run) == [
        *words(alone),
        "2 devices have no faults to be judged by: 3.8 % false alarms on average; they are in no other figure.",
        "1 device has no labels, and nothing can be judged there.",
    ]
    assert [finding.tag for finding in findings(run)] == [finding.tag for finding in findings(alone)]


def test_more_false_alarms_than_allowed_are_told_if_that_is_no_chance(tmp_path):
    run = run_of(tmp_path, {"a": device(0), "b": without_faults(0.1, 0.028), "c": without_faults(0.1, 0.01)})
    [found] = [finding for finding in findings(run) if finding.tag == "too many false alarms"]
    [(name, text)] = found.devices
    assert (name, text.replace("\u202f", " ")) == ("b", "10.0 % of 40 normal test samples, 1.0 % were allowed")


def test_the_page_calls_their_accuracy_what_it_is(tmp_path):
    page = build(run_of(tmp_path, {"a": device(0), "b": without_faults(0.05, 0.006), "c": NOTHING}))
    assert row_of(page, "b", "known", "test", "deployed", "threshold") == ["normal", 40, None, 400]
    assert row_of(page, "c", "known") == ["nothing"]
    assert details_of(page, "b")["false_alarms"] == {
        "share": 0.05,
        "low": 0.006,
        "high": 0.5,
        "allowed": 0.01,
        "samples": 40,
    }


def test_a_fleet_that_nobody_can_judge_has_a_page(tmp_path):
    run = run_of(tmp_path, {"b": without_faults(0.05, 0.006), "c": NOTHING})
    assert headline(run) == "2 devices: no test accuracy was measured."
    assert "1 device has no labels" in build(run)


def test_a_fleet_whose_devices_all_have_faults_says_nothing_of_it(tmp_path):
    assert "known" not in data_of(build(run_of(tmp_path, {"a": device(0)})))["columns"]


def test_faults_that_are_too_few_to_test_are_no_hundred_per_cent(tmp_path):
    few = device(0) | {"few_faults": {"faults": 2, "found": 2, "low": 0.158, "high": 1.0}}
    run = run_of(tmp_path, {"a": few, "b": device(1)})
    (told,) = [finding for finding in findings(run) if finding.tag == "few faults"]
    assert [(name, text.replace("\u202f", " ")) for name, text in told.devices] == [
        ("a", "2 of 2 faults found, which is 15.8 % to 100.0 % of all with 95 % confidence")
    ]
    assert {"f1", "recall", "pr_auc"}.isdisjoint(run.devices[0].final) and "f1" in run.devices[1].final
    assert run.devices[0].accuracy == few["stages"]["deployed"]["accuracy"]


def test_devices_that_are_left_out_are_named_with_what_is_wrong(tmp_path):
    path = write_run(
        tmp_path,
        ["a"],
        {
            "devices": {"a": device(0), "b": device(1)},
            "fleet": {},
            "left_out": {
                "pump": [{"sentence": f"pump.csv, line {line} is <i>short</i>"} for line in range(2, 9)],
                "fan": [{"sentence": "fan.csv is empty", "file": "fan.csv"}],
            },
        },
        entries=[],
    )
    run = read_run(path)
    assert words(run)[-1] == "2 devices could not be used and were left out: pump and fan."
    text = Outline(build(run)).text
    assert "Left out: 2 devices pump and fan" in text and "fan : fan.csv is empty" in text.replace(
        "fan:", "fan :"
    )
    assert "line 6 is <i>short</i>; and 2 more" in text and "line 7" not in text


def test_precision_and_recall_are_told_where_a_device_has_them(tmp_path):
    curve = {"pr_curve": [[0.5, 1.0], [1.0, 0.75]]}
    page = build(run_of(tmp_path, {"a": device(0) | curve, "b": device(1)}))
    assert details_of(page, "a")["curve"] == [[0.5, 1.0], [1.0, 0.75]] and "curve" not in details_of(page, "b")
