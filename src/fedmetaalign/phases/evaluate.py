"""The final evaluation: the only reader of the test sets."""

from collections.abc import Mapping

import numpy as np

from fedmetaalign.evaluation.intervals import clopper_pearson
from fedmetaalign.evaluation.metrics import majority, measure_classes, pr_curve
from fedmetaalign.evaluation.novelty import most_unlike
from fedmetaalign.evaluation.reported import harmless
from fedmetaalign.evaluation.result import (
    ENOUGH,
    FalseAlarms,
    FewFaults,
    Metrics,
    Novelty,
    OneRule,
    Result,
    names_of,
)
from fedmetaalign.evaluation.rules import best_rule
from fedmetaalign.federation.messages import Personal
from fedmetaalign.fleet.device import Device
from fedmetaalign.model.online import Samples
from fedmetaalign.model.target import Target, known
from fedmetaalign.phases.client import Client
from fedmetaalign.phases.conversion import RUNTIME
from fedmetaalign.phases.deploy import Deployed
from fedmetaalign.phases.over_time import drift, spans
from fedmetaalign.tinyml import runtimes
from fedmetaalign.tinyml.decision import fault_probability
from fedmetaalign.tinyml.decision import predict as decided


def evaluate(
    client: Client,
    test: Samples,
    stages: Mapping[str, np.ndarray],
    personal: Personal,
    deployed: Deployed,
    alone: Personal | None,
    bundle: str,
) -> Result:
    """Judges a device's models at every stage on its held-out samples.

    The global models of the stages are judged at a threshold of 0.5, the personal and the deployed one at the
    device's own. A device without a fault to be tested on is judged by its false alarms, one with faults alone
    by how many it finds, one without a label not at all.

    Args:
        client: the device.
        test: its held-out samples.
        stages: (parameters,) global weights after each phase, by its name.
        personal: the device's own model.
        deployed: its quantised model.
        alone: its model trained without the others; None if the recipe leaves it out, or the device has no
            faults to be trained and tested on.
        bundle: the digest of its bundle.
    """
    device, target = client.device, client.learner.target
    tells = known(target.faults(test.y))
    if tells == "faulty" != device.known:  # the latest part of a device that was trained on both
        tells = "faults"
    rivals = tells == "faults"
    y, train_y = test.y.astype(np.int64), device.train.y.astype(np.int64)

    def judged(probabilities: np.ndarray, threshold: float) -> Metrics:
        return measure_classes(target, y, fault_probability(probabilities, target), probabilities, threshold)

    rows = {stage: judged(client.learner.probabilities(w, test.x), 0.5) for stage, w in stages.items()}
    rows["personalized"] = judged(personal.probabilities(test.x), personal.threshold.threshold)
    found = runtimes.scores(deployed.network, test.x, RUNTIME)
    rows["deployed"] = judged(found, deployed.threshold.threshold)
    result = {
        "stages": rows,
        "threshold": deployed.threshold.threshold,
        "threshold_note": deployed.threshold.reason,
        "majority": majority(target.faults(train_y), target.faults(y)) if rivals else None,
        "one_rule": one_rule(device, test, target) if rivals else None,
        "samples": {phase: len(p.support) + len(p.query) for phase, p in device.parts.items()}
        | {"train": len(device.train), "test": len(y)},
        "model_bytes": len(deployed.model),
        "bundle": bundle,
    }
    # These keys are there if the recipe asks for them.
    if alone is not None:
        result["alone"] = judged(alone.probabilities(test.x), alone.threshold.threshold)
    if personal.choice is not None:
        result["blend"] = personal.choice
    if deployed.threshold.interval is not None:
        result["threshold_interval"] = deployed.threshold.interval
    if deployed.candidates:
        result["ladder"] = list(deployed.candidates)
    if names := names_of(target.classes):
        result |= {
            "classes": names,
            "normal_classes": [names[i] for i in target.normal],
            "unseen_kinds": [names[i] for i in np.setdiff1d(y, train_y)],
            "majority_class": majority(train_y, y) if rivals else None,
        }
    faults = target.faults(y)
    if 0 < (count := int(faults.sum())) < ENOUGH:
        hits = round((rows["deployed"].recall or 0) * count)
        low, high = clopper_pearson(hits, count)
        result["few_faults"] = FewFaults(faults=count, found=hits, low=low, high=high)
    elif client.recipe.evaluation.curves and (curve := pr_curve(faults, fault_probability(found, target))):
        result["pr_curve"] = curve
    if not rivals:
        result["known"] = tells
        if device.preparation.curves and client.recipe.fleet.scaling == "fleet":
            result["novelty"] = novelty(device)
    if tells == "normal":
        alarms = round((1 - (rows["deployed"].accuracy or 0)) * len(y))
        low, high = clopper_pearson(alarms, len(y))
        allowed = client.recipe.personalize.max_false_alarms
        result["false_alarms"] = FalseAlarms(
            share=alarms / len(y), low=low, high=high, allowed=allowed, samples=len(y)
        )
    if device.period is not None and len(y):
        said = decided(found, target, deployed.threshold.threshold)
        result["over_time"] = spans(device.period, target.faults(y).astype(bool), said)
        result["drift"] = drift(device, test)
    return Result.model_validate(result)


def novelty(device: Device) -> Novelty:
    """Says how unlike its fleet a device is whose labels say little."""
    prepare = device.preparation
    first = [prepare.columns.index(feature) for feature in range(len(prepare.features))]
    worst, distance = most_unlike(device.inputs[:, first])
    return Novelty(feature=harmless(prepare.features[worst]), distance=distance)


def one_rule(device: Device, test: Samples, target: Target) -> OneRule:
    """Learns the best rule on one feature, in its own unit, for a fault, and judges it on the test samples."""
    prepare = device.preparation
    rule = best_rule(prepare.raw(device.train.x), target.faults(device.train.y))
    sign = ">" if rule.above else "<="
    finite = np.isfinite(rule.threshold)
    text = f"{prepare.features[rule.feature]} {sign} {rule.threshold:.4g}" if finite else "majority class"
    right = rule.predict(prepare.raw(test.x)) == target.faults(test.y)
    return OneRule(accuracy=float(np.mean(right)), rule=harmless(text))
