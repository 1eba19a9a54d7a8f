"""Compiled training code, kept from one process to the next in the user's cache directory.

JAX compiles its code anew in every process, which takes longer than many a training. It can keep it in a
folder (`jax_compilation_cache_dir`), but writes there in place: a process that is killed leaves half an entry,
and each later one warns of it. `Store` is what JAX asks instead: an entry appears whole or not at all, and says
what it has to hold. A folder that cannot be read or written to, and a full disk, only cost the time to compile.

What an entry is found by covers the code, the options, the versions of JAX and jaxlib and the processor's
features. It is machine code, the same as was compiled, so that no number depends on where it came from.

`FEDMETAALIGN_CACHE` names another folder, or is `off`.
"""

import hashlib
import os
import platform
import tempfile
import threading
import time
from contextlib import suppress
from functools import lru_cache
from itertools import takewhile
from pathlib import Path

VARIABLE = "FEDMETAALIGN_CACHE"
"""The environment's variable that moves the cache, or switches it off."""

OFF = "off"

MOST_BYTES = 256 << 20
"""What all entries may take; an entry is of 20 to 500 KB. Those that were used least recently go first."""

_DIGEST = hashlib.sha256().digest_size
_PARTIAL = ".partial"
_ABANDONED = 3600.0
"""Seconds after which nobody writes to a partial file any more."""

_PROCESSOR = (
    *("vendor_id", "cpu family", "model", "stepping", "flags"),  # x86
    *("CPU implementer", "CPU architecture", "CPU variant", "CPU part", "Features"),  # ARM
    *("isa", "uarch"),  # RISC-V
)
"""The fields of /proc/cpuinfo that say what code a processor runs."""

_switch = threading.Lock()


def keep() -> None:
    """Has JAX look for compiled code in the cache, and put there what it compiles, from now on.

    Does nothing where the cache is off or cannot be, where JAX has been given a folder of its own, or where it
    knows no such thing; and nothing the second time.
    """
    place = folder()
    if place is None:
        return
    try:
        from jax._src import compilation_cache, config
    except ImportError:  # a later version, which has moved what is not public
        return
    with _switch:
        if config.compilation_cache_dir.value or getattr(compilation_cache, "_cache_initialized", True):
            return
        compilation_cache._cache = Store(place)  # type: ignore[assignment]
        compilation_cache._cache_initialized = True
        # By default only what takes a second is kept, as if it were not tens of such things in a run.
        config.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)  # type: ignore[no-untyped-call]


def folder() -> Path | None:
    """Returns the cache's folder, made if need be; None where it is off, or there can be none.

    One that others can write to is not taken: they could have this process run any code.
    """
    wish = os.environ.get(VARIABLE, "")
    if wish == OFF:
        return None
    import platformdirs

    place = Path(wish or platformdirs.user_cache_dir("fedmetaalign")) / "compiled"
    try:
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = place.stat()
    except (OSError, RuntimeError):  # RuntimeError: there is no home
        return None
    if os.name == "posix" and (found.st_uid not in (0, os.geteuid()) or found.st_mode & 0o022):
        return None
    return place


class Store:
    """A folder of entries, as JAX's `CacheInterface` asks for; used by any number of processes at once."""

    def __init__(self, path: Path, most: int = MOST_BYTES) -> None:
        """Takes the entries of a folder; together they may take so many bytes."""
        self._path = path
        self._most = most

    def get(self, key: str) -> bytes | None:
        """Returns an entry, None where there is none or it is damaged."""
        entry = self._entry(key)
        try:
            content = entry.read_bytes()
        except OSError:
            return None
        if content[:_DIGEST] != hashlib.sha256(content[_DIGEST:]).digest():
            return None  # `put` replaces it
        with suppress(OSError):
            os.utime(entry)  # it has been used
        return content[_DIGEST:]

    def put(self, key: str, value: bytes) -> None:
        """Keeps an entry in place of any before it, if that can be."""
        with suppress(OSError):
            self._make_room(len(value) + _DIGEST)
            descriptor, name = tempfile.mkstemp(_PARTIAL, dir=self._path)
            try:
                with os.fdopen(descriptor, "wb") as file:
                    file.write(hashlib.sha256(value).digest() + value)
                Path(name).replace(self._entry(key))
            finally:
                Path(name).unlink(missing_ok=True)

    def _entry(self, key: str) -> Path:
        return self._path / hashlib.sha256(f"{key} {_processor()}".encode()).hexdigest()

    def _make_room(self, size: int) -> None:
        """Removes what a killed process left, and of the entries the oldest until as many bytes are free."""
        entries = []
        for path in self._path.iterdir():
            with suppress(FileNotFoundError):  # another process makes room, too
                found = path.stat()
                if path.suffix != _PARTIAL:
                    entries.append((found.st_mtime, found.st_size, path))
                elif found.st_mtime < time.time() - _ABANDONED:
                    path.unlink()
        taken = size + sum(each for _, each, _ in entries)
        for _, each, path in sorted(entries):
            if taken <= self._most:
                break
            path.unlink(missing_ok=True)
            taken -= each


@lru_cache
def _processor() -> str:
    """Describes the processor. JAX's keys have it as well, but machine code of another kind ends a process."""
    said = [platform.machine()]
    with suppress(OSError), Path("/proc/cpuinfo").open(encoding="utf-8") as file:  # of Linux
        for line in takewhile(str.strip, file):  # of the first core
            name, _, value = line.partition(":")
            if name.strip() in _PROCESSOR:
                said.append(value.strip())
    return " ".join(said)
