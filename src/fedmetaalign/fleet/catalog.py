"""Data sets that are known by name: what their columns mean, where they come from, and what is wrong with them.

Only what its publisher lets be downloaded is downloaded; the rest is read from a folder that the user fills.
"""

import difflib
import logging
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from fedmetaalign.errors import DataError
from fedmetaalign.fleet.files import sha256
from fedmetaalign.fleet.tables import Columns

_PHASES = ("Ia", "Ib", "Ic", "Va", "Vb", "Vc")
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


DATASETS: tuple[Dataset, ...] = (
    Dataset(
        name="ai4i2020",
        file="ai4i2020.csv",
        title="AI4I 2020 Predictive Maintenance Dataset",
        publisher="S. Matzka, UCI Machine Learning Repository",
        url="https://doi.org/10.24432/C5HS5C",
        licence="CC BY 4.0",
        sha256="dc6630cd9b1f0f853922fad78a1b6436570d3f1ec863f1dd5c4340ac56bc8a8e",
        rows=10_000,
        columns=Columns(
            label="Machine failure",
            features=(
                "Type",
                "Air temperature [K]",
                "Process temperature [K]",
                "Rotational speed [rpm]",
                "Torque [Nm]",
                "Tool wear [min]",
            ),
            categories={"Type": ("L", "M", "H")},
            kind=("TWF", "HDF", "PWF", "OSF", "RNF"),
            units={
                "Air temperature [K]": "K",
                "Process temperature [K]": "K",
                "Rotational speed [rpm]": "rpm",
                "Torque [Nm]": "Nm",
                "Tool wear [min]": "min",
            },
        ),
        download="https://archive.ics.uci.edu/static/public/601/ai4i+2020+predictive+maintenance+dataset.zip",
        notes=(
            "It is synthetic: the failures follow published rules.",
            "TWF, HDF, PWF, OSF and RNF are parts of the label and never features.",
            "9 failures have no mode set, and 18 rows with RNF = 1 are not marked as failures.",
            "96.61 % of the rows are normal.",
        ),
    ),
    Dataset(
        name="electrical-detection",
        file="detect_dataset.csv",
        title="Electrical Fault Detection and Classification: fault detection",
        publisher="E. Sathya Prakash, Kaggle",
        url="https://www.kaggle.com/datasets/esathyaprakash/electrical-fault-detection-and-classification",
        licence="not verified",
        sha256="e131001576be21b26b7e77a78c671dd46caba68f6dcb40829e958001c0e62519",
        rows=12_001,
        columns=Columns(label="Output (S)", features=_PHASES),
        notes=(
            "It is simulated, one class at a time in 11 runs: shuffle, or split by blocks.",
            "It holds every row of classData.csv: keep the two on one side of every split.",
            "Its last two columns are empty.",
        ),
    ),
    Dataset(
        name="electrical-class",
        file="classData.csv",
        title="Electrical Fault Detection and Classification: fault type",
        publisher="E. Sathya Prakash, Kaggle",
        url="https://www.kaggle.com/datasets/esathyaprakash/electrical-fault-detection-and-classification",
        licence="not verified",
        sha256="c8e7d1f2a6d4aefd74b5ed48d9ca4afdfdf2a5b676a5ed0935625e48972a36b2",
        rows=7_861,
        columns=Columns(label=("G", "C", "B", "A"), features=_PHASES),
        notes=(
            "It is simulated, one class at a time in 6 runs: its last fifth is all normal.",
            "All its rows are in detect_dataset.csv: keep the two on one side of every split.",
            "0111 and 1111 cannot be told apart from one sample.",
        ),
    ),
    Dataset(
        name="machine-failure",
        file="machine_failure_umerrtx.csv",
        title="Machine Failure Prediction using Sensor Data",
        publisher="umerrtx, Kaggle (as data.csv)",
        url="https://www.kaggle.com/datasets/umerrtx/machine-failure-prediction-using-sensor-data",
        licence="not verified",
        sha256="63d51e9ca42ba91257172c8cccca70b6fd5d2d8ebc189f7e4611f70e8070de78",
        rows=944,
        columns=Columns(
            label="fail",
            features=("footfall", "tempMode", "AQ", "USS", "CS", "VOC", "RP", "IP", "Temperature"),
        ),
        notes=(
            "It is sorted by Temperature and the failure rate rises along it: shuffle and stratify.",
            "The one rule VOC > 3.5 is right in 90.47 %.",
        ),
    ),
    Dataset(
        name="equipment",
        file="equipment_anomaly_data.csv",
        title="Industrial Equipment Monitoring Dataset",
        publisher="dnkumars, Kaggle",
        url="https://www.kaggle.com/datasets/dnkumars/industrial-equipment-monitoring-dataset",
        licence="not verified",
        sha256="4bf1e1c3627983162ac8a9c11d0837e35bdd3c0230319f7555648de3a8daabcd",
        rows=7_672,
        columns=Columns(label="faulty", features=("temperature", "pressure", "vibration", "humidity")),
        cut=("equipment", "location"),
        notes=(
            "It is synthetic: normal rows are Gaussian, faulty ones uniform over fixed ranges.",
            "Equipment and location carry no signal, so devices cut by them are all alike.",
            "90 % of the rows are normal.",
        ),
    ),
    Dataset(
        name="noise",
        file="machine_failure_3000.csv",
        title="machine_failure_data.csv with 3,000 rows",
        publisher="unknown (used in a Kaggle notebook of nicksri1248)",
        url="https://github.com/nicksri-1248/Equipment_Failure_Prediction",
        licence="unknown",
        sha256="d74a3f14639679925702a7833e5ceac4eaf0f488709d8a1effc03c5b0aeeef7b",
        rows=3_000,
        columns=Columns(
            label="Failure_Status",
            features=("Temperature", "Pressure", "Vibration_Level", "Humidity", "Power_Consumption"),
        ),
        notes=("All sensors are independent of the label: 90.07 %, the larger class, is the ceiling.",),
    ),
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
