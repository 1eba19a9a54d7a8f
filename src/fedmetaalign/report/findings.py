"""What a reader must not overlook, in words: whom the fleet serves, and the warnings. Plain text, not HTML."""

import re
import tomllib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.resources import files

from fedmetaalign.report import unjudged
from fedmetaalign.report.drift import drifted, fading
from fedmetaalign.report.finished import DeviceReport, Run
from fedmetaalign.report.numbers import decimal, listing, percent, points

QUANTISATION_DROP = 0.01
"""A loss from the personalised to the deployed model above this is reported, in `findings.toml` as 1 point."""

ROUNDING = 1e-9
"""Keeps 0.90 - 0.89, which is a little more than 0.01 in floating point, from being reported."""

BEATEN = WORSE, NO_RULE, NO_MAJORITY = (
    "worse than alone",
    "not better than one rule",
    "not better than majority",
)
"""The tags of devices that something simpler beats, which the verdict says already."""

UNSEEN = "unseen kinds"
"""The tag of devices that a terminal names the kinds of."""


FALLBACK = "threshold fallback"
"""The tag of devices that give the same reason, but for the number of their samples."""

_NUMBER = re.compile(r"\d+(?:\.\d+)?")


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

    @property
    def grouped(self) -> tuple[tuple[tuple[str, ...], str], ...]:
        """Each sentence once, with the devices that it is said of; of thresholds whatever the numbers are."""
        sharing: dict[str, list[tuple[str, str]]] = {}
        for name, text in self.devices:
            kind = _NUMBER.sub("#", text) if self.tag == FALLBACK else text
            sharing.setdefault(kind, []).append((name, text))
        return tuple((tuple(n for n, _ in some), _ranged([t for _, t in some])) for some in sharing.values())


def verdict(run: Run) -> tuple[str, ...]:
    """Returns the sentences after the headline: whom the federation serves, and whom it does not."""
    return tuple(filter(None, (_beside_alone(run), _beside_baselines(run), *unjudged.sentences(run))))


def findings(run: Run) -> tuple[Finding, ...]:
    """Returns every kind of warning that concerns at least one device, the gravest first."""
    checks: dict[str, Callable[[DeviceReport], str | None]] = {
        WORSE: _worse_off,
        NO_RULE: lambda d: _against(d, d.one_rule, d.rule or "the best rule"),
        NO_MAJORITY: lambda d: _against(d, d.majority, "always the majority class"),
        "one answer": _one_answer,
        "not deployed": lambda d: (
            f"last stage: {d.last or 'none'}" if "deployed" in run.stages and d.last != "deployed" else None
        ),
        "quantisation drop": _quantisation,
        "threshold fallback": _fallback,
        "too many false alarms": unjudged.false_alarms,
        "drift": drifted,
        "worse with time": fading,
        "few faults": unjudged.few_faults,
        UNSEEN: lambda d: ", ".join(d.unseen_kinds) or None,
        "class missing": _missing_class,
    }
    words = tomllib.loads(
        (files("fedmetaalign.report") / "templates/findings.toml").read_text(encoding="utf-8")
    )
    found = (
        Finding(tag, **words[tag], devices=_concerned(run.devices, check)) for tag, check in checks.items()
    )
    return tuple(finding for finding in found if finding.devices)


def best_baseline(device: DeviceReport) -> float | None:
    """Returns the higher of the device's baselines."""
    return max(_baselines(device), default=None)


def beyond_chance(gain: float | None, luck: float | None) -> bool | None:
    """Says whether a gain or loss is more than the luck of the test samples; None where nobody knows."""
    return None if gain is None or luck is None else abs(gain) > luck + ROUNDING


def _beside_alone(run: Run) -> str | None:
    compared = [device for device in run.devices if device.gain is not None]
    if len(compared) < 2:
        return None  # the headline has said it
    better = [device for device in compared if (device.gain or 0) > ROUNDING]
    worse = [device for device in compared if (device.gain or 0) < -ROUNDING]
    reported = []
    if better:
        reported.append(f"{_who(better, compared)} better off than alone{_beyond(better)}")
    if worse:
        who = f"{len(worse):,} {'is' if len(worse) == 1 else 'are'}" if better else _who(worse, compared)
        than = "" if better else " than alone"
        names = f": {listing([d.name for d in worse])}" if len(worse) < len(compared) else ""
        reported.append(f"{who} worse off{than}{_beyond(worse)}{names}")
    if better and not worse and len(better) < len(compared):
        reported.append("none is worse off")
    if not reported:
        return f"None of {len(compared):,} devices is better or worse off than alone."
    return f"{', '.join(reported)}."


def _beside_baselines(run: Run) -> str | None:
    compared = [device for device in run.devices if device.accuracy is not None and _baselines(device)]
    if not compared:
        return "Without baselines this run cannot say whether a neural network was needed."
    losers = [d.name for d in compared if not all(_beats(d, value) for value in _baselines(d))]
    none = "no better than a baseline that needs no neural network"
    if len(compared) == 1:
        return f"It is {none}." if losers else "It beats the baselines that need no neural network."
    if len(losers) == len(compared):
        return f"{_who(losers, compared)} {none}."
    if not losers:
        who = "Both" if len(compared) == 2 else f"All {len(compared):,}"
        return f"{who} devices beat the baselines that need no neural network."
    best = [value for value in (run.baseline("majority"), run.baseline("one_rule")) if value is not None]
    accuracy = run.mean(run.stages[-1], "accuracy")
    mean = "; nor are the devices on average" if best and accuracy is not None and accuracy <= max(best) else ""
    return f"{_who(losers, compared)} {none}: {listing(losers)}{mean}."


def _who(some: Sequence[object], compared: Sequence[DeviceReport]) -> str:
    """The start of a sentence: "3 of 10 devices are", "1 of 2 devices is", "All 4 devices are"."""
    if len(some) == len(compared):
        return "Both devices are" if len(some) == 2 else f"All {len(some):,} devices are"
    return f"{len(some):,} of {len(compared):,} devices {'is' if len(some) == 1 else 'are'}"


def _beyond(devices: list[DeviceReport]) -> str:
    """How many of the devices differ from being alone by more than chance; "" where nobody knows."""
    known = [beyond_chance(device.gain, device.luck(device.alone.get("accuracy"))) for device in devices]
    if not known or None in known:
        return ""
    if not any(known):
        return " (may be chance)" if len(known) == 1 else " (each may be chance)"
    if all(known):
        return " by more than chance"
    return f" ({sum(map(bool, known)):,} by more than chance)"


def _ranged(texts: Sequence[str]) -> str:
    """One text for several that differ in numbers: "9 samples" and "12 samples" as "9 to 12 samples"."""
    numbers = zip(*(_NUMBER.findall(text) for text in texts), strict=True)
    ends = iter([(min(each, key=float), max(each, key=float)) for each in numbers])

    def written(found: re.Match[str]) -> str:
        low, high = next(ends)
        return low if low == high else f"{low} to {high}"

    return _NUMBER.sub(written, texts[0])


def _concerned(
    devices: tuple[DeviceReport, ...], check: Callable[[DeviceReport], str | None]
) -> tuple[tuple[str, str], ...]:
    reported = ((device.name, check(device)) for device in devices)
    return tuple((name, text) for name, text in reported if text)


def _baselines(device: DeviceReport) -> list[float]:
    return [value for value in (device.majority, device.one_rule) if value is not None]


def _beats(device: DeviceReport, baseline: float | None) -> bool:
    return baseline is None or (device.accuracy is not None and device.accuracy > baseline + ROUNDING)


def _worse_off(device: DeviceReport) -> str | None:
    worse = device.gain is not None and device.gain < -ROUNDING
    return _against(device, device.alone.get("accuracy"), "alone") if worse else None


def _against(device: DeviceReport, baseline: float | None, what: str) -> str | None:
    """Says how far a device is behind a baseline, in test samples too: one sample may be chance."""
    if device.accuracy is None or baseline is None or _beats(device, baseline):
        return None
    reported = f"{percent(device.accuracy)} against {percent(baseline)} ({what})"
    samples = device.samples.get("test")
    if not samples:
        return reported
    fewer = round((baseline - device.accuracy) * samples)
    if not fewer:
        return f"{reported}: the same number of samples right"
    return f"{reported}: {fewer} of {samples} test samples fewer right{_chance(device, baseline)}"


def _chance(device: DeviceReport, other: float | None) -> str:
    """What to add to a difference between the device's accuracy and another on the same test samples."""
    if device.accuracy is None or other is None:
        return ""
    beyond = beyond_chance(device.accuracy - other, device.luck(other))
    return "" if beyond is None else ", more than chance" if beyond else ", may be chance"


def _one_answer(device: DeviceReport) -> str | None:
    if device.final.get("balanced_accuracy") != 0.5:
        return None
    # At a balanced accuracy of one half, all or no faults found means all or no samples called a fault.
    recall = device.final.get("recall")
    return "always fault" if recall == 1 else "always normal" if recall == 0 else None


def _quantisation(device: DeviceReport) -> str | None:
    before = device.stages.get("personalized", {}).get("accuracy")
    after = device.stages.get("deployed", {}).get("accuracy")
    if before is None or after is None or before - after <= QUANTISATION_DROP + ROUNDING:
        return None
    return f"{percent(before)} before, {percent(after)} after: {points(before - after)} lost"


def _fallback(device: DeviceReport) -> str | None:
    if device.known or not device.threshold_note:
        return None
    return f"threshold {decimal(device.threshold)}: {device.threshold_note}"


def _missing_class(device: DeviceReport) -> str | None:
    final = device.final
    # Balanced accuracy does not exist unless both classes do, recall does not exist without a fault.
    if not {"recall", "balanced_accuracy"} <= final.keys() or final["balanced_accuracy"] is not None:
        return None
    return (
        "no fault among its test samples"
        if final["recall"] is None
        else "no normal sample among its test samples"
    )
