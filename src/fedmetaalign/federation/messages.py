"""What a device can be asked to do, and what it answers: the same on every engine."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Generic, TypeVar

import numpy as np

from fedmetaalign.evaluation.result import Blend, Epoch, Result
from fedmetaalign.evaluation.thresholds import Choice
from fedmetaalign.federation.compression import Packed
from fedmetaalign.federation.records import Record
from fedmetaalign.model.online import Samples

Reply = TypeVar("Reply", covariant=True)

Arrays = Mapping[str, np.ndarray]
"""What a method of its own kind says, by a name of its choice."""

Vectors = Mapping[str, np.ndarray]
"""Further vectors of a method's own, (parameters,) float32 each, by a name of its choice."""


@dataclass(frozen=True)
class Request(Generic[Reply]):
    """Something a device can be asked; it answers with a `Reply`.

    Attributes:
        weights: (parameters,) float32, the global model as it stands.
        number: the round, from 1.
        devices: how many the federation has, which decides how many steps a device may take.
    """

    weights: np.ndarray
    number: int
    devices: int


@dataclass(frozen=True)
class Visit(Request["Local"]):
    """Train the weights that a tour hands over.

    Attributes:
        tour: numbers the tours from 1, over all rounds.
        rate: of the recipe's learning rate, in (0, 1], where the method lets it decay.
        most: samples to train on, where the method bounds what one device can do; 0 for all.
        vectors: what else the method hands over.
    """

    tour: int
    rate: float = 1.0
    most: int = 0
    vectors: Vectors = field(default_factory=dict)


@dataclass(frozen=True)
class Train(Request["Update"]):
    """Train the global weights, and send the difference.

    Attributes:
        vectors: what else the method sends.
        packed: the weights as they travel; None where they travel as they are.
    """

    vectors: Vectors = field(default_factory=dict)
    packed: Packed | None = None


@dataclass(frozen=True)
class Score(Request["Scores"]):
    """Count the scores of your samples, by models that have not seen them.

    Attributes:
        vectors: what else the method sends.
    """

    vectors: Vectors = field(default_factory=dict)


@dataclass(frozen=True)
class Scores:
    """How a device's scores lie.

    Attributes:
        counts: (2, bins) int64, of normal samples and of faults, in equally wide parts of [0, 1].
    """

    counts: np.ndarray


@dataclass(frozen=True)
class Collect(Request["Collected"]):
    """Hand over your samples, which only the pooled methods ask for, and only in one process.

    Attributes:
        everything: the validation part, too, and in the features' own units.
    """

    everything: bool = False


@dataclass(frozen=True)
class Ask(Request["Answer"]):
    """Do what only one method knows of, and only in one process; its `Method.answer` does it.

    Attributes:
        what: is asked.
        arrays: what the method says with it.
    """

    what: str
    arrays: Arrays


@dataclass(frozen=True)
class Answer:
    """What a device says to `Ask`."""

    arrays: Arrays = field(default_factory=dict)


@dataclass(frozen=True)
class Model:
    """A model of all devices that is no network.

    Attributes:
        probabilities: from raw features in the places of the inputs, (rows, inputs) float32, to what
            `Learner.probabilities` gives.
        numbers: how many it consists of, each of which travels as a float32.
    """

    probabilities: Callable[[np.ndarray], np.ndarray]
    numbers: int


@dataclass(frozen=True)
class Last(Request[Reply]):
    """The last request: make the final global weights your own.

    Attributes:
        stages: (parameters,) float32 by phase, the global weights after it.
        vectors: what else the method sends.
        model: what stands in the place of the weights, and only in one process; None for a network.
        counts: the sum of the devices' `Scores`; None where the method has asked for none.
    """

    stages: Mapping[str, np.ndarray]
    vectors: Vectors = field(default_factory=dict)
    model: Model | None = None
    counts: np.ndarray | None = None


@dataclass(frozen=True)
class Personalize(Last["Personal"]):
    """No more than that: a comparison asks for it, and only in one process."""


@dataclass(frozen=True)
class Finish(Last["Finished"]):
    """Deploy it, too, and evaluate it and the weights of every stage on held-out samples."""


@dataclass(frozen=True)
class Local:
    """A device's weights after training on its support set, and how they do on its query set.

    Attributes:
        weights: (parameters,) float32.
        support_loss: mean cross-entropy met while training, over the last epoch.
        query_loss: mean cross-entropy on the query set afterwards, the paper's L_t^Q.
        accuracy: on the query set, at a threshold of 0.5.
        samples: number of support samples.
        vectors: what else the method sends.
    """

    weights: np.ndarray
    support_loss: float
    query_loss: float
    accuracy: float
    samples: int
    vectors: Vectors = field(default_factory=dict)


@dataclass(frozen=True)
class Update:
    """What a device sends to the server in one round.

    Attributes:
        delta: (parameters,) float32, local weights minus the round's global weights.
        query_score: s = 1 / (1 + query loss), in (0, 1].
        samples: number of samples that averages weigh it by.
        steps: optimiser steps that the delta took.
        support_loss: diagnostic, see `Local`.
        query_loss: diagnostic.
        accuracy: diagnostic, on the query set.
        left_steps: steps of its budget for the round that it leaves to the server.
        vectors: what else the method sends.
        packed: the delta as it travels; None where it travels as it is.
    """

    delta: np.ndarray
    query_score: float
    samples: int
    steps: int
    support_loss: float
    query_loss: float
    accuracy: float
    left_steps: int = 0
    vectors: Vectors = field(default_factory=dict)
    packed: Packed | None = None


@dataclass(frozen=True)
class Collected:
    """A device's own training samples.

    Attributes:
        samples: without its validation part; where everything was asked for with it, and in raw units in the
            places of the inputs.
        features: raw features of each.
        steps: gradient steps that the device may take in all.
    """

    samples: Samples
    features: int
    steps: int


@dataclass(frozen=True)
class Personal:
    """A device's own model.

    Attributes:
        probabilities: from (rows, inputs) float32 to what `Learner.probabilities` gives.
        threshold: tau*, chosen on the validation part's probabilities.
        weights: (parameters,) float32; None where the model is more or less than a network.
        records: one an epoch.
        choice: which of several models it is; None where there was none to choose.
    """

    probabilities: Callable[[np.ndarray], np.ndarray]
    threshold: Choice
    weights: np.ndarray | None = None
    records: tuple[Record, ...] = ()
    choice: Blend | None = None


@dataclass(frozen=True)
class Finished:
    """All that leaves a device in the end: neither its samples nor its weights.

    Attributes:
        result: the device's entry in results.json.
        records: one an epoch of phase 3.
    """

    result: Result
    records: tuple[Epoch, ...]
