"""The tables of the page as HTML; everything that comes from the run is escaped here."""

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

from fedmetaalign.report.numbers import ABSENT, decimal, interval, kibibytes, percent, whole
from fedmetaalign.report.reading import STAGES, Device, Run, mean

Tags = Mapping[str, Sequence[str]]
"""Device -> the tags of the warnings that concern it."""


def fleet(run: Run, tags: Tags) -> str:
    """Returns one row a device: samples, baselines, accuracy after each stage, F1, threshold and size."""
    columns = [
        "Device",
        "Samples train / test",
        "Majority class",
        "One rule",
        *(STAGES[stage] for stage in run.stages),
        "F1",
        "Threshold",
        "Model",
    ]
    rows = []
    for device in run.devices:
        accuracies = (device.stages.get(stage, {}).get("accuracy") for stage in run.stages)
        rows.append(
            [
                _name(device.name, tags.get(device.name, ())),
                _cell(f"{whole(_training(device))} / {whole(device.samples.get('test'))}"),
                _cell(percent(device.majority)),
                _cell(percent(device.one_rule)),
                *_stage_cells(list(accuracies), bad=_beaten(tags.get(device.name, ()))),
                _cell(decimal(device.final.get("f1"))),
                _cell(decimal(device.threshold)),
                _cell(kibibytes(device.model_bytes)),
            ]
        )
    size = mean(device.model_bytes for device in run.devices)
    samples = (mean(map(_training, run.devices)), mean(device.samples.get("test") for device in run.devices))
    foot = [
        '<th scope="row">Mean</th>',
        _cell(f"{whole(samples[0])} / {whole(samples[1])}"),
        _cell(percent(run.baseline("majority"))),
        _cell(percent(run.baseline("one_rule"))),
        *_stage_cells([run.mean(stage, "accuracy") for stage in run.stages]),
        _cell(decimal(run.mean(run.stages[-1], "f1") if run.stages else None)),
        _cell(""),
        _cell(kibibytes(None if size is None else round(size))),
    ]
    return _table(columns, rows, foot if len(run.devices) > 1 else None)


def detail(run: Run) -> str:
    """Returns one row a device: every metric of its last stage, and the story of its threshold."""
    columns = [
        "Device",
        "Accuracy (95 % interval)",
        "Precision",
        "Recall",
        "Balanced accuracy",
        "MCC",
        "PR-AUC",
        "Brier",
        "Threshold",
        "How it was chosen",
        "Best single rule",
    ]
    method = run.recipe.get("personalize", {}).get("threshold", "f1")
    usual = "greatest F1" if method == "f1" else f"recipe: {method}"
    rows = []
    for device in run.devices:
        final = device.final
        chosen = device.threshold_note or (ABSENT if device.threshold is None else usual)
        rows.append(
            [
                _name(device.name, ()),
                _cell(_interval(device)),
                *(_cell(percent(final.get(metric))) for metric in ("precision", "recall", "balanced_accuracy")),
                *(_cell(decimal(final.get(metric))) for metric in ("mcc", "pr_auc", "brier")),
                _cell(decimal(device.threshold)),
                _text(chosen),
                _text(device.rule or ABSENT),
            ]
        )
    return _table(columns, rows, prose=2)


def facts(values: Mapping[str, Any]) -> str:
    """Returns nested values as a list of "where: what" with dotted names."""
    items = "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in _flat(values))
    return f"<dl>{items}</dl>"


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterable[tuple[str, str]]:
    for key, value in values.items():
        name = f"{prefix}{key}"
        if isinstance(value, dict) and value:
            yield from _flat(value, f"{name}.")
        elif isinstance(value, list):
            yield name, ", ".join(_plain(item) for item in value)
        else:
            yield name, _plain(value)


def _plain(value: object) -> str:
    if value is None or value in ({}, ""):
        return ABSENT
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _training(device: Device) -> int | None:
    parts = [size for part, size in device.samples.items() if part != "test"]
    return sum(parts) if parts else None


def _interval(device: Device) -> str:
    found = interval(device.accuracy, device.samples.get("test"))
    if found is None:
        return percent(device.accuracy)
    return f"{percent(device.accuracy)} ({100 * found[0]:.1f} to {100 * found[1]:.1f})"


def _stage_cells(accuracies: list[float | None], bad: bool = False) -> list[str]:
    last = len(accuracies) - 1
    kinds = ["" if i < last else "bad" if bad else "final" for i in range(len(accuracies))]
    return [_cell(percent(value), kind) for value, kind in zip(accuracies, kinds, strict=True)]


def _beaten(tags: Sequence[str]) -> bool:
    return any(tag.startswith("not better") for tag in tags)


def _name(name: str, tags: Sequence[str]) -> str:
    marks = "".join(f'<span class="tag">{escape(tag)}</span>' for tag in tags)
    return f'<th scope="row" class="name">{escape(name)}{marks}</th>'


def _cell(text: str, kind: str = "") -> str:
    return f'<td class="{kind}">{escape(text)}</td>' if kind else f"<td>{escape(text)}</td>"


def _text(text: str) -> str:
    return _cell(text, "text")


def _table(
    columns: Sequence[str], rows: Sequence[Sequence[str]], foot: Sequence[str] | None = None, prose: int = 0
) -> str:
    """A table that scrolls by itself where it is too wide; its last `prose` columns are text."""
    kinds = [""] * (len(columns) - prose) + [' class="text"'] * prose
    head = "".join(
        f'<th scope="col"{kind}>{escape(column)}</th>' for column, kind in zip(columns, kinds, strict=True)
    )
    body = "\n".join(f"<tr>{''.join(row)}</tr>" for row in rows)
    tail = f"<tfoot><tr>{''.join(foot)}</tr></tfoot>" if foot else ""
    return (
        f'<div class="scroll"><table><thead><tr>{head}</tr></thead>'
        f"<tbody>\n{body}\n</tbody>{tail}</table></div>"
    )
