"""What is read of a run folder while it is being written."""

import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from fedmetaalign.errors import RunError
from fedmetaalign.report.live import Live, Log, Miss, read, read_log

STATUS = {
    "phase": "parallel",
    "round": 3,
    "rounds": 5,
    "state": "waiting",
    "updated": "2026-11-24T01:20:03Z",
    "message": "Waiting for two devices.",
    "devices": {
        "a": {"present": True, "last_seen": "2026-11-24T01:20:01Z"},
        "b": {"present": False, "last_seen": None},
        "c": {"present": True, "last_seen": None, "battery": 3},
    },
    "novelty": [1],
}


def begin(folder: Path, status: dict[str, Any] | None = None) -> Path:
    folder.mkdir()
    (folder / "recipe.toml").write_text('name = "pumps"\nx = 1\n[serial]\nrounds = 2\n[parallel]\nrounds = 5\n')
    (folder / "rounds.jsonl").touch()
    if status is not None:
        (folder / "status.json").write_text(json.dumps(status))
    return folder


def append(folder: Path, *records: dict[str, Any]) -> None:
    with (folder / "rounds.jsonl").open("a") as log:
        log.writelines(json.dumps(record) + "\n" for record in records)


def update(round_: int, device: str, **more: Any) -> dict[str, Any]:
    measured = {"query_loss": 0.25, "accuracy": 0.75, "score": 0.8, "alignment": -0.5, "weight": 0.2}
    return {"phase": 2, "round": round_, "device": device, **measured, **more}


def names(live: Live) -> list[str]:
    return [device.name for device in live.devices]


def test_the_status_and_the_recipe_give_the_head(tmp_path: Path) -> None:
    folder = begin(tmp_path / "r", STATUS)
    append(folder, {"phase": 1, "round": 2, "device": "a", "query_loss": 1.0}, update(1, "a"), update(2, "a"))

    live = read(folder)

    assert (live.name, live.state, live.message) == ("pumps", "waiting", "Waiting for two devices.")
    assert (live.phase, live.round, live.rounds) == ("parallel", 3, 5)
    assert (live.done, live.total) == (4, 7)  # both of phase 1 and two of five of phase 2
    assert live.updated == datetime(2026, 11, 24, 1, 20, 3, tzinfo=UTC)
    assert live.report is None
    assert not live.over
    devices = {device.name: device for device in live.devices}
    assert devices["a"].last_seen == datetime(2026, 11, 24, 1, 20, 1, tzinfo=UTC)
    assert (devices["b"].present, devices["b"].last_seen) == (False, None)


def test_a_device_shows_its_last_parallel_round_and_its_latest_loss(tmp_path: Path) -> None:
    folder = begin(tmp_path / "r")
    append(
        folder,
        {"phase": 1, "round": 1, "device": "a", "query_loss": 2.0, "accuracy": 0.5},
        update(1, "a"),
        {"phase": 3, "round": 1, "device": "a", "support_loss": 0.1},
    )
    answers = read(folder).devices[0].answers
    assert (answers.query_loss, answers.accuracy) == (0.25, 0.75)  # the first epoch of phase 3 tells neither

    append(folder, {"phase": 3, "round": 2, "device": "a", "query_loss": 0.125, "accuracy": 0.875})
    answers = read(folder).devices[0].answers
    assert (answers.query_loss, answers.accuracy) == (0.125, 0.875)
    assert (answers.parallel, answers.score, answers.alignment, answers.weight) == (1, 0.8, -0.5, 0.2)


def test_missed_answers_are_counted_by_kind(tmp_path: Path) -> None:
    folder = begin(tmp_path / "r")
    append(
        folder,
        update(1, "a"),
        {"phase": 2, "round": 2, "device": "a", "absent": "It is away."},
        {"phase": 2, "round": 3, "device": "a", "absent": "It is away."},
        {"phase": 2, "round": 4, "device": "a", "rejected": "Its score is 1.7."},
    )

    device = read(folder).devices[0]

    assert device.answers.missed == {"absent": 2, "rejected": 1, "late": 0}
    assert device.answers.last_miss == Miss(kind="rejected", phase=2, round=4, reason="Its score is 1.7.")
    assert device.answers.missing
    assert (device.answers.parallel, device.answers.query_loss) == (1, 0.25)

    append(folder, update(5, "a", alignment=None))
    device = read(folder).devices[0]
    assert not device.answers.missing
    assert device.missed == 3
    assert (device.answers.parallel, device.answers.alignment) == (5, None)


def test_devices_in_trouble_come_first(tmp_path: Path) -> None:
    folder = begin(tmp_path / "r", STATUS)
    append(
        folder,
        {"phase": 2, "round": 1, "device": "c", "absent": "It did not answer within 60 seconds."},
        {"phase": 2, "round": 1, "device": "e", "rejected": "Its delta is not finite."},
        update(1, "d"),
        update(2, "c"),
    )
    # e's last answer is missing and b is away; c has missed one before; a and d are well.
    assert names(read(folder)) == ["e", "b", "c", "a", "d"]


def test_an_answer_that_comes_late_is_not_missed_twice_and_no_trouble(tmp_path: Path) -> None:
    folder = begin(tmp_path / "r", STATUS)
    slow = {"device": "a", "phase": 2}
    append(folder, {**slow, "round": 1, "absent": "It did not answer within 60 seconds."})
    append(folder, update(2, "a"), {**slow, "round": 2, "late": "Its answer to train 1 was dropped."})
    device = next(device for device in read(folder).devices if device.name == "a")
    assert device.answers.missed == {"absent": 1, "rejected": 0, "late": 1} and device.missed == 1
    assert not device.answers.missing
    append(
        folder, {**slow, "round": 3, "rejected": "Its score is 1.7."}, {**slow, "round": 3, "late": "Again."}
    )
    device = next(device for device in read(folder).devices if device.name == "a")
    assert device.missed == 2 and device.answers.missing


def test_public_data_is_no_device(tmp_path: Path) -> None:
    folder = begin(tmp_path / "r")
    append(folder, {"phase": 0, "round": 4, "device": "public", "support_loss": 0.5})
    live = read(folder)
    assert live.devices == ()
    assert (live.state, live.phase, live.round, live.done) == ("running", "foundation", 4, 0)


def test_a_run_without_a_status_is_judged_by_its_other_files(tmp_path: Path) -> None:
    folder = begin(tmp_path / "r")
    assert (read(folder).state, read(folder).phase) == ("starting", None)
    append(folder, update(2, "a"))
    live = read(folder)
    assert (live.state, live.phase, live.round, live.rounds) == ("running", "parallel", 2, 5)
    assert live.devices[0].present is None
    (folder / "report.html").touch()
    live = read(folder)
    assert (live.state, live.over, live.report) == ("done", True, folder / "report.html")


def test_a_line_that_is_being_written_waits_for_its_end(tmp_path: Path) -> None:
    folder = begin(tmp_path / "r")
    append(folder, update(1, "a"))
    line = json.dumps(update(2, "ü")).encode() + b"\n"
    log = folder / "rounds.jsonl"
    whole = log.stat().st_size
    before = None
    for end in range(len(line)):
        log.write_bytes(log.read_bytes()[:whole] + line[:end])
        before = read(folder, before)
        assert names(before) == ["a"]
        assert before.log.bytes == whole
    log.write_bytes(log.read_bytes()[:whole] + line)
    assert names(read(folder, before)) == ["a", "ü"]


def test_only_what_was_appended_is_read(tmp_path: Path) -> None:
    folder = begin(tmp_path / "r")
    append(folder, update(1, "a"), update(1, "b", absent="It is away."))
    before = read(folder)
    # Were the first line read again, the device would have another name.
    log = folder / "rounds.jsonl"
    log.write_text(log.read_text().replace('"device": "a"', '"device": "z"'))
    append(folder, update(2, "b"))

    live = read(folder, before)

    assert sorted(names(live)) == ["a", "b"]
    assert live.log == read_log(log, before.log)
    assert (live.done, live.log.last) == (2, (2, 2))


def test_reading_bit_by_bit_gives_what_reading_at_once_gives(tmp_path: Path) -> None:
    folder = begin(tmp_path / "r")
    before = None
    for round_ in range(1, 5):
        append(folder, update(round_, "a"), {"phase": 2, "round": round_, "device": "b", "late": "Late."})
        before = read(folder, before)
    assert before == read(folder)


def test_a_log_that_was_cut_off_is_read_again(tmp_path: Path) -> None:
    folder = begin(tmp_path / "r")
    append(folder, update(1, "a"))
    kept = (folder / "rounds.jsonl").stat().st_size
    append(folder, {"phase": 2, "round": 2, "device": "a", "absent": "It is away."}, update(2, "b"))
    before = read(folder)
    assert before.done == 2

    os.truncate(folder / "rounds.jsonl", kept)
    live = read(folder, before)

    assert (live.done, names(live), live.devices[0].missed) == (1, ["a"], 0)


@pytest.mark.parametrize(
    "line",
    [
        "",
        "[1]",
        "{",
        "null",
        '{"phase": 2, "round": 1}',
        '{"phase": "2", "round": 1, "device": "a"}',
        '"a"',
        "\x00",
    ],
)
def test_a_line_that_is_no_record_is_passed_over(tmp_path: Path, line: str) -> None:
    folder = begin(tmp_path / "r")
    (folder / "rounds.jsonl").write_text(line + "\n")
    append(folder, update(1, "b", weight=float("nan")))
    live = read(folder)
    assert names(live) == ["b"]
    assert live.devices[0].answers.weight is None


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{", '{"devices": [1], "state": 3}', '{"devices": {"a": 1}, "updated": "soon", "round": "x"}'],
)
def test_a_status_that_cannot_be_understood_is_passed_over(tmp_path: Path, text: str) -> None:
    folder = begin(tmp_path / "r")
    (folder / "status.json").write_text(text)
    live = read(folder)
    assert (live.state, live.updated, live.round, live.message) == ("starting", None, None, "")


def test_a_log_that_is_not_there_yet_is_empty(tmp_path: Path) -> None:
    assert read_log(tmp_path / "rounds.jsonl", Log()) == Log()


def test_the_time_of_a_run_that_is_over_stands_still(tmp_path: Path) -> None:
    folder = begin(tmp_path / "r", STATUS)
    start = datetime(2026, 11, 24, 1, 0, tzinfo=UTC)
    os.utime(folder / "recipe.toml", (start.timestamp(), start.timestamp()))
    later = datetime(2026, 11, 24, 2, 0, tzinfo=UTC)
    assert read(folder).elapsed(later) == 3600

    (folder / "status.json").write_text(json.dumps(STATUS | {"state": "failed"}))
    assert read(folder).elapsed(later) == 20 * 60 + 3

    copied = datetime(2026, 11, 25, tzinfo=UTC).timestamp()
    os.utime(folder / "recipe.toml", (copied, copied))
    assert read(folder).elapsed(later) is None


def test_the_live_value_as_json(tmp_path: Path) -> None:
    folder = begin(tmp_path / "r", STATUS)
    append(folder, {"phase": 2, "round": 1, "device": "b", "rejected": "Its score is 1.7."})
    found = json.loads(json.dumps(read(folder).to_dict(), allow_nan=False))
    assert (found["state"], found["phase"], found["round"], found["total"]) == ("waiting", "parallel", 3, 7)
    assert found["updated"] == "2026-11-24T01:20:03Z"
    assert list(found["devices"]) == ["b", "a", "c"]
    assert found["devices"]["b"] == {
        "present": False,
        "last_seen": None,
        "query_loss": None,
        "accuracy": None,
        "parallel": None,
        "score": None,
        "alignment": None,
        "weight": None,
        "missed": {"absent": 0, "rejected": 1, "late": 0},
        "last_miss": {"kind": "rejected", "phase": 2, "round": 1, "reason": "Its score is 1.7."},
        "missing": True,
    }


def test_what_is_no_run_folder_is_refused_in_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"away is not a run folder; give the folder that a run writes to"):
        read(tmp_path / "away")
    with pytest.raises(RunError, match=r"it has no recipe\.toml that can be read"):
        read(tmp_path)
    (tmp_path / "recipe.toml").write_bytes(b"\xff = ")
    with pytest.raises(RunError, match=r"it has no recipe\.toml that can be read"):
        read(tmp_path)
