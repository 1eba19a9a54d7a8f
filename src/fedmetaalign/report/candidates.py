"""The models that each device's was chosen from, where the recipe limits the size."""

from collections.abc import Sequence
from dataclasses import dataclass

from fedmetaalign.evaluation.result import Candidate
from fedmetaalign.report.finished import DeviceReport, mean


@dataclass(frozen=True)
class Kind:
    """One way to make models smaller: means over the devices that have such a model, and how many got it."""

    title: str
    bytes: float | None
    difference: float | None
    accuracy: float | None
    shipped: int


def kinds(devices: Sequence[DeviceReport]) -> list[Kind]:
    """Returns what a fleet's models were chosen from, the largest first."""
    groups: dict[str, list[Candidate]] = {}
    for device in devices:
        for each in device.candidates:
            groups.setdefault(titled(_without_units(each.way), each.bits), []).append(each)
    found = [
        Kind(
            title,
            mean(each.bytes for each in some),
            mean(each.difference for each in some),
            mean(each.accuracy for each in some),
            sum(each.shipped for each in some),
        )
        for title, some in groups.items()
    ]
    return sorted(found, key=lambda kind: -(kind.bytes or 0))


def titled(technique: str, bits: int) -> str:
    """A technique and its weights: "Low rank, 8-bit weights"."""
    return f"{technique[:1].upper()}{technique[1:]}, {bits}-bit weights"


def _without_units(technique: str) -> str:
    """A technique without its number of units: "pruned to 64 units, low rank" as "pruned, low rank"."""
    return "pruned" + technique.partition(" units")[2] if technique.startswith("pruned") else technique
