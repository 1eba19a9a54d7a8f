"""What a limit of size costs: the models that each device's was chosen from, as tables."""

from collections.abc import Sequence
from html import escape

from fedmetaalign.evaluation.result import Candidate
from fedmetaalign.report.numbers import count, decimal, percent, whole
from fedmetaalign.report.reading import Device, Run, mean
from fedmetaalign.report.tables import cell, head, table

FEW = 3
"""Fleets of up to so many devices show every device's ladder opened."""


def section(run: Run) -> str:
    """Returns the section of the page, "" where the recipe asks for no size."""
    devices = [device for device in run.devices if device.ladder]
    if not devices:
        return ""
    most = run.recipe.get("deploy", {}).get("max_bytes")
    limit = most if isinstance(most, int) else None
    opened = " open" if len(devices) <= FEW else ""
    tables = "".join(
        f"<details{opened}><summary>{escape(device.name)}</summary>{_device(device, limit)}</details>"
        for device in devices
    )
    return (
        f"<section><h2>What the size costs</h2>{_fleet(devices) if len(devices) > 1 else ''}"
        f'<p class="note">The recipe asks for models of at most {whole(limit)} bytes. Of those that fit, a '
        "device gets the one whose scores differ least from its personal model's, on inputs like its own and "
        "without labels; of several alike, the quickest. “Difference” is the root of the mean square, of "
        "scores from 0 to 1. The accuracy is that on the few validation samples, on which the threshold is "
        f"chosen, too: chance says which of two good models is ahead there.</p>{tables}</section>"
    )


def _fleet(devices: Sequence[Device]) -> str:
    """One row a way to make a model smaller, over the devices that have such a model."""
    ways: dict[tuple[str, int], list[Candidate]] = {}
    for device in devices:
        for candidate in device.ladder:
            ways.setdefault((_family(candidate.way), candidate.bits), []).append(candidate)
    rows = [
        [
            head(_titled(way, bits)),
            cell(whole(mean(candidate.bytes for candidate in candidates))),
            cell(decimal(mean(candidate.difference for candidate in candidates))),
            cell(percent(mean(candidate.accuracy for candidate in candidates))),
            cell(f"{sum(candidate.shipped for candidate in candidates)} of {count(len(devices), 'device')}"),
        ]
        for (way, bits), candidates in sorted(
            ways.items(), key=lambda item: -(mean(r.bytes for r in item[1]) or 0)
        )
    ]
    return table(["Model", "Bytes, mean", "Difference, mean", "Validation accuracy, mean", "Chosen for"], rows)


def _device(device: Device, limit: int | None) -> str:
    rows = []
    for candidate in device.ladder:
        kind = "final" if candidate.shipped else ""
        too_large = limit is not None and candidate.bytes > limit
        rows.append(
            [
                head(_titled(candidate.way, candidate.bits)),
                cell(whole(candidate.bytes), kind),
                cell(decimal(candidate.difference), kind),
                cell(percent(candidate.accuracy), kind),
                cell("chosen" if candidate.shipped else "too large" if too_large else "", kind),
            ]
        )
    return table(["Model", "Bytes", "Difference", "Validation accuracy", ""], rows)


def _family(way: str) -> str:
    """A way without its number of units: "pruned to 64 units, low rank" as "pruned, low rank"."""
    return "pruned" + way.partition(" units")[2] if way.startswith("pruned") else way


def _titled(way: str, bits: int) -> str:
    """A way and its weights: "Low rank, 8-bit weights"."""
    return f"{way[:1].upper()}{way[1:]}, {bits}-bit weights"
