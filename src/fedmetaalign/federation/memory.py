"""What a device keeps from one round to the next, in memory or in files of its own."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from fedmetaalign.errors import RunError
from fedmetaalign.system.sealed import sealed, unsealed
from fedmetaalign.system.writing import replace, writing_to

ARRAY = "kept"
"""What the array is called in its file."""


@dataclass(frozen=True)
class Memory:
    """Arrays of a device's own, by name and round: what rounding has lost of its deltas, say, or its own head.

    A round that is asked for again, since the server was stopped, has to be answered again from what was kept
    before it. So the last two of a name are kept.

    Attributes:
        folder: where they survive a restart; None keeps them in memory.
    """

    folder: Path | None = None
    _kept: dict[tuple[str, int], np.ndarray] = field(default_factory=dict)

    def before(self, name: str, number: int | None = None) -> np.ndarray | None:
        """Returns what was kept of a name before a round, or last of all; None where there was nothing yet.

        Raises:
            RunError: the round is older than what is kept, or that is damaged.
        """
        numbers = self._numbers(name)
        found = max((n for n in numbers if number is None or n < number), default=None)
        if found is not None:
            return self._kept[name, found] if self.folder is None else _read(self._path(name, found))
        if any(number is not None and n > number for n in numbers):
            raise RunError(
                f"What the device kept ({name}) before round {number} is not there any more: start the run"
                " again with another --out."
            )
        return None

    def keep(self, name: str, number: int, array: np.ndarray) -> None:
        """Keeps an array of a round; of other rounds only the latest one before it."""
        before = max((n for n in self._numbers(name) if n < number), default=None)
        if self.folder is None:
            self._kept[name, number] = array
        else:
            with writing_to(self.folder):
                self.folder.mkdir(parents=True, exist_ok=True)
                replace(self._path(name, number), sealed({ARRAY: array}, {}))
        for other in self._numbers(name) - {number, before}:
            if self.folder is None:
                del self._kept[name, other]
            else:
                self._path(name, other).unlink(missing_ok=True)

    def _numbers(self, name: str) -> set[int]:
        if self.folder is None:
            return {number for kept, number in self._kept if kept == name}
        return {int(path.stem.rpartition("-")[2]) for path in self.folder.glob(f"{name}-*.safetensors")}

    def _path(self, name: str, number: int) -> Path:
        assert self.folder is not None  # noqa: S101 - only asked where there is one
        return self.folder / f"{name}-{number}.safetensors"


def _read(path: Path) -> np.ndarray:
    try:
        return unsealed(path)[0][ARRAY]
    except (OSError, ValueError) as error:
        raise RunError(f"{path} is damaged ({error}): start the run again with another --out.") from None
