"""The fleet's part of results.json: means over its devices, and what it gains over being alone."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from fedmetaalign.evaluation.metrics import recalls
from fedmetaalign.evaluation.result import Metrics, Result


def summary(devices: Mapping[str, Result]) -> dict[str, Any]:
    """Returns the fleet's means over devices, its worst device, and what it gains over being alone.

    `gain_over_alone` is the mean difference in test accuracy, `worse_off` the share of the devices whose
    deployed model is less accurate than the one that they train alone. Of more than two classes, `confusion`
    counts the samples of all devices, and `recall_by_class` is that of these.

    All of this is said of the devices with faults to be judged by. Of the others, `without_faults` has the
    number and the mean share of false alarms, `without_normal` that and the mean recall, and `without_labels`
    the number; each is there where some are.

    Args:
        devices: by name; one at least. Those with faults all have the same stages and classes, and all were
            trained alone or none.
    """
    every = [result for result in devices.values() if result.known is None]
    accuracies = {n: _accuracy(each.stages["deployed"]) for n, each in devices.items() if each.known is None}
    worst = min(accuracies, key=accuracies.__getitem__) if accuracies else None
    result: dict[str, Any] = {
        "devices": len(devices),
        "stages": {
            stage: _means(d.stages[stage] for d in every) for stage in (every[0].stages if every else ())
        },
        "majority": _mean(d.majority for d in every),
        "one_rule": _mean(d.one_rule.accuracy for d in every if d.one_rule),
        "worst": {"device": worst, "accuracy": accuracies[worst]} if worst is not None else None,
    }
    if every and every[0].classes:
        result |= {"classes": every[0].classes, "majority_class": _mean(d.majority_class for d in every)}
    alone = [d.alone for d in every if d.alone is not None]
    if alone:
        gains = [own - _accuracy(other) for own, other in zip(accuracies.values(), alone, strict=True)]
        result |= {
            "alone": _means(alone),
            "gain_over_alone": _mean(gains),
            "worse_off": sum(gain < 0 for gain in gains) / len(gains),
        }
    return result | _others(devices.values())


def _others(devices: Iterable[Result]) -> dict[str, Any]:
    """What there is to say of devices without faults, and without labels."""
    every = list(devices)
    shares = [each.false_alarms.share for each in every if each.false_alarms is not None]
    found: dict[str, Any] = {"without_faults": {"devices": len(shares), "false_alarms": _mean(shares)}}
    recall = [each.stages["deployed"].recall for each in every if each.known == "faulty"]
    found["without_normal"] = {"devices": len(recall), "recall": _mean(recall)}
    found["without_labels"] = {"devices": sum(each.known == "nothing" for each in every)}
    return {key: value for key, value in found.items() if value["devices"]}


def _means(devices: Iterable[Metrics]) -> dict[str, Any]:
    """Means over devices; counts of classes are added up, and the recalls are those of the sums."""
    every = list(devices)
    means: dict[str, Any] = {
        name: _mean(getattr(metrics, name) for metrics in every) for name in every[0].averaged
    }
    if not every[0].confusion:
        return means
    confusion = np.sum([metrics.confusion for metrics in every], axis=0)
    return means | {"recall_by_class": recalls(confusion), "confusion": confusion.tolist()}


def _mean(values: Iterable[float | None]) -> float | None:
    """Returns the mean of the defined values, None where there is none."""
    defined = [value for value in values if value is not None]
    return float(np.mean(defined)) if defined else None


def _accuracy(metrics: Metrics) -> float:
    """A result's metrics have an accuracy, which `Result` sees to."""
    if metrics.accuracy is None:
        raise ValueError("there is no accuracy without test samples")
    return metrics.accuracy
