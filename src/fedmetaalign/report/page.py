"""The page `report.html`: one file that needs no network, no script and no other file."""

import contextlib
import os
import tempfile
from html import escape
from importlib import resources
from pathlib import Path
from string import Template

from fedmetaalign.errors import RunError
from fedmetaalign.report import facts, figures, ladder, tables
from fedmetaalign.report.findings import Finding, beyond_chance, findings, headline, verdict
from fedmetaalign.report.numbers import ABSENT, count, listing, percent, signed
from fedmetaalign.report.reading import Run, read_run

_PAGE = Template("""\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>$title</title>
<style>
$style</style>
</head>
<body>
<main>
$body
</main>
</body>
</html>
""")


def write_report(run: Path) -> Path:
    """Writes RUN/report.html from the files of the run folder, and from nothing else.

    The page is replaced as a whole, so that a reader never sees half of one. The same folder gives the same
    bytes.

    Args:
        run: a run folder: `recipe.toml`, `manifest.json`, `rounds.jsonl`, `results.json`, and
            `devices/NAME/bundle.json` where a device has one.

    Returns:
        The path of the page.

    Raises:
        RunError: a file is missing (the run has not finished) or damaged, or the page cannot be written.
    """
    text = build(read_run(run))
    path = run / "report.html"
    try:
        _replace(path, text)
    except OSError as error:
        raise RunError(
            f"{path} cannot be written ({error.strerror}); free the place or its permissions."
        ) from None
    return path


def build(run: Run) -> str:
    """Returns the page as HTML."""
    found = findings(run)
    sections = (
        _head(run),
        _warnings(found),
        _accuracy(run),
        _gains(run),
        _fleet(run, found),
        ladder.section(run),
        _rounds(run),
        _detail(run),
        _sources(run),
    )
    return _PAGE.substitute(
        title=escape(f"{run.name}: Fed-Meta-Align report"),
        style=(resources.files("fedmetaalign.report") / "style.css").read_text(encoding="utf-8"),
        body="\n".join(filter(None, sections)),
    )


def _head(run: Run) -> str:
    seed = run.manifest.get("seed", run.recipe.get("seed"))
    about = [f"Run “{run.name}”"]
    about += [f"seed {seed}"] if seed is not None else []
    about += [f"started {run.manifest['started']}"] if run.manifest.get("started") else []
    return (
        f'<header><h1>{escape(" · ".join(about))}</h1>\n<p class="headline">{escape(headline(run))}</p>\n'
        f'<p class="verdict">{escape(" ".join(verdict(run)))}</p>\n{_tiles(run)}\n'
        f'<p class="note">{_terms(run)}</p></header>'
    )


def _terms(run: Run) -> str:
    held_out = "Accuracies are on held-out test samples."
    if run.gain is None:
        return (
            f"{held_out} What a device would have reached by itself is measured by a recipe whose "
            "<code>[evaluation]</code> says <code>alone = true</code>."
        )
    return (
        f"{held_out} “Alone” is the same network, trained on the device's own samples only and for about as "
        "many steps as phases 1 to 3 spend on that device; it has a threshold of its own and is not quantised. "
        "“May be chance”: so small a difference can be the luck of which samples are in the test set."
    )


def _tiles(run: Run) -> str:
    stage = run.stages[-1] if run.stages else ""
    accuracy = run.mean(stage, "accuracy")
    of = "mean accuracy" if len(run.devices) > 1 else "accuracy"
    tiles = []
    if run.gain is not None:
        told = beyond_chance(run.gain, run.luck) is not False
        kind = "tile" if not told else "tile worse" if run.gain < 0 else "tile main"
        average = ", mean" if len(run.devices) > 1 else ""
        chance = "" if told or not round(run.gain, 3) else "; may be chance"
        tiles.append(_tile(signed(run.gain), f"points over training alone{average}{chance}", kind))
    tiles += [_tile(percent(accuracy), f"{of}, {stage}", "tile" if tiles else "tile main")] if stage else []
    for value, label in (
        (run.alone("accuracy"), "each trained alone" if len(run.devices) > 1 else "trained alone"),
        (run.baseline("one_rule"), "one rule on one feature"),
        (run.baseline("majority"), "always the majority class"),
    ):
        tiles += [_tile(percent(value), label)] if value is not None else []
    scores = [(d.accuracy, d.name) for d in run.devices if d.accuracy is not None]
    if len(scores) > 1:
        lowest = min(score for score, _ in scores)
        names = [name for score, name in scores if score == lowest]
        tiles.append(_tile(percent(lowest), f"lowest device: {listing(names, most=3)}"))
    return f'<div class="tiles">{"".join(tiles)}</div>'


def _tile(value: str, label: str, kind: str = "tile") -> str:
    return f'<div class="{kind}"><b>{escape(value)}</b><span>{escape(label)}</span></div>'


def _warnings(found: tuple[Finding, ...]) -> str:
    if not found:
        return '<p class="note">Nothing needs attention: no warning concerns any device.</p>'
    parts = []
    for finding in found:
        items = "".join(f"<li><b>{escape(name)}</b>: {escape(text)}</li>" for name, text in finding.devices)
        parts.append(
            f"<section><h3>{escape(finding.title)}: {count(len(finding.devices), 'device')}</h3>"
            f"<p>{escape(finding.advice)}</p><ul>{items}</ul></section>"
        )
    return f'<div class="card warnings"><h2>Needs attention</h2>{"".join(parts)}</div>'


def _accuracy(run: Run) -> str:
    if not run.stages:
        return ""
    caption = "Test accuracy; the bold line is the mean." if len(run.devices) > 1 else "Test accuracy."
    parts = [_figure("After each stage", caption, figures.stages(run))]
    rows = figures.gain_rows(run)
    if rows:
        few = (
            f" The {len(rows)} with the least gain of {len(run.devices)}."
            if len(rows) < len(run.devices)
            else ""
        )
        marks = f"Filled: {run.stages[-1]}. Hollow circle: majority class. Diamond: one rule."
        over = "its best baseline"
        if run.gain is not None:
            marks, over = f"{marks} Upright line: alone.", "training alone"
        colours = "Green: gained. Orange: did not. Grey: the difference may be chance."
        title = f"What each device gained over {over}"
        parts.append(_figure(title, f"{marks} {colours}{few}", figures.gains(run)))
    return f'<section><h2>Accuracy</h2>{_legend(run)}<div class="pair">{"".join(parts)}</div></section>'


def _gains(run: Run) -> str:
    compared = sorted((d for d in run.devices if d.gain is not None), key=lambda device: device.gain or 0)
    if not compared:
        return ""
    return (
        f"<section><h2>Beside training alone</h2>{tables.gains(compared, run)}"
        '<p class="note">The least gain first. “By chance up to” is how far apart the luck of the test samples '
        "alone may put two equally good models (McNemar's test at 5 %). It is reckoned cautiously, as if the "
        "two models never erred on the same sample: a difference that “may be chance” may be real all the "
        "same. It does not cover the luck of training: another seed gives other models.</p></section>"
    )


def _fleet(run: Run, found: tuple[Finding, ...]) -> str:
    tags: dict[str, list[str]] = {}
    for finding in found:
        for name, _ in finding.devices:
            tags.setdefault(name, []).append(finding.tag)
    return (
        f"<section><h2>The fleet</h2>{tables.fleet(run, tags)}"
        '<p class="note">Test accuracy after each stage; F1 and threshold are those of the last one. '
        "The threshold applies to the deployed model's score.</p></section>"
    )


def _rounds(run: Run) -> str:
    drawn = figures.rounds(run)
    if not drawn:
        return ""
    panels = "".join(f"<figure>{figure}</figure>" for figure in drawn)
    return (
        f'<section><h2>Round by round</h2>{_legend(run)}<div class="grid">{panels}</div>'
        '<p class="note">Query loss is measured on samples that the round did not train on. Alignment is the '
        "cosine between a device's update and the fleet's direction; the paper weighs a device by both.</p>"
        "</section>"
    )


def _detail(run: Run) -> str:
    return (
        f"<section><h2>Device by device</h2>{tables.detail(run)}"
        '<p class="note">Values of the last stage. The interval says how far the accuracy may be off by the '
        f"luck of the test samples alone (Wilson). Brier: 0 is best. “{ABSENT}”: the value does not exist, "
        f"such as precision without an alarm, or was not measured.</p>{_bundles(run)}</section>"
    )


def _bundles(run: Run) -> str:
    parts = "".join(
        f"<details><summary>{escape(device.name)}</summary>{facts.bundle(device.bundle)}</details>"
        for device in run.devices
        if device.bundle
    )
    return f"<h3>What is in the bundles</h3>{parts}" if parts else ""


def _sources(run: Run) -> str:
    return (
        "<section><h2>How to get the same numbers</h2>"
        f"<details><summary>Recipe</summary><pre>{escape(run.recipe_text)}</pre></details>"
        f"<details open><summary>Manifest</summary>{facts.facts(run.manifest)}</details></section>"
    )


def _legend(run: Run) -> str:
    own = figures.colours(run)
    if own:
        entries = [
            f'<li><i style="background:var(--series-{index})"></i>{escape(name)}</li>'
            for index, name in enumerate(own)
        ]
    else:
        entries = ['<li><i class="thin"></i>a device</li>', '<li><i class="mean"></i>mean of the fleet</li>']
    return f'<ul class="legend">{"".join(entries)}</ul>'


def _figure(title: str, caption: str, drawing: str) -> str:
    return f"<figure><figcaption><b>{escape(title)}</b>{escape(caption)}</figcaption>{drawing}</figure>"


def _replace(path: Path, text: str) -> None:
    """Writes a file beside the old one and puts it in its place in one step."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".report-", suffix=".html")
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as file:
            file.write(text)
        # mkstemp makes a file for its owner alone; a report is to be read like the files beside it.
        Path(temporary).chmod((path.parent / "results.json").stat().st_mode & 0o777)
        Path(temporary).replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            Path(temporary).unlink()
        raise
