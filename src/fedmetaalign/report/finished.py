"""What the report knows of a finished run: one value for the run, and one for each device."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from fedmetaalign.evaluation.result import (
    Candidate,
    Drift,
    FalseAlarms,
    FewFaults,
    Novelty,
    Span,
    ThresholdInterval,
)
from fedmetaalign.report.numbers import chance

STAGES = {
    "foundation": "Foundation",
    "serial": "Serial",
    "parallel": "Parallel",
    "personalized": "Personalized",
    "deployed": "Deployed",
}
"""The stages in the order a model goes through them, and their titles."""


OF_FAULTS = ("precision", "recall", "f1", "balanced_accuracy", "mcc", "pr_auc")
"""Metrics that rest on the faults of a test set."""


@dataclass(frozen=True)
class DeviceReport:
    """What `results.json` and the bundle say about one device; None where they say nothing.

    Attributes:
        stages: stage name -> the `Metrics` that are known, in the order of `STAGES`; none of a device without
            faults, whose accuracy is another thing than that of the others.
        majority: test accuracy of always saying the majority class.
        one_rule: test accuracy of the best single-threshold rule, which is spelled out in `rule`.
        alone: metrics of the model that the device trained without the others; empty if it did not.
        samples: part name -> number of samples.
        threshold_interval: how sure the threshold is.
        over_time: its test period in parts; empty where it is not split by time.
        drift: how far each input is from training, the farthest first.
        candidates: the models that the deployed one was chosen from, the largest first; empty without
            `max_bytes`.
        digest: what its `bundle.json` says of itself.
        blend: "joint" or "local", see `evaluation.result.Blend`; None where its method has no teachers.
        estimates: by blend, what it was chosen by: a Brier score on samples that the teachers have not seen.
        group: the number of its group, from 1; None where its method makes no groups.
        classes: more than two, in the order of `confusion`; empty of two.
        normal_classes: those of them that mean no fault.
        unseen_kinds: those that the device is tested on and never trained on.
        majority_class: as `majority`, of the classes.
        known: "normal" of a device without a fault, "faulty" of one with faults alone, "nothing" of one
            without a label.
        false_alarms: what a device without a fault is judged by.
        novelty: how unlike the fleet it is.
        pr_curve: (recall, precision) of its last stage at several thresholds, recall rising; empty without.
        few_faults: what so few faults as it is tested on say; then no stage has a metric that rests on them.
    """

    name: str
    stages: Mapping[str, Mapping[str, Any]]
    threshold: float | None
    threshold_note: str | None
    majority: float | None
    one_rule: float | None
    rule: str | None
    alone: Mapping[str, Any]
    samples: Mapping[str, int]
    model_bytes: int | None
    candidates: tuple[Candidate, ...]
    digest: str | None = None
    blend: str | None = None
    estimates: Mapping[str, float] = field(default_factory=dict)
    group: int | None = None
    classes: tuple[str, ...] = ()
    normal_classes: tuple[str, ...] = ()
    unseen_kinds: tuple[str, ...] = ()
    majority_class: float | None = None
    known: str | None = None
    false_alarms: FalseAlarms | None = None
    novelty: Novelty | None = None
    few_faults: FewFaults | None = None
    pr_curve: tuple[tuple[float, float], ...] = ()
    threshold_interval: ThresholdInterval | None = None
    over_time: tuple[Span, ...] = ()
    drift: tuple[Drift, ...] = ()

    @cached_property
    def last(self) -> str | None:
        """The last stage that the device's model reached: "deployed" in a whole run."""
        return next(reversed(list(self.stages)), None)

    @cached_property
    def final(self) -> Mapping[str, Any]:
        """The metrics of the last stage."""
        return self.stages[self.last] if self.last else {}

    @cached_property
    def accuracy(self) -> float | None:
        """Test accuracy of the last stage."""
        return self.final.get("accuracy")

    @cached_property
    def gain(self) -> float | None:
        """Test accuracy of the last stage minus that of the model trained alone."""
        alone = self.alone.get("accuracy")
        return None if self.accuracy is None or alone is None else self.accuracy - alone

    def luck(self, other: float | None) -> float | None:
        """How far from another accuracy on its test samples the device's may be by chance; see `chance`."""
        samples = self.samples.get("test")
        if self.accuracy is None or other is None or not samples:
            return None
        return chance([(self.accuracy, other, samples)])


@dataclass(frozen=True)
class Run:
    """All that the page is made of.

    Attributes:
        name: the recipe's name.
        rounds: the objects of `rounds.jsonl`, in order.
        stages: the stages that at least one device has, in order.
        fleet: the fleet's part of `results.json`.
        folder: where it was read from.
        left_out: devices that could not be used -> what is wrong with each, a sentence each.
    """

    name: str
    recipe: Mapping[str, Any]
    recipe_text: str
    manifest: Mapping[str, Any]
    rounds: tuple[Mapping[str, Any], ...]
    devices: tuple[DeviceReport, ...]
    stages: tuple[str, ...]
    fleet: Mapping[str, Any]
    folder: Path = Path()
    left_out: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @cached_property
    def lone(self) -> bool:
        """Only one device has taken part: there is nobody to learn from."""
        names = {device.name for device in self.devices}
        return len(names) == 1 and all(each.get("device") in names for each in self.rounds if each.get("phase"))

    @cached_property
    def groups(self) -> tuple[tuple[str, ...], ...]:
        """The names of the devices of each group, in the order of its number; empty where there are none."""
        found: dict[int, list[str]] = {}
        for device in self.devices:
            if device.group is not None:
                found.setdefault(device.group, []).append(device.name)
        return tuple(tuple(names) for _, names in sorted(found.items()))

    @cached_property
    def group_sizes(self) -> Counter[int]:
        """How many devices each group has, those included that did not finish."""
        return Counter(mapping(self.fleet.get("groups")).values())

    def mean(self, stage: str, metric: str) -> float | None:
        """The fleet's mean of a metric: as `results.json` has it, else over the devices that have one."""
        given = number(mapping(mapping(self.fleet.get("stages")).get(stage)).get(metric))
        return given if given is not None else mean(d.stages.get(stage, {}).get(metric) for d in self.devices)

    def baseline(self, name: str) -> float | None:
        """The fleet's mean of "majority" or "one_rule"."""
        given = accuracy_of(self.fleet.get(name))
        return given if given is not None else mean(getattr(d, name) for d in self.devices)

    def alone(self, metric: str) -> float | None:
        """The fleet's mean of a metric of the models trained alone."""
        given = number(mapping(self.fleet.get("alone")).get(metric))
        return given if given is not None else mean(d.alone.get(metric) for d in self.devices)

    @property
    def gain(self) -> float | None:
        """The fleet's mean gain in accuracy over training alone; None if no device trained alone."""
        given = number(self.fleet.get("gain_over_alone"))
        return given if given is not None else mean(d.gain for d in self.devices)

    @property
    def luck(self) -> float | None:
        """How far from 0 chance may carry `gain`; None where a number of test samples is not known."""
        return luck(self.devices)


def luck(devices: Iterable[DeviceReport]) -> float | None:
    """Returns how far from 0 chance may carry the mean gain of those devices that trained alone, too.

    None where a number of test samples is not known.
    """
    compared = [
        (d.accuracy, d.alone.get("accuracy"), d.samples.get("test")) for d in devices if d.gain is not None
    ]
    known = [(a, b, n) for a, b, n in compared if a is not None and b is not None and n]
    return chance(known) if known and len(known) == len(compared) else None


def number(value: object) -> float | None:
    """Returns a finite number as float, and None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value)


def accuracy_of(value: object) -> float | None:
    """Returns the number, or the number under "accuracy": a baseline comes as either."""
    return number(value.get("accuracy") if isinstance(value, dict) else value)


def mean(values: Any) -> float | None:
    """Returns the mean of the values that are not None; None if there are none."""
    known = [value for value in values if value is not None]
    return math.fsum(known) / len(known) if known else None


def mapping(value: object) -> Mapping[str, Any]:
    """Returns a JSON object, and an empty one for anything else."""
    return value if isinstance(value, dict) else {}
