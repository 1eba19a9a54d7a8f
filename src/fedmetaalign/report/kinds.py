"""Which kind of fault is taken for which, for each device and the fleet; only of more than two classes."""

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
