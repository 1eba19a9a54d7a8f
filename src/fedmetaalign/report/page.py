"""The page `report.html`: one file that needs no network and no other file.

A reader without its script has the words; tables and pictures are drawn by the script from what is embedded.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path

from markupsafe import Markup

from fedmetaalign.errors import RunError
from fedmetaalign.report.decision import doubtful, headline
from fedmetaalign.report.embedding import embedded
from fedmetaalign.report.findings import findings, verdict
from fedmetaalign.report.finished import Run
from fedmetaalign.report.reading import read_run
from fedmetaalign.report.rendering import environment, parts
from fedmetaalign.report.sharing import received
from fedmetaalign.system.writing import replace

SCRIPTS = ("elements.js", "charts.js", "table.js", "device.js", "fleet.js")

_MOST = 8
"""Devices, or sentences, that a finding names before it says how many more there are."""


def write_report(run: Path | str, devices: Sequence[str] = ()) -> Path:
    """Writes RUN/report.html from the files of the run folder, and from nothing else.

    The page is replaced as a whole, so that a reader never sees half of one. The same folder gives the same
    bytes.

    Args:
        run: a run folder: `recipe.toml`, `manifest.json`, `rounds.jsonl`, `results.json`, and
            `devices/NAME/bundle.json` where a device has one.
        devices: names of devices that the page is to have all details of, however large the fleet.

    Returns:
        The path of the page.

    Raises:
        RunError: a file is missing (the run has not finished) or damaged, a device is not in it, or the page
            cannot be written.
    """
    run = Path(run)
    found = read_run(run)
    if unknown := sorted({*devices} - {device.name for device in found.devices}):
        raise RunError(f"{run} has no device {unknown[0]!r}; its names stand in results.json.")
    text = build(found, devices)
    path = run / "report.html"
    try:
        replace(path, text.encode(), mode=(run / "results.json").stat().st_mode & 0o777)
    except OSError as error:
        raise RunError(
            f"{path} cannot be written ({error.strerror}); free the place or its permissions."
        ) from None
    return path


def build(run: Run, first: Iterable[str] = ()) -> str:
    """Returns the page as HTML."""
    found = findings(run)
    return (
        environment()
        .get_template("report.html.j2")
        .render(
            run=run,
            headline=headline(run),
            doubtful=doubtful(run),
            verdict=(*verdict(run), *received(run)),
            found=found,
            MOST=_MOST,
            data=Markup(embedded(run, found, first)),  # noqa: S704 - no "<" is left in it
            parts=parts(SCRIPTS),
        )
    )
