"""The final evaluation: the only reader of the test sets."""

from collections.abc import Mapping

import numpy as np

from fedmetaalign.evaluation.metrics import majority, measure_classes
from fedmetaalign.evaluation.result import Metrics, OneRule, Result, harmless, names_of
from fedmetaalign.evaluation.rules import best_rule
from fedmetaalign.fleet.device import Device
from fedmetaalign.model.mlp import Network, logits
from fedmetaalign.model.online import Samples
from fedmetaalign.model.target import BINARY, Target
from fedmetaalign.phases.deploy import RUNTIME, Deployed
from fedmetaalign.phases.personalize import Personal
from fedmetaalign.tinyml import runtimes


def evaluate(
    device: Device,
    test: Samples,
    network: Network,
    stages: Mapping[str, np.ndarray],
    personal: Personal,
    deployed: Deployed,
    alone: Personal | None,
    bundle: str,
    target: Target = BINARY,
) -> Result:
    """Judges a device's models at every stage on its held-out samples.

    The global models of the stages are judged at a threshold of 0.5, the personal and the deployed one at the
    device's own.

    Args:
        device: whose.
        test: its held-out samples.
        network: the architecture.
        stages: (parameters,) global weights after each phase, by its name.
        personal: the device's own model.
        deployed: its quantised model.
        alone: its model trained without the others; None if the recipe leaves it out.
        bundle: the digest of its bundle.
        target: what the labels mean.
    """

    def judged(weights: np.ndarray, threshold: float) -> Metrics:
        z = logits(network, weights, test.x)
        return measure_classes(target, y, target.fault_probability(z), target.probabilities(z), threshold)

    y, train_y = test.y.astype(np.int64), device.train.y.astype(np.int64)
    rows = {stage: judged(weights, 0.5) for stage, weights in stages.items()}
    rows["personalized"] = judged(personal.weights, personal.threshold.threshold)
    found = runtimes.scores(deployed.model, test.x, RUNTIME)
    scores = found if target.outputs == 1 else 1 - found[:, target.normal].sum(axis=1)
    rows["deployed"] = measure_classes(target, y, scores, found, deployed.threshold.threshold)
    result = {
        "stages": rows,
        "threshold": deployed.threshold.threshold,
        "threshold_note": deployed.threshold.reason,
        "majority": majority(target.faults(train_y), target.faults(y)),
        "one_rule": one_rule(device, test, target),
        "samples": {phase: len(p.support) + len(p.query) for phase, p in device.parts.items()}
        | {"train": len(device.train), "test": len(y)},
        "model_bytes": len(deployed.model),
        "bundle": bundle,
    }
    # These keys are there if the recipe asks for them.
    if alone is not None:
        result["alone"] = judged(alone.weights, alone.threshold.threshold)
    if deployed.ladder:
        result["ladder"] = list(deployed.ladder)
    if names := names_of(target.classes):
        result |= {
            "classes": names,
            "normal_classes": [names[i] for i in target.normal],
            "unseen_kinds": [names[i] for i in np.setdiff1d(y, train_y)],
            "majority_class": majority(train_y, y),
        }
    return Result.model_validate(result)


def one_rule(device: Device, test: Samples, target: Target = BINARY) -> OneRule:
    """Learns the best rule on one feature, in its own unit, for a fault, and judges it on the test samples."""
    prepare = device.preparation
    rule = best_rule(prepare.raw(device.train.x), target.faults(device.train.y))
    sign = ">" if rule.above else "<="
    finite = np.isfinite(rule.threshold)
    text = f"{prepare.features[rule.feature]} {sign} {rule.threshold:.4g}" if finite else "majority class"
    right = rule.predict(prepare.raw(test.x)) == target.faults(test.y)
    return OneRule(accuracy=float(np.mean(right)), rule=harmless(text))
