"""A run folder becomes one value, `Run`; nothing else in the report opens a file.

Unknown keys are ignored and missing ones are None, so that a page can be made of runs older and newer than
this program. What makes a run (recipe, manifest, rounds, results) has to be there.
"""

import json
import math
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fedmetaalign.errors import RunError
from fedmetaalign.evaluation.result import (
    Candidate,
    Drift,
    FalseAlarms,
    FewFaults,
    Metrics,
    Novelty,
    OneRule,
    Result,
    Span,
    ThresholdInterval,
)
from fedmetaalign.report.numbers import chance

STAGES = {
    "foundation": "Foundation",
    "serial": "Serial",
    "parallel": "Parallel",
    "personalized": "Personalized",
    "deployed": "Deployed",
}
"""The stages in the order a model goes through them, and their titles."""


OF_FAULTS = ("precision", "recall", "f1", "balanced_accuracy", "mcc", "pr_auc")
"""Metrics that rest on the faults of a test set."""


@dataclass(frozen=True)
class DeviceReport:
    """What `results.json` and the bundle say about one device; None where they say nothing.

    Attributes:
        stages: stage name -> the `Metrics` that are known, in the order of `STAGES`; none of a device without
            faults, whose accuracy is another thing than that of the others.
        majority: test accuracy of always saying the majority class.
        one_rule: test accuracy of the best single-threshold rule, which is spelled out in `rule`.
        alone: metrics of the model that the device trained without the others; empty if it did not.
        samples: part name -> number of samples.
        threshold_interval: how sure the threshold is.
        over_time: its test period in parts; empty where it is not split by time.
        drift: how far each input is from training, the farthest first.
        candidates: the models that the deployed one was chosen from, the largest first; empty without
            `max_bytes`.
        bundle: `bundle.json`, empty if there is none.
        blend: "joint" or "local", see `evaluation.result.Blend`; None where its method has no teachers.
        group: the number of its group, from 1; None where its method makes no groups.
        classes: more than two, in the order of `confusion`; empty of two.
        normal_classes: those of them that mean no fault.
        unseen_kinds: those that the device is tested on and never trained on.
        majority_class: as `majority`, of the classes.
        known: "normal" of a device without a fault, "faulty" of one with faults alone, "nothing" of one
            without a label.
        false_alarms: what a device without a fault is judged by.
        novelty: how unlike the fleet it is.
        pr_curve: (recall, precision) of its last stage at several thresholds, recall rising; empty without.
        few_faults: what so few faults as it is tested on say; then no stage has a metric that rests on them.
    """

    name: str
    stages: Mapping[str, Mapping[str, Any]]
    threshold: float | None
    threshold_note: str | None
    majority: float | None
    one_rule: float | None
    rule: str | None
    alone: Mapping[str, Any]
    samples: Mapping[str, int]
    model_bytes: int | None
    candidates: tuple[Candidate, ...]
    bundle: Mapping[str, Any]
    blend: str | None = None
    group: int | None = None
    classes: tuple[str, ...] = ()
    normal_classes: tuple[str, ...] = ()
    unseen_kinds: tuple[str, ...] = ()
    majority_class: float | None = None
    known: str | None = None
    false_alarms: FalseAlarms | None = None
    novelty: Novelty | None = None
    few_faults: FewFaults | None = None
    pr_curve: tuple[tuple[float, float], ...] = ()
    threshold_interval: ThresholdInterval | None = None
    over_time: tuple[Span, ...] = ()
    drift: tuple[Drift, ...] = ()

    @property
    def last(self) -> str | None:
        """The last stage that the device's model reached: "deployed" in a whole run."""
        return next(reversed(list(self.stages)), None)

    @property
    def final(self) -> Mapping[str, Any]:
        """The metrics of the last stage."""
        return self.stages[self.last] if self.last else {}

    @property
    def accuracy(self) -> float | None:
        """Test accuracy of the last stage."""
        return self.final.get("accuracy")

    @property
    def gain(self) -> float | None:
        """Test accuracy of the last stage minus that of the model trained alone."""
        alone = self.alone.get("accuracy")
        return None if self.accuracy is None or alone is None else self.accuracy - alone

    def luck(self, other: float | None) -> float | None:
        """How far from another accuracy on its test samples the device's may be by chance; see `chance`."""
        samples = self.samples.get("test")
        if self.accuracy is None or other is None or not samples:
            return None
        return chance([(self.accuracy, other, samples)])


@dataclass(frozen=True)
class Run:
    """All that the page is made of.

    Attributes:
        name: the recipe's name.
        rounds: the objects of `rounds.jsonl`, in order.
        stages: the stages that at least one device has, in order.
        fleet: the fleet's part of `results.json`.
        left_out: devices that could not be used -> what is wrong with each, a sentence each.
    """

    name: str
    recipe: Mapping[str, Any]
    recipe_text: str
    manifest: Mapping[str, Any]
    rounds: tuple[Mapping[str, Any], ...]
    devices: tuple[DeviceReport, ...]
    stages: tuple[str, ...]
    fleet: Mapping[str, Any]
    left_out: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def lone(self) -> bool:
        """Only one device has taken part: there is nobody to learn from."""
        names = {device.name for device in self.devices}
        return len(names) == 1 and all(each.get("device") in names for each in self.rounds if each.get("phase"))

    @property
    def groups(self) -> tuple[tuple[str, ...], ...]:
        """The names of the devices of each group, in the order of its number; empty where there are none."""
        numbers = sorted({device.group for device in self.devices if device.group is not None})
        return tuple(tuple(d.name for d in self.devices if d.group == each) for each in numbers)

    def mean(self, stage: str, metric: str) -> float | None:
        """The fleet's mean of a metric: as `results.json` has it, else over the devices that have one."""
        given = number(mapping(mapping(self.fleet.get("stages")).get(stage)).get(metric))
        return given if given is not None else mean(d.stages.get(stage, {}).get(metric) for d in self.devices)

    def baseline(self, name: str) -> float | None:
        """The fleet's mean of "majority" or "one_rule"."""
        given = accuracy_of(self.fleet.get(name))
        return given if given is not None else mean(getattr(d, name) for d in self.devices)

    def alone(self, metric: str) -> float | None:
        """The fleet's mean of a metric of the models trained alone."""
        given = number(mapping(self.fleet.get("alone")).get(metric))
        return given if given is not None else mean(d.alone.get(metric) for d in self.devices)

    @property
    def gain(self) -> float | None:
        """The fleet's mean gain in accuracy over training alone; None if no device trained alone."""
        given = number(self.fleet.get("gain_over_alone"))
        return given if given is not None else mean(d.gain for d in self.devices)

    @property
    def luck(self) -> float | None:
        """How far from 0 chance may carry `gain`; None where a number of test samples is not known."""
        return luck(self.devices)


def read_run(folder: Path) -> Run:
    """Reads a run folder.

    Raises:
        RunError: the folder or one of its files is missing or cannot be understood.
    """
    if not folder.is_dir():
        raise RunError(f"{folder} is not a run folder; give the folder that `fedmetaalign run` wrote.")
    recipe_text = _text(folder / "recipe.toml", "it is not a run folder, or the run did not start")
    manifest = _object(folder / "manifest.json", "the run did not start; run its recipe again")
    rounds = _text(folder / "rounds.jsonl", "the run did not start to train; run its recipe again")
    results = _object(
        folder / "results.json", "the run has not finished; finish it with `fedmetaalign run --resume`"
    )
    try:
        recipe = tomllib.loads(recipe_text)
    except tomllib.TOMLDecodeError as error:
        raise RunError(f"{folder / 'recipe.toml'} is not TOML ({error}); restore it or run again.") from None
    entries = mapping(results.get("devices"))
    if not entries:
        raise RunError(f"{folder / 'results.json'} names no devices; run the recipe again.")
    bundles = _bundles(folder / "devices")
    groups = mapping(mapping(results.get("fleet")).get("groups"))
    devices = tuple(
        _device(name, mapping(entry), bundles.get(name, {}), groups.get(name))
        for name, entry in entries.items()
    )
    return Run(
        name=str(recipe.get("name") or folder.resolve().name),
        recipe=recipe,
        recipe_text=recipe_text,
        manifest=manifest,
        rounds=_rounds(rounds, folder / "rounds.jsonl"),
        devices=devices,
        stages=tuple(stage for stage in STAGES if any(stage in device.stages for device in devices)),
        fleet=mapping(results.get("fleet")),
        left_out={
            str(name): tuple(
                str(mapping(each).get("sentence", "")) for each in (found if isinstance(found, list) else ())
            )
            for name, found in mapping(results.get("left_out")).items()
        },
    )


def luck(devices: Iterable[DeviceReport]) -> float | None:
    """Returns how far from 0 chance may carry the mean gain of those devices that trained alone, too.

    None where a number of test samples is not known.
    """
    compared = [
        (d.accuracy, d.alone.get("accuracy"), d.samples.get("test")) for d in devices if d.gain is not None
    ]
    known = [(a, b, n) for a, b, n in compared if a is not None and b is not None and n]
    return chance(known) if known and len(known) == len(compared) else None


def number(value: object) -> float | None:
    """Returns a finite number as float, and None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value)


def accuracy_of(value: object) -> float | None:
    """Returns the number, or the number under "accuracy": a baseline comes as either."""
    return number(value.get("accuracy") if isinstance(value, dict) else value)


def mean(values: Any) -> float | None:
    """Returns the mean of the values that are not None; None if there are none."""
    known = [value for value in values if value is not None]
    return math.fsum(known) / len(known) if known else None


def _device(name: str, entry: Mapping[str, Any], bundle: Mapping[str, Any], group: object) -> DeviceReport:
    found, rule = Result.usable(entry), OneRule.usable(entry.get("one_rule"))
    stages, ladder = mapping(entry.get("stages")), entry.get("ladder")
    candidates = map(Candidate.read, listed(ladder))
    known, few = found.get("known"), FewFaults.read(entry.get("few_faults"))
    return DeviceReport(
        name=name,
        stages={s: {} if known else _told(Metrics.usable(stages[s]), few) for s in STAGES if stages.get(s)},
        threshold=found.get("threshold"),
        threshold_note=found.get("threshold_note"),
        majority=found.get("majority"),
        one_rule=rule.get("accuracy"),
        rule=rule.get("rule"),
        alone=Metrics.usable(entry.get("alone")),
        samples=found.get("samples", {}),
        model_bytes=found.get("model_bytes"),
        candidates=tuple(candidate for candidate in candidates if candidate),
        bundle=bundle,
        blend=(found.get("blend") or {}).get("name"),
        group=group if isinstance(group, int) else None,
        classes=tuple(found.get("classes") or ()),
        normal_classes=tuple(found.get("normal_classes", ())),
        unseen_kinds=tuple(found.get("unseen_kinds", ())),
        majority_class=found.get("majority_class"),
        known=known,
        false_alarms=FalseAlarms.read(entry.get("false_alarms")),
        novelty=Novelty.read(entry.get("novelty")),
        threshold_interval=ThresholdInterval.read(entry.get("threshold_interval")),
        over_time=tuple(filter(None, map(Span.read, listed(entry.get("over_time"))))),
        drift=tuple(filter(None, map(Drift.read, listed(entry.get("drift"))))),
        few_faults=few,
        pr_curve=tuple((recall, precision) for recall, precision in found.get("pr_curve") or ()),
    )


def _told(metrics: Mapping[str, Any], few: FewFaults | None) -> Mapping[str, Any]:
    """Returns the metrics that say something: without many faults those that rest on them do not."""
    return {key: value for key, value in metrics.items() if few is None or key not in OF_FAULTS}


def _bundles(folder: Path) -> dict[str, Mapping[str, Any]]:
    # The folders are listed, not looked up by device name: a name from a file must not lead out of the run.
    if not folder.is_dir():
        return {}
    return {path.parent.name: _object(path, "") for path in sorted(folder.glob("*/bundle.json"))}


def _rounds(text: str, path: Path) -> tuple[Mapping[str, Any], ...]:
    rounds = []
    for index, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        try:
            entry = json.loads(line)
        except json.JSONDecodeError:
            entry = None
        if not isinstance(entry, dict):
            raise RunError(f"{path}, line {index}, is not a JSON object; finish the run with `--resume`.")
        rounds.append(entry)
    return tuple(rounds)


def _object(path: Path, absent: str) -> Mapping[str, Any]:
    text = _text(path, absent)
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        raise RunError(
            f"{path} is not JSON (line {error.lineno}); restore it or run the recipe again."
        ) from None
    if not isinstance(value, dict):
        raise RunError(f"{path} is not a JSON object; restore it or run the recipe again.")
    return value


def _text(path: Path, absent: str) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise RunError(f"{path.parent} has no {path.name}: {absent}.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise RunError(f"{path} cannot be read ({error}).") from None


def listed(value: object) -> list[Any]:
    """Returns a JSON array, and an empty one for anything else."""
    return value if isinstance(value, list) else []


def mapping(value: object) -> Mapping[str, Any]:
    """Returns a JSON object, and an empty one for anything else."""
    return value if isinstance(value, dict) else {}
