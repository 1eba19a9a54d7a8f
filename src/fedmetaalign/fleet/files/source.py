"""What lies under a name: a file that may be read, unpacked, within stated bounds."""

import hashlib
import shutil
import stat
import sys
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkdtemp
from typing import BinaryIO
from weakref import finalize

from fedmetaalign.errors import DataError

MOST_BYTES = 4 * 2**30
"""Of a file, and of what a packed one unfolds to."""
MOST_RATIO = 200
"""How many times its own size a packed file may unfold to, beyond `SMALL_BYTES`."""
SMALL_BYTES = 64 * 2**20
"""What may be held in memory several times over: a file as text, or what a tiny packed one unfolds to."""

STDIN = "-"
CHUNK = 2**20

_MAGIC = {
    b"PAR1": ".parquet",
    b"ARROW1": ".arrow",
    b"\xff\xff\xff\xff": ".arrows",
    b"PK\x03\x04": ".xlsx",
    b"\x1f\x8b": ".gz",
    b"{": ".jsonl",
}


class Folder:
    """A folder that is there as long as somebody holds this."""

    def __init__(self) -> None:
        self.path = Path(mkdtemp(prefix="fedmetaalign-"))
        finalize(self, shutil.rmtree, self.path, ignore_errors=True)


@dataclass(frozen=True)
class Source:
    """A file to be read.

    Attributes:
        path: what a person knows it by.
        file: what is read: the same, or a copy that is unpacked.
        suffix: its kind, such as ".csv".
        packed: it came as .gz.
        folder: keeps the copy.
    """

    path: Path
    file: Path
    suffix: str
    packed: bool = False
    folder: Folder | None = None


def opened(path: Path) -> Source:
    """Looks at a file, and unpacks it or copies standard input (`-`) where necessary.

    Raises:
        DataError: it is missing, empty, no file, not to be read, damaged or beyond the bounds.
    """
    folder = None
    file, suffix, packed = path, path.suffix.lower(), False
    if str(path) == STDIN:
        path, folder = Path("standard input"), Folder()
        file = folder.path / "input"
        _copy(path, iter(lambda: sys.stdin.buffer.read(CHUNK), b""), file, MOST_BYTES)
        suffix = ""
    size = _size(path, file)
    if not suffix:
        with _open(path, file) as stream:
            start = stream.read(8).lstrip()
        suffix = next((kind for magic, kind in _MAGIC.items() if start.startswith(magic)), ".csv")
    if suffix == ".gz":
        packed, suffix = True, Path(path.stem).suffix.lower() or ".csv"
        folder = folder or Folder()
        unpacked = folder.path / "unpacked"
        with _open(path, file) as stream:
            _copy(path, _gunzip(path, stream), unpacked, max(SMALL_BYTES, min(MOST_BYTES, MOST_RATIO * size)))
        file = unpacked
        _size(path, file)
    return Source(path, file, suffix, packed, folder)


def sha256(path: Path) -> str:
    """The file's SHA-256 in hexadecimal.

    Raises:
        DataError: the file cannot be read.
    """
    _size(path, path)
    digest = hashlib.sha256()
    with _open(path, path) as stream:
        while chunk := stream.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def chunks(source: Source) -> Iterator[bytes]:
    """The bytes of a source, piece by piece."""
    with _open(source.path, source.file) as stream:
        while chunk := stream.read(CHUNK):
            yield chunk


def too_large(path: Path, most: int) -> DataError:
    """Returns the error of a file that holds, or unfolds to, more bytes than may be."""
    return DataError(f"{path} unfolds to more than {most // 2**20:,} MiB; cut it into several files")


def inflated(compressed: Iterator[bytes], wbits: int) -> Iterator[bytes]:
    """What deflated pieces unfold to, a few MiB at a time however much it is.

    Raises:
        zlib.error: they are damaged, or end too early.
    """
    unpack = zlib.decompressobj(wbits)
    for piece in compressed:
        rest = piece
        while rest:
            if unpack.eof:  # a file of several members
                if wbits < 0 or not rest.strip(b"\0"):
                    return
                unpack = zlib.decompressobj(wbits)
            yield unpack.decompress(rest, CHUNK)
            rest = unpack.unconsumed_tail or unpack.unused_data
    while tail := unpack.decompress(unpack.unconsumed_tail, CHUNK):
        yield tail
    if not unpack.eof:
        raise zlib.error("it ends too early")


def _gunzip(path: Path, stream: BinaryIO) -> Iterator[bytes]:
    try:
        yield from inflated(iter(lambda: stream.read(CHUNK), b""), 31)
    except zlib.error:
        raise DataError(f"{path} is not a readable .gz file; pack it again") from None


def _copy(path: Path, pieces: Iterator[bytes], to: Path, most: int) -> None:
    written = 0
    try:
        with to.open("wb") as file:
            for piece in pieces:
                written += len(piece)
                if written > most:
                    raise too_large(path, most)
                file.write(piece)
    except OSError as error:
        raise DataError(f"{path} cannot be unpacked ({error.strerror}); make room for it") from None


def _size(path: Path, file: Path) -> int:
    """Sees that something is a file with something in it, and returns its bytes."""
    try:
        found = file.stat()
    except FileNotFoundError as error:
        raise DataError(
            f"{path} does not exist; check the path, or name the tables' folder with --data"
        ) from error
    except (OSError, ValueError) as error:
        if isinstance(error, PermissionError):
            raise
        raise DataError(f"{path} cannot be read ({error}); check the path") from error
    if stat.S_ISDIR(found.st_mode):
        raise DataError(f"{path} is a directory; name a file in it")
    if not stat.S_ISREG(found.st_mode):
        raise DataError(f"{path} is a pipe or a device and no file; save what it gives as a file")
    if not found.st_size:
        raise DataError(f"{path} is empty; give it a header and rows")
    if found.st_size > MOST_BYTES:
        raise DataError(
            f"{path} has more than {MOST_BYTES // 2**20:,} MiB; cut it into several files or save it as Parquet"
        )
    return found.st_size


def _open(path: Path, file: Path) -> BinaryIO:
    try:
        return file.open("rb")
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror}); check its permissions") from error
