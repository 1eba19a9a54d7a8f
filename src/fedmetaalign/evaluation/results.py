"""The final evaluation: the only reader of the test sets."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np

from fedmetaalign.engine.messages import Personal
from fedmetaalign.evaluation.metrics import majority, measure
from fedmetaalign.evaluation.rules import best_rule
from fedmetaalign.fleet.device import Device
from fedmetaalign.model.mlp import Network, scores
from fedmetaalign.model.online import Samples
from fedmetaalign.phases.deploy import RUNTIME, Deployed
from fedmetaalign.tinyml import runtimes

Metrics = dict[str, float | None]


def evaluate(
    device: Device,
    test: Samples,
    network: Network,
    stages: Mapping[str, np.ndarray],
    personal: Personal,
    deployed: Deployed,
    alone: Personal | None,
) -> dict[str, Any]:
    """Returns a device's entry in results.json: its models at every stage on its held-out samples.

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
    """
    y = test.y.astype(np.int8)
    rows = {stage: measure(y, scores(network, w, test.x), 0.5) for stage, w in stages.items()}
    rows["personalized"] = _judge(personal, test)
    rows["deployed"] = measure(
        y, runtimes.scores(deployed.model, test.x, RUNTIME), deployed.threshold.threshold
    )
    return {
        "stages": rows,
        "threshold": deployed.threshold.threshold,
        "threshold_note": deployed.threshold.reason,
        **baselines(device, test),
        **({} if alone is None else {"alone": _judge(alone, test)}),
        "samples": {phase: len(p.support) + len(p.query) for phase, p in device.parts.items()}
        | {"train": len(device.train), "test": len(y)},
        "model_bytes": len(deployed.model),
        **({"ladder": [asdict(rung) for rung in deployed.ladder]} if deployed.ladder else {}),
    }


def _judge(model: Personal, test: Samples) -> Metrics:
    return measure(test.y.astype(np.int8), model.scores(test.x), model.threshold.threshold)


def baselines(device: Device, test: Samples) -> dict[str, Any]:
    """Returns what needs no network: the majority class and the best rule on one feature, on the test set."""
    prepare = device.preparation
    train_x, test_x = prepare.raw(device.train.x), prepare.raw(test.x)
    train_y, test_y = device.train.y.astype(np.int8), test.y.astype(np.int8)
    rule = best_rule(train_x, train_y)
    sign = ">" if rule.above else "<="
    finite = np.isfinite(rule.threshold)
    text = f"{prepare.features[rule.feature]} {sign} {rule.threshold:.4g}" if finite else "majority class"
    return {
        "majority": majority(train_y, test_y),
        "one_rule": {"accuracy": float(np.mean(rule.predict(test_x) == test_y)), "rule": text},
    }


def summary(devices: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the fleet's means over devices, its worst device, and what it gains over being alone.

    `gain_over_alone` is the mean difference in test accuracy, `worse_off` the share of the devices whose
    deployed model is less accurate than the one that they train alone.
    """
    every = list(devices.values())
    stages: dict[str, Metrics] = {}
    for stage in every[0]["stages"]:
        metrics = every[0]["stages"][stage]
        stages[stage] = {m: _mean([d["stages"][stage][m] for d in every]) for m in metrics if m != "threshold"}
    worst = min(devices, key=lambda name: devices[name]["stages"]["deployed"]["accuracy"])
    result = {
        "devices": len(every),
        "stages": stages,
        "majority": _mean([d["majority"] for d in every]),
        "one_rule": _mean([d["one_rule"]["accuracy"] for d in every]),
        "worst": {"device": worst, "accuracy": devices[worst]["stages"]["deployed"]["accuracy"]},
    }
    if "alone" in every[0]:
        gains = [d["stages"]["deployed"]["accuracy"] - d["alone"]["accuracy"] for d in every]
        result |= {
            "alone": {m: _mean([d["alone"][m] for d in every]) for m in every[0]["alone"] if m != "threshold"},
            "gain_over_alone": _mean(gains),
            "worse_off": sum(gain < 0 for gain in gains) / len(gains),
        }
    return result


def _mean(values: list[float | None]) -> float | None:
    """Returns the mean of the defined values, None where there is none."""
    defined = [value for value in values if value is not None]
    return float(np.mean(defined)) if defined else None
