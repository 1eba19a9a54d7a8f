"""Looks at tables and proposes a recipe for them, by what columns are called and what they hold."""

from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

import numpy as np

from fedmetaalign.errors import DataError
from fedmetaalign.fleet.audit.overlap import comparable, overlaps
from fedmetaalign.fleet.audit.table import Audit, audit_raw
from fedmetaalign.fleet.columns.in_names import unit_of
from fedmetaalign.fleet.files import Raw
from fedmetaalign.fleet.labels.classes import Value
from fedmetaalign.fleet.labels.guess import Guess, guess, labelled_rows
from fedmetaalign.fleet.tables import safe_name
from fedmetaalign.fleet.windows.wide import natural
from fedmetaalign.proposal.conversions import turned
from fedmetaalign.proposal.features import numbers_of, roles_of, sift
from fedmetaalign.proposal.notes import notes_of
from fedmetaalign.proposal.order import correlation, split_of
from fedmetaalign.proposal.proposal import Choice, Cut, Part, Proposal, Split
from fedmetaalign.proposal.reading import Family
from fedmetaalign.proposal.signals import rate_of, windows_of
from fedmetaalign.proposal.timing import time_column

MOST_ROWS = 200_000
"""The rows that are looked at; of more, every second, third, ... row is."""
Ask = Callable[[Family, Choice], Choice]
_KIND_ROWS = 10
"""The rows that each kind of fault has to have, to be a class of its own."""


def propose(
    families: Sequence[Family],
    name: str,
    label: Sequence[str] = (),
    normal: Sequence[Value] = (),
    wrong: Mapping[Path, str] = MappingProxyType({}),
    ask: Ask | None = None,
) -> Proposal:
    """Proposes a recipe's data.

    Args:
        families: the tables, by kind.
        name: of the recipe.
        label: the label columns where they are known.
        normal: the label's values that mean no fault where they are known.
        wrong: which tables could not be read, and why.
        ask: shows somebody a choice, and returns the one to take.

    Raises:
        DataError: no table has a label, or a feature.
    """
    choices, sorry, spare = [], [*wrong.values()], [*wrong]
    for family in families:
        try:
            choice = choose(family, guess(family.pooled, label, (), normal))
            choices.append(ask(family, choice) if ask else choice)
            spare += [path for column in choices[-1].label.columns for path in family.lacking(column)]
        except DataError as error:
            sorry.append(str(error))
            spare += family.paths
    if not choices:
        several = sum(len(family.paths) for family in families) > 1
        told = (
            "; or, where the names of files tell it, as of recordings, write a recipe with fleet.window.files"
        )
        raise DataError(sorry[-1] + (told if several and "--label" in sorry[-1] else ""))
    small = [raw for family in families for raw in family.raws if raw.frame.height <= MOST_ROWS]
    shared = [
        f"CHECK the tables: {each.sentence}" for each in overlaps([(r.path, comparable(r)) for r in small])
    ]
    choices[0] = replace(choices[0], notes=(*choices[0].notes, *shared))
    return Proposal(safe_name(name), tuple(choices), tuple(sorry), tuple(spare))


def choose(
    family: Family,
    label: Guess,
    device: Sequence[str] | None = None,
    drop: Container[str] = (),
    keep: Container[str] = (),
) -> Choice:
    """Proposes what to make of tables of one kind.

    Args:
        family: the tables.
        label: what their label is.
        device: the columns that name devices, none where each file is one; None to look for them.
        drop: columns to leave out, whatever they hold.
        keep: columns of numbers that are features, whatever speaks against them.

    Raises:
        DataError: no feature is left.
    """
    step = -(-family.pooled.frame.height // MOST_ROWS)
    raw = family.pooled.take(np.arange(0, family.pooled.frame.height, step)) if step > 1 else family.pooled
    truth, labelled = labelled_rows(raw, label)
    known = replace(raw, frame=raw.frame.filter(labelled))
    kinds = truth.y.astype(str) if truth.kinds is None else truth.kinds
    roles = roles_of(known, label.columns, truth.y, _files(family, step, labelled), device)
    apart = {*roles.parts, *roles.device, *([roles.unit] if roles.unit else [])}
    audit = audit_raw(raw, label, apart, ordered=len(family.raws) == 1)
    sifted = sift(family, known, kinds, roles, audit, drop, keep)
    if not sifted.features:
        reasons = " ".join([*sifted.left.values()][:3])
        raise DataError(f"{raw.path} has no column that can be a feature: {reasons}")
    numbers = {name: numbers_of(known, name) for name in sifted.features if name not in sifted.categories}
    clocked = any(finding.code == "clock" for finding in audit.findings)
    split = split_of(numbers, kinds, roles.devices, roles.unit, roles.units, clocked)
    time, unread = time_column(family, audit.findings) if split.kind != "units" else (None, "")
    recordings = roles.devices if roles.units is None else _pairs(roles.devices, roles.units)
    window = windows_of(
        sifted.features,
        kinds,
        roles.unit,
        roles.devices,
        recordings,
        step,
        correlation(numbers, recordings),
        numbers,
        clocked,
        _rate(raw, audit),
    )
    if window is not None and window.length is not None:
        split = _of_recordings(window)
    elif time is not None:
        why = "trained on the earlier part and tested on the later, as a model that is deployed will be"
        split = Split("time", why, time=time, otherwise=split)
    converted = turned(family.raws, [name for name in sifted.features if name not in sifted.categories])
    kinds_too, counts = _classes(label, kinds, step)
    return Choice(
        label=label,
        kinds=kinds_too,
        counts=counts,
        parts=_parts(family, label, sifted.features),
        device=roles.device,
        window=window,
        units={
            name: unit
            for name in sifted.features
            if name not in converted.several and (unit := raw.units.get(name) or unit_of(name))
        },
        conversions=converted.conversions,
        categories=sifted.categories,
        gaps=sifted.gaps,
        left=sifted.left,
        split=split,
        notes=(
            *notes_of(family, label, window, sifted, step),
            *([unread] if unread else []),
            *converted.notes,
        ),
        audit=audit,
    )


def _pairs(devices: np.ndarray, units: np.ndarray) -> np.ndarray:
    """The number of each row's recording, (rows,) int64: devices may call theirs alike."""
    return np.asarray(np.unique(np.stack([devices, units]), axis=1, return_inverse=True)[1])


def _of_recordings(window: Cut) -> Split:
    """The split of windows: recordings as a whole, or the later part of each where a class has a single one."""
    if window.parted:
        return Split("rows", "each recording is tested on its later part: some class has no other recording")
    return Split(
        "units",
        "windows of one recording stay on one side: any split inside it would test on what it trained on",
    )


def _rate(raw: Raw, audit: Audit) -> float | None:
    """The samples a second that a column of one value tells."""
    constant = [str(finding.column) for finding in audit.findings if finding.code == "constant"]
    numeric = [name for name in constant if raw.frame[name].dtype.is_numeric()]
    return rate_of({name: float(raw.frame[name][0]) for name in numeric})


def _parts(family: Family, label: Guess, features: Sequence[str]) -> tuple[Part, ...]:
    """The files by the features that they have."""
    found: dict[tuple[tuple[str, ...], str | None], list[Path]] = {}
    for raw in family.raws:
        if all(column in raw.frame.columns for column in label.columns):
            own = tuple(name for name in features if name in raw.frame.columns)
            found.setdefault((own, family.decimals.get(raw.path)), []).append(raw.path)
    return tuple(
        Part(tuple(paths), own, decimal, family.proof) for (own, decimal), paths in found.items() if own
    )


def _classes(label: Guess, kinds: np.ndarray, step: int) -> tuple[bool, Mapping[str, int]]:
    """Whether kinds of fault are classes, and the rows of each class."""
    names, counts = np.unique(kinds, return_counts=True)
    by_name = dict(zip(map(str, names), map(int, step * counts), strict=True))
    several = len(label.columns) > 1 or len(label.faults) > 1
    if several:
        by_name = {n: by_name[n] for n in sorted(by_name, key=lambda n: (n not in label.normal, natural(n)))}
    else:
        by_name = {{"0": "no fault", "1": "fault"}[name]: count for name, count in by_name.items()}
    return several and min(by_name.values()) >= _KIND_ROWS, by_name


def _files(family: Family, step: int, labelled: np.ndarray) -> np.ndarray:
    """The number of the file of each labelled row, of every so many."""
    files: np.ndarray = np.repeat(np.arange(len(family.raws)), [raw.frame.height for raw in family.raws])
    return np.asarray(files[::step][labelled], np.int64)
