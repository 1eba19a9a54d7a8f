"""Audits of several tables, or of all devices of a recipe: each by itself, and against the others."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from fedmetaalign.errors import DataError, DataErrors, Problem
from fedmetaalign.fleet.audit.leakage import leaks_through
from fedmetaalign.fleet.audit.overlap import Overlap, comparable, overlaps
from fedmetaalign.fleet.audit.table import Audit, audit, audit_raw
from fedmetaalign.fleet.columns.findings import Finding
from fedmetaalign.fleet.division.splits import split
from fedmetaalign.fleet.files import Options, Raw, load
from fedmetaalign.fleet.labels.classes import Value
from fedmetaalign.fleet.labels.guess import guess
from fedmetaalign.fleet.resolve import resolved
from fedmetaalign.fleet.schema import Table
from fedmetaalign.fleet.sources import find_devices
from fedmetaalign.fleet.tables import names_of
from fedmetaalign.recipe import Recipe

MOST_ROWS = 500_000
"""The rows of a table that are looked at."""
_COPY = 0.9  # the share of common rows from which on two devices are one
_SEVERITY = ("error", "warning", "info")


@dataclass(frozen=True)
class Audits:
    """What audits of several tables or devices found.

    Attributes:
        audits: of each.
        findings: about all of them together.
        wrong: why tables, or devices, cannot be audited.
    """

    audits: tuple[Audit, ...]
    findings: tuple[Finding, ...] = ()
    wrong: tuple[Problem, ...] = ()

    @property
    def counts(self) -> dict[str, int]:
        """How many findings of each severity there are."""
        every = [*self.findings, *(finding for audit in self.audits for finding in audit.findings)]
        found = Counter[str](finding.severity for finding in every)
        return {severity: found[severity] for severity in _SEVERITY}

    def to_list(self) -> list[dict[str, Any]]:
        """The audits as plain values for JSON, then what is said of all together and of tables without one."""
        together = [{"source": "all", "findings": [vars(finding) for finding in self.findings]}]
        errors = [{"error": problem.sentence, **problem.to_dict()} for problem in self.wrong]
        return [*(audit.to_dict() for audit in self.audits), *(together if self.findings else ()), *errors]


def audit_tables(
    paths: Sequence[Path],
    label: Sequence[str] = (),
    positive: Sequence[Value] = (),
    normal: Sequence[Value] = (),
    options: Options | None = None,
) -> Audits:
    """Audits tables and compares them; one that cannot be audited is named, and the others are.

    Args:
        paths: the tables, as `load` reads them.
        label: the label columns; guessed where not given.
        positive: values of the label that mean fault.
        normal: values of the label that mean no fault.
        options: what is known of the dialect of texts.
    """
    audits: list[Audit] = []
    wrong: list[Problem] = []
    rows = []
    for path in paths:
        try:
            raw, step = thinned(load(path, options=options))
            one = audit_raw(raw, guess(raw, label, positive, normal), doubting=True)
            told = Finding("thinned", "info", None, f"The table is large: one row in {step} was looked at.")
            audits.append(replace(one, findings=(*one.findings, told)) if step > 1 else one)
        except DataError as error:
            wrong += error.problems
        else:
            rows.append((raw.path, comparable(raw)))
    for overlap in overlaps(rows):
        finding = Finding("contained", "error", None, overlap.sentence)
        for index, one in enumerate(audits):
            if one.source in (str(overlap.first), str(overlap.second)):
                audits[index] = replace(one, findings=(finding, *one.findings))
    return Audits(tuple(audits), (), tuple(wrong))


def thinned(raw: Raw) -> tuple[Raw, int]:
    """Of a large table every second, third, ... row, and which."""
    step = -(-raw.frame.height // MOST_ROWS)
    return (raw.take(np.arange(0, raw.frame.height, step)), step) if step > 1 else (raw, 1)


def audit_files(
    paths: Sequence[Path | str],
    label: str | tuple[str, ...] | None = None,
    positive: tuple[Value, ...] = (),
    normal: tuple[Value, ...] = (),
) -> tuple[Audit, ...]:
    """Audits several files, and against each other: rows that two files share are a finding of both.

    Args:
        paths: the tables, as `load` reads them.
        label: the label column or columns; guessed where not given.
        positive: values of the label that mean fault.
        normal: values of the label that mean no fault.

    Raises:
        DataErrors: some cannot be audited.
    """
    found = audit_tables([Path(path) for path in paths], names_of(label), positive, normal)
    if found.wrong:
        raise DataErrors(found.wrong)
    return found.audits


def audit_recipe(recipe: Recipe) -> Audits:
    """Audits each device of a recipe as it would be trained, what its split lets through, and the fleet.

    Raises:
        DataError: a source cannot be used at all.
    """
    recipe = resolved(recipe)
    devices = find_devices(recipe)
    tables = devices.tables
    audits = []
    for table in tables:
        if table.known == "nothing":
            continue
        one, more = audit(table, doubting=True), [*_split_findings(table, recipe)]
        found = sorted([*one.findings, *more], key=lambda finding: _SEVERITY.index(finding.severity))
        audits.append(replace(one, findings=tuple(found)))
    wrong = [problem for each in devices.left_out for problem in each.problems]
    return Audits(tuple(audits), tuple(_fleet(tables)), tuple(wrong))


def lines(audits: Audits, most: int = 3) -> list[str]:
    """All findings as lines to print: about all together, those that many share, and those of each."""
    found = [f"{finding.severity}: {finding.sentence}" for finding in audits.findings]
    many = len(audits.audits) > most
    shared = grouped(audits, most) if many else []
    for finding, sources in shared:
        who = f"{sources[0]} and {len(sources) - 1} more"
        found.append(f"{finding.severity}: {who}: {finding.sentence}")
    told = {(finding.code, finding.column) for finding, _ in shared}
    for one in audits.audits:
        own = [finding for finding in one.findings if (finding.code, finding.column) not in told]
        found += [one.source] * bool(own) + [f"  {finding.severity}: {finding.sentence}" for finding in own]
    return found


def grouped(audits: Audits, most: int = 3) -> list[tuple[Finding, tuple[str, ...]]]:
    """Findings of like kind that more than `most` devices share, each once and with all of their names."""
    same: dict[tuple[str, str | None], list[tuple[Finding, str]]] = defaultdict(list)
    for one in audits.audits:
        for finding in one.findings:
            same[finding.code, finding.column].append((finding, one.source))
    groups = [(found[0][0], tuple(dict.fromkeys(source for _, source in found))) for found in same.values()]
    return sorted(
        [group for group in groups if len(group[1]) > most],
        key=lambda group: _SEVERITY.index(group[0].severity),
    )


def _split_findings(table: Table, recipe: Recipe) -> Iterator[Finding]:
    try:
        yield from leaks_through(table, split(table, recipe.splits, recipe.seed))
    except DataError as error:
        yield Finding("split", "error", None, str(error))


def _fleet(tables: Sequence[Table]) -> Iterator[Finding]:
    """What is to be known of devices beside each other: copies, and unlike shares of faults."""
    rows = [
        (table.name, {n: x + 0.0 for n, x in zip(table.features, table.x.T, strict=True)}) for table in tables
    ]
    for overlap in overlaps(rows):
        yield Finding(
            "duplicate-device", "error" if overlap.share >= _COPY else "warning", None, _twins(overlap)
        )
    shares = {table.name: float(np.mean(table.faults)) for table in tables if table.known != "nothing"}
    bare = [table.name for table in tables if table.known == "normal"]
    if bare:
        sentence = (
            f"Devices without a fault, which are judged by false alarms alone: {len(bare)} ({_some(bare)})."
        )
        yield Finding("one-class-devices", "info", None, sentence)
    if len(shares) > 1:
        low, high = min(shares, key=shares.__getitem__), max(shares, key=shares.__getitem__)
        sentence = (
            f"{len(tables)} devices with {sum(map(len, tables)):,} labelled rows; faults are"
            f" {shares[low]:.1%} of them on {low} and {shares[high]:.1%} on {high}."
        )
        yield Finding("fleet", "info", None, sentence)


def _twins(overlap: Overlap) -> str:
    if overlap.share >= _COPY:
        return (
            f"Device {overlap.first} holds rows of {overlap.second} ({overlap.shared:,} of {overlap.rows:,}):"
            " one of the two is a copy; leave it out, or each is tested on what the other trained on."
        )
    return overlap.sentence


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")
