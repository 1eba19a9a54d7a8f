"""Deltas of a round that memory should not hold: they wait in a file without a name until a rule wants them."""

import tempfile
from dataclasses import fields
from threading import Lock
from weakref import finalize

import numpy as np

from fedmetaalign.federation.messages import Update

MOST = 2**28
"""Bytes of a round's deltas that memory holds; where there are more, all of them go to a file."""


class Spool:
    """A temporary file of float32 vectors of one length, for several threads; it goes with its last user."""

    def __init__(self, length: int) -> None:
        """Prepares for vectors of so many values."""
        self._file = tempfile.TemporaryFile()  # noqa: SIM115 - open for as long as somebody has use for it
        finalize(self, self._file.close)
        self._bytes, self._count, self._lock = 4 * length, 0, Lock()

    def keep(self, vector: np.ndarray) -> int:
        """Writes a vector, (length,) float32, and returns its number."""
        with self._lock:
            number = self._count
            self._count += 1
            self._file.seek(number * self._bytes)
            self._file.write(vector.tobytes())
        return number

    def read(self, number: int) -> np.ndarray:
        """Returns a vector, (length,) float32, an array of its own."""
        with self._lock:
            self._file.seek(number * self._bytes)
            return np.frombuffer(self._file.read(self._bytes), np.float32)


class Spooled(Update):
    """An update whose delta is read from a file each time that somebody asks for it."""

    _place: tuple[Spool, int]

    def __init__(self, update: Update, spool: Spool) -> None:
        """Writes an update's delta to a file, and keeps the rest."""
        for field in fields(Update):
            if field.name != "delta":
                object.__setattr__(self, field.name, getattr(update, field.name))
        object.__setattr__(self, "_place", (spool, spool.keep(update.delta)))

    @property
    def delta(self) -> np.ndarray:
        """Reads the delta, (parameters,) float32."""
        spool, number = self._place
        return spool.read(number)
