"""What the page carries for its script: the fleet's table, its pictures, and what fits of devices' details."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from fedmetaalign.report import fleet_table, rounds
from fedmetaalign.report.candidates import kinds
from fedmetaalign.report.decision import AGAINST, headline
from fedmetaalign.report.details import details
from fedmetaalign.report.findings import Finding
from fedmetaalign.report.finished import STAGES, Run, mapping
from fedmetaalign.report.kinds import Confusion, fleet_confusion
from fedmetaalign.report.reading import Bundles
from fedmetaalign.report.rendering import script_data

MOST = 40
"""Entries of a list that could have one a device: causes, data files, features that lack values."""

LIMIT = 2_800_000
"""Bytes of all that is embedded; a page has some 60 kB more, and is to be less than 3 MB."""

ROWS = 1_900_000
"""Bytes of them for the fleet's table; a larger fleet is cut off after those that need attention most."""


def embedded(run: Run, found: Sequence[Finding], first: Iterable[str] = ()) -> str:
    """Returns what the script of the page reads, as JSON that no HTML parser takes for anything else.

    Args:
        run: a finished run.
        found: its findings, the gravest first.
        first: names of devices whose details are wanted in any case.
    """
    series, lost = rounds.all_series(run.rounds), rounds.missed(run)
    order = fleet_table.in_order_of_need(run, found, first)
    columns = fleet_table.columns(run, order, found)
    shown = len(order)
    if (size := len(script_data(columns))) > ROWS:
        shown = shown * ROWS // size
        columns = {key: values[:shown] for key, values in columns.items()}
    everything: dict[str, Any] = {
        "run": run.folder.name,
        "devices": len(run.devices),
        "lone": run.lone,
        "against": headline(run).startswith(AGAINST),
        "stages": [[stage, STAGES[stage]] for stage in run.stages],
        "columns": columns,
        "means": fleet_table.means(run),
        "learnt": fleet_table.LEARNT,
        "findings": [[finding.tag, finding.title, len(finding.devices)] for finding in found],
        "settings": {**mapping(run.recipe.get("personalize")), "max_bytes": _most_bytes(run)},
        "panels": [*rounds.panels(run, series), *rounds.over_time(run)],
        "heat": rounds.helpers(run, series),
        "confusion": _rows(fleet_confusion(run)),
        "ladder": [
            [each.title, each.bytes, each.difference, each.accuracy, each.shipped]
            for each in kinds(run.devices)
        ],
        "gaps": gaps(run.manifest),
        "missed": [[*row[:3], len(row[3]), row[3][:MOST]] for row in rounds.reasons(lost)[:MOST]],
        "manifest": {k: _cut(v) for k, v in run.manifest.items() if k not in ("gaps", "missed")},
    }
    left = LIMIT - len(script_data(everything))
    told: dict[str, list[tuple[int, str]]] = {}
    for number, finding in enumerate(found):
        for name, text in finding.devices:
            told.setdefault(name, []).append((number, text))
    bundles, kept = Bundles(run.folder), {}
    for place, device in enumerate(order[:shown]):
        own = (told.get(device.name, ()), lost.get(device.name, ()))
        text = script_data(details(run, device, bundles.of(device.name), series, *own))
        left -= len(text) + 8
        if left < 0:
            break
        kept[place] = text
    parts = ",".join(f'"{place}":{text}' for place, text in kept.items())
    return f'{script_data(everything)[:-1]},"details":{{{parts}}}}}'


def gaps(manifest: Mapping[str, Any]) -> list[tuple[str, int, int, str]]:
    """Returns of each feature that lacks values on how many devices, how many, and what the cells say."""
    devices, said = Counter[str](), dict[str, Counter[str]]()
    for features in mapping(manifest.get("gaps")).values():
        for feature, reasons in mapping(features).items():
            counts = {reason: n for reason, n in mapping(reasons).items() if isinstance(n, int)}
            devices[feature] += 1
            said.setdefault(feature, Counter()).update(counts)
    rows = [
        (feature, devices[feature], found.total(), ", ".join(f"{n:,} {why}" for why, n in found.most_common(5)))
        for feature, found in said.items()
    ]
    return sorted(rows, key=lambda row: -row[2])[:MOST]


def _cut(value: object) -> object:
    """A list or an object without what would make it too long."""
    if isinstance(value, dict) and len(value) > MOST:
        return dict(list(value.items())[:MOST]) | {"...": f"{len(value) - MOST} more in manifest.json"}
    if isinstance(value, list) and len(value) > MOST:
        return [*value[:MOST], f"... {len(value) - MOST} more in manifest.json"]
    return value


def _rows(confusion: Confusion | None) -> list[Any]:
    if confusion is None:
        return []
    return [[row.name, row.marks, row.called, rounds.rounded(row.recall)] for row in confusion.rows]


def _most_bytes(run: Run) -> int | None:
    limit = mapping(run.recipe.get("deploy")).get("max_bytes")
    return limit if isinstance(limit, int) and not isinstance(limit, bool) else None
