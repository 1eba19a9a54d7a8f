"""Where a run stands right now: `status.json` in its folder, for whoever watches."""

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from fedmetaalign.engine import Presence
from fedmetaalign.errors import FedMetaAlignError
from fedmetaalign.writing import replace, writing_to

State = Literal["running", "waiting", "done", "failed"]


@dataclass
class Status:
    """Keeps `status.json` up to date.

    Attributes:
        folder: the run folder.
        presence: tells which devices are there.
        notices: what the user has to know of the fleet, one sentence each.
    """

    folder: Path
    presence: Callable[[], Mapping[str, Presence]]
    notices: Sequence[str] = ()
    _said: dict[str, Any] = field(default_factory=dict)

    def say(self, state: State, phase: str, number: int = 1, rounds: int = 1, message: str = "") -> None:
        """Writes where the run stands: in a phase, in round `number` of so many."""
        self._said = {"state": state, "phase": phase, "round": number, "rounds": rounds, "message": message}
        self.refresh()

    def end(self, state: State, message: str = "") -> None:
        """Writes that the run has ended where it stands."""
        self._said |= {"state": state, "message": message}
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
            name: {"present": there.present, "last_seen": None if there.seen is None else utc(there.seen)}
            for name, there in sorted(self.presence().items())
        }
        also = {"updated": utc(time.time()), "notices": [*self.notices], "devices": devices}
        data = json.dumps({**self._said, **also}, indent=2)
        with writing_to(self.folder):
            replace(self.folder / "status.json", (data + "\n").encode())


def utc(seconds: float) -> str:
    """Formats a time in seconds since 1970."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))
