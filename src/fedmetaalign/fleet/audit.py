"""What is wrong or trivial about a data set, before anything is trained on it."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import polars as pl

from fedmetaalign.evaluation.rules import FeatureRule, auc, auc_error, best_rule
from fedmetaalign.fleet.columns import SIGMAS, Finding, beside_leaks, gaps, judge_text, unfit
from fedmetaalign.fleet.files import cells, load, parse
from fedmetaalign.fleet.labels import guess, labelled_rows
from fedmetaalign.fleet.overlap import contained
from fedmetaalign.fleet.schema import Table
from fedmetaalign.fleet.tables import names_of


@dataclass(frozen=True)
class Audit:
    """All findings about one data set.

    Attributes:
        source: the file, or the table's name.
        label: the label columns.
        rows: number of labelled rows.
        faults: number of them that are faults.
        features: of a table its features; of a file the columns that can be (numbers that neither give the
            label away nor name rows).
        majority: accuracy of always answering with the larger class.
        rule: the best single threshold over `features`; None where there is no feature.
        findings: errors first, then warnings, then the rest.
    """

    source: str
    label: tuple[str, ...]
    rows: int
    faults: int
    features: tuple[str, ...]
    majority: float
    rule: FeatureRule | None
    findings: tuple[Finding, ...]

    def to_dict(self) -> dict[str, object]:
        """The audit as plain values for JSON; the rule's feature by name, a constant rule's threshold null."""
        result = asdict(self)
        if self.rule is not None:
            finite = math.isfinite(self.rule.threshold)
            result["rule"] |= {
                "feature": self.features[self.rule.feature],
                "threshold": self.rule.threshold if finite else None,
            }
        return result


def sentences(audit: Audit) -> list[str]:
    """The findings as lines to print, each with its severity in front."""
    return [f"{finding.severity}: {finding.sentence}" for finding in audit.findings]


def audit(source: Table | Path | str, label: str | tuple[str, ...] | None = None) -> Audit:
    """Audits a table, or a file as `audit_file` does.

    Raises:
        DataError: as `audit_file`.
    """
    if not isinstance(source, Table):
        return audit_file(Path(source), label)
    columns = dict(zip(source.features, source.x.T, strict=True))
    found = [finding for name, values in columns.items() if (finding := unfit(name, values, source.faults))]
    return _judge(source.name, ("label",), columns, source.faults, source.kinds, pl.DataFrame(columns), found)


def audit_file(
    path: Path, label: str | tuple[str, ...] | None = None, positive: tuple[str | int | float, ...] = ()
) -> Audit:
    """Audits a raw file without a recipe.

    Every column of numbers that is not the label, does not give it away, does not merely name the rows and is
    not constant counts as a feature.

    Args:
        path: a .csv or .parquet file.
        label: the label column or columns; guessed from names and values, and said so, where not given.
        positive: values of the label that mean fault, where it is not 0/1.

    Returns:
        The audit.

    Raises:
        DataError: the file cannot be read, or no label is named and none can be guessed.
    """
    raw = load(path)
    labels, positive, why = guess(raw, names_of(label), positive)
    found = [Finding("label", "info", labels[0] if len(labels) == 1 else None, why)]
    truth, labelled = labelled_rows(raw, labels, positive)
    y = truth.y
    if unlabelled := int(np.count_nonzero(~labelled)):
        sentence = f"Rows without a label, left out here: {unlabelled:,}; nothing is trained on them."
        found.append(Finding("missing", "warning", ", ".join(labels), sentence))
    features: dict[str, np.ndarray] = {}
    compare: dict[str, np.ndarray | pl.Series] = {}
    for name in raw.frame.columns:
        if name in labels:
            continue
        text = cells(raw, name).filter(labelled)
        values, wrong = parse(text)
        if text.null_count() == len(text):
            found.append(Finding("empty", "warning", name, f"Column '{name}' is wholly empty; leave it out."))
        elif 2 * len(wrong) > len(text) - text.null_count():
            found.append(judge_text(name, text, y))
            if found[-1].code == "text":
                compare[name] = text
        else:
            found += gaps(name, values, wrong, y)
            if reason := unfit(name, values, y):
                found.append(reason)
            else:
                features[name] = compare[name] = values
    suspects = list(beside_leaks(raw.frame.columns, features, found))
    for suspect in suspects:
        del features[str(suspect.column)]
    return _judge(str(raw.path), labels, features, y, truth.kinds, pl.DataFrame(compare), found + suspects)


def audit_files(paths: Sequence[Path], label: str | tuple[str, ...] | None = None) -> tuple[Audit, ...]:
    """Audits several files, and against each other: what `contained` finds joins the audits of both files.

    Raises:
        DataError: as `audit_file`.
    """
    audits = [audit_file(path, label) for path in paths]
    for overlap in contained(paths):
        finding = Finding("contained", "error", None, overlap.sentence)
        for index, one in enumerate(audits):
            if one.source in (str(overlap.first), str(overlap.second)):
                audits[index] = replace(one, findings=(finding, *one.findings))
    return tuple(audits)


def _judge(
    source: str,
    label: tuple[str, ...],
    features: Mapping[str, np.ndarray],
    y: np.ndarray,
    kinds: np.ndarray | None,
    compare: pl.DataFrame,
    found: Sequence[Finding],
) -> Audit:
    """Looks at the rows and at all features together, and puts the audit together."""
    faults, share = int(y.sum()), float(y.mean())
    majority = max(share, 1 - share)
    rule = best_rule(np.stack(list(features.values()), axis=1), y) if features else None
    found = [*found, _balance(y, majority)]
    if rule is not None and 0 < faults < len(y):
        found += [_rule(rule, list(features), majority), *_no_signal(features.values(), y)]
    found += [*_duplicates(compare, y), *_order(features, y, y if kinds is None else kinds)]
    found.sort(key=lambda finding: ("error", "warning", "info").index(finding.severity))
    return Audit(source, label, len(y), faults, tuple(features), majority, rule, tuple(found))


def _balance(y: np.ndarray, majority: float) -> Finding:
    faults = int(y.sum())
    larger = "fault" if 2 * faults > len(y) else "normal"
    if majority == 1:
        sentence = (
            "Every row is a fault; nothing can be learnt or tested here."
            if faults
            else "Every row is normal; nothing can be learnt here unless other devices have faults."
        )
        return Finding("one-class", "error", None, sentence)
    sentence = (
        f"{faults:,} of {len(y):,} rows are faults ({faults / len(y):.2%}), so always answering '{larger}' is "
        f"right in {majority:.2%}."
    )
    return Finding("balance", "warning" if majority >= 0.9 else "info", None, sentence)


def _rule(rule: FeatureRule, features: Sequence[str], majority: float) -> Finding:
    if not math.isfinite(rule.threshold):
        sentence = f"No single threshold does better than the larger class ({majority:.2%})."
        return Finding("rule", "info", None, sentence)
    name, side = features[rule.feature], ">" if rule.above else "<="
    sentence = (
        f"The single rule '{name} {side} {rule.threshold:g} means fault' is right in {rule.accuracy:.2%}."
    )
    return Finding("rule", "warning" if rule.accuracy >= 0.99 > majority else "info", name, sentence)


def _no_signal(features: Iterable[np.ndarray], y: np.ndarray) -> Iterator[Finding]:
    """Warns where neither a feature nor its distance from the median separates the classes."""
    strongest, error = 0.0, 0.0
    for values in features:
        score, labels = values[~np.isnan(values)], y[~np.isnan(values)]
        for each in (score, np.abs(score - np.median(score))):
            strongest = max(strongest, abs(auc(each, labels) - 0.5))
        error = max(error, auc_error(labels))
    if strongest <= SIGMAS * error:
        sentence = (
            f"No single feature carries signal: every AUC is within {strongest:.3f} of 0.5, and chance alone "
            f"gives up to {SIGMAS * error:.3f}; the accuracy of the larger class may be the ceiling."
        )
        yield Finding("no-signal", "warning", None, sentence)


def _duplicates(compare: pl.DataFrame, y: np.ndarray) -> Iterator[Finding]:
    """Counts rows that repeat an earlier one, and those whose copies have another label."""
    if compare.is_empty():
        return
    label = pl.col("\0y")
    groups = compare.with_columns(pl.Series("\0y", y)).group_by(compare.columns)
    counted = groups.agg(pl.len().alias("\0n"), (label.min() != label.max()).alias("\0d"))
    if repeated := compare.height - counted.height:
        disagree = int(counted.filter(pl.col("\0d"))["\0n"].sum())
        sentence = (
            f"Rows that repeat an earlier one in every feature: {repeated:,}; rows with a copy of the other "
            f"label: {disagree:,}; copies must not sit on both sides of a split."
        )
        yield Finding("duplicates", "warning", None, sentence)


def runs_test(kinds: np.ndarray) -> tuple[int, float, float]:
    """The runs of a sequence against those of a random order (Wald and Wolfowitz 1940; Mood 1940 for k kinds).

    Args:
        kinds: (rows,), any values.

    Returns:
        The number of runs, the number expected in a random order, and the standard score (0 for one kind).
    """
    n = len(kinds)
    counts = np.unique(kinds, return_counts=True)[1].astype(float)
    runs = 1 + int(np.count_nonzero(kinds[1:] != kinds[:-1]))
    squares, cubes = float((counts**2).sum()), float((counts**3).sum())
    expected = (n * (n + 1) - squares) / n
    variance = (squares * (squares + n * (n + 1)) - 2 * n * cubes - n**3) / (n**2 * (n - 1)) if n > 1 else 0.0
    return runs, expected, (runs - expected) / math.sqrt(variance) if variance > 0 else 0.0


def _order(features: Mapping[str, np.ndarray], y: np.ndarray, kinds: np.ndarray) -> Iterator[Finding]:
    """Reports rows that stand in an order that tells the label, or that are sorted by a feature."""
    runs, expected, z = runs_test(kinds)
    if z < -SIGMAS:
        what = "The rows are in order of their label" if 2 * runs < expected else "Rows of one label cluster"
        sentence = (
            f"{what}: {runs:,} runs where a random order has about {expected:,.0f} (z = {z:.1f}); shuffle and "
            "stratify, or split by blocks where neighbours are of one waveform."
        )
        yield Finding("order", "warning", None, sentence)
    if abs(auc(np.arange(len(y)), y) - 0.5) > SIGMAS * auc_error(y):
        fifths = [float(part.mean()) for part in np.array_split(y, 5)]
        sentence = (
            f"The fault share changes along the file, from {fifths[0]:.1%} in the first fifth to "
            f"{fifths[-1]:.1%} in the last; never split at a row number without shuffling."
        )
        yield Finding("drift", "warning", None, sentence)
    for name, values in features.items():
        steps = np.diff(values)
        if len(y) >= 20 and ((steps >= 0).all() or (steps <= 0).all()):
            sentence = f"The rows are sorted by '{name}'; shuffle before splitting by row number."
            yield Finding("sorted", "warning", name, sentence)
