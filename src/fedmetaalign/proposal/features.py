"""Which columns are features, and why the others are not."""

from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import polars as pl

from fedmetaalign.fleet.audit.table import Audit
from fedmetaalign.fleet.columns.findings import Finding, of_no_use
from fedmetaalign.fleet.columns.words import PEOPLE_NAMES, SPLIT_NAMES, SPLIT_VALUES, ordered, words
from fedmetaalign.fleet.files import Raw, cells, listed
from fedmetaalign.proposal.devices import codes_of, constant_within, device_columns, group_column
from fedmetaalign.proposal.reading import Family

_LEAVES = {"clock", "constant", "empty", "identifier", "leak", "suspect", "text", "type"}
"""The codes of findings for which a column is no feature."""


@dataclass(frozen=True)
class Roles:
    """What columns say of a row other than what was measured.

    Attributes:
        device: those that name its device; none where each file is one.
        unit: the one that names its recording.
        parts: those that say on which side of somebody's split it is.
        useless: those of lists, bytes and the like.
        others: all but these and the label.
        devices: (rows,) int64, the device of each row.
        units: (rows,) int64, the recording of each row; None without `unit`.
    """

    device: tuple[str, ...]
    unit: str | None
    parts: tuple[str, ...]
    useless: tuple[str, ...]
    others: tuple[str, ...]
    devices: np.ndarray
    units: np.ndarray | None


@dataclass(frozen=True)
class Sifted:
    """The features.

    Attributes:
        features: their columns.
        categories: of each text among them its values in their order.
        left: of each other column the reason.
        saved: features that give the label away, kept for want of others.
        gaps: of each feature that lacks values in a table that has it, how many.
    """

    features: tuple[str, ...]
    categories: Mapping[str, tuple[str, ...]]
    left: Mapping[str, str]
    saved: tuple[str, ...] = ()
    gaps: Mapping[str, int] = field(default_factory=dict)


def roles_of(
    known: Raw, label: Sequence[str], y: np.ndarray, files: np.ndarray, device: Sequence[str] | None
) -> Roles:
    """Tells columns that describe rows from those that were measured.

    Args:
        known: all rows with a label.
        label: the label columns.
        y: (rows,) 1 at faults.
        files: (rows,) int64, the file of each row.
        device: the columns that name devices where that is known.
    """
    columns = [name for name in known.frame.columns if name not in label]
    useless = [name for name in columns if of_no_use(known.frame[name])]
    parts = [name for name in columns if name not in useless and _is_split_marker(known, name)]
    others = [name for name in columns if name not in (*useless, *parts)]
    if device is None:
        device = () if files.any() else device_columns(known, y, others)
    unit = group_column(known, [name for name in others if name not in device])
    return Roles(
        device=tuple(device),
        unit=unit,
        parts=tuple(parts),
        useless=tuple(useless),
        others=tuple(others),
        devices=codes_of(known, *device) if device else files,
        units=codes_of(known, unit) if unit else None,
    )


def sift(
    family: Family,
    known: Raw,
    kinds: np.ndarray,
    roles: Roles,
    audit: Audit,
    drop: Container[str] = (),
    keep: Container[str] = (),
) -> Sifted:
    """Chooses the features.

    Args:
        family: the tables.
        known: all rows with a label.
        kinds: (rows,) the class of each.
        roles: of columns that are none.
        audit: of all columns but those of `roles`.
        drop: columns to leave out, whatever they hold.
        keep: columns to take, whatever speaks against them.
    """
    here = {*roles.others, *roles.useless}
    found = [f for f in audit.findings if f.column in here and f.code in _LEAVES]
    left = {name: f"it names parts of a split ({listed(_few(known, name))})" for name in roles.parts}
    left |= {str(f.column): _reason(f) for f in found}
    left |= {name: f"'{name}' is left out as asked" for name in roles.others if name in drop}
    left = {name: reason for name, reason in left.items() if name not in keep}
    categories = _categories(known, found, left)
    numbers = [name for name in roles.others if name in audit.features or name in keep]
    taken = [name for name in roles.others if name not in left and name in (*numbers, *categories)]
    left |= _settings(known, kinds, roles, taken, [str(f.column) for f in found if f.code == "text"])
    gaps = {name: _gaps(family, name) for name in taken if name not in categories}
    left |= {name: _hollow(name, *each) for name, each in gaps.items() if 2 * each[0] > each[1]}
    taken = [name for name in taken if name not in left]
    saved = () if taken else tuple(str(f.column) for f in found if f.code == "leak" and _is_measured(f, known))
    order = (*roles.others, *roles.parts, *roles.useless)
    return Sifted(
        features=(*taken, *saved),
        categories={name: categories[name] for name in taken if name in categories},
        left={name: left[name] for name in order if name in left and name not in saved},
        saved=saved,
        gaps={name: gaps[name][0] for name in taken if name in gaps and gaps[name][0]},
    )


def numbers_of(raw: Raw, name: str) -> np.ndarray:
    """A column as (rows,) float64, NaN where a cell is no number."""
    text = raw.frame[name].cast(pl.String).str.strip_chars()
    return np.array(text.cast(pl.Float64, strict=False).to_list(), np.float64)


def are_of_one(kinds: np.ndarray, units: np.ndarray) -> bool:
    """Whether each of some groups of rows is of one class."""
    codes = np.unique(kinds, return_inverse=True)[1]
    return len(np.unique(units * (codes.max() + 1) + codes)) == len(np.unique(units))


def _settings(
    known: Raw, kinds: np.ndarray, roles: Roles, features: Sequence[str], texts: Iterable[str]
) -> dict[str, str]:
    """The columns that tell devices or recordings apart, and are no measurement."""
    found: dict[str, str] = {}
    if roles.units is not None and are_of_one(kinds, roles.units):
        reason = f"it is one value in each '{roles.unit}': a setting that tells recordings apart"
        found |= dict.fromkeys(constant_within(known, roles.units, features), reason)
    if roles.devices.any():  # there are several
        reason = "it is one value on each device, which tells devices apart and nothing else"
        found |= dict.fromkeys(constant_within(known, roles.devices, [*features, *texts]), reason)
    return found


def _reason(finding: Finding) -> str:
    if finding.code == "text":
        return f"{finding.sentence} They have no order that anybody knows: with categories it can be a feature."
    return finding.sentence


def _is_measured(finding: Finding, known: Raw) -> bool:
    """Whether a column that gives the label away may be a sensor: many numbers, and no name that tells."""
    return "alone all but" in finding.sentence and known.frame[str(finding.column)].n_unique() > 10


def _gaps(family: Family, column: str) -> tuple[int, int]:
    """How many values of a column the tables lack that have it, and how many rows these have."""
    own = [numbers_of(raw, column) for raw in family.raws if column in raw.frame.columns]
    return sum(int(np.count_nonzero(~np.isfinite(x))) for x in own), sum(map(len, own))


def _hollow(name: str, lost: int, rows: int) -> str:
    return f"Column '{name}' lacks most of its values ({lost:,} of {rows:,})."


def _categories(known: Raw, found: Sequence[Finding], left: dict[str, str]) -> dict[str, tuple[str, ...]]:
    """The text columns whose values have an order, or are two; they no longer count as left out."""
    categories = {}
    for finding in found:
        name = str(finding.column)
        if finding.code != "text" or left.get(name) != _reason(finding):
            continue
        text = cells(known, name)
        values = set(text.drop_nulls().unique().to_list())
        two = len(values) == 2 and not words(name) & PEOPLE_NAMES
        order = ordered(values) or (tuple(sorted(values)) if two else ())
        if order and not text.null_count():
            categories[name] = order
            del left[name]
    return categories


def _is_split_marker(raw: Raw, name: str) -> bool:
    few = _few(raw, name)
    told = bool(words(name) & SPLIT_NAMES) or len(few) > 1
    return bool(few) and {cell.lower() for cell in few} <= SPLIT_VALUES and told


def _few(raw: Raw, name: str) -> list[str]:
    """The values of a text column, none where there are many or they are numbers."""
    series = raw.frame[name]
    if series.dtype.is_numeric() or series.dtype.is_nested():
        return []
    values = series.drop_nulls().unique()
    return sorted(map(str, values.to_list())) if len(values) <= 5 else []
