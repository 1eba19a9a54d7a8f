"""A run folder that is still being written becomes one value, `Live`.

The folder alone is read, `recipe.toml` once, `status.json` each time, and of `rounds.jsonl` only what was
appended. Unknown keys are ignored and what is not there yet is None, so that a run of any engine, at any
moment, can be watched.
"""

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, StrictInt, ValidationError

from fedmetaalign.errors import RunError
from fedmetaalign.federation.engine import KINDS, Kind
from fedmetaalign.report import status
from fedmetaalign.report.fields import Number
from fedmetaalign.report.status import StatusFile

PHASES = {
    "foundation": "phase 0: pre-training",
    "serial": "phase 1: serial tour",
    "parallel": "phase 2: parallel rounds",
    "personalize": "phase 3: personalising",
}
"""What to call them, in the order of their numbers in `rounds.jsonl`."""


class _Rounds(BaseModel):
    rounds: int = 0


class Recipe(BaseModel):
    """What is shown of `recipe.toml`."""

    name: str = ""
    serial: _Rounds = _Rounds()
    parallel: _Rounds = _Rounds()


class Record(BaseModel):
    """A line of `rounds.jsonl`: what a device answered in a round, or why there is no answer of use."""

    phase: StrictInt
    round: StrictInt
    device: str
    query_loss: Number = None
    accuracy: Number = None
    score: Number = None
    alignment: Number = None
    weight: Number = None
    absent: str | None = None
    rejected: str | None = None
    late: str | None = None


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True)


class Miss(_Frozen):
    """An answer that could not be used: in which phase (0 to 3) and round, and why in one sentence."""

    kind: Kind
    phase: int
    round: int
    reason: str


class Answers(_Frozen):
    """What a device has answered so far.

    Attributes:
        query_loss: the latest; so is the accuracy on the query set, from 0 to 1.
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
    missed: Mapping[Kind, int] = Field(default_factory=lambda: dict.fromkeys(KINDS, 0))
    last_miss: Miss | None = None
    missing: bool = False

    def after(self, record: Record) -> "Answers":
        """Returns what the device has answered when this is recorded, too."""
        for kind in KINDS:
            reason = getattr(record, kind)
            if reason is None:
                continue
            missed = {**self.missed, kind: self.missed[kind] + 1}
            miss = Miss(kind=kind, phase=record.phase, round=record.round, reason=reason)
            missing = self.missing or kind != "late"
            return self.model_copy(update={"missed": missed, "last_miss": miss, "missing": missing})
        # An epoch of phase 3 has a loss and an accuracy only if it is the last.
        latest = record.model_dump(include={"query_loss", "accuracy"}, exclude_none=True)
        if record.phase == [*PHASES].index("parallel"):
            latest |= record.model_dump(include={"score", "alignment", "weight"}) | {"parallel": record.round}
        return self.model_copy(update={"missing": False, **latest})


class LiveDevice(_Frozen):
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
    """What `rounds.jsonl` has reported so far.

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


class Live(_Frozen):
    """A run at one moment.

    Attributes:
        name: the recipe's.
        state: "running", "waiting", "done" or "failed"; "starting" before it has reported anything.
        phase: one of `PHASES` or a later one; None before the first.
        round: of the phase, the one being run.
        rounds: how many the phase has.
        message: one sentence, or nothing.
        done: rounds of phases 1 and 2 that are over, of `total`.
        started: when the run was begun (UTC).
        updated: when it last reported its status (UTC).
        report: the path of the page, once the run is done.
        devices: those in trouble first, then by name.
        recipe: what `recipe.toml` says.
        log: what `rounds.jsonl` has reported.
    """

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
    report: Path | None
    devices: tuple[LiveDevice, ...]
    recipe: Recipe
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
        devices = {
            device.name: device.model_dump(mode="json", include={"present", "last_seen"})
            | device.answers.model_dump(mode="json")
            for device in self.devices
        }
        return self.model_dump(mode="json", exclude={"devices", "recipe", "log"}) | {"devices": devices}


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
    reported = status.read(folder / "status.json")
    log = read_log(folder / "rounds.jsonl", before.log if before else Log())
    report = folder / "report.html"
    # The page is the last thing that a run writes, also one that reports no status.
    state = reported.state or ("done" if report.exists() else "running" if log.last else "starting")
    phase, round_ = (reported.phase, reported.round) if reported.phase else _place(log)
    rounds = {"serial": recipe.serial.rounds, "parallel": recipe.parallel.rounds}
    return Live(
        name=recipe.name or folder.resolve().name,
        state=state,
        phase=phase,
        round=round_,
        rounds=reported.rounds or rounds.get(phase or ""),
        message=reported.message,
        done=log.finished.get(1, 0) + log.finished.get(2, 0),
        total=sum(rounds.values()),
        started=started,
        updated=reported.updated,
        devices=_devices(reported, log.devices),
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
    for record in _records(whole):
        last = (record.phase, record.round)
        finished[record.phase] = record.round
        if record.phase:  # the one of phase 0 is the server
            devices[record.device] = devices.get(record.device, Answers()).after(record)
    return Log(before.bytes + len(whole), last, finished, devices)


def _records(lines: bytes) -> Iterator[Record]:
    """Yields the lines that are records."""
    for line in lines.splitlines():
        try:
            yield Record.model_validate_json(line)
        except ValidationError:
            continue


def _devices(reported: StatusFile, answers: Mapping[str, Answers]) -> tuple[LiveDevice, ...]:
    """Returns those in trouble first, then by name."""
    devices = [
        LiveDevice(name=name, **dict(reported.devices.get(name, ())), answers=answers.get(name, Answers()))
        for name in sorted({*reported.devices, *answers})
    ]
    return tuple(sorted(devices, key=lambda device: device.trouble, reverse=True))


def _place(log: Log) -> tuple[str | None, int | None]:
    """Returns phase and round of the last record."""
    if log.last is None or not 0 <= log.last[0] < len(PHASES):
        return None, None
    return [*PHASES][log.last[0]], log.last[1]


def _recipe(path: Path) -> Recipe:
    try:
        return Recipe.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError):
        raise RunError(
            f"{path.parent} is not a run folder: it has no recipe.toml that can be read;"
            " give the folder that a run writes to, its --out."
        ) from None


def _modified(path: Path) -> datetime:
    return datetime.fromtimestamp(int(path.stat().st_mtime), UTC)
