"""Looks at tables and proposes a recipe for them, by what columns are called and what they hold."""

from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl

from fedmetaalign.errors import DataError
from fedmetaalign.fleet.audit import Audit, audit_raw
from fedmetaalign.fleet.classes import Value
from fedmetaalign.fleet.columns import of_no_use
from fedmetaalign.fleet.files import Raw, cells, listed
from fedmetaalign.fleet.labels import Guess, guess, labelled_rows
from fedmetaalign.fleet.tables import safe_name
from fedmetaalign.fleet.words import SPLIT_NAMES, SPLIT_VALUES, ordered, words
from fedmetaalign.proposal import devices as whose
from fedmetaalign.proposal.order import split_of
from fedmetaalign.proposal.proposal import Choice, Draws, Part, Proposal, Split
from fedmetaalign.proposal.reading import Family
from fedmetaalign.proposal.signals import is_signal, points
from fedmetaalign.proposal.units import units_of

LEAVES = {"clock", "constant", "empty", "identifier", "leak", "suspect", "text", "type", "missing", "mixed"}
"""The codes of findings for which a column is no feature."""
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
    left: Sequence[str] = (),
    ask: Ask | None = None,
) -> Proposal:
    """Proposes a recipe's data.

    Args:
        families: the tables, by kind.
        name: of the recipe.
        label: the label columns where they are known.
        normal: the label's values that mean no fault where they are known.
        left: sentences about tables that could not be read.
        ask: shows somebody a choice, and returns the one to take.

    Raises:
        DataError: no table has a label, or a feature.
    """
    choices, sorry = [], [*left]
    for family in families:
        try:
            choice = choose(family, guess(family.pooled, label, (), normal))
            choices.append(ask(family, choice) if ask else choice)
        except DataError as error:
            sorry.append(str(error))
    if not choices:
        raise DataError(sorry[-1])
    return Proposal(safe_name(name), tuple(choices), tuple(sorry))


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
    raw = replace(family.pooled, frame=family.pooled.frame.gather_every(step))
    truth, labelled = labelled_rows(raw, label)
    known = replace(raw, frame=raw.frame.filter(labelled))
    kinds = truth.y.astype(str) if truth.kinds is None else truth.kinds
    useless = {name for name in family.columns if of_no_use(known.frame[name])}
    others = [name for name in family.columns if name not in label.columns and name not in useless]
    parts = [name for name in others if _is_split_marker(known, name)]
    others = [name for name in others if name not in parts]
    if device is None:
        device = whose.device_columns(known, truth.y, others) if len(family.raws) == 1 else ()
    unit = whose.group_column(known, [name for name in others if name not in device])
    apart = {*parts, *device, *([unit] if unit else [])}
    audit = audit_raw(raw, label, apart)
    left = {name: f"it names parts of a split ({listed(_few(known, name))})" for name in parts}
    found = [f for f in audit.findings if f.column in {*others, *useless} and f.code in LEAVES]
    left |= {str(f.column): f.sentence for f in found if f.code != "missing" or not _whole(family, f.column)}
    left |= {name: f"'{name}' is left out as asked" for name in others if name in drop}
    left = {name: reason for name, reason in left.items() if name not in keep}
    categories = _categories(known, audit, left)
    features = [
        name for name in others if name not in left and (name in {*audit.features, *categories} or name in keep)
    ]
    groups = whose.codes_of(known, unit) if unit else None
    machines = whose.codes_of(known, *device) if device else _files(family, step, labelled)
    if unit and groups is not None and _pure(kinds, groups):
        reason = f"it is one value in each '{unit}': a setting that tells recordings apart, not a measurement"
        left |= dict.fromkeys(whose.constant_within(known, groups, features), reason)
    if machines.any():  # there are several
        reason = "it is one value on each device, which tells devices apart and nothing else"
        texts = [f.column for f in audit.findings if f.column in left and f.code == "text"]
        left |= dict.fromkeys(whose.constant_within(known, machines, [*features, *texts]), reason)
    features = [name for name in features if name not in left]
    if not features:
        raise DataError(f"{raw.path} has no column that can be a feature: " + " ".join([*left.values()][:3]))
    signal = is_signal(features, kinds, groups, step)
    numbers = {name: _numbers(known, name) for name in features if name not in categories}
    split = split_of(numbers, kinds, machines, unit, np.zeros(0, np.int64) if groups is None else groups)
    draws = None
    if signal and unit:
        draws, split = Draws(10, 400), Split("rows", "rows are drawn at random from the recordings")
    kinds_too, counts = _classes(label, kinds, step)
    return Choice(
        label=label,
        kinds=kinds_too,
        counts=counts,
        parts=_parts(family, label, features),
        device=tuple(device),
        draws=draws,
        units=units_of(features),
        categories={name: categories[name] for name in features if name in categories},
        left={name: left[name] for name in (*others, *parts, *useless) if name in left},
        split=split,
        notes=tuple(_notes(family, label, unit if signal else None, features, step)),
        audit=audit,
    )


def _whole(family: Family, column: str | None) -> bool:
    """Whether no table that has a column lacks a cell of it."""
    own = [raw for raw in family.raws if column in raw.frame.columns]
    return all(np.isfinite(_numbers(raw, str(column))).all() for raw in own)


def _parts(family: Family, label: Guess, features: Sequence[str]) -> tuple[Part, ...]:
    """The files by the features that they have."""
    found: dict[tuple[str, ...], list[Path]] = {}
    for raw in family.raws:
        if all(column in raw.frame.columns for column in label.columns):
            own = tuple(name for name in features if name in raw.frame.columns)
            found.setdefault(own, []).append(raw.path)
    return tuple(Part(tuple(paths), own) for own, paths in found.items() if own)


def _classes(label: Guess, kinds: np.ndarray, step: int) -> tuple[bool, Mapping[str, int]]:
    """Whether kinds of fault are classes, and the rows of each class."""
    names, counts = np.unique(kinds, return_counts=True)
    by_name = dict(zip(map(str, names), map(int, step * counts), strict=True))
    by_name = {name: by_name[name] for name in sorted(by_name, key=lambda name: name not in label.normal)}
    several = len(label.columns) > 1 or len(label.faults) > 1
    if not several:
        by_name = {{"0": "no fault", "1": "fault"}[name]: count for name, count in by_name.items()}
    return several and min(by_name.values()) >= _KIND_ROWS, by_name


def _categories(known: Raw, audit: Audit, left: dict[str, str]) -> dict[str, tuple[str, ...]]:
    """The text columns whose values have an order, or are two; they no longer count as left out."""
    found = {}
    for finding in audit.findings:
        name = finding.column
        if finding.code != "text" or name is None or left.get(name) != finding.sentence:
            continue
        text = cells(known, name)
        values = set(text.drop_nulls().unique().to_list())
        order = ordered(values) or (tuple(sorted(values)) if len(values) == 2 else ())
        if order and not text.null_count():
            found[name] = order
            del left[name]
    return found


def _notes(family: Family, label: Guess, signal: str | None, features: Sequence[str], step: int) -> list[str]:
    notes = []
    if not label.sure:
        healthy, faults = listed(label.normal), listed(label.faults)
        notes.append(
            f"CHECK the label: no value of '{label.columns[0]}' says that it is normal, and {healthy} is taken"
            f" for it ({faults} for fault); if none is, the model tells kinds apart and no fault from health."
        )
    if signal:
        notes.append(
            f"CHECK the rows: they are samples of a signal ({listed(features)}), one '{signal}' after the"
            " other, and one sample says next to nothing of a fault. It takes windows: cut each recording into"
            " windows of some 1,000 samples, make features of each (root mean square, kurtosis, bands of its"
            f" spectrum) in a table of one row a window, keep '{signal}' as a column, and call init on that"
            " table. What follows draws single samples, so that everything runs; do not deploy it."
        )
    elif found := points(features):
        notes.append(
            f"Each row is a window of {found[1]} points ('{found[0]}...'): the network takes them as they are,"
            " and knows nothing of shifts in time."
        )
    if step > 1:
        notes.append(f"The tables are large: one row in {step} was looked at, and numbers of rows are rounded.")
    lacking = {name: len(family.lacking(name)) for name in features if family.lacking(name)}
    if lacking:
        notes.append(
            "Some tables lack features that others have: "
            + ", ".join(f"'{name}' ({count} of {len(family.raws)})" for name, count in lacking.items())
            + "; the method makes up for them."
        )
    return notes


def _files(family: Family, step: int, labelled: np.ndarray) -> np.ndarray:
    """The number of the file of each labelled row, of every so many."""
    files: np.ndarray = np.repeat(np.arange(len(family.raws)), [raw.frame.height for raw in family.raws])
    return np.asarray(files[::step][labelled], np.int64)


def _is_split_marker(raw: Raw, name: str) -> bool:
    few = _few(raw, name)
    return (
        bool(few)
        and {cell.lower() for cell in few} <= SPLIT_VALUES
        and bool(words(name) & SPLIT_NAMES or len(few) > 1)
    )


def _few(raw: Raw, name: str) -> list[str]:
    """The values of a text column, none where there are many or they are numbers."""
    series = raw.frame[name]
    if series.dtype.is_numeric() or series.dtype.is_nested():
        return []
    values = series.drop_nulls().unique()
    return sorted(map(str, values.to_list())) if len(values) <= 5 else []


def _numbers(raw: Raw, name: str) -> np.ndarray:
    text = raw.frame[name].cast(pl.String).str.strip_chars()
    return np.array(text.cast(pl.Float64, strict=False).to_list(), np.float64)


def _pure(kinds: np.ndarray, units: np.ndarray) -> bool:
    codes = np.unique(kinds, return_inverse=True)[1]
    return len(np.unique(units * (codes.max() + 1) + codes)) == len(np.unique(units))
