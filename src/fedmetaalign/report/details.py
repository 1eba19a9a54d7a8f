"""All that is known of one device, as the page carries it and shows on demand."""

from collections.abc import Mapping, Sequence
from typing import Any

from fedmetaalign.evaluation.result import AVERAGED, CLASSES_ONLY
from fedmetaalign.report.candidates import titled
from fedmetaalign.report.finished import DeviceReport, Run, mapping
from fedmetaalign.report.kinds import confusion
from fedmetaalign.report.numbers import interval
from fedmetaalign.report.rounds import Missed, Series, rounded

_MOST_INPUTS = 20
"""Inputs whose drift is told, the farthest first."""


def _metrics(device: DeviceReport) -> list[str]:
    return [name for name in AVERAGED if device.classes or name not in CLASSES_ONLY]


def details(
    run: Run,
    device: DeviceReport,
    bundle: Mapping[str, Any],
    series: Mapping[tuple[int, str], Series],
    told: Sequence[tuple[int, str]],
    missed: Sequence[Missed],
) -> dict[str, Any]:
    """Returns what the table does not have, by key; what is not known is left out.

    Args:
        run: what the device is of.
        device: the one.
        bundle: its `bundle.json`.
        series: (phase, key) -> what was recorded of all devices.
        told: what it is warned of: the number of a finding, and the numbers behind it.
        missed: its answers that could not be used.
    """
    bounds = interval(device.accuracy, device.samples.get("test"))
    kinds = confusion(device)
    everything = {
        "findings": told,
        "metrics": _metrics(device),
        "stages": {stage: _values(device, metrics) for stage, metrics in device.stages.items()},
        "alone": _values(device, device.alone) if device.alone else None,
        "bounds": bounds and [rounded(bound) for bound in bounds],
        "rule": device.rule,
        "note": device.threshold_note,
        "sure": device.threshold_interval and device.threshold_interval.model_dump(),
        "curve": [[rounded(recall), rounded(precision)] for recall, precision in device.pr_curve],
        "confusion": kinds and [[r.name, list(r.marks), list(r.called), rounded(r.recall)] for r in kinds.rows],
        "majority_class": rounded(device.majority_class) if kinds else None,
        "estimates": {name: rounded(value) for name, value in device.estimates.items()},
        "false_alarms": device.false_alarms and device.false_alarms.model_dump(),
        "novelty": device.novelty and device.novelty.model_dump(),
        "few": device.few_faults and device.few_faults.model_dump(),
        "rounds": [
            [phase, key, [[r, rounded(value)] for r, value in each[device.name].items()]]
            for (phase, key), each in sorted(series.items())
            if device.name in each
        ],
        "missed": missed,
        "time": [[*span.model_dump().values()] for span in device.over_time],
        "drift": [[*each.model_dump().values()] for each in device.drift[:_MOST_INPUTS]],
        "inputs": len(device.drift),
        "ladder": [
            [titled(each.way, each.bits), each.bytes, each.difference, each.accuracy, each.shipped]
            for each in device.candidates
        ],
        "digest": device.digest,
        "found": found if device.digest and (found := bundle.get("digest")) != device.digest else None,
        "bundle": told_of(bundle),
    }
    return {key: value for key, value in everything.items() if value not in (None, (), [], {}, 0)}


def told_of(bundle: Mapping[str, Any]) -> dict[str, Any]:
    """Returns `bundle.json` with its inputs and files as rows, where they fit, and without the long curves."""
    preparation, told = dict(mapping(bundle.get("preparation"))), dict(bundle)
    encoded = bool(preparation.pop("curves", None))
    lists = [preparation.get(key) for key in ("features", "units", "mean", "scale")]
    named = [each for each in lists if isinstance(each, list) and each]
    if len(named) == len(lists) and len({len(each) for each in named}) == 1:
        places, texts = preparation.get("columns"), mapping(preparation.get("categories"))
        places = places if isinstance(places, list) else []
        told["inputs"] = [
            [*row, [place for place, feature in enumerate(places) if feature == i], texts.get(str(row[0]))]
            for i, row in enumerate(zip(*named, strict=True))
        ]
        told |= {"encoded": encoded, "width": len(places), "zeros": places.count(-1)}
        told["preparation"] = {k: v for k, v in preparation.items() if k in ("missing", "fill")}
    sizes, digests = mapping(bundle.get("bytes")), mapping(bundle.get("sha256"))
    if sizes and sizes.keys() == digests.keys():
        told["files"] = [[name, size, digests[name]] for name, size in sizes.items()]
        del told["bytes"], told["sha256"]
    return told


def _values(device: DeviceReport, metrics: Mapping[str, Any]) -> list[float | None]:
    return [rounded(metrics.get(name)) for name in _metrics(device)]
