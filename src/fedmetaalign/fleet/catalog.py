"""The data sets of catalog.toml: what their columns mean, where they come from, and what is wrong with them.

Only what its publisher lets be downloaded is downloaded; the rest is read from a folder that the user fills.
"""

import difflib
import logging
import tempfile
import tomllib
import zipfile
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path, PurePosixPath

from pydantic import TypeAdapter

from fedmetaalign.errors import DataError
from fedmetaalign.fleet.files import sha256
from fedmetaalign.fleet.tables import Columns

_TIMEOUT = 60.0  # seconds without an answer


@dataclass(frozen=True)
class Dataset:
    """A published data set of one file.

    Attributes:
        name: what the command line calls it.
        file: name of the file.
        title: the publisher's title.
        publisher: who published it.
        url: DOI or page where a person finds it.
        licence: as far as it is known.
        sha256: of the file.
        rows: number of rows.
        columns: what its columns mean.
        download: address of a .zip that holds the file, or of the file; None where it must be got by hand.
        cut: columns that cut it into devices; empty where it is one device.
        notes: its traps, one sentence each.
    """

    name: str
    file: str
    title: str
    publisher: str
    url: str
    licence: str
    sha256: str
    rows: int
    columns: Columns
    download: str | None = None
    cut: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def downloadable(self) -> bool:
        """Whether `fetch` can get it from the publisher."""
        return self.download is not None


DATASETS = TypeAdapter(tuple[Dataset, ...]).validate_python(
    tomllib.loads(files(__package__).joinpath("catalog.toml").read_text(encoding="utf-8"))["dataset"]
)


def find(name: str) -> Dataset:
    """Looks a data set up by its name or its file's name.

    Raises:
        DataError: there is none; the nearest name is given.
    """
    for dataset in DATASETS:
        if name in (dataset.name, dataset.file):
            return dataset
    names = [dataset.name for dataset in DATASETS]
    near = difflib.get_close_matches(name, names, 1)
    hint = f"did you mean '{near[0]}'?" if near else f"there are {', '.join(names)}"
    raise DataError(f"No data set is called '{name}'; {hint}")


def fetch(dataset: str | Dataset, folder: Path) -> Path:
    """Gets a data set's file into a folder, unless it is there already.

    The file appears under its name only when it is whole and its SHA-256 is right.

    Args:
        dataset: a name of `DATASETS`, or a data set of your own.
        folder: made where it does not exist.

    Returns:
        The file's path.

    Raises:
        DataError: the data set is unknown or cannot be downloaded, the download fails, or a file (downloaded,
            or in the folder already) is not the expected one.
    """
    known = find(dataset) if isinstance(dataset, str) else dataset
    target = Path(folder) / known.file
    if target.exists():
        if sha256(target) != known.sha256:
            raise DataError(
                f"{target} is not the file that is published as {known.title} (another SHA-256); move it away "
                "and fetch again, or name it in a recipe as a table of your own"
            )
        return target
    if known.download is None:
        raise DataError(
            f"{known.file} cannot be downloaded for you (licence {known.licence}); get it from {known.url} and "
            f"put it at {target}"
        )
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        # A folder beside the target is on the same file system, so that the last step is one rename.
        with tempfile.TemporaryDirectory(prefix=".fetch-", dir=target.parent) as work:
            arrived = _unpack(_download(known.download, Path(work)), known, Path(work))
            if (digest := sha256(arrived)) != known.sha256:
                raise DataError(
                    f"{known.download} holds another {known.file} than expected (SHA-256 {digest[:12]}... "
                    f"instead of {known.sha256[:12]}...); nothing was kept, so get it by hand from {known.url}"
                )
            arrived.replace(target)
    except OSError as error:
        raise DataError(
            f"{target} cannot be written ({error.strerror or error}); choose another folder"
        ) from error
    return target


def _download(url: str, work: Path) -> Path:
    """The file at an address, in a scratch folder."""
    import pooch
    import requests

    pooch.get_logger().setLevel(logging.WARNING)  # it would print the hash and advise to copy it
    getter = pooch.HTTPDownloader(timeout=_TIMEOUT, progressbar=False)
    try:
        return Path(pooch.retrieve(url, known_hash=None, fname="download", path=work, downloader=getter))
    except (requests.RequestException, ValueError) as error:
        if (response := getattr(error, "response", None)) is not None:
            response.close()  # pooch leaves the connection of a refused download open
        reason = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
        raise DataError(
            f"{url} cannot be downloaded ({reason}); check the network, or get it by hand"
        ) from error


def _unpack(arrived: Path, dataset: Dataset, work: Path) -> Path:
    """The data set's file: the download itself, or the member of that name in a .zip."""
    if not zipfile.is_zipfile(arrived):
        return arrived
    try:
        with zipfile.ZipFile(arrived) as archive:
            members = [name for name in archive.namelist() if PurePosixPath(name).name == dataset.file]
            if not members:
                raise DataError(
                    f"{dataset.download} holds no {dataset.file}; get it by hand from {dataset.url}"
                )
            content = archive.read(members[0])
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError) as error:
        raise DataError(f"{dataset.download} is a damaged .zip ({error}); fetch it again") from error
    unpacked = work / "unpacked"
    unpacked.write_bytes(content)
    return unpacked
