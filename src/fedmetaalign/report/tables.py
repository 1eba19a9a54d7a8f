"""The tables of the page as HTML; everything that comes from the run is escaped here."""

from collections.abc import Mapping, Sequence
from html import escape

from fedmetaalign.report.findings import WORSE, standing
from fedmetaalign.report.numbers import (
    ABSENT,
    MINUS,
    NARROW,
    decimal,
    interval,
    kibibytes,
    percent,
    signed,
    whole,
)
from fedmetaalign.report.reading import STAGES, Device, Run, mean

Tags = Mapping[str, Sequence[str]]
"""Device -> the tags of the warnings that concern it."""


def fleet(run: Run, tags: Tags) -> str:
    """Returns one row a device: samples, baselines, accuracy after each stage, F1, threshold and size.

    The model trained alone is one of the baselines, where there is one.
    """
    alone = ["Alone"] if any(device.alone for device in run.devices) else []
    columns = [
        "Device",
        "Samples train / test",
        "Majority class",
        "One rule",
        *alone,
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
                head(device.name, tags.get(device.name, ())),
                cell(f"{whole(_training(device))} / {whole(device.samples.get('test'))}"),
                cell(percent(device.majority)),
                cell(percent(device.one_rule)),
                *(cell(percent(device.alone.get("accuracy"))) for _ in alone),
                *_stage_cells(list(accuracies), bad=_beaten(tags.get(device.name, ()))),
                cell(decimal(device.final.get("f1"))),
                cell(decimal(device.threshold)),
                cell(kibibytes(device.model_bytes)),
            ]
        )
    size = mean(device.model_bytes for device in run.devices)
    samples = (mean(map(_training, run.devices)), mean(device.samples.get("test") for device in run.devices))
    foot = [
        '<th scope="row">Mean</th>',
        cell(f"{whole(samples[0])} / {whole(samples[1])}"),
        cell(percent(run.baseline("majority"))),
        cell(percent(run.baseline("one_rule"))),
        *(cell(percent(run.alone("accuracy"))) for _ in alone),
        *_stage_cells([run.mean(stage, "accuracy") for stage in run.stages]),
        cell(decimal(run.mean(run.stages[-1], "f1") if run.stages else None)),
        cell(""),
        cell(kibibytes(None if size is None else round(size))),
    ]
    return table(columns, rows, foot if len(run.devices) > 1 else None)


def gains(devices: Sequence[Device], run: Run) -> str:
    """Returns one row a device, in the order given: its last stage beside the model that it trained alone."""
    last = STAGES[run.stages[-1]]
    columns = [
        "Device",
        last,
        "Alone",
        "Gain in points",
        "By chance up to",
        "Test samples gained",
        f"F1 {last.lower()}",
        "F1 alone",
        f"PR-AUC {last.lower()}",
        "PR-AUC alone",
        "In words",
    ]
    rows = []
    for device in devices:
        samples, luck = device.samples.get("test"), device.luck(device.alone.get("accuracy"))
        words = standing(device) or ABSENT
        more = None if device.gain is None or not samples else round(device.gain * samples)
        rows.append(
            [
                head(device.name),
                cell(percent(device.accuracy)),
                cell(percent(device.alone.get("accuracy"))),
                cell(signed(device.gain), "bad" if words.startswith("worse") else "final"),
                cell(_within(luck)),
                cell(ABSENT if more is None else f"{_count(more)} of {samples}"),
                *(
                    cell(decimal(metrics.get(name)))
                    for name in ("f1", "pr_auc")
                    for metrics in (device.final, device.alone)
                ),
                cell(words, "words"),
            ]
        )
    foot = [
        '<th scope="row">Mean</th>',
        cell(percent(run.mean(run.stages[-1], "accuracy"))),
        cell(percent(run.alone("accuracy"))),
        cell(signed(run.gain)),
        cell(_within(run.luck)),
        cell(""),
        *(
            cell(decimal(value))
            for name in ("f1", "pr_auc")
            for value in (run.mean(run.stages[-1], name), run.alone(name))
        ),
        cell(""),
    ]
    return table(columns, rows, foot if len(devices) > 1 else None, prose=1)


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
                head(device.name),
                cell(_interval(device)),
                *(cell(percent(final.get(metric))) for metric in ("precision", "recall", "balanced_accuracy")),
                *(cell(decimal(final.get(metric))) for metric in ("mcc", "pr_auc", "brier")),
                cell(decimal(device.threshold)),
                text(chosen),
                text(device.rule or ABSENT),
            ]
        )
    return table(columns, rows, prose=2)


def _training(device: Device) -> int | None:
    """The samples that are not for testing; without "train", phases that share none are taken for all."""
    if "train" in device.samples:
        return device.samples["train"]
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
    return [cell(percent(value), kind) for value, kind in zip(accuracies, kinds, strict=True)]


def _beaten(tags: Sequence[str]) -> bool:
    return any(tag == WORSE or tag.startswith("not better") for tag in tags)


def _count(more: int) -> str:
    return f"{more:+d}".replace("-", MINUS) if more else "0"


def _within(luck: float | None) -> str:
    return ABSENT if luck is None else f"\u00b1{NARROW}{100 * luck:.1f}"


def head(name: str, tags: Sequence[str] = ()) -> str:
    """The first cell of a row: what the row is about, and marks below it."""
    marks = "".join(f'<span class="tag">{escape(tag)}</span>' for tag in tags)
    return f'<th scope="row" class="name">{escape(name)}{marks}</th>'


def cell(words: str, kind: str = "") -> str:
    """A cell of a number, or of the kind that the style sheet has a class for."""
    return f'<td class="{kind}">{escape(words)}</td>' if kind else f"<td>{escape(words)}</td>"


def text(words: str) -> str:
    """A cell of words."""
    return cell(words, "text")


def table(
    columns: Sequence[str], rows: Sequence[Sequence[str]], foot: Sequence[str] | None = None, prose: int = 0
) -> str:
    """A table that scrolls by itself where it is too wide; its last `prose` columns are text."""
    kinds = [""] * (len(columns) - prose) + [' class="text"'] * prose
    top = "".join(
        f'<th scope="col"{kind}>{escape(column)}</th>' for column, kind in zip(columns, kinds, strict=True)
    )
    body = "\n".join(f"<tr>{''.join(row)}</tr>" for row in rows)
    tail = f"<tfoot><tr>{''.join(foot)}</tr></tfoot>" if foot else ""
    return (
        f'<div class="scroll"><table><thead><tr>{top}</tr></thead><tbody>\n{body}\n</tbody>{tail}</table></div>'
    )
