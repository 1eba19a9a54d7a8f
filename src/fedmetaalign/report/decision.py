"""Whether to deploy a run's models, to whom, and what that rests on. Plain text, not HTML."""

from collections import Counter
from collections.abc import Sequence

from fedmetaalign.report.findings import (
    BEATEN,
    ROUNDING,
    UNSEEN,
    Finding,
    best_baseline,
    beyond_chance,
    findings,
    verdict,
)
from fedmetaalign.report.finished import DeviceReport, Run, luck, mean
from fedmetaalign.report.numbers import (
    MINUS,
    NARROW,
    count,
    decimal,
    interval_of_mean,
    listing,
    percent,
    points,
    signed,
    tells_apart,
)
from fedmetaalign.report.sharing import received

AGAINST = "Do not deploy"
"""What a headline begins with that is against all models."""

_FEW = 5
"""Devices that a headline names."""

_NOTHING = 0.0005
"""A difference that is less is written as none."""


def headline(run: Run) -> str:
    """Returns the sentence that says whether to deploy the models, to whom, and what that rests on.

    A device is left out whose model is worse than the one that it trains alone, by more than the luck of its
    test samples, or no better than a constant answer. Whether the others gain is asked of their mean gain: that
    its interval over devices, or over their test samples, leaves out 0.
    """
    judged = [device for device in run.devices if device.accuracy is not None]
    if not judged:
        return f"{count(len(run.devices), 'device')}: no test accuracy was measured."
    compared = [device for device in judged if device.gain is not None]
    if run.lone:
        said = _of_one(run, judged[0])
    elif compared:
        said = _of_compared(run, compared)
    else:
        said = _of_others(run, judged)
    return f"{said}."


def unfit(run: Run) -> dict[str, str]:
    """Returns the devices that the headline leaves out, and why: the end of "do not deploy: ..."."""
    judged = [device for device in run.devices if device.accuracy is not None]
    reasons = (
        ([device for device in judged if _loses(device)], "the model that it trains alone does better"),
        (_beaten(judged), "it does worse than always naming the most frequent class"),
        (_constant(judged), "it gives the same answer to every sample"),
    )
    return {device.name: why for devices, why in reasons for device in devices}


def doubtful(run: Run) -> bool:
    """Tells whether what the fleet gains or loses on average may be chance; not where that is not known."""
    compared = [device for device in run.devices if device.gain is not None]
    return _gains(compared) is None and luck(compared) is not None


def summary(run: Run) -> tuple[str, ...]:
    """Returns up to eight sentences for a terminal: whether to deploy, and what else to look at."""
    others = [
        f"{finding.title[0].lower()}{finding.title[1:]} ({_counted(finding)})"
        for finding in findings(run)
        if finding.tag not in (*BEATEN, UNSEEN)
    ]
    also = f"Also needs attention: {'; '.join(others)}." if others else None
    found = filter(None, (headline(run), *verdict(run), *received(run), _kinds(run), _unseen_kinds(run), also))
    # A terminal's font may lack the page's narrow space, and its encoding the other two.
    plain = str.maketrans({NARROW: " ", MINUS: "-", "…": "..."})
    return tuple(text.translate(plain) for text in found)


def _of_one(run: Run, device: DeviceReport) -> str:
    """The sentence on a fleet of one device, which is no federation."""
    useless, simple = _useless([device]), best_baseline(device)
    what = "this model of one device's samples"
    start = f"Deploy {what}"
    if useless or _loses(device):
        start = f"{AGAINST} {what}"
    elif simple is not None and device.accuracy is not None and device.accuracy <= simple + ROUNDING:
        start = f"T{what[1:]} may be deployed, but nothing shows that it takes a network"
    elif simple is None and run.gain is None:
        start = f"Nothing says whether it pays to deploy {what}"
    evidence = _right(run, [device], "it is")
    if run.gain is None:
        return f"{start}: {'; '.join([evidence, *useless, _baselines(run)])}"
    difference = _difference(run.gain, run.luck, None, "by plain training")
    return f"{start}: {'; '.join([f'{evidence}, {difference}', *useless])}"


def _of_compared(run: Run, compared: list[DeviceReport]) -> str:
    """The sentence on a fleet whose devices trained alone, too."""
    useless, worse = _useless(compared), [device for device in compared if _loses(device)]
    out = {device.name for device in (*_constant(compared), *_beaten(compared), *worse)}
    kept = [device for device in compared if device.name not in out]
    pays = _gains(kept)
    if not kept or pays is False or (_gains(compared) is False and not pays):
        return f"{AGAINST} these models: {'; '.join([_evidence(run, compared), *useless])}"
    evidence = [_evidence(run, kept, "" if len(kept) == len(compared) else "there, "), *useless]
    if worse:
        does, model = ("does", "it trains") if len(worse) == 1 else ("do", "they train")
        evidence.append(f"{_named(worse)} {does} better with the model that {model} alone")
    whom = _whom(kept, compared, len(run.devices))
    if pays:
        return f"Deploy these models on {whom}: {'; '.join(evidence)}"
    return f"These models may be deployed on {whom}, but nothing shows that joining pays: {'; '.join(evidence)}"


def _of_others(run: Run, judged: list[DeviceReport]) -> str:
    """The sentence on a fleet whose devices did not train alone."""
    evidence = "; ".join([_right(run, judged), _baselines(run), *_useless(judged)])
    if len([*_constant(judged), *_beaten(judged)]) == len(judged):
        return f"{AGAINST} these models: {evidence}"
    start = "Nothing says whether it pays to deploy these models, since this run trained no device alone"
    return f"{start}: {evidence}"


def _whom(kept: Sequence[object], compared: Sequence[object], devices: int) -> str:
    """To whom: "all 16 devices", "14 of 16 devices", "the 14 devices that could be judged"."""
    if len(kept) < len(compared):
        return f"{len(kept):,} of {count(len(compared), 'device')}"
    if len(compared) < devices:
        return f"the {count(len(kept), 'device')} that could be judged"
    words = {1: "the one device that finished", 2: "both devices"}
    return words.get(devices, f"all {devices:,} devices")


def _evidence(run: Run, devices: list[DeviceReport], there: str = "") -> str:
    """What the models do on held-out samples, beside those trained alone."""
    gains = [device.gain for device in devices if device.gain is not None]
    gain = run.gain if len(devices) == len(run.devices) else mean(gains)
    difference = _difference(gain or 0.0, luck(devices), interval_of_mean(gains), "models trained alone")
    return f"{there}{_right(run, devices)}, {difference}"


def _right(run: Run, devices: list[DeviceReport], who: str = "they are") -> str:
    """How often the models are right, on how many samples; of the whole fleet it is the fleet's own mean."""
    every = len(devices) == len(run.devices)
    share = run.mean(run.stages[-1], "accuracy") if every else mean(d.accuracy for d in devices)
    sizes = [device.samples.get("test") for device in devices]
    known = [size for size in sizes if size]
    held_out = f"{sum(known):,} held-out samples" if len(known) == len(sizes) else "held-out samples"
    average = " on average" if len(set(sizes)) > 1 else ""  # then it is not the share of all samples
    return f"on {held_out} {who} right {percent(share)} of the time{average}"


def _difference(gain: float, chance: float | None, bounds: tuple[float, float] | None, other: str) -> str:
    """A mean gain in words, with its interval over devices; without one, whether it may be chance."""
    if abs(gain) < _NOTHING:
        reported = f"as often as {other}"
    else:
        reported = f"{points(abs(gain))} {'more' if gain > 0 else 'less'} than {other}"
    if bounds:
        return f"{reported} [{signed(bounds[0])}, {signed(bounds[1])}]"
    doubtful = abs(gain) >= _NOTHING and beyond_chance(gain, chance) is False
    return f"{reported}, which may be chance" if doubtful else reported


def _baselines(run: Run) -> str:
    """What needs no network, as the last part of a sentence."""
    named = {"majority class": run.baseline("majority"), "best single-threshold rule": run.baseline("one_rule")}
    known = [f"{name} {percent(value)}" for name, value in named.items() if value is not None]
    return ", ".join(known) or "no baseline was measured"


def _gains(devices: Sequence[DeviceReport]) -> bool | None:
    """Tells whether devices gain on average, or lose; None where that is not known."""
    gains = [device.gain for device in devices if device.gain is not None]
    gain, bounds = mean(gains), interval_of_mean(gains)
    sure = bounds is not None and not bounds[0] <= 0 <= bounds[1]
    if gain is None or not (sure or beyond_chance(gain, luck(devices))):
        return None
    return gain > 0


def _loses(device: DeviceReport) -> bool:
    """Tells whether the device is worse off than alone by more than chance."""
    lost = device.gain is not None and device.gain < -ROUNDING
    return lost and beyond_chance(device.gain, device.luck(device.alone.get("accuracy"))) is True


def _constant(devices: Sequence[DeviceReport]) -> list[DeviceReport]:
    """Those whose model says the same of every sample: only then is its balanced accuracy exactly one half."""
    return [d for d in devices if d.final.get("balanced_accuracy") == 0.5 and d.final.get("recall") in (0, 1)]


def _beaten(devices: Sequence[DeviceReport]) -> list[DeviceReport]:
    """The others that a constant answer beats by more than chance, and whose model does not tell faults apart.

    Where faults are rare, a model that finds them all at the price of a few false alarms is right less often
    than one that never says a word.
    """
    found = []
    for device in devices:
        balanced, samples = device.final.get("balanced_accuracy"), device.samples.get("test")
        gain = (device.accuracy or 0.0) - (device.majority or 0.0)
        beaten = gain < 0 and beyond_chance(gain, device.luck(device.majority))
        if beaten and not tells_apart(balanced, device.majority, samples) and not _constant([device]):
            found.append(device)
    return found


def _useless(devices: Sequence[DeviceReport]) -> list[str]:
    """Says which models tell nothing of their samples."""
    constant = _concerning(_constant(devices), devices, "give", "the same answer to every sample")
    beaten = _concerning(_beaten(devices), devices, "do", "worse than always naming the most frequent class")
    return [text for text in (constant, beaten) if text]


def _concerning(some: Sequence[DeviceReport], devices: Sequence[object], verb: str, words: str) -> str:
    """A clause on some devices' models; empty of none."""
    singular = f"{verb}{'es' if verb.endswith('o') else 's'}"
    if not some:
        return ""
    if len(some) == len(devices):
        return f"it {singular} {words}" if len(some) == 1 else f"all {len(some)} {verb} {words}"
    models, does = ("models", verb) if len(some) > 1 else ("model", singular)
    return f"the {models} of {_named(some)} {does} {words}"


def _named(devices: Sequence[DeviceReport]) -> str:
    """Names a few devices, and counts more."""
    return listing([d.name for d in devices]) if len(devices) <= _FEW else f"{len(devices):,} devices"


def _kinds(run: Run) -> str | None:
    """How well kinds of fault are distinguished, beside training alone; None of two classes."""
    means = {stage: run.mean(stage, "macro_f1") for stage in run.stages[-1:]} | {"alone": run.alone("macro_f1")}
    parts = [f"{decimal(value)} {stage}" for stage, value in means.items() if value is not None]
    return f"Of the kinds of fault: mean macro-F1 {', '.join(parts)}." if parts else None


def _unseen_kinds(run: Run) -> str | None:
    """Which kinds are tested and not trained on, the most frequent first; None where there are none."""
    kinds = Counter(kind for device in run.devices for kind in device.unseen_kinds)
    if not kinds:
        return None
    parts = [f"{kind} ({count(number, 'device')})" for kind, number in kinds.most_common()]
    return f"Tested on kinds of fault never trained on: {listing(parts)}."


def _counted(finding: Finding) -> str:
    names = [name for name, _ in finding.devices]
    return names[0] if len(names) == 1 else count(len(names), "device")
