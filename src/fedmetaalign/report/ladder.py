"""What a limit of size costs: the models that each device's was chosen from, as tables."""

from collections.abc import Sequence
from html import escape

from fedmetaalign.report.numbers import count, decimal, percent, whole
from fedmetaalign.report.reading import Device, Run, Rung, mean
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
    ways: dict[tuple[str, int | None], list[Rung]] = {}
    for device in devices:
        for rung in device.ladder:
            ways.setdefault((_family(rung.way), rung.bits), []).append(rung)
    rows = [
        [
            head(_titled(way, bits)),
            cell(whole(mean(rung.bytes for rung in rungs))),
            cell(decimal(mean(rung.difference for rung in rungs))),
            cell(percent(mean(rung.accuracy for rung in rungs))),
            cell(f"{sum(rung.shipped for rung in rungs)} of {count(len(devices), 'device')}"),
        ]
        for (way, bits), rungs in sorted(ways.items(), key=lambda item: -(mean(r.bytes for r in item[1]) or 0))
    ]
    return table(["Model", "Bytes, mean", "Difference, mean", "Validation accuracy, mean", "Chosen for"], rows)


def _device(device: Device, limit: int | None) -> str:
    rows = []
    for rung in device.ladder:
        kind = "final" if rung.shipped else ""
        too_large = limit is not None and rung.bytes is not None and rung.bytes > limit
        rows.append(
            [
                head(_titled(rung.way, rung.bits)),
                cell(whole(rung.bytes), kind),
                cell(decimal(rung.difference), kind),
                cell(percent(rung.accuracy), kind),
                cell("chosen" if rung.shipped else "too large" if too_large else "", kind),
            ]
        )
    return table(["Model", "Bytes", "Difference", "Validation accuracy", ""], rows)


def _family(way: str) -> str:
    """A way without its number of units: "pruned to 64 units, low rank" as "pruned, low rank"."""
    return "pruned" + way.partition(" units")[2] if way.startswith("pruned") else way


def _titled(way: str, bits: int | None) -> str:
    """A way and its weights: "Low rank, 8-bit weights"."""
    known = f", {bits}-bit weights" if bits else ""
    return f"{way[:1].upper()}{way[1:]}{known}"
