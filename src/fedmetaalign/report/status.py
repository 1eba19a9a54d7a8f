"""Where a run stands right now: `status.json` in its folder, for whoever watches."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel

from fedmetaalign.errors import FedMetaAlignError
from fedmetaalign.federation.engine import Liveness
from fedmetaalign.system.writing import replace, writing_to

RunState = Literal["running", "waiting", "done", "failed"]

Time = Annotated[datetime, AfterValidator(lambda t: t.astimezone(UTC) if t.tzinfo else t.replace(tzinfo=UTC))]
"""In UTC, also where that is not said."""


class DeviceStatus(BaseModel):
    """Whether a device is there, and when it was last heard of."""

    present: bool | None = None
    last_seen: Time | None = None


class StatusFile(BaseModel):
    """What `status.json` says; what is not known is left out.

    Attributes:
        state: one of `RunState`.
        round: of the phase, the one being run.
        rounds: how many the phase has.
        message: one sentence, or nothing.
        notices: what the user has to know of the fleet, a sentence each.
        updated: when all this was so.
    """

    state: str | None = None
    phase: str | None = None
    round: int | None = None
    rounds: int | None = None
    message: str = ""
    updated: Time | None = None
    notices: tuple[str, ...] = ()
    devices: Mapping[str, DeviceStatus] = {}


def read(path: Path) -> StatusFile:
    """Reads `status.json`; one that is not there or cannot be understood says nothing."""
    try:
        return StatusFile.model_validate_json(path.read_bytes())
    except (OSError, ValueError):
        return StatusFile()


@dataclass
class Status:
    """Keeps `status.json` up to date.

    Attributes:
        folder: the run folder.
        liveness: tells which devices are there.
        notices: what the user has to know of the fleet, one sentence each.
        gaps: by device and feature how many values are missing, for each reason; the manifest has them.
    """

    folder: Path
    liveness: Callable[[], Mapping[str, Liveness]]
    notices: Sequence[str] = ()
    gaps: Mapping[str, Mapping[str, Mapping[str, int]]] = field(default_factory=dict)
    _now: StatusFile = field(default_factory=StatusFile)

    def update(self, state: RunState, phase: str, number: int = 1, rounds: int = 1, message: str = "") -> None:
        """Writes where the run stands: in a phase, in round `number` of so many."""
        self._now = StatusFile(state=state, phase=phase, round=number, rounds=rounds, message=message)
        self.refresh()

    def end(self, state: RunState, message: str = "") -> None:
        """Writes that the run has ended where it stands."""
        self._now = self._now.model_copy(update={"state": state, "message": message})
        self.refresh()

    @contextmanager
    def of_failure(self) -> Iterator[None]:
        """Writes why the run has ended where its context does not come to its end."""
        try:
            yield
        except FedMetaAlignError as error:
            self.end("failed", str(error))
            raise
        except BaseException:
            self.end("failed", "It was stopped.")
            raise

    def refresh(self) -> None:
        """Writes who is there now; the rest stays."""
        devices = {
            name: DeviceStatus(
                present=each.online, last_seen=None if each.last_seen is None else _time(each.last_seen)
            )
            for name, each in sorted(self.liveness().items())
        }
        also = {"updated": _time(time.time()), "notices": tuple(self.notices), "devices": devices}
        now = self._now.model_copy(update=also)
        with writing_to(self.folder):
            data = now.model_dump_json(indent=2, exclude_unset=True, ensure_ascii=True)
            replace(self.folder / "status.json", (data + "\n").encode())


def utc(seconds: float) -> str:
    """Formats a time in seconds since 1970."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


def _time(seconds: float | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(int(seconds), UTC)
