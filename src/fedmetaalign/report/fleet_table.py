"""The fleet's table as the page carries it: a list a column, of whole numbers, so that it stays small.

Shares, scores and thresholds are in thousandths: 0.8938 is 894, which the page shows as 89.4 % or 0.894.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from fedmetaalign.evaluation.result import AVERAGED
from fedmetaalign.report.decision import unfit
from fedmetaalign.report.findings import ROUNDING, Finding, beyond_chance
from fedmetaalign.report.finished import STAGES, DeviceReport, Run
from fedmetaalign.report.kinds import faults_found
from fedmetaalign.report.sharing import GROUP, OWN, SHARED, learnt_from

LEARNT = (SHARED, GROUP, OWN)
"""What a model has learnt from; its column holds places in this."""

DIGEST = 12
"""Hexadecimal digits of a bundle's digest in the table; all stand in the details of a device."""

METRICS = tuple(name for name in AVERAGED if name != "accuracy")
"""Of the last stage, beside the accuracy of every stage."""


def in_order_of_need(run: Run, found: Sequence[Finding], first: Iterable[str] = ()) -> list[DeviceReport]:
    """Returns the devices that need attention first: by their gravest finding, then by least gain.

    Args:
        run: what the devices are of.
        found: its findings, the gravest first.
        first: names of devices that go before all others.
    """
    gravest: dict[str, int] = {}
    for place, finding in enumerate(found):
        for name, _ in finding.devices:
            gravest.setdefault(name, place)
    asked = set(first)

    def need(device: DeviceReport) -> tuple[bool, int, float]:
        worth = device.gain if device.gain is not None else device.accuracy
        return device.name not in asked, gravest.get(device.name, len(found)), 1.0 if worth is None else worth

    return sorted(run.devices, key=need)


def columns(run: Run, devices: Sequence[DeviceReport], found: Sequence[Finding]) -> dict[str, list[Any]]:
    """Returns key -> the values of a column, in the order of the devices; columns without any are left out."""
    place = {device.name: i for i, device in enumerate(devices)}
    marks: list[list[int]] = [[] for _ in devices]
    for number, finding in enumerate(found):
        for name, _ in finding.devices:
            if name in place:
                marks[place[name]].append(number)
    unfit_ = unfit(run)
    read: dict[str, Callable[[DeviceReport], Any]] = {
        "name": lambda d: d.name,
        "known": lambda d: d.known,
        "unfit": lambda d: unfit_.get(d.name),
        "train": training,
        "test": lambda d: d.samples.get("test"),
        "majority": lambda d: thousandths(d.majority),
        "one_rule": lambda d: thousandths(d.one_rule),
        "alone": lambda d: thousandths(d.alone.get("accuracy")),
        **{stage: _accuracy_after(stage) for stage in STAGES},
        "false_alarms": lambda d: d.false_alarms and thousandths(d.false_alarms.share),
        "gain": lambda d: thousandths(d.gain),
        "luck": lambda d: thousandths(d.luck(d.alone.get("accuracy"))),
        "standing": standing,
        **{metric: _metric(metric) for metric in METRICS},
        "counts": faults_found,
        "threshold": lambda d: thousandths(d.threshold),
        "bytes": lambda d: d.model_bytes,
        "group": lambda d: d.group,
        "learnt": lambda d: LEARNT.index(said) if (said := learnt_from(run, d)) else None,
        "digest": lambda d: d.digest and d.digest[:DIGEST],
    }
    values = {key: [get(device) for device in devices] for key, get in read.items()}
    values["marks"] = [each or None for each in marks]
    return {key: each for key, each in values.items() if any(value is not None for value in each)}


def means(run: Run) -> Mapping[str, int | None]:
    """Returns the fleet's means, by column and in its unit."""
    last = run.stages[-1] if run.stages else ""
    found = {
        "majority": run.baseline("majority"),
        "one_rule": run.baseline("one_rule"),
        "alone": run.alone("accuracy"),
        **{stage: run.mean(stage, "accuracy") for stage in run.stages},
        "gain": run.gain,
        "luck": run.luck,
        **{metric: run.mean(last, metric) for metric in METRICS},
    }
    return {key: thousandths(value) for key, value in found.items() if value is not None}


def thousandths(value: float | None) -> int | None:
    """0.8938 as 894."""
    return None if value is None else round(1000 * value)


def training(device: DeviceReport) -> int | None:
    """The samples that are not for testing; without "train", phases that share none are taken for all."""
    if "train" in device.samples:
        return device.samples["train"]
    parts = [size for part, size in device.samples.items() if part != "test"]
    return sum(parts) if parts else None


def standing(device: DeviceReport) -> int | None:
    """How a device is beside training alone: 0 the same, else better or, below 0, worse.

    1 where that may be chance, 2 where it is more than chance, 3 where nobody knows.
    """
    if device.gain is None:
        return None
    if abs(device.gain) <= ROUNDING:
        return 0
    size = {None: 3, True: 2, False: 1}[beyond_chance(device.gain, device.luck(device.alone.get("accuracy")))]
    return size if device.gain > 0 else -size


def _accuracy_after(stage: str) -> Callable[[DeviceReport], int | None]:
    return lambda device: thousandths(device.stages.get(stage, {}).get("accuracy"))


def _metric(name: str) -> Callable[[DeviceReport], int | None]:
    return lambda device: thousandths(device.final.get(name))
