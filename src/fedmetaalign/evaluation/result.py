"""What is said of a device when it is done: one type for those who measure, send, write down and read.

A device makes a `Result` (phases/evaluate.py), the wire judges what a stranger sends by the same type,
results.json holds it as `to_dict` writes it, and the report reads it back. So a further metric is a field here
and a line of `evaluation.metrics`.
"""

from collections.abc import Sequence
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from fedmetaalign.evaluation.reported import (
    MOST_FEATURES,
    Amount,
    Loss,
    Part,
    Reported,
    Sha256,
    Threshold,
    Words,
)


def names_of(classes: Sequence[str]) -> list[str] | None:
    """Returns the names of more than two classes as a result holds them; two go without saying."""
    return [*classes] if len(classes) > 2 else None


class Metrics(Reported):
    """What a classifier's scores are worth on some samples; None where a value does not exist for these.

    `evaluation.metrics.measure` says what each is; those with a default are there for more than two classes.
    """

    accuracy: Part | None
    f1: Part | None
    precision: Part | None
    recall: Part | None
    balanced_accuracy: Part | None
    mcc: Annotated[float, Field(ge=-1, le=1, strict=True)] | None
    pr_auc: Part | None
    brier: Part | None
    threshold: Threshold
    class_accuracy: Part | None = None
    macro_f1: Part | None = None
    recall_by_class: list[Part | None] = Field(default_factory=list)
    confusion: list[list[Amount]] = Field(default_factory=list)

    @property
    def averaged(self) -> list[str]:
        """The names of those that are there and whose mean over devices says something."""
        return [name for name in AVERAGED if name in self.model_fields_set]

    def fits(self, classes: int, samples: int | None) -> bool:
        """Tells whether it is of so many classes and samples; 0 for two, of which nothing is reported."""
        wanted = set(CLASSES_ONLY) if classes else set()
        counts = [sum(row) for row in self.confusion]
        return (
            self.model_fields_set & set(CLASSES_ONLY) == wanted
            and len(self.recall_by_class) == len(self.confusion) == classes
            and all(len(row) == classes for row in self.confusion)
            and (not classes or samples in (None, sum(counts)))
        )


CLASSES_ONLY = tuple(name for name, field in Metrics.model_fields.items() if not field.is_required())
"""The metrics of more than two classes."""

AVERAGED = tuple(
    name for name in Metrics.model_fields if name not in ("threshold", "recall_by_class", "confusion")
)
"""The metrics whose mean over devices says something."""


class OneRule(Reported):
    """How the best rule on one feature does on the test samples, and how it reads."""

    accuracy: Part
    rule: Words


class Blend(Reported):
    """Which blend of teachers a device's model has learnt from, and by what it was chosen.

    Attributes:
        name: "joint", where its own and its fleet's teachers have their say, "local", where its own have, or
            "kinds", where it leaves what it has never met to its fleet's.
        estimates: by blend, the mean Brier score on the device's samples, of teachers that have not seen them.
    """

    name: Words
    estimates: dict[Words, Part]


class ThresholdInterval(Reported):
    """Where other samples of a device might have put its threshold, and what it might be worth on them.

    Attributes:
        low: one in twenty bootstrap samples has its best threshold below this ...
        high: ... and one in twenty above this.
        f1: F1, or F-beta, of the device's threshold on its samples.
        f1_low: one in twenty bootstrap samples gives that threshold an F1 below this ...
        f1_high: ... and one in twenty above this.
    """

    low: Threshold
    high: Threshold
    f1: Part
    f1_low: Part
    f1_high: Part


class Novelty(Reported):
    """How unlike its fleet a device is: see `evaluation.novelty`.

    Attributes:
        feature: what it measures most unlike the fleet.
        distance: between the device's values of that and the fleet's, 0 for alike and 1 for apart.
    """

    feature: Words
    distance: Part


class FalseAlarms(Reported):
    """What a device is judged by that has no fault: how many of its normal test samples raise an alarm.

    Attributes:
        share: of the samples; 1 less this is the accuracy of the deployed model.
        low: the share in all of the device's normal samples is at least this, with 95 % confidence ...
        high: ... and at most this.
        allowed: the share that the recipe asks for.
        samples: normal test samples.
    """

    share: Part
    low: Part
    high: Part
    allowed: Part
    samples: Amount


class Span(Reported):
    """How the deployed model did in a part of the test period.

    Attributes:
        start: when its first sample was taken, as text ...
        end: ... and its last one.
        samples: how many there are ...
        faults: ... and of these faults ...
        alarms: ... and alarms.
        accuracy: on them.
    """

    start: Words
    end: Words
    samples: Amount
    faults: Amount
    alarms: Amount
    accuracy: Part


class Drift(Reported):
    """How far the test samples of a feature are from the training samples: see `drift.comparison`.

    Attributes:
        feature: its name.
        index: the population stability index.
        probability: that chance makes so large a difference in any feature.
        means: the mean's difference, in standard deviations of the training samples.
        large: whether it is a large change, and more than chance.
    """

    feature: Words
    index: Loss
    probability: Part
    means: Annotated[float, Field(ge=-1e6, le=1e6, strict=True)]
    large: Annotated[bool, Field(strict=True)]


class FewFaults(Reported):
    """How little a device's test set says of how well faults are found, where it has fewer than `ENOUGH`.

    Attributes:
        faults: in the test set.
        found: of them, by the deployed model.
        low: the share of all of the device's faults that it finds is at least this, with 95 % confidence ...
        high: ... and at most this.
    """

    faults: Amount
    found: Amount
    low: Part
    high: Part


ENOUGH = 5
"""Faults in a test set from which on recall, precision and F1 are told."""


class Candidate(Reported):
    """A model that the deployed one was chosen from: how a size is paid for.

    Attributes:
        way: how the network was made smaller.
        bits: of most of its weights.
        bytes: of its file.
        difference: the root of the mean squared difference between its scores and the personal model's, on
            inputs like the device's own.
        accuracy: on the validation part, at a threshold chosen there; None without validation samples.
        shipped: whether it is the one that the device gets.
    """

    way: Words
    bits: Amount
    bytes: Amount
    difference: Part
    accuracy: Part | None
    shipped: Annotated[bool, Field(strict=True)]


class Result(Reported):
    """A device's entry in results.json.

    Attributes:
        stages: by name, in the order that the models were made in.
        threshold: of the deployed model.
        threshold_note: why it is not the one that maximises F1; None if it is.
        threshold_interval: how sure it is; left out where that was not asked, and of a fallback.
        majority: test accuracy of always saying the class that is most frequent in training; None where that is
            no rival: on a device without faults, or without labels.
        one_rule: what one feature alone can tell; None where `majority` is.
        alone: the model that the device trains without the others; left out where the recipe asks for none, and
            where `majority` is None.
        samples: their number, by phase and in all.
        model_bytes: of the .tflite file.
        blend: what the device's model has learnt from; left out where its method has no teachers.
        ladder: the models that the deployed one was chosen from; left out where the recipe asks for no size.
        bundle: the digest that the bundle.json that the device has built gives of itself, and so of every file.
        classes: their names, in the order of the rows and columns of `confusion`; this and what follows is
            there for more than two classes.
        normal_classes: those that mean no fault.
        unseen_kinds: those that the device is tested on and has no training sample of.
        majority_class: test accuracy of always naming the class that is most frequent in training, to be held
            against `class_accuracy`, as `majority` is against `accuracy`.
        novelty: of a device that is `known`; left out where the fleet has no quantiles to be unlike.
        known: "normal" of a device without a fault to be tested on, whose accuracy is the share of its normal
            samples that raise no alarm, "faulty" of one with faults alone, whose accuracy is the share of these
            that is found, and "nothing" of one without a label, which cannot be judged; left out of others.
        false_alarms: of a device without a fault.
        over_time: the test period in parts, of a device that is split by time and has labels.
        drift: of each of its features, the largest first.
        few_faults: of a device with too few of them to be judged by; left out of others.
        pr_curve: recall and precision of the deployed model at several thresholds; left out where the recipe
            asks for no curves, and where either does not exist.
    """

    stages: dict[Words, Metrics]
    threshold: Threshold
    threshold_note: Words | None
    majority: Part | None
    one_rule: OneRule | None
    alone: Metrics | None = None
    samples: dict[Literal["serial", "parallel", "personalize", "train", "test"], Amount]
    model_bytes: Amount
    blend: Blend | None = None
    threshold_interval: ThresholdInterval | None = None
    ladder: list[Candidate] | None = None
    bundle: Sha256
    classes: Annotated[list[Words], Field(min_length=3, max_length=64)] | None = None
    normal_classes: list[Words] = Field(default_factory=list)
    unseen_kinds: list[Words] = Field(default_factory=list)
    majority_class: Part | None = None
    known: Literal["normal", "faulty", "nothing"] | None = None
    novelty: Novelty | None = None
    false_alarms: FalseAlarms | None = None
    over_time: Annotated[list[Span], Field(min_length=1, max_length=64)] | None = None
    drift: Annotated[list[Drift], Field(min_length=1, max_length=MOST_FEATURES)] | None = None
    few_faults: FewFaults | None = None
    pr_curve: Annotated[list[tuple[Part, Part]], Field(min_length=1, max_length=64)] | None = None

    @model_validator(mode="after")
    def _measured(self) -> Self:
        """A device with labels has test samples, so these two always exist; and all is of the same classes."""
        classes, labelled = self.classes or [], self.known != "nothing"
        if not labelled and self.samples.get("test") != 0:
            raise ValueError("a device without labels has no test samples")
        if {self.majority is not None, self.one_rule is not None} != {self.known is None}:
            raise ValueError("majority and one_rule belong to devices with faults, and to these alone")
        if (self.known == "normal") != (self.false_alarms is not None) or (self.known and self.alone):
            raise ValueError("false_alarms belongs to devices without a fault, and alone to those with some")
        judged = {f"stages.{name}": metrics for name, metrics in self.stages.items()}
        for name, metrics in (judged | ({"alone": self.alone} if self.alone else {})).items():
            for key in ("accuracy", "brier"):
                if (getattr(metrics, key) is not None) != labelled:
                    raise ValueError(f"{name}.{key} is {'missing' if labelled else 'not that of no samples'}")
            if not metrics.fits(len(classes), self.samples.get("test")):
                raise ValueError(f"{name} is not of {len(classes) or 2} classes, or not of the test samples")
        by_class = ("normal_classes", "unseen_kinds", "majority_class")
        if any((key in self.model_fields_set) != bool(classes) for key in by_class):
            raise ValueError(f"{', '.join(by_class)} belong to classes")
        for key in ("normal_classes", "unseen_kinds"):
            if not set(getattr(self, key)) <= set(classes) or len(set(classes)) < len(classes):
                raise ValueError(f"{key} are not among the classes, or two of these are the same")
        return self


class Epoch(Reported):
    """A record of phase 3, a line of rounds.jsonl; that of the last epoch has the last two keys."""

    phase: Literal[3]
    round: Amount
    device: Words
    support_loss: Loss
    query_loss: Loss | None = None
    accuracy: Part | None = None
