"""The final evaluation: the only reader of the test sets."""

from collections.abc import Mapping

import numpy as np

from fedmetaalign.engine.messages import Personal
from fedmetaalign.evaluation.metrics import majority, measure
from fedmetaalign.evaluation.result import Metrics, OneRule, Result, harmless
from fedmetaalign.evaluation.rules import best_rule
from fedmetaalign.fleet.device import Device
from fedmetaalign.model.online import Samples
from fedmetaalign.phases.client import Client
from fedmetaalign.phases.deploy import RUNTIME, Deployed
from fedmetaalign.tinyml import runtimes


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
    device's own.

    Args:
        client: the device.
        test: its held-out samples.
        stages: (parameters,) global weights after each phase, by its name.
        personal: the device's own model.
        deployed: its quantised model.
        alone: its model trained without the others; None if the recipe leaves it out.
        bundle: the digest of its bundle.
    """
    device, y = client.device, test.y.astype(np.int8)
    rows = {stage: measure(y, client.learner.scores(w, test.x), 0.5) for stage, w in stages.items()}
    rows["personalized"] = _judge(personal, test)
    rows["deployed"] = measure(
        y, runtimes.scores(deployed.model, test.x, RUNTIME), deployed.threshold.threshold
    )
    result = {
        "stages": rows,
        "threshold": deployed.threshold.threshold,
        "threshold_note": deployed.threshold.reason,
        "majority": majority(device.train.y.astype(np.int8), y),
        "one_rule": one_rule(device, test),
        "samples": {phase: len(p.support) + len(p.query) for phase, p in device.parts.items()}
        | {"train": len(device.train), "test": len(y)},
        "model_bytes": len(deployed.model),
        "bundle": bundle,
    }
    # These keys are there if the recipe asks for them.
    result |= {} if alone is None else {"alone": _judge(alone, test)}
    result |= {"ladder": list(deployed.ladder)} if deployed.ladder else {}
    return Result.model_validate(result)


def one_rule(device: Device, test: Samples) -> OneRule:
    """Learns the best rule on one feature, in its own unit, and judges it on the test samples."""
    prepare = device.preparation
    rule = best_rule(prepare.raw(device.train.x), device.train.y.astype(np.int8))
    sign = ">" if rule.above else "<="
    finite = np.isfinite(rule.threshold)
    text = f"{prepare.features[rule.feature]} {sign} {rule.threshold:.4g}" if finite else "majority class"
    right = rule.predict(prepare.raw(test.x)) == test.y.astype(np.int8)
    return OneRule(accuracy=float(np.mean(right)), rule=harmless(text))


def _judge(model: Personal, test: Samples) -> Metrics:
    return measure(test.y.astype(np.int8), model.scores(test.x), model.threshold.threshold)
