"""The last step of the method `fleet` on a device: ask the teachers, choose a blend, learn what it says."""

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
from fedmetaalign.phases.budget import MOST_STEPS
from fedmetaalign.phases.client import Client, passes
from fedmetaalign.phases.distillation import STRETCHES, decaying, distil
from fedmetaalign.phases.folds import folds, taken
from fedmetaalign.phases.teaching import Chosen, Teacher, as_learner, blended, choose, each_class
from fedmetaalign.phases.trees import forest, of_every_class
from fedmetaalign.randomness import generator
from fedmetaalign.tinyml.decision import fault_probability, predict


def scores_of(client: Client, without: Mapping[int, np.ndarray]) -> Scores:
    """Counts what the device's blend says of samples that its teachers have not seen; of one class alone none.

    Args:
        client: the device.
        without: as for `taught`.

    Raises:
        DivergenceError: training has run away.
    """
    if not _has_a_say(client):
        return Scores(np.zeros((2, BINS), np.int64))
    return Scores(counted(*_alarms(client, _chosen(client, without))))


def taught(
    client: Client,
    weights: np.ndarray,
    without: Mapping[int, np.ndarray],
    counts: np.ndarray | None = None,
) -> Personal:
    """Makes a device's own model; a device with one class has no say, and takes its group's model as it is.

    Args:
        client: the device.
        weights: (parameters,) float32, its group's model.
        without: by fold, its group's model without that fold of any device's samples.
        counts: (2, BINS) int64, the sum of what the devices' `scores_of` say; None where nobody has asked.

    Raises:
        DivergenceError: training has run away.
    """
    recipe, target, settings = client.recipe, client.learner.target, client.recipe.teaching
    samples = client.device.train
    if not _has_a_say(client):
        return client.own(weights)
    chosen = _chosen(client, without)
    start, asked = _teachers(client, weights, samples, settings.folds)

    def blend(x: np.ndarray) -> np.ndarray:
        return blended({name: asked[name](x) for name in chosen.weights}, chosen.weights)

    networks = {"tuned": start, "fleet": weights}
    if len(chosen.weights) == 1 and (only := next(iter(chosen.weights))) in networks:
        own = networks[only]  # who learnt from it would know less: nothing of kinds that the device never met
    else:
        rate, count = recipe.optimizer.learning_rate, settings.samples
        own = distil(client.learner, start, blend, samples.x, count, rate, recipe.seed, client.name)
    threshold = _threshold(client, chosen, counts)
    said = as_learner(chosen.probabilities, target)
    right = predict(said, target, threshold.threshold) == target.faults(samples.y)
    loss, _ = client.learner.evaluate(own, samples)
    seen = record(3, 1, client.name, support_loss=loss, accuracy=float(np.mean(right)))
    return Personal(partial(client.learner.probabilities, own), threshold, own, (seen,), chosen.verdict)


def _has_a_say(client: Client) -> bool:
    """Whether the device has samples of both kinds, by which teachers can be judged."""
    return len(np.unique(client.learner.target.faults(client.device.train.y))) == 2


def _chosen(client: Client, without: Mapping[int, np.ndarray]) -> Chosen:
    """Chooses the device's blend by teachers of its folds."""
    recipe, target, settings = client.recipe, client.learner.target, client.recipe.teaching
    samples = client.device.train
    dealt = folds(samples, target, settings.folds, recipe.seed, client.name, client.device.period)
    said: dict[str, np.ndarray] = {
        name: np.empty((len(samples), len(target.classes))) for name in settings.teachers
    }
    for fold in range(settings.folds):
        unseen = dealt == fold
        if not unseen.any():
            continue
        _, asked = _teachers(client, without[fold], taken(samples, ~unseen), fold)
        for name, teacher in asked.items():
            said[name][unseen] = teacher(samples.x[unseen])
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
    recipe, learner = client.recipe, client.learner
    settings = recipe.personalize

    def network(trained: np.ndarray) -> Teacher:
        return lambda x: each_class(learner.probabilities(trained, x))

    def trained(start: np.ndarray, epochs: int, name: str, rate: float, trainable: slice) -> np.ndarray:
        cuts = np.linspace(0, min(epochs * len(samples), MOST_STEPS), STRETCHES + 1).astype(int)
        where = (recipe.seed, "teacher", name, address, client.name)
        parts = [passes(samples, a, b, *where) for a, b in pairwise(cuts) if b > a]
        return decaying(learner, start, parts, rate, *where[1:], trainable=trainable)

    rate = settings.learning_rate or recipe.optimizer.learning_rate
    upper = slice(learner.split(settings.freeze).body, None)
    tuned = trained(weights, settings.epochs, "tuned", rate, upper)
    found = {"tuned": network(tuned), "fleet": network(weights)}
    if "own" in recipe.teaching.teachers:
        epochs, rate = recipe.serial.rounds + settings.epochs, recipe.optimizer.learning_rate
        found["own"] = network(trained(learner.initial(), epochs, "own", rate, slice(None)))
    if "forest" in recipe.teaching.teachers:
        found["forest"] = _forest(client, samples, address)
    return tuned, {name: found[name] for name in recipe.teaching.teachers}


def _forest(client: Client, samples: Samples, address: int) -> Teacher:
    """Trains a random forest."""
    seed = int(generator(client.recipe.seed, "teacher", "forest", address, client.name).integers(2**32))
    return partial(of_every_class, forest(samples, seed), len(client.learner.target.classes))
