"""The last step of the method `fleet` on a device: ask the teachers, choose a blend, learn what it says.

A device whose group has met kinds that it has not asks neither its forest nor its own network, which give these
kinds no chance, and learns from nobody: synthetic samples are like its own, and on them a network forgets what
the group's model knows besides. It fine-tunes that model with the others' kinds held back; without holding them
back only if that is much better on its own samples, none of which shows what it would lose.
"""

from collections.abc import Mapping
from functools import partial
from itertools import pairwise

import numpy as np

from fedmetaalign.evaluation.few_samples import shrunk_f1
from fedmetaalign.evaluation.fleet_threshold import BINS, counted, drawn_to_fleet
from fedmetaalign.evaluation.thresholds import Choice, few_false_alarms
from fedmetaalign.federation.messages import Personal, Scores
from fedmetaalign.federation.records import record
from fedmetaalign.model.online import Samples
from fedmetaalign.phases import kinds
from fedmetaalign.phases.budget import MOST_STEPS
from fedmetaalign.phases.client import Client, passes
from fedmetaalign.phases.distillation import STRETCHES, decaying, distil
from fedmetaalign.phases.folds import folds, taken
from fedmetaalign.phases.teaching import Chosen, Teacher, as_learner, better, blended, choose, each_class
from fedmetaalign.phases.trees import forest, of_every_class
from fedmetaalign.randomness import generator
from fedmetaalign.tinyml.decision import fault_probability, predict

NOTHING = np.zeros(0, np.float32)
"""No logit is held back."""
MORE_KINDS = {"kinds": {"tuned": 1.0}, "joint": {"tuned": 1.0}}
"""What a device chooses from whose group has met more kinds: first what has held these back."""

LEAST_GAIN = 0.01
"""In Brier score, and twice the margin besides: so much better it must be on its own samples not to."""


def scores_of(client: Client, without: Mapping[int, np.ndarray], more: bool) -> Scores:
    """Counts what the device's blend says of samples that its teachers have not seen; of one class alone none.

    Args:
        client: the device.
        without: as for `taught`.
        more: likewise.

    Raises:
        DivergenceError: training has run away.
    """
    if not _has_a_say(client):
        return Scores(np.zeros((2, BINS), np.int64))
    return Scores(counted(*_alarms(client, _chosen(client, without, more))))


def taught(
    client: Client,
    weights: np.ndarray,
    without: Mapping[int, np.ndarray],
    more: bool,
    counts: np.ndarray | None = None,
) -> Personal:
    """Makes a device's own model; a device with one class has no say, and takes its group's model as it is.

    Args:
        client: the device.
        weights: (parameters,) float32, its group's model.
        without: by fold, its group's model without that fold of any device's samples.
        more: whether its group has met kinds that it has not.
        counts: (2, BINS) int64, the sum of what the devices' `scores_of` say; None where nobody has asked.

    Raises:
        DivergenceError: training has run away.
    """
    target, settings, samples = client.learner.target, client.recipe.teaching, client.device.train
    if not _has_a_say(client):
        return client.own(weights)
    chosen = _chosen(client, without, more)
    if _knows_less(client, more):
        own = _tuned(client, weights, samples, settings.folds, _held(client)[chosen.verdict.name])
    else:
        own = _learnt(client, weights, chosen.weights)
    threshold = _threshold(client, chosen, counts)
    said = as_learner(chosen.probabilities, target)
    right = predict(said, target, threshold.threshold) == target.faults(samples.y)
    loss, _ = client.learner.evaluate(own, samples)
    seen = record(3, 1, client.name, support_loss=loss, accuracy=float(np.mean(right)))
    return Personal(partial(client.learner.probabilities, own), threshold, own, (seen,), chosen.verdict)


def _learnt(client: Client, weights: np.ndarray, blend: Mapping[str, float]) -> np.ndarray:
    """Returns a network that says what a blend says, (parameters,) float32; of one network, that itself."""
    recipe, samples, settings = client.recipe, client.device.train, client.recipe.teaching
    start, asked = _teachers(client, weights, samples, settings.folds)
    networks = {"tuned": start, "fleet": weights}
    if len(blend) == 1 and (only := next(iter(blend))) in networks:
        return networks[only]

    def teacher(x: np.ndarray) -> np.ndarray:
        return blended({name: asked[name](x) for name in blend}, blend)

    rate, count = recipe.optimizer.learning_rate, settings.samples
    return distil(client.learner, start, teacher, samples.x, count, rate, recipe.seed, client.name)


def _knows_less(client: Client, more: bool) -> bool:
    """Whether the device fine-tunes its group's model for the kinds that it has not met."""
    return more and "tuned" in client.recipe.teaching.teachers


def _held(client: Client) -> dict[str, np.ndarray]:
    """Returns what is added to the logits while the device fine-tunes, by the name of a choice."""
    own = kinds.met(client.device.train.y, client.learner.target.outputs)
    return {"kinds": kinds.held_back(own), "joint": NOTHING}


def _has_a_say(client: Client) -> bool:
    """Whether the device has samples of both kinds, by which teachers can be judged."""
    return len(np.unique(client.learner.target.faults(client.device.train.y))) == 2


def _chosen(client: Client, without: Mapping[int, np.ndarray], more: bool) -> Chosen:
    """Chooses the device's blend by teachers of its folds."""
    recipe, target, settings = client.recipe, client.learner.target, client.recipe.teaching
    samples = client.device.train
    dealt = folds(samples, target, settings.folds, recipe.seed, client.name, client.device.period)
    less = _knows_less(client, more)
    names = MORE_KINDS if less else settings.teachers
    said = {name: np.empty((len(samples), len(target.classes))) for name in names}
    for fold in range(settings.folds):
        unseen = dealt == fold
        if not unseen.any():
            continue
        rest, asked = taken(samples, ~unseen), dict[str, Teacher]()
        if less:
            for name, held in _held(client).items():
                asked[name] = _network(client, _tuned(client, without[fold], rest, fold, held))
        else:
            _, asked = _teachers(client, without[fold], rest, fold)
        for name, teacher in asked.items():
            said[name][unseen] = teacher(samples.x[unseen])
    if less:
        return better(said, MORE_KINDS, samples.y, 2 * settings.margin, LEAST_GAIN)
    return choose(said, samples.y, settings.margin)


def _threshold(client: Client, chosen: Chosen, counts: np.ndarray | None) -> Choice:
    """Returns the threshold that the recipe asks for, from what unseen teachers say of all of its samples."""
    settings = client.recipe.personalize
    if settings.fixed_threshold is not None:
        return Choice(settings.fixed_threshold, None, None)
    random, (faults, alarms) = generator(client.recipe.seed, "threshold", client.name), _alarms(client, chosen)
    if settings.threshold == "false_alarms":
        return few_false_alarms(alarms[faults == 0], settings.max_false_alarms, faults=alarms[faults == 1])
    if counts is None:
        return shrunk_f1(faults, alarms, random, settings.weight)
    return drawn_to_fleet(faults, alarms, counts, random, settings.weight)


def _alarms(client: Client, chosen: Chosen) -> tuple[np.ndarray, np.ndarray]:
    """Returns which of the device's samples are faults, and what unseen teachers say of them, (rows,) each."""
    target = client.learner.target
    said = fault_probability(as_learner(chosen.probabilities, target), target)
    return target.faults(client.device.train.y), said


def _teachers(
    client: Client, weights: np.ndarray, samples: Samples, address: int
) -> tuple[np.ndarray, dict[str, Teacher]]:
    """Trains the recipe's teachers.

    Args:
        client: the device.
        weights: (parameters,) float32, its group's model.
        samples: its own, all or some.
        address: of the random numbers: the fold that is left out.

    Returns:
        The fine-tuned weights, (parameters,) float32, and the teachers.
    """
    recipe = client.recipe
    tuned = _tuned(client, weights, samples, address)
    found = {"tuned": _network(client, tuned), "fleet": _network(client, weights)}
    if "own" in recipe.teaching.teachers:
        epochs, rate = recipe.serial.rounds + recipe.personalize.epochs, recipe.optimizer.learning_rate
        own = _trained(client, client.learner.initial(), samples, epochs, "own", address, rate, slice(None))
        found["own"] = _network(client, own)
    if "forest" in recipe.teaching.teachers:
        found["forest"] = _forest(client, samples, address)
    return tuned, {name: found[name] for name in recipe.teaching.teachers}


def _tuned(
    client: Client, weights: np.ndarray, samples: Samples, address: int, held: np.ndarray = NOTHING
) -> np.ndarray:
    """Fine-tunes the group's model; meanwhile `held` is added to its logits."""
    recipe, settings = client.recipe, client.recipe.personalize
    rate = settings.learning_rate or recipe.optimizer.learning_rate
    upper = slice(client.learner.split(settings.freeze).body, None)
    start = kinds.moved(weights, held)
    return kinds.moved(_trained(client, start, samples, settings.epochs, "tuned", address, rate, upper), -held)


def _trained(
    client: Client,
    start: np.ndarray,
    samples: Samples,
    epochs: int,
    name: str,
    address: int,
    rate: float,
    trainable: slice,
) -> np.ndarray:
    """Passes over samples with a rate that falls."""
    cuts = np.linspace(0, min(epochs * len(samples), MOST_STEPS), STRETCHES + 1).astype(int)
    where = (client.recipe.seed, "teacher", name, address, client.name)
    parts = [passes(samples, a, b, *where) for a, b in pairwise(cuts) if b > a]
    return decaying(client.learner, start, parts, rate, *where[1:], trainable=trainable)


def _network(client: Client, weights: np.ndarray) -> Teacher:
    """Returns a network as a teacher."""
    return lambda x: each_class(client.learner.probabilities(weights, x))


def _forest(client: Client, samples: Samples, address: int) -> Teacher:
    """Trains a random forest."""
    seed = int(generator(client.recipe.seed, "teacher", "forest", address, client.name).integers(2**32))
    return partial(of_every_class, forest(samples, seed), len(client.learner.target.classes))
