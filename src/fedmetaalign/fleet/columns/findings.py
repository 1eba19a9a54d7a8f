"""What is wrong with a single column of a data set: gaps, or why it cannot be a feature.

Throughout, `values` is (rows,) float64, NaN where a cell has none, and `y` (rows,) is 1 at faults.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import polars as pl

from fedmetaalign.evaluation.rules import auc, best_rule
from fedmetaalign.fleet.columns.words import ID_NAMES, JUDGING_NAMES, VERDICT_NAMES, words

SIGMAS = 4.0
"""Standard deviations from what chance gives beyond which "by chance" is ruled out."""
_CHANCE = 1e-6  # the probability below which "by chance" is ruled out
_FEW = 30  # the most values of a column that its name alone can make suspect


@dataclass(frozen=True)
class Finding:
    """One thing to know about a data set.

    Attributes:
        code: what kind of finding, for programs: "leak", "order", "duplicates", ...
        severity: "error" results would be wrong; "warning" they may mislead; "info" good to know.
        column: the column it is about, None where it is about the rows.
        sentence: what was found and what to do.
    """

    code: str
    severity: Literal["error", "warning", "info"]
    column: str | None
    sentence: str


def of_no_use(series: pl.Series) -> Finding | None:
    """Whether a column holds neither numbers nor text nor times: lists, bytes, durations."""
    kind = series.dtype
    if not kind.is_nested() and kind not in (pl.Binary, pl.Object, pl.Duration, pl.Null):
        return None
    what = "wholly empty" if kind == pl.Null else f"of type {kind}"
    sentence = f"Column '{series.name}' is {what}; leave it out."
    return Finding("empty" if kind == pl.Null else "type", "warning", series.name, sentence)


def gaps(name: str, values: np.ndarray, wrong: pl.Series, y: np.ndarray) -> Iterator[Finding]:
    """Reports on the cells of a column of numbers that hold none."""
    if len(wrong):
        sentence = f"Cells of column '{name}' that are not numbers: {len(wrong):,}, such as '{wrong[0]}'; "
        yield Finding("mixed", "warning", name, f"{sentence}correct them, or they count as missing.")
    missing = np.isnan(values)
    if missing.any():
        sentence = f"Rows where column '{name}' has no finite number: {missing.sum():,} ({missing.mean():.1%})."
        yield Finding("missing", "warning", name, sentence)


def unfit(name: str, values: np.ndarray, y: np.ndarray) -> Finding | None:
    """Why a column of numbers cannot be a feature, if so."""
    known = ~np.isnan(values)
    if _implies(~known, y):
        return _leak(name, "where it is missing", ~known, y)
    distinct = np.unique(values[known])
    if len(distinct) <= 1:
        what = f"is always {distinct[0]:g}" if len(distinct) else "holds no finite number"
        return Finding("constant", "warning", name, f"Column '{name}' {what}; leave it out.")
    if are_row_numbers(values) or is_named_id(name):
        return _identifier(name, len(distinct), len(y))
    if len(distinct) == 2 and (telling := [value for value in distinct if _implies(values == value, y)]):
        return _leak(name, f"where it is {telling[0]:g}", values == telling[0], y)
    if len(distinct) > 2 and (reason := _gives_away(values[known], y[known])):
        sentence = (
            f"Column '{name}' alone all but gives the label away ({reason}): either it is made from the label,"
            " or no model is needed."
        )
        return Finding("leak", "error", name, sentence)
    return named_as_verdict(name, len(distinct))


def _gives_away(values: np.ndarray, y: np.ndarray) -> str:
    """How a column of numbers gives the label away, if so: by its order, or by one threshold."""
    if abs((area := auc(values, y)) - 0.5) >= 0.49:
        return f"AUC {area:.4f}"
    faults = min(y.sum(), len(y) - y.sum())
    if faults < 20:
        return ""
    rule = best_rule(values[:, None], y)
    if rule.accuracy < 0.99 or (1 - rule.accuracy) * len(y) > faults / 10:
        return ""
    side = ">" if rule.above else "<="
    return f"'{side} {rule.threshold:g} means fault' is right in {rule.accuracy:.2%}"


def named_as_verdict(name: str, distinct: int) -> Finding | None:
    """Whether a column of few values is named as what is known once there is a fault: its kind, its risk."""
    told = words(name) & (JUDGING_NAMES | (VERDICT_NAMES if distinct <= _FEW else set()))
    if not told:
        return None
    sentence = (
        f"Column '{name}' is named as a verdict on the fault ('{min(told)}'), which a device does not measure;"
        " leave it out unless it is a sensor."
    )
    return Finding("suspect", "warning", name, sentence)


def judge_text(name: str, text: pl.Series, y: np.ndarray) -> Finding:
    """What a column of text is: constant, an identifier, a leak, or mere "text"."""
    values, inverse, counts = np.unique(
        text.fill_null("").to_numpy().astype(str), return_inverse=True, return_counts=True
    )
    if len(values) == 1:
        return Finding("constant", "warning", name, f"Column '{name}' is always '{values[0]}'; leave it out.")
    filled = text.is_not_null().to_numpy()
    for rows, when in ((filled, "where it is filled in"), (~filled, "where it is empty")):
        if not rows.all() and _implies(rows, y):
            return _leak(name, when, rows, y)
    if (found := _with_unit(name, text)) is not None:
        return found
    if len(values) == len(y) >= 20 or is_named_id(name):
        return _identifier(name, len(values), len(y))
    telling = [index for index in range(len(values)) if len(values) <= 50 and _implies(inverse == index, y)]
    if telling:
        shown = ", ".join(f"'{value}'" for value in values[telling[:5]])
        return _leak(name, f"where it is {shown}", np.isin(inverse, telling), y)
    if verdict := named_as_verdict(name, len(values)):
        return verdict
    share = y.mean()
    shares = np.bincount(inverse, y) / counts
    expected = counts * share * (1 - share)
    signal = ""
    if expected.min() >= 5:
        excess = float(((shares - share) ** 2 * counts**2 / expected).sum()) - (len(values) - 1)
        chance = " (no more than chance)" if excess < SIGMAS * math.sqrt(2 * (len(values) - 1)) else ""
        signal = f", fault share {shares.min():.1%} to {shares.max():.1%}{chance}"
    return Finding("text", "info", name, f"Column '{name}' is text with {len(values):,} values{signal}.")


def _with_unit(name: str, text: pl.Series) -> Finding | None:
    """Whether a column holds numbers with one and the same unit behind each."""
    cells = text.drop_nulls()
    units = cells.str.extract(r"^[+-]?\d[\d.,]*\s*([^\d\s.,:/-][^\d\s]{0,9})$")
    if units.null_count() or units.n_unique() != 1 or cells.n_unique() < 10:
        return None
    sentence = (
        f"Column '{name}' holds numbers with a unit in each cell, such as '{cells[0]}': call it"
        f" '{name} [{units[0]}]', with bare numbers below, and it can be a feature."
    )
    return Finding("type", "warning", name, sentence)


def beside_leaks(
    columns: Sequence[str], features: Mapping[str, np.ndarray], found: Sequence[Finding]
) -> Iterator[Finding]:
    """Features of two values that stand in a block with columns that give the label away: rare parts of it."""
    leaks = {finding.column for finding in found if finding.code == "leak"}
    for index, name in enumerate(columns):
        beside = {*columns[max(index - 1, 0) : index], *columns[index + 1 : index + 2]} & leaks
        if name in features and beside and len(np.unique(features[name])) == 2:
            sentence = (
                f"Column '{name}' has two values and stands beside '{min(map(str, beside))}', which gives the "
                "label away; it is likely a part of the label too, so leave it out."
            )
            yield Finding("suspect", "warning", name, sentence)


def is_named_id(name: str) -> bool:
    """Whether a column's name says that it names rows or things."""
    return bool(ID_NAMES & words(name))


def are_row_numbers(values: np.ndarray) -> bool:
    """Whether whole numbers (rows,) name the rows: all different, and gapless or too many for chance."""
    whole = not np.isnan(values).any() and bool((values == np.round(values)).all())
    if not whole or len(values) < 20 or len(np.unique(values)) < len(values):
        return False
    return len(values) >= 100 or bool(np.ptp(values) == len(values) - 1)


def _implies(rows: np.ndarray, y: np.ndarray) -> bool:
    """Whether nearly all of some rows are faults, of enough rows that it cannot be chance."""
    count, share = int(np.count_nonzero(rows)), float(y.mean())
    if count < 20 or share == 0 or float(y[rows].mean()) < 0.99:
        return False
    return count * math.log(share) < math.log(_CHANCE)


def _leak(name: str, when: str, rows: np.ndarray, y: np.ndarray) -> Finding:
    sentence = (
        f"Column '{name}' gives the label away: {y[rows].mean():.1%} of the {np.count_nonzero(rows):,} rows "
        f"{when} are faults, {y[rows].sum() / y.sum():.1%} of all faults; never use it as a feature."
    )
    return Finding("leak", "error", name, sentence)


def _identifier(name: str, distinct: int, rows: int) -> Finding:
    what = "is different in every row" if distinct == rows else f"names things ({distinct:,} values)"
    return Finding("identifier", "warning", name, f"Column '{name}' {what}; never use it as a feature.")
