"""The recipe's sections on the network and on training: what each phase and the method `fleet` are told."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from fedmetaalign.recipe.section import Count, Positive, Rate, Section, Share, Whole
from fedmetaalign.recipe.source import Source, one_of
from fedmetaalign.system import plugins


class Optimizer(Section):
    """How every phase trains."""

    name: Literal["adam"] = "adam"
    learning_rate: Rate = 1e-5
    batch_size: Literal[1] = 1


class Foundation(Source):
    """Phase 0: pre-training on public data."""

    enabled: bool = True
    epochs: Count = 10
    learning_rate: Rate | None = None
    """None: the optimizer's."""


class Serial(Section):
    """Phase 1: the tour."""

    rounds: Whole = 10
    epochs: Count = 1
    tours: Count = 1
    """Passes over all devices in a round."""
    parallel_tours: Count | Literal["auto"] = 1
    """Into how many tours that go on side by side a pass is cut; 1 is the paper, see `phases.serial`."""
    decay: Literal["none", "cosine"] = "none"
    """Of the learning rate, over all tours."""
    shift: Whole = 0
    """Steps by which a convolutional network's windows are moved in time, at most, whenever a tour of the
    method `fleet` trains on them: at random, and what falls off at one end comes in at the other."""


RULES = (
    *("similarity", "mean", "fedadp", "fltrust", "fedfv", "fednova"),
    *("median", "trimmed_mean", "krum"),
)
"""The rules of this package."""


class Parallel(Section):
    """Phase 2: rounds of similarity-aware aggregation."""

    rounds: Whole = 10
    epochs: Count = 1
    aggregation: Annotated[str, AfterValidator(one_of(RULES, plugins.RULES))] = "similarity"
    """A rule of `aggregation`, or of another package."""
    floor: Annotated[float, Field(ge=0, le=1, strict=True)] = 0.1
    reference: Literal["mean", "others", "root"] = "mean"
    """What similarity compares a delta with: the mean, the others' mean, or the server's own on public data."""
    unit_norm: bool = False
    criteria: tuple[Literal["score", "alignment"], ...] = ("score", "alignment")
    """What the weights of similarity are the product of; none: all weigh the same."""
    byzantine: Annotated[float, Field(ge=0, lt=0.5, strict=True)] = 0.2
    """Share of the devices that may lie, for trimmed_mean and krum."""
    keep: Count = 1
    """Devices that krum averages; more than one is Multi-Krum."""
    server_learning_rate: Positive = 1.0
    cohort: Rate = 1.0
    """Share of the devices that takes part in a round."""
    minimum_devices: Count = 1
    """A round that fewer of them answer ends the run, to be resumed."""
    asynchronous: Count | None = None
    """Deltas that a round is made of: whichever come first. None: it waits for all whom it has asked."""

    @model_validator(mode="after")
    def _asynchronous_fits(self) -> "Parallel":
        if self.asynchronous is None:
            return self
        if self.cohort != 1:
            raise ValueError(
                f"has asynchronous = {self.asynchronous} and cohort = {self.cohort:g}, and each says who takes"
                " part in a round: take one of them out"
            )
        if self.needs_root:
            raise ValueError(
                f"has asynchronous = {self.asynchronous}, where deltas start from several weights, and a rule"
                " that compares them with the server's own from one: choose another, or take asynchronous out"
            )
        if self.minimum_devices > self.asynchronous:
            raise ValueError(
                f"has minimum_devices = {self.minimum_devices}, more than the asynchronous ="
                f" {self.asynchronous} deltas that a round waits for: lower it"
            )
        return self

    @property
    def needs_root(self) -> bool:
        """The server trains on public data, too: the rule compares the devices' deltas with its own."""
        return self.aggregation == "fltrust" or (self.aggregation == "similarity" and self.reference == "root")


class Transport(Section):
    """How the weights of phase 2 travel; both engines round them alike."""

    receive: Literal["float32", "float16"] = "float32"
    """What a device is sent the global weights in."""
    send: Literal["float32", "float16", "int8"] = "float32"
    """What it sends its delta in; what rounding loses is added to its next delta."""


class Costs(Section):
    """What mistakes cost, in any one unit: only their ratio counts."""

    miss: Positive
    false_alarm: Positive


class Personalize(Section):
    """Phase 3: fine-tuning and the threshold."""

    epochs: Count = 10
    freeze: Annotated[float, Field(ge=0, lt=1, strict=True)] = 0.5
    """Share of the layers, counted from the input, that stay as they are."""
    learning_rate: Rate | None = None
    """None: the optimizer's."""
    threshold: Literal["f1", "f2", "cost", "false_alarms"] | Share = "f1"
    """Maximise F1, or F2, on the validation part, expect the least cost of mistakes, find as many faults as may
    be with no more than `max_false_alarms`, or a fixed threshold."""
    beta: Positive = 1.0
    """For "f1": F-beta in its place, to which a missed fault counts beta^2 times a false alarm."""
    costs: Costs | None = None
    """For "cost"."""
    max_false_alarms: Share = 0.01
    """Share of normal samples that may raise one: with "false_alarms", and of a device that has no fault."""

    @model_validator(mode="after")
    def _threshold_is_whole(self) -> "Personalize":
        if self.threshold == "cost" and self.costs is None:
            raise ValueError(
                'has threshold = "cost" and says no costs: add costs = { miss = 20.0, false_alarm = 1.0 }, or'
                " what a mistake costs you"
            )
        if self.threshold != "cost" and self.costs is not None:
            raise ValueError('has costs, which only threshold = "cost" uses: set that, or take costs out')
        if self.threshold != "f1" and self.beta != 1:
            raise ValueError(
                f'has beta = {self.beta:g}, which only threshold = "f1" uses: set that, or take beta out'
            )
        return self

    @property
    def by_f1(self) -> bool:
        """Whether it is the threshold of the greatest F-beta."""
        return self.threshold in ("f1", "f2")

    @property
    def weight(self) -> float:
        """The beta of the F-beta that is greatest: 2 for "f2"."""
        return 2.0 if self.threshold == "f2" else self.beta

    @property
    def fixed_threshold(self) -> float | None:
        """The threshold that no sample has a say in; None of one that is chosen.

        With costs it is that of least expected cost, for a score that is the probability of a fault: an alarm
        costs (1 - p) false_alarm, and none p miss (Elkan, "The foundations of cost-sensitive learning", 2001).
        """
        if self.costs is not None:
            return 1 / (1 + self.costs.miss / self.costs.false_alarm)
        return None if isinstance(self.threshold, str) else self.threshold


class Groups(Section):
    """Which devices of the method `fleet` train one model."""

    alignment: Annotated[float, Field(ge=-1, le=1, strict=True)] = 0.2
    """Least mean alignment within a group, corrected for noise; -1 makes one group of all devices."""
    epochs: Count = 6
    """Passes over half of its samples that a device's alignment is measured on."""
    cap: Annotated[float, Field(ge=1, strict=True)] = 4.0
    """Samples that a device trains on in a tour, at most: so many times those of the fleet's median device."""
    reach: Positive = 2.0
    """How far a device may move the weights in a tour at the full learning rate, at most: so many times the
    length of the median device's update on half of its samples. Honest devices stay below 1."""


Teacher = Literal["forest", "own", "tuned", "fleet"]


class Teaching(Section):
    """What a device of the method `fleet` makes its own model of.

    forest: a random forest on its own samples.
    own: a network trained on its own samples.
    tuned: its group's model, fine-tuned on its own samples.
    fleet: its group's model.
    """

    teachers: Annotated[tuple[Teacher, ...], Field(min_length=1)] = ("forest", "own", "tuned", "fleet")
    folds: Annotated[int, Field(ge=2, le=10, strict=True)] = 3
    """Parts of its samples: a teacher is judged on each by one of its kind that has not seen that part."""
    margin: Annotated[float, Field(ge=0, strict=True)] = 1.0
    """Standard errors by which another blend of teachers must beat the joint one to be taken."""
    samples: Count = 24_000
    """Synthetic samples that the network learns from its teachers."""


class Evaluation(Section):
    """What a run is compared with."""

    alone: bool = True
    """Train every device by itself too, with as many steps, to tell what the federation gains."""
    curves: bool = False
    """Tell each device's precision and recall at several thresholds, and draw them in the report."""
