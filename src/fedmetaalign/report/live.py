"""A run folder that is still being written becomes one value, `Live`.

The folder alone is read, `recipe.toml` once, `status.json` each time, and of `rounds.jsonl` only what was
appended. Unknown keys are ignored and what is not there yet is None, so that a run of any engine, at any
moment, can be watched.
"""

import json
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from fedmetaalign.engine import KINDS, Kind
from fedmetaalign.errors import RunError
from fedmetaalign.report.reading import number

PHASES = {
    "foundation": "phase 0: pre-training",
    "serial": "phase 1: serial tour",
    "parallel": "phase 2: parallel rounds",
    "personalize": "phase 3: personalising",
}
"""What to call them, in the order of their numbers in `rounds.jsonl`."""


@dataclass(frozen=True)
class Miss:
    """An answer that could not be used: in which phase (0 to 3) and round, and why in one sentence."""

    kind: Kind
    phase: int
    round: int
    reason: str


@dataclass(frozen=True)
class Answers:
    """What a device has answered so far.

    Attributes:
        query_loss: the latest.
        accuracy: the latest, on the query set, from 0 to 1.
        parallel: the last parallel round that it took part in, and so for the next three.
        score: 1 / (1 + query loss), in (0, 1].
        alignment: the cosine of its delta with the reference direction, from -1 to 1.
        weight: its share of the step.
        missed: how many of its answers could not be used, by kind; one that is late has been absent before.
        last_miss: the last of them.
        missing: it has no answer to what it was asked last.
    """

    query_loss: float | None = None
    accuracy: float | None = None
    parallel: int | None = None
    score: float | None = None
    alignment: float | None = None
    weight: float | None = None
    missed: Mapping[Kind, int] = field(default_factory=dict)
    last_miss: Miss | None = None
    missing: bool = False


@dataclass(frozen=True)
class Device:
    """One device: whether it is there, when it was last heard of (UTC), and what it has answered."""

    name: str
    present: bool | None = None
    last_seen: datetime | None = None
    answers: Answers = Answers()

    @property
    def missed(self) -> int:
        """How many of its answers could not be used."""
        return sum(count for kind, count in self.answers.missed.items() if kind != "late")

    @property
    def trouble(self) -> tuple[bool, int]:
        """What devices are sorted by: it is away or its last answer is missing; then how many are missing."""
        return self.present is False or self.answers.missing, self.missed


@dataclass(frozen=True)
class Log:
    """What `rounds.jsonl` has told so far.

    Attributes:
        bytes: how far it was read: to the end of the last whole line.
        last: phase (0 to 3) and round of the last record.
        finished: the last round by phase; a round is recorded when it is over.
        devices: by name.
    """

    bytes: int = 0
    last: tuple[int, int] | None = None
    finished: Mapping[int, int] = field(default_factory=dict)
    devices: Mapping[str, Answers] = field(default_factory=dict)


@dataclass(frozen=True)
class Live:
    """A run at one moment.

    Attributes:
        name: the recipe's.
        state: "running", "waiting", "done" or "failed"; "starting" before it has told anything.
        phase: "foundation", "serial", "parallel", "personalize" or a later one; None before the first.
        round: of the phase, the one being run.
        rounds: how many the phase has.
        message: one sentence, or nothing.
        done: rounds of phases 1 and 2 that are over.
        total: rounds of phases 1 and 2.
        started: when the run was begun (UTC).
        updated: when it last told its status (UTC).
        devices: those in trouble first, then by name.
        report: the path of the page, once the run is done.
        recipe: what `recipe.toml` says.
        log: what `rounds.jsonl` has told.
    """

    folder: Path
    name: str
    state: str
    phase: str | None
    round: int | None
    rounds: int | None
    message: str
    done: int
    total: int
    started: datetime
    updated: datetime | None
    devices: tuple[Device, ...]
    report: Path | None
    recipe: Mapping[str, Any]
    log: Log

    @property
    def over(self) -> bool:
        """Nothing more will come."""
        return self.state in ("done", "failed")

    def elapsed(self, now: datetime) -> float | None:
        """Returns the seconds since the start, for a run that is over until its end; None where not known."""
        end = self.updated if self.over else now
        # In a copied folder the time of the copy passes for the start.
        return None if end is None or end < self.started else (end - self.started).total_seconds()

    def to_dict(self) -> dict[str, Any]:
        """Returns what a program may want to know, as JSON has it; times are ISO 8601 in UTC."""
        shown = ("name", "state", "phase", "round", "rounds", "message", "done", "total")
        return {
            **{key: getattr(self, key) for key in shown},
            "started": _iso(self.started),
            "updated": _iso(self.updated),
            "report": None if self.report is None else str(self.report),
            "devices": {
                device.name: {
                    "present": device.present,
                    "last_seen": _iso(device.last_seen),
                    **asdict(device.answers),
                    "missed": {kind: device.answers.missed.get(kind, 0) for kind in KINDS},
                }
                for device in self.devices
            },
        }


def read(folder: Path, before: Live | None = None) -> Live:
    """Reads a run folder.

    Args:
        folder: what `fedmetaalign run` or `fedmetaalign server` writes.
        before: what was read of it last; only what has changed since is read.

    Raises:
        RunError: this is not a run folder, or may not be read.
    """
    try:
        found = folder.is_dir()
    except OSError as error:
        raise RunError(f"{folder} cannot be read ({error.strerror}): watch as the user that runs it.") from None
    if not found:
        raise RunError(f"{folder} is not a run folder; give the folder that a run writes to, its --out.")
    recipe = before.recipe if before else _recipe(folder / "recipe.toml")
    started = before.started if before else _modified(folder / "recipe.toml")
    status = _status(folder / "status.json")
    log = read_log(folder / "rounds.jsonl", before.log if before else Log())
    report = folder / "report.html"
    state = _text(status.get("state")) or _state(log, report)
    phase, round_ = _place(status, log)
    rounds = {name: _whole(_mapping(recipe.get(name)).get("rounds")) or 0 for name in ("serial", "parallel")}
    return Live(
        folder=folder,
        name=_text(recipe.get("name")) or folder.resolve().name,
        state=state,
        phase=phase,
        round=round_,
        rounds=_whole(status.get("rounds")) or rounds.get(phase or ""),
        message=_text(status.get("message")),
        done=log.finished.get(1, 0) + log.finished.get(2, 0),
        total=sum(rounds.values()),
        started=started,
        updated=_time(status.get("updated")),
        devices=_devices(_mapping(status.get("devices")), log.devices),
        report=report if state == "done" and report.exists() else None,
        recipe=recipe,
        log=log,
    )


def read_log(path: Path, before: Log) -> Log:
    """Reads what was appended to `rounds.jsonl`, whole lines only.

    It is read from the start where it has become shorter: a run that is resumed cuts off the records of the
    round that it was stopped in.
    """
    try:
        with path.open("rb") as file:
            before = before if before.bytes <= path.stat().st_size else Log()
            file.seek(before.bytes)
            added = file.read()
    except OSError:
        return before
    whole = added[: added.rfind(b"\n") + 1]
    last, finished, devices = before.last, {**before.finished}, {**before.devices}
    for phase, round_, name, record in _records(whole):
        last = (phase, round_)
        finished[phase] = round_
        if phase:  # the one of phase 0 is the server
            devices[name] = _answers(devices.get(name, Answers()), phase, round_, record)
    return Log(before.bytes + len(whole), last, finished, devices)


def _records(lines: bytes) -> Iterator[tuple[int, int, str, Mapping[str, Any]]]:
    """Yields phase, round, device and all else of each line that has them."""
    for line in lines.splitlines():
        record = _json(line)
        phase, round_, name = _whole(record.get("phase")), _whole(record.get("round")), record.get("device")
        if phase is not None and round_ is not None and isinstance(name, str):
            yield phase, round_, name, record


def _answers(before: Answers, phase: int, round_: int, record: Mapping[str, Any]) -> Answers:
    for kind in KINDS:
        if kind in record:
            missed = {**before.missed, kind: before.missed.get(kind, 0) + 1}
            miss = Miss(kind, phase, round_, _text(record[kind]))
            return replace(before, missed=missed, last_miss=miss, missing=before.missing or kind != "late")
    loss, accuracy = number(record.get("query_loss")), number(record.get("accuracy"))
    after = replace(
        before,
        query_loss=before.query_loss if loss is None else loss,  # an epoch of phase 3 has none but the last
        accuracy=before.accuracy if accuracy is None else accuracy,
        missing=False,
    )
    if phase != [*PHASES].index("parallel"):
        return after
    return replace(
        after,
        parallel=round_,
        score=number(record.get("score")),
        alignment=number(record.get("alignment")),
        weight=number(record.get("weight")),
    )


def _devices(told: Mapping[str, Any], answers: Mapping[str, Answers]) -> tuple[Device, ...]:
    devices = []
    for name in sorted({*told, *answers}):
        entry = _mapping(told.get(name))
        present = entry.get("present")
        devices.append(
            Device(
                name=name,
                present=present if isinstance(present, bool) else None,
                last_seen=_time(entry.get("last_seen")),
                answers=answers.get(name, Answers()),
            )
        )
    return tuple(sorted(devices, key=lambda device: device.trouble, reverse=True))


def _place(status: Mapping[str, Any], log: Log) -> tuple[str | None, int | None]:
    """Returns the phase and the round: as the status has them, else those of the last record."""
    if phase := _text(status.get("phase")):
        return phase, _whole(status.get("round"))
    if log.last is None or not 0 <= log.last[0] < len(PHASES):
        return None, None
    return [*PHASES][log.last[0]], log.last[1]


def _state(log: Log, report: Path) -> str:
    """Returns the state of a run that tells no status: its page is the last thing that it writes."""
    if report.exists():
        return "done"
    return "running" if log.last else "starting"


def _recipe(path: Path) -> Mapping[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise RunError(
            f"{path.parent} is not a run folder: it has no recipe.toml that can be read;"
            " give the folder that a run writes to, its --out."
        ) from None


def _status(path: Path) -> Mapping[str, Any]:
    try:
        return _json(path.read_bytes())
    except OSError:
        return {}


def _json(text: bytes) -> Mapping[str, Any]:
    """Returns a JSON object, an empty one for anything else."""
    try:
        return _mapping(json.loads(text))
    except ValueError:
        return {}


def _modified(path: Path) -> datetime:
    return datetime.fromtimestamp(path.stat().st_mtime, UTC)


def _time(value: object) -> datetime | None:
    try:
        time = datetime.fromisoformat(_text(value))
    except ValueError:
        return None
    return time.astimezone(UTC) if time.tzinfo else time.replace(tzinfo=UTC)


def _iso(time: datetime | None) -> str | None:
    return None if time is None else time.strftime("%Y-%m-%dT%H:%M:%SZ")


def _whole(value: object) -> int | None:
    found = number(value)
    return None if found is None else int(found)


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}
