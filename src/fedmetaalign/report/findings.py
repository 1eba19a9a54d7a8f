"""What a reader must not overlook, in words: the headline and the warnings. Plain text, not HTML."""

from collections.abc import Callable
from dataclasses import dataclass

from fedmetaalign.report.numbers import count, decimal, listing, percent, points
from fedmetaalign.report.reading import Device, Run

QUANTISATION_DROP = 0.01
"""A loss of accuracy from the personalised to the deployed model above this is told."""

ROUNDING = 1e-9
"""Keeps 0.90 - 0.89, which is a little more than 0.01 in floating point, from being told."""


@dataclass(frozen=True)
class Finding:
    """One kind of warning and the devices it concerns.

    Attributes:
        tag: two or three words that mark a device in the tables.
        title: what is the matter.
        advice: what it means or what to do.
        devices: (device name, the numbers behind it) pairs.
    """

    tag: str
    title: str
    advice: str
    devices: tuple[tuple[str, str], ...]


def headline(run: Run) -> str:
    """Returns the sentence that says what the run ended with, beside what needs no training at all."""
    stage = run.stages[-1] if run.stages else None
    accuracy = run.mean(stage, "accuracy") if stage else None
    if accuracy is None or stage is None:
        return f"{count(len(run.devices), 'device')}: no test accuracy was measured."
    what = "mean test accuracy" if len(run.devices) > 1 else "test accuracy"
    told = f"{count(len(run.devices), 'device')}: {what} {percent(accuracy)} {stage}"
    baselines = [
        f"{name} {percent(value)}"
        for name, value in (
            ("majority class", run.baseline("majority")),
            ("best single-threshold rule", run.baseline("one_rule")),
        )
        if value is not None
    ]
    return f"{told}; {', '.join(baselines)}." if baselines else f"{told}; no baseline was measured."


def verdict(run: Run) -> str:
    """Returns the sentences after the headline: who gained, who did not."""
    compared = [d for d in run.devices if d.accuracy is not None and _baselines(d)]
    if not compared:
        return "Without baselines this run cannot say whether a trained model was needed."
    sentences = []
    best = [value for value in (run.baseline("majority"), run.baseline("one_rule")) if value is not None]
    accuracy = run.mean(run.stages[-1], "accuracy")
    if len(run.devices) > 1 and best and accuracy is not None and accuracy <= max(best):
        sentences.append("On average the trained models are no better than the best of these baselines.")
    winners = [d for d in compared if all(_beats(d, value) for value in _baselines(d))]
    if len(compared) == 1:
        sentences += ["It beats every baseline of its own."] if winners else []
    else:
        who = "All" if len(winners) == len(compared) else f"{len(winners)} of"
        one = len(winners) == 1
        sentences.append(
            f"{who} {len(compared)} devices {'beats' if one else 'beat'} every baseline of "
            f"{'its' if one else 'their'} own."
        )
    for baseline, label in (("one_rule", "one-rule"), ("majority", "majority-class")):
        for relation, holds in (("below", _below), ("only level with", _level)):
            names = [d.name for d in compared if holds(d, getattr(d, baseline))]
            if names:
                verb = "is" if len(names) == 1 else "are"
                whose = "its" if len(names) == 1 else "their"
                sentences.append(
                    f"{count(len(names), 'device')} {verb} {relation} {whose} own {label} baseline: "
                    f"{listing(names)}."
                )
    return " ".join(sentences)


def findings(run: Run) -> tuple[Finding, ...]:
    """Returns every kind of warning that concerns at least one device, the gravest first."""
    kinds = (
        (
            "not better than one rule",
            "No better than one rule",
            "A single threshold on a single feature does as well on these devices, and costs nothing to run.",
            lambda d: _against(d, d.one_rule, d.rule or "the best rule"),
        ),
        (
            "not better than majority",
            "No better than always saying the same",
            "Saying the most frequent class for every sample does as well on these devices.",
            lambda d: _against(d, d.majority, "always the majority class"),
        ),
        (
            "one answer",
            "The same answer to every test sample",
            "The threshold lies outside the scores of the test set: the model does not tell faults apart.",
            _one_answer,
        ),
        (
            "not deployed",
            "No deployed model",
            "The numbers of these devices are those of an earlier stage.",
            lambda d: (
                f"last stage: {d.last or 'none'}" if "deployed" in run.stages and d.last != "deployed" else None
            ),
        ),
        (
            "quantisation drop",
            "Accuracy lost to quantisation",
            f"The deployed model is more than {100 * QUANTISATION_DROP:.0f} point below the personalised one.",
            _quantisation,
        ),
        (
            "threshold fallback",
            "Threshold not optimised",
            "The default threshold was taken: it takes more labelled samples of both classes to choose one.",
            lambda d: d.threshold_note and f"threshold {decimal(d.threshold)}: {d.threshold_note}",
        ),
        (
            "class missing",
            "A class is missing in the test set",
            "Accuracy alone says little here, and some metrics do not exist.",
            _missing_class,
        ),
    )
    found = (Finding(tag, title, advice, _concerned(run.devices, check)) for tag, title, advice, check in kinds)
    return tuple(finding for finding in found if finding.devices)


def best_baseline(device: Device) -> float | None:
    """Returns the higher of the device's baselines."""
    return max(_baselines(device), default=None)


def _concerned(
    devices: tuple[Device, ...], check: Callable[[Device], str | None]
) -> tuple[tuple[str, str], ...]:
    told = ((device.name, check(device)) for device in devices)
    return tuple((name, text) for name, text in told if text)


def _baselines(device: Device) -> list[float]:
    return [value for value in (device.majority, device.one_rule) if value is not None]


def _beats(device: Device, baseline: float | None) -> bool:
    return baseline is None or (device.accuracy is not None and device.accuracy > baseline + ROUNDING)


def _below(device: Device, baseline: float | None) -> bool:
    return not _beats(device, baseline) and not _level(device, baseline)


def _level(device: Device, baseline: float | None) -> bool:
    return device.accuracy is not None and baseline is not None and abs(device.accuracy - baseline) <= ROUNDING


def _against(device: Device, baseline: float | None, what: str) -> str | None:
    """Says how far a device is behind a baseline, in test samples too: one sample may be chance."""
    if device.accuracy is None or baseline is None or _beats(device, baseline):
        return None
    told = f"{percent(device.accuracy)} against {percent(baseline)} ({what})"
    samples = device.samples.get("test")
    if not samples:
        return told
    fewer = round((baseline - device.accuracy) * samples)
    gap = f"{fewer} of {samples} test samples fewer right" if fewer else "the same number of samples right"
    return f"{told}: {gap}"


def _one_answer(device: Device) -> str | None:
    if device.final.get("balanced_accuracy") != 0.5:
        return None
    # At a balanced accuracy of one half, all or no faults found means all or no samples called a fault.
    recall = device.final.get("recall")
    return "always fault" if recall == 1 else "always normal" if recall == 0 else None


def _quantisation(device: Device) -> str | None:
    before = device.stages.get("personalized", {}).get("accuracy")
    after = device.stages.get("deployed", {}).get("accuracy")
    if before is None or after is None or before - after <= QUANTISATION_DROP + ROUNDING:
        return None
    return f"{percent(before)} before, {percent(after)} after: {points(before - after)} lost"


def _missing_class(device: Device) -> str | None:
    final = device.final
    # Balanced accuracy does not exist unless both classes do, recall does not exist without a fault.
    if not {"recall", "balanced_accuracy"} <= final.keys() or final["balanced_accuracy"] is not None:
        return None
    return (
        "no fault among its test samples"
        if final["recall"] is None
        else "no normal sample among its test samples"
    )
