"""Whether to deploy, to whom, and what that rests on."""

from pathlib import Path
from typing import Any

import pytest
from pages import data_of, page_of, row_of, words_of
from run_folder import metrics, write_run
from test_findings import beside, plain, run_of

from fedmetaalign.report.decision import headline, summary, unfit
from fedmetaalign.report.findings import Finding
from fedmetaalign.report.finished import Run
from fedmetaalign.report.numbers import interval_of_mean, tells_apart
from fedmetaalign.report.reading import read_run
from fedmetaalign.report.sharing import learnt_from, received


def said(run: Run) -> str:
    return headline(run).replace("\u202f", " ").replace("\u2212", "-")


def fleet(gain: float, count: int = 16, samples: int = 320) -> dict[str, Any]:
    """Devices that all gain as much, but for two points more or less by turns."""
    return {f"f-{i:02d}": beside(0.8 + gain + (-1) ** i * 0.02, 0.8, samples) for i in range(count)}


CONSTANT = {"balanced_accuracy": 0.5, "recall": 0.0}


def constant(entry: dict[str, Any]) -> dict[str, Any]:
    entry["stages"]["deployed"] |= CONSTANT
    return entry


@pytest.mark.parametrize(
    ("devices", "begins"),
    [
        # sd 2.066 points over 16 devices: 2.131 * 2.066 / 4 = 1.1 points to either side.
        (
            fleet(0.104),
            "Deploy these models on all 16 devices: on 5,120 held-out samples they are right 90.4 % of the"
            " time, 10.4 points more than models trained alone [+9.3, +11.5].",
        ),
        (
            fleet(-0.104),
            "Do not deploy these models: on 5,120 held-out samples they are right 69.6 % of the time, 10.4"
            " points less than models trained alone [-11.5, -9.3].",
        ),
        (
            fleet(0.0),
            "These models may be deployed on all 16 devices, but nothing shows that joining pays: on 5,120"
            " held-out samples they are right 80.0 % of the time, as often as models trained alone [-1.1,"
            " +1.1].",
        ),
        (
            fleet(0.104, 14) | {"m-0": beside(0.5, 0.8, 320), "m-1": beside(0.6, 0.8, 80)},
            "Deploy these models on 14 of 16 devices: there, on 4,480 held-out samples they are right 90.4 %"
            " of the time, 10.4 points more than models trained alone [+9.2, +11.6]; m-0 and m-1 do better"
            " with the model that they train alone.",
        ),
        (
            fleet(0.104, 3) | {"bad": constant(plain(0.7)) | {"alone": metrics(0.7)}},
            "Deploy these models on 3 of 4 devices: there, on 960 held-out samples they are right 91.1 % of"
            " the time, 11.1 points more than models trained alone [+5.3, +16.8]; the model of bad gives the"
            " same answer to every sample.",
        ),
        (
            {name: constant(beside(0.7, 0.6)) for name in "abc"},
            "Do not deploy these models: on 300 held-out samples they are right 70.0 % of the time, 10.0"
            " points more than models trained alone [+10.0, +10.0]; all 3 give the same answer to every"
            " sample.",
        ),
        (
            {name: constant(plain(0.7)) for name in "ab"},
            "Do not deploy these models: on 200 held-out samples they are right 70.0 % of the time; majority"
            " class 70.0 %, best single-threshold rule 80.0 %; all 2 give the same answer to every sample.",
        ),
        # Of two devices there is no interval, only the luck of their test samples.
        (
            {"a": beside(0.9, 0.5), "b": beside(0.92, 0.5, 50)},
            "Deploy these models on both devices: on 150 held-out samples they are right 91.0 % of the time"
            " on average, 41.0 points more than models trained alone.",
        ),
        (
            {"a": beside(0.9, 0.8), "b": plain(0.9)},
            "These models may be deployed on the 1 device that could be",
        ),
    ],
)
def test_who_is_to_deploy_and_what_it_rests_on(tmp_path: Path, devices: dict[str, Any], begins: str) -> None:
    assert said(run_of(tmp_path, devices)).startswith(begins)


def test_the_devices_that_the_headline_leaves_out_have_their_reasons(tmp_path: Path) -> None:
    devices = fleet(0.104, 14) | {"m-0": beside(0.5, 0.8, 320), "bad": constant(plain(0.7))}
    assert unfit(run_of(tmp_path, devices)) == {
        "m-0": "the model that it trains alone does better",
        "bad": "it gives the same answer to every sample",
    }


def test_a_headline_counts_more_devices_than_it_has_room_for(tmp_path: Path) -> None:
    devices = fleet(0.104, 40) | {f"m-{i}": beside(0.5, 0.8, 320) for i in range(6)}
    assert said(run_of(tmp_path, devices)).endswith(
        "; 6 devices do better with the model that they train alone."
    )


def test_many_losers_are_not_left_out_to_make_the_others_look_well(tmp_path: Path) -> None:
    devices = {name: beside(0.5, 0.9) for name in "abcdefgh"} | {"i": beside(0.9, 0.9), "j": beside(0.9, 0.89)}
    assert said(run_of(tmp_path, devices)).startswith("Do not deploy these models: on 1,000 held-out samples")


@pytest.mark.parametrize(
    ("device", "says"),
    [
        # 6 and 26 errors in 100: at most 32 samples on which one is right, 1.96 sqrt(32) + 1 = 12.1 by chance.
        (beside(0.94, 0.74), "Deploy this model of one device's samples: on 100 held-out"
         " samples it is right 94.0 % of the time, 20.0 points more than by plain training."),
        (beside(0.74, 0.94), "Do not deploy this model of one device's samples: on 100"
         " held-out samples it is right 74.0 % of the time, 20.0 points less than by plain training."),
        (beside(0.90, 0.94), "Deploy this model of one device's samples: on 100 held-out"
         " samples it is right 90.0 % of the time, 4.0 points less than by plain training, which may be"
         " chance."),
        (plain(0.8), "This model of one device's samples may be deployed, but"
         " nothing shows that it takes a network: on 100 held-out samples it is right 80.0 % of the time;"
         " majority class 70.0 %, best single-threshold rule 80.0 %."),
        (constant(beside(0.7, 0.7)), "Do not deploy this model of one device's samples: on 100"
         " held-out samples it is right 70.0 % of the time, as often as by plain training; it gives the same"
         " answer to every sample."),
    ],
)  # fmt: skip
def test_a_fleet_of_one_is_a_model_of_one_devices_samples(
    tmp_path: Path, device: dict[str, Any], says: str
) -> None:
    run = run_of(tmp_path, {"a": device})
    assert said(run) == says
    shown = words_of(page_of(tmp_path)) + str(summary(run))
    assert [word for word in ("federation", "he fleet", "training alone") if word in shown] == []


def test_one_device_that_is_left_of_several_is_no_fleet_of_one(tmp_path: Path) -> None:
    entries = [{"phase": 1, "round": 1, "device": name, "query_loss": 0.5} for name in "ab"]
    write_run(tmp_path, ["a"], {"devices": {"a": beside(0.9, 0.6)}, "fleet": {}}, entries=entries)
    assert said(read_run(tmp_path)).startswith("Deploy these models on the one device that finished: ")


def test_rare_faults_that_are_found_outweigh_false_alarms_and_a_blind_model_does_not(tmp_path: Path) -> None:
    def rare(balanced: float) -> dict[str, Any]:
        entry = plain(0.95, 0.98, 0.9) | {"alone": metrics(0.95), "samples": {"test": 1000}}
        entry["stages"]["deployed"]["balanced_accuracy"] = balanced
        return entry

    run = run_of(tmp_path, {"found": rare(0.9), "blind": rare(0.55), "other": rare(0.8)})
    assert said(run).endswith("; the model of blind does worse than always naming the most frequent class.")
    # 20 faults among 1,000: 1.96 / 4 * sqrt(1 / 20 + 1 / 980) = 0.1107
    assert tells_apart(0.611, 0.98, 1000) and not tells_apart(0.610, 0.98, 1000)


def test_the_interval_of_a_mean_is_students() -> None:
    # mean 2, standard error 1 / sqrt(3), 4.3027 of them for two degrees of freedom
    assert interval_of_mean([1, 2, 3]) == pytest.approx((2 - 2.4841, 2 + 2.4841), abs=1e-4)
    assert interval_of_mean([1, 2]) is None


def blended(folder: Path, blends: dict[str, str | None], groups: dict[str, int]) -> Run:
    devices = {name: beside(0.9, 0.8) for name in blends}
    for name, blend in blends.items():
        if blend:
            devices[name]["blend"] = {"name": blend, "estimates": {"joint": 0.1, "local": 0.2}}
    result = {"devices": devices, "fleet": {"groups": groups}}
    return read_run(write_run(folder, list(devices), result, entries=[]))


def test_what_each_model_has_learnt_from_and_who_shares_a_group(tmp_path: Path) -> None:
    blends = {
        "f-0": "joint",
        "f-1": "local",
        "f-2": None,
        "f-3": "joint",
        "m-0": "joint",
        "m-1": "joint",
        "z": "joint",
    }
    groups = dict.fromkeys(("f-0", "f-1", "f-2", "f-3"), 1) | {"m-0": 2, "m-1": 2, "z": 3}
    run = blended(tmp_path, blends, groups)
    assert received(run) == (
        "On 4 of 7 devices the model has learnt from its own and its group's samples, on 1 from its group's"
        " samples and on 2 from its own samples alone (f-1 and z).",
        "3 groups: f-0 \u2026 f-3; m-0 and m-1; z.",
    )
    assert summary(run)[-1].endswith("3 groups: f-0 ... f-3; m-0 and m-1; z.")
    page = page_of(tmp_path)
    assert data_of(page)["learnt"] == [
        "its own and its group's samples",
        "its group's samples",
        "its own samples",
    ]
    assert [row_of(page, name, "group", "learnt") for name in ("f-0", "f-1", "f-2", "z")] == [
        [1, 0],
        [1, 2],
        [1, 1],
        [3, 2],
    ]


def test_a_group_with_others_between_is_named_in_parts(tmp_path: Path) -> None:
    names = [f"d{i}" for i in range(8)]
    groups = {name: 2 if name in ("d3", "d4") else 1 for name in names}
    run = blended(tmp_path, dict.fromkeys(names, "joint"), groups)
    assert received(run) == (
        "Each device's model has learnt from its own and its group's samples.",
        "2 groups: d0 \u2026 d2 and d5 \u2026 d7; d3 and d4.",
    )
    one = blended(tmp_path / "one", dict.fromkeys(names, "local"), dict.fromkeys(names, 1))
    assert received(one) == ("Each device's model has learnt from its own samples alone.",)


def test_a_device_whose_group_did_not_finish_has_learnt_from_it_all_the_same(tmp_path: Path) -> None:
    run = blended(tmp_path, {"a": "joint", "b": "joint"}, {"a": 1, "b": 2, "gone": 2})
    assert [learnt_from(run, device) for device in run.devices] == [
        "its own samples",
        "its own and its group's samples",
    ]


def test_methods_without_teachers_and_groups_say_nothing_of_them(tmp_path: Path) -> None:
    run = run_of(tmp_path, {"a": beside(0.9, 0.8), "b": beside(0.9, 0.8)})
    assert received(run) == () and learnt_from(run, run.devices[0]) is None
    assert not {"learnt", "group"} & set(data_of(page_of(tmp_path))["columns"])


def test_a_warning_says_each_sentence_once() -> None:
    same = (("a", "always normal"), ("b", "always fault"), ("c", "always normal"))
    assert Finding("one answer", "", "", same).grouped == (
        (("a", "c"), "always normal"),
        (("b",), "always fault"),
    )
    text = "threshold 0.500: {} samples are too few to choose a threshold (20 needed)."
    few = tuple((name, text.format(number)) for name, number in (("a", 9), ("b", 12), ("c", 10)))
    assert Finding("threshold fallback", "", "", few).grouped == ((("a", "b", "c"), text.format("9 to 12")),)
    assert len(Finding("worse than alone", "", "", few).grouped) == 3
