"""A run folder becomes one value, `Run`; nothing else in the report opens a file.

Unknown keys are ignored and missing ones are None, so that a page can be made of runs older and newer than
this program. What makes a run (recipe, manifest, rounds, results) has to be there.
"""

import json
import tomllib
from collections.abc import Mapping
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
from fedmetaalign.report.finished import OF_FAULTS, STAGES, DeviceReport, Run, mapping


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
    groups = mapping(mapping(results.get("fleet")).get("groups"))
    devices = tuple(_device(name, mapping(entry), groups.get(name)) for name, entry in entries.items())
    return Run(
        name=str(recipe.get("name") or folder.resolve().name),
        recipe=recipe,
        recipe_text=recipe_text,
        manifest=manifest,
        rounds=_rounds(rounds, folder / "rounds.jsonl"),
        devices=devices,
        stages=tuple(stage for stage in STAGES if any(stage in device.stages for device in devices)),
        fleet=mapping(results.get("fleet")),
        folder=folder,
        left_out={
            str(name): tuple(
                str(mapping(each).get("sentence", "")) for each in (found if isinstance(found, list) else ())
            )
            for name, found in mapping(results.get("left_out")).items()
        },
    )


def _device(name: str, entry: Mapping[str, Any], group: object) -> DeviceReport:
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
        digest=found.get("bundle"),
        blend=(found.get("blend") or {}).get("name"),
        estimates=(found.get("blend") or {}).get("estimates") or {},
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


class Bundles:
    """The `bundle.json` of the devices of a run, each read when it is asked for."""

    def __init__(self, folder: Path) -> None:
        """Lists them; a device's name is not made a path: a name from a file must not lead out of the run."""
        self._paths = {path.parent.name: path for path in (folder / "devices").glob("*/bundle.json")}

    def of(self, device: str) -> Mapping[str, Any]:
        """Returns that of a device, empty if there is none."""
        return _object(self._paths[device], "") if device in self._paths else {}


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
        value = json.loads(text, parse_constant=lambda _: None)  # no number is as good as none
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
