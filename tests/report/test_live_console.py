"""The live view as the terminal shows it."""

import io
import json
import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
from rich.console import Console

from fedmetaalign.cli.fleet import watch as command
from fedmetaalign.cli.watch import View, watch
from fedmetaalign.report.live import read

NOW = datetime(2026, 11, 24, 1, 20, 5, tzinfo=UTC)
LONG = "milling-machine-in-the-old-hall-behind-the-canteen"


def make(folder: Path, count: int = 3, **status: Any) -> Path:
    """A run in its third parallel round of four; the second device is away and gave two wrong answers."""
    folder.mkdir(exist_ok=True)
    recipe = folder / "recipe.toml"
    recipe.write_text('name = "pumps"\n[serial]\nrounds = 2\n[parallel]\nrounds = 4\n')
    os.utime(recipe, (NOW.timestamp() - 192, NOW.timestamp() - 192))
    names = [f"pump-{i:04d}" for i in range(count)]
    records: list[dict[str, Any]] = []
    for round_ in (1, 2):
        records += [
            {"phase": 1, "round": round_, "device": name, "query_loss": 1.0, "accuracy": 0.5} for name in names
        ]
    for round_ in (1, 2):
        for i, name in enumerate(names):
            measured = {"query_loss": 0.25, "accuracy": 0.875, "score": 0.8, "alignment": (-1) ** i / 2}
            record = measured | {"weight": 1 / count, "delta_norm": 0.1}
            if i == 1:
                record = (
                    {"rejected": "Its score is 1.7, out of (0, 1]."}
                    if round_ == 2
                    else {"absent": "It took 70 s."}
                )
            records.append({"phase": 2, "round": round_, "device": name} | record)
    (folder / "rounds.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    told = {
        "phase": "parallel",
        "round": 3,
        "rounds": 4,
        "state": "running",
        "updated": "2026-11-24T01:20:03Z",
        "message": "",
        "devices": {
            name: {"present": i != 1, "last_seen": "2026-11-24T01:16:00Z" if i == 1 else "2026-11-24T01:20:01Z"}
            for i, name in enumerate(names)
        },
    }
    (folder / "status.json").write_text(json.dumps(told | status))
    return folder


def lines(folder: Path, width: int = 100, height: int | None = None, encoding: str = "utf-8") -> list[str]:
    file = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    console = Console(file=file, width=width)
    console.print(View(read(folder), NOW), height=height)
    file.seek(0)
    return [line.rstrip() for line in file.read().splitlines()]


def rename(folder: Path, old: str, new: str) -> None:
    for file in ("rounds.jsonl", "status.json"):
        text = (folder / file).read_text()
        (folder / file).write_text(text.replace(json.dumps(old), json.dumps(new)))


def terminal(height: int = 30, width: int = 80) -> Console:
    return Console(file=io.StringIO(), force_terminal=True, width=width, height=height, _environ={})


def written(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_the_view_of_a_run(tmp_path: Path, snapshot: Callable[[str, str], None]) -> None:
    # An alignment of 0.5 is two and a half of five cells, and equal weights are each the largest.
    shown = "\n".join(lines(make(tmp_path)))
    assert "+0.50      \u2502\u2588\u2588\u258c     33.3 " + 8 * "\u2588" in shown
    snapshot("watch.txt", shown)


def test_a_negative_alignment_is_drawn_to_the_left(tmp_path: Path) -> None:
    folder = make(tmp_path, 4)
    [line] = [line for line in lines(folder) if line.startswith("pump-0003")]
    assert "-0.50   \u2590\u2588\u2588\u2502" in line


@pytest.mark.parametrize("width", [80, 100])
@pytest.mark.parametrize("height", [None, 24, 14])
@pytest.mark.parametrize("count", [0, 1, 3, 40])
def test_the_view_fits(tmp_path: Path, width: int, height: int | None, count: int) -> None:
    folder = make(tmp_path, count, state="waiting", message="Waiting for a device that is not there. " * 3)
    rename(folder, "pump-0001", LONG)
    shown = lines(folder, width, height)
    assert max(map(len, shown)) <= width
    assert height is None or len(shown) <= height
    if count > 1:
        assert "1.000   50.0" in "\n".join(shown)  # the one in trouble is there


def test_more_devices_than_lines_are_cut(tmp_path: Path) -> None:
    folder = make(tmp_path, 40)
    shown = lines(folder, height=24)
    assert len(shown) == 24
    devices = [line for line in shown if line.startswith("pump-") and "phase 2" not in line]
    assert devices[0].startswith("pump-0001")
    assert f"... and {40 - len(devices)} more" in shown
    assert len(devices) == 13  # 24 less six of the head, two of the header, this line and two of the reasons
    everything = lines(folder)
    assert sum(line.startswith("pump-") for line in everything) == 41
    assert not any("more" in line for line in everything)


def test_names_and_sentences_are_shown_as_they_are(tmp_path: Path) -> None:
    folder = make(tmp_path, message="[red]Look[/red] :smile: \x1b[2J")
    rename(folder, "pump-0000", "[bold]p[/bold]")
    rename(folder, "pump-0001", "\x1b[31m\n")
    rename(folder, "Its score is 1.7, out of (0, 1].", "[/] \x1b]0;title\x07")
    text = "\n".join(lines(folder))
    assert "[bold]p[/bold]" in text
    assert "?[31m?" in text
    assert "[red]Look[/red] :smile: ?[2J" in text
    assert "phase 2, round 2: [/] ?]0;title?" in text
    assert "\x1b" not in text


def test_where_blocks_cannot_be_drawn_there_are_no_bars(tmp_path: Path) -> None:
    shown = lines(make(tmp_path), width=80, encoding="ascii")
    assert "3 devices: + 2 present, - 1 away" in shown
    assert "pump-0000 + 4 s   0.250   87.5 0.800  +0.50   33.3     2" in shown


def test_before_anything_is_known(tmp_path: Path) -> None:
    (tmp_path / "recipe.toml").write_text('name = "pumps"\n[serial]\nrounds = 2\n')
    head, phase, bar, _, devices, *_ = lines(tmp_path)
    assert head.startswith("pumps  starting")
    assert (phase, devices) == ("before the first phase", "no device has answered yet")
    assert bar.endswith("0 of 2 rounds")


def test_a_run_that_is_over_says_so_and_where_its_report_is_or_why_there_is_none(tmp_path: Path) -> None:
    folder = make(tmp_path, state="done", phase="personalize", round=1, rounds=1)
    (folder / "report.html").touch()
    shown = lines(folder, width=1000)
    assert shown[0] == "pumps  done after 3 min 10 s"
    assert f"Report: {folder / 'report.html'}" in shown
    assert any("\u25cb 4 min" in line for line in shown)  # seen from the end of the run
    shown = lines(make(tmp_path, state="failed", message="Training has diverged: lower the learning rate."))
    assert shown[:2] == ["pumps  failed after 3 min 10 s", "phase 2: parallel rounds, round 3 of 4"]
    assert "Training has diverged: lower the learning rate." in shown


def test_watching_goes_on_until_the_run_is_over(tmp_path: Path) -> None:
    folder, console, looks = make(tmp_path), terminal(), []

    def sleep(seconds: float) -> None:
        looks.append(seconds)
        if len(looks) == 3:
            make(folder, state="done")

    watch(folder, console=console, sleep=sleep)

    assert looks == [0.5] * 3
    before, after = written(console).split("\x1b[?1049l")  # the screen of before is back
    assert before.count("running") == 3
    assert "done" in after
    assert "running" not in after


def test_ctrl_c_leaves_quietly(tmp_path: Path) -> None:
    folder, console = make(tmp_path), terminal()
    watch(folder, console=console, sleep=Mock(side_effect=KeyboardInterrupt))
    assert "running" in written(console).split("\x1b[?1049l")[1]


@pytest.mark.parametrize("once", [True, False])
def test_where_there_is_no_terminal_the_view_is_printed_once(tmp_path: Path, once: bool) -> None:
    folder = make(tmp_path, 40)
    console = terminal() if once else Console(file=io.StringIO(), width=200)
    watch(folder, once, console, sleep=Mock(side_effect=AssertionError("it waits")))
    text = written(console)
    assert "\x1b[?1049h" not in text
    assert text.count("pump-00") == 41  # nothing is cut off: forty devices and one reason


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = make(tmp_path / "r")
    command(folder)
    assert capsys.readouterr().out.startswith("pumps  running")
    command(folder, as_json=True)
    assert json.loads(capsys.readouterr().out)["devices"]["pump-0001"]["missed"]["rejected"] == 1


def test_a_fleet_of_one_is_said_to_have_learnt_from_its_own_samples(tmp_path: Path) -> None:
    sentence = "which has learnt from its own samples alone"
    assert [line for line in lines(make(tmp_path / "one", 1, state="done")) if sentence in line] == [
        f"1 device, {sentence}: ● 1 present, ○ 0 away"
    ]
    for count, state in ((1, "waiting"), (3, "done")):  # more may come; there are others
        assert sentence not in "\n".join(lines(make(tmp_path / f"{count}{state}", count, state=state)))
