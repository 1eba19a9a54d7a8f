"""How a device did as time went on after training: its accuracy, and what it measured, against training."""

import numpy as np

from fedmetaalign.drift import shifts
from fedmetaalign.evaluation.reported import harmless
from fedmetaalign.evaluation.result import Drift, Span
from fedmetaalign.fleet.device import Device, Period
from fedmetaalign.fleet.times.clock import stamp
from fedmetaalign.model.online import Samples

SPANS = 8
"""Of a test set, at most."""

SAMPLES = 15
"""Of a span, at least, where there are that many."""

FARTHEST = 1e6
"""Standard deviations: a mean that is off by more is off by so much."""


def spans(period: Period, faults: np.ndarray, alarms: np.ndarray) -> list[Span]:
    """Divides the test samples, in order of time, into spans of equally many.

    Args:
        period: when they were taken.
        faults: (rows,) bool, which of them are faults.
        alarms: (rows,) bool, which of them the deployed model says are.
    """
    count = min(SPANS, max(1, len(faults) // SAMPLES))
    return [
        Span(
            start=stamp(int(period.test[rows[0]]), period.dated),
            end=stamp(int(period.test[rows[-1]]), period.dated),
            samples=len(rows),
            faults=int(faults[rows].sum()),
            alarms=int(alarms[rows].sum()),
            accuracy=float(np.mean(faults[rows] == alarms[rows])),
        )
        for rows in np.array_split(np.arange(len(faults)), count)
    ]


def drift(device: Device, test: Samples) -> list[Drift]:
    """Compares each feature of the test samples with that of the training samples; the largest drift first."""
    prepare = device.preparation
    first = [prepare.columns.index(feature) for feature in range(len(prepare.features))]
    found = shifts(device.train.x[:, first], test.x[:, first])
    told = [
        Drift(
            feature=harmless(name),
            index=shift.index,
            probability=shift.probability,
            means=float(np.clip(shift.means, -FARTHEST, FARTHEST)),
            large=shift.large,
        )
        for name, shift in zip(prepare.features, found, strict=True)
    ]
    return sorted(told, key=lambda each: -each.index)
