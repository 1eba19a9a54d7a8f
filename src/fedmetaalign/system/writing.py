"""Writing files whole or not at all, and saying what to do where the system refuses."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from fedmetaalign.errors import RunError


@contextmanager
def writing_to(path: Path, again: str = "use --resume") -> Iterator[None]:
    """Turns what the system says of a failed write into a RunError; `again` says how to go on."""
    try:
        yield
    except OSError as error:
        raise RunError(
            f"Cannot write to {path}: {error.strerror}; fix that and {again}, or choose another --out."
        ) from None


def replace(path: Path, data: bytes, mode: int = 0o644) -> None:
    """Writes a file so that a reader sees the old one or the new one, never a part, and each with this mode."""
    with replacing(path, mode) as file:
        file.write(data)


@contextmanager
def replacing(path: Path, mode: int = 0o644) -> Iterator[BinaryIO]:
    """As `replace`, of what is written in this context; if that ends in an error, the old file stays."""
    partial = path.with_name(f".{path.name}.partial")
    partial.unlink(missing_ok=True)
    try:
        with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
        _keep_names(path.parent)
    finally:
        partial.unlink(missing_ok=True)


def _keep_names(folder: Path) -> None:
    """Makes what was renamed in a folder outlast a power cut."""
    if os.name == "posix":  # elsewhere a folder cannot be opened
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
