"""Which faults are found, and of more than two classes which kind is taken for which."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from fedmetaalign.report.finished import DeviceReport, Run
from fedmetaalign.report.numbers import count


@dataclass(frozen=True)
class Row:
    """The test samples of one class.

    Attributes:
        name: of the class.
        marks: what a reader must know of it: that it is normal, or was never trained on.
        called: samples by the class that they are called, in the order of the classes.
        right: index of the class itself.
    """

    name: str
    marks: tuple[str, ...]
    called: tuple[int, ...]
    right: int

    @property
    def samples(self) -> int:
        """How many there are."""
        return sum(self.called)

    @property
    def recall(self) -> float | None:
        """The share that is called what it is; None without samples."""
        return self.called[self.right] / self.samples if self.samples else None


@dataclass(frozen=True)
class Confusion:
    """The rows of one device, or of the fleet, one a class."""

    title: str
    rows: tuple[Row, ...]


def confusion(device: DeviceReport) -> Confusion | None:
    """Returns the confusion of a device's last stage; None for two classes, or where it is not known."""
    found = device.final.get("confusion")
    if not device.classes or not found or {len(found), *map(len, found)} != {len(device.classes)}:
        return None
    unseen = dict.fromkeys(device.unseen_kinds, "never trained on")
    return Confusion(device.name, _rows(device, found, unseen))


def fleet_confusion(run: Run) -> Confusion | None:
    """Returns the confusion over all samples of the devices that have one and tell the same classes apart."""
    devices = [device for device in run.devices if confusion(device)]
    devices = [device for device in devices if device.classes == devices[0].classes]
    if len(devices) < 2:
        return None
    first, size = devices[0], range(len(devices[0].classes))
    found = [[sum(d.final["confusion"][i][j] for d in devices) for j in size] for i in size]
    times = Counter(name for device in devices for name in device.unseen_kinds)
    unseen = {name: f"never trained on: {count(number, 'device')}" for name, number in times.items()}
    return Confusion("The fleet", _rows(first, found, unseen))


def _rows(device: DeviceReport, found: list[list[int]], unseen: Mapping[str, str]) -> tuple[Row, ...]:
    rows = []
    for i, name in enumerate(device.classes):
        marks = ("normal" if name in device.normal_classes else "", unseen.get(name, ""))
        rows.append(Row(name, tuple(filter(None, marks)), tuple(found[i]), i))
    return tuple(rows)


def faults_found(device: DeviceReport) -> tuple[int, int, int, int] | None:
    """Returns (faults found, faults missed, false alarms, normal samples left alone) of the last stage.

    They are reckoned from its metrics; None where these leave it open how many test samples are faults.
    """
    final, samples = device.final, device.samples.get("test")
    recall, precision, accuracy = (final.get(key) for key in ("recall", "precision", "accuracy"))
    if not samples or accuracy is None or device.known:
        return None
    if few := device.few_faults:
        counts = {(few.found, few.faults - few.found, *_quiet(few.faults, few.found, accuracy, samples))}
    elif recall is None or device.majority is None:
        return None
    else:
        larger = round(device.majority * samples)
        counts = set()
        for faults in (larger, samples - larger):
            found = round(recall * faults)
            one = (found, faults - found, *_quiet(faults, found, accuracy, samples))
            if min(one) >= 0 and _is(recall, found, faults) and _is(precision, found, found + one[2]):
                counts.add(one)
    return counts.pop() if len(counts) == 1 else None


def _quiet(faults: int, found: int, accuracy: float, samples: int) -> tuple[int, int]:
    """(False alarms, normal samples left alone), of so many samples called right."""
    quiet = round(accuracy * samples) - found
    return samples - faults - quiet, quiet


def _is(share: float | None, part: int, whole: int) -> bool:
    """Tells whether a share is that of so many; None stands for a share of none."""
    return share is None if not whole else share is not None and abs(share * whole - part) < 1e-3
