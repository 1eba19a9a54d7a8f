"""Locks, by which a process keeps others out of a folder; the kernel releases them however it ends."""

import os
import sys
import time
import weakref
from pathlib import Path
from types import TracebackType

from fedmetaalign.errors import RunError

if sys.platform != "win32":
    import fcntl

LINGER = 45.0
"""Seconds that what a killed server has started may outlast it: one process after another takes up to 11."""


class BusyError(RunError):
    """Another process holds the lock."""


class Lock:
    """A file's lock, from when this is made until it is released, dropped, or the process ends.

    A child that inherits `descriptor` holds it, too. On Windows it keeps nobody out.

    Args:
        path: the file, which is made if need be, and otherwise left as it is.
        patience: seconds to wait for another holder.

    Raises:
        BlockingIOError: somebody else holds it.
        OSError: the file cannot be opened.
    """

    def __init__(self, path: Path, patience: float = 0.0) -> None:
        # Open for writing, without which a lock cannot be had on a file system that is another machine's.
        self.descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        self.release = weakref.finalize(self, os.close, self.descriptor)
        """Lets others in."""
        until = time.monotonic() + patience
        while not self._taken():
            if time.monotonic() > until:
                self.release()
                raise BlockingIOError
            time.sleep(0.1)

    def _taken(self) -> bool:
        if sys.platform != "win32":
            try:
                fcntl.flock(self.descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
        return True

    def __enter__(self) -> "Lock":
        """Returns itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Lets others in."""
        self.release()


def alone(folder: Path, busy: str, fix: str, patience: float = 0.0) -> Lock:
    """Keeps other processes that ask so out of a folder, for as long as the lock is held.

    Args:
        folder: is made if need be, and gets a file called `lock`.
        busy: what to say where another process is in it.
        fix: what to do where it cannot be written to.
        patience: seconds to wait for another process.

    Raises:
        BusyError: another process is in it.
        RunError: it cannot be written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return Lock(folder / "lock", patience)
    except BlockingIOError:
        raise BusyError(busy) from None
    except OSError as error:
        raise RunError(f"Cannot write to {folder}: {error.strerror}; {fix}.") from None
