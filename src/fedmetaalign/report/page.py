"""The page `report.html`: one file that needs no network, no script and no other file."""

from functools import cache
from pathlib import Path

from jinja2 import Environment

from fedmetaalign.errors import RunError
from fedmetaalign.report import facts, figures
from fedmetaalign.report.candidates import kinds, titled
from fedmetaalign.report.curves import precision_recall
from fedmetaalign.report.decision import doubtful, headline
from fedmetaalign.report.drift import drifted, timed
from fedmetaalign.report.findings import BEATEN, findings, standing, verdict
from fedmetaalign.report.finished import STAGES, DeviceReport, Run
from fedmetaalign.report.kinds import confusion, fleet_confusion
from fedmetaalign.report.numbers import ABSENT, MINUS, NARROW, interval
from fedmetaalign.report.reading import read_run
from fedmetaalign.report.rendering import environment
from fedmetaalign.report.sharing import learnt_from, received
from fedmetaalign.system.writing import replace


def write_report(run: Path | str) -> Path:
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
    run = Path(run)
    text = build(read_run(run))
    path = run / "report.html"
    try:
        replace(path, text.encode(), mode=(run / "results.json").stat().st_mode & 0o777)
    except OSError as error:
        raise RunError(
            f"{path} cannot be written ({error.strerror}); free the place or its permissions."
        ) from None
    return path


def build(run: Run) -> str:
    """Returns the page as HTML."""
    found = findings(run)
    tags: dict[str, list[str]] = {}
    for finding in found:
        for name, _ in finding.devices:
            tags.setdefault(name, []).append(finding.tag)
    return (
        _environment()
        .get_template("report.html.j2")
        .render(
            run=run,
            headline=headline(run),
            doubtful=doubtful(run),
            verdict=(*verdict(run), *received(run)),
            found=found,
            tags=tags,
            colours=figures.colours(run),
            drawn=figures,
            curves=precision_recall(run),
        )
    )


@cache
def _environment() -> Environment:
    found = environment()
    found.filters |= {
        "confusion": confusion,
        "drifted": drifted,
        "fleet_confusion": fleet_confusion,
        "gaps": facts.gaps,
        "kinds": kinds,
        "parted": facts.parted,
        "plain": facts.plain,
        "samples_gained": _samples_gained,
        "stage_title": STAGES.__getitem__,
        "test_samples": lambda device: device.samples.get("test"),
        "timed": timed,
        "training": _training,
        "within": _within,
    }
    found.tests |= {
        "beaten": lambda tags: not set(BEATEN).isdisjoint(tags),
        "nested": facts.is_nested,
        "short": facts.is_short,
    }
    found.globals |= {
        "STAGES": STAGES,
        "interval": interval,
        "learnt_from": learnt_from,
        "standing": standing,
        "titled": titled,
    }
    return found


def _training(device: DeviceReport) -> int | None:
    """The samples that are not for testing; without "train", phases that share none are taken for all."""
    if "train" in device.samples:
        return device.samples["train"]
    parts = [size for part, size in device.samples.items() if part != "test"]
    return sum(parts) if parts else None


def _samples_gained(device: DeviceReport) -> str:
    """How many more of its test samples a device gets right than alone: "+3 of 80"."""
    samples = device.samples.get("test")
    if device.gain is None or not samples:
        return ABSENT
    more = round(device.gain * samples)
    return f"{more:+d} of {samples}".replace("-", MINUS) if more else f"0 of {samples}"


def _within(luck: float | None) -> str:
    return ABSENT if luck is None else f"±{NARROW}{100 * luck:.1f}"
