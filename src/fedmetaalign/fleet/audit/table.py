"""What is wrong or trivial about a data set, before anything is trained on it."""

import math
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import polars as pl

from fedmetaalign.evaluation.rules import FeatureRule, auc, auc_error, best_rule
from fedmetaalign.fleet.audit.clocks import clock
from fedmetaalign.fleet.audit.doubts import MOST_DOUBTED, doubts
from fedmetaalign.fleet.audit.recordings import flat, windows
from fedmetaalign.fleet.audit.rows import duplicates, order
from fedmetaalign.fleet.columns.findings import (
    SIGMAS,
    Finding,
    beside_leaks,
    gaps,
    judge_text,
    of_no_use,
    unfit,
)
from fedmetaalign.fleet.files import CERTAIN, Raw, cells, load, parse
from fedmetaalign.fleet.labels.classes import Value
from fedmetaalign.fleet.labels.guess import Guess, guess, labelled_rows
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


def audit(
    source: Table | Path | str, label: str | tuple[str, ...] | None = None, *, doubting: bool = False
) -> Audit:
    """Audits a table, or a file as `audit_file` does; `doubting` looks for labels that are likely wrong, too.

    Raises:
        DataError: as `audit_file`.
    """
    if not isinstance(source, Table):
        return audit_file(Path(source), label)
    columns = dict(zip(source.features, source.x.T, strict=True))
    y = source.faults
    found = [
        reason
        for name, values in columns.items()
        if (reason := clock(name, None, values, y) or unfit(name, values, y))
    ]
    if source.signal is not None:  # a front end makes nothing of labels, nor names or counts rows
        found = [
            *windows(source),
            *flat([str(each.column) for each in found if each.code == "constant"], source),
        ]
    if doubting:
        found += doubts(source.x, y)
    ordered = source.windows is None
    return _judge(source.name, ("label",), columns, y, source.kinds, pl.DataFrame(columns), found, ordered)


def audit_file(
    path: Path,
    label: str | tuple[str, ...] | None = None,
    positive: tuple[Value, ...] = (),
    normal: tuple[Value, ...] = (),
) -> Audit:
    """Audits a raw file without a recipe.

    Every column of numbers that is not the label, does not give it away, does not merely name or count the rows
    and is not constant counts as a feature.

    Args:
        path: a table, as `load` reads it.
        label: the label column or columns; guessed from names and values, and said so, where not given.
        positive: values of the label that mean fault, where it is not 0/1.
        normal: values of the label that mean no fault, where it is not 0/1.

    Returns:
        The audit.

    Raises:
        DataError: the file cannot be read, or no label is named and none can be guessed.
    """
    raw = load(path)
    return audit_raw(raw, guess(raw, names_of(label), positive, normal))


def audit_raw(
    raw: Raw, label: Guess, apart: Container[str] = (), *, doubting: bool = False, ordered: bool = True
) -> Audit:
    """As `audit_file`, of a file that has been loaded.

    Args:
        raw: the file.
        label: what its label is.
        apart: columns that are not looked at.
        doubting: whether to look for labels that are likely wrong, which takes a second or two.
        ordered: whether the order of its rows means something.
    """
    found = [Finding("label", "info", label.columns[0] if len(label.columns) == 1 else None, label.sentence)]
    if raw.dialect and raw.dialect not in CERTAIN:
        found.append(Finding("dialect", "info", None, f"Read as: {raw.dialect}."))
    truth, labelled = labelled_rows(raw, label)
    y = truth.y
    if unlabelled := int(np.count_nonzero(~labelled)):
        sentence = f"Rows without a label, left out here: {unlabelled:,}; nothing is trained on them."
        found.append(Finding("missing", "warning", ", ".join(label.columns), sentence))
    features: dict[str, np.ndarray] = {}
    compare: dict[str, np.ndarray | pl.Series] = {}
    for name in raw.frame.columns:
        if name in label.columns or name in apart:
            continue
        if reason := of_no_use(raw.frame[name]):
            found.append(reason)
            continue
        text, values, wrong = _column(raw, name, labelled)
        if text is not None and text.null_count() == len(text):
            found.append(Finding("empty", "warning", name, f"Column '{name}' is wholly empty; leave it out."))
        elif reason := clock(name, text, values, y):
            found.append(reason)
        elif text is not None and 2 * len(wrong) > len(text) - text.null_count():
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
    if doubting and features:
        places = np.flatnonzero(labelled)
        x = np.stack([values[:MOST_DOUBTED] for values in features.values()], axis=1)
        suspects += doubts(x, y[:MOST_DOUBTED], lambda row: raw.line(int(places[row])))
    return _judge(
        str(raw.path), label.columns, features, y, truth.kinds, pl.DataFrame(compare), found + suspects, ordered
    )


def _column(raw: Raw, name: str, labelled: np.ndarray) -> tuple[pl.Series | None, np.ndarray, pl.Series]:
    """A column's cells (None where they are stored as numbers), its numbers, and the cells that are none."""
    series = raw.frame[name]
    if series.dtype.is_numeric():
        values = (series if labelled.all() else series.filter(labelled)).cast(pl.Float64).to_numpy()
        if not (finite := np.isfinite(values)).all():
            values = np.where(finite, values, np.nan)
        return None, values, pl.Series([], dtype=pl.String)
    text = cells(raw, name).filter(labelled)
    return text, *parse(text)


def _judge(
    source: str,
    label: tuple[str, ...],
    features: Mapping[str, np.ndarray],
    y: np.ndarray,
    kinds: np.ndarray | None,
    compare: pl.DataFrame,
    found: Sequence[Finding],
    ordered: bool = True,
) -> Audit:
    """Looks at the rows and at all features together, and puts the audit together."""
    faults, share = int(y.sum()), float(y.mean())
    majority = max(share, 1 - share)
    rule = _best_rule(list(features.values()), y)
    found = [*found, _balance(y, majority)]
    if rule is not None and 0 < faults < len(y):
        found += [
            _rule(rule, list(features), majority),
            *_no_signal(features.values(), y, any(f.code == "leak" for f in found)),
        ]
    found += duplicates(compare, y)
    if ordered:
        found += order(features, y, y if kinds is None else kinds)
    found.sort(key=lambda finding: ("error", "warning", "info").index(finding.severity))
    return Audit(source, label, len(y), faults, tuple(features), majority, rule, tuple(found))


def _best_rule(features: Sequence[np.ndarray], y: np.ndarray) -> FeatureRule | None:
    """As `best_rule`, of columns that are not copied into one array, and None where there is none."""
    rules = [replace(best_rule(values[:, None], y), feature=i) for i, values in enumerate(features)]
    return max(rules, key=lambda rule: rule.accuracy) if rules else None  # the first of equals


def _balance(y: np.ndarray, majority: float) -> Finding:
    faults = int(y.sum())
    larger = "fault" if 2 * faults > len(y) else "normal"
    if majority == 1:
        sentence = (
            "Every row is a fault; others may learn from it, and nothing tells its false alarms."
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


def _no_signal(features: Iterable[np.ndarray], y: np.ndarray, leaks: bool) -> Iterator[Finding]:
    """Warns where neither a feature nor its distance from the median separates the classes."""
    strongest, error = 0.0, 0.0
    for values in features:
        score, labels = values[~np.isnan(values)], y[~np.isnan(values)]
        for each in (score, np.abs(score - np.median(score))):
            strongest = max(strongest, abs(auc(each, labels) - 0.5))
        error = max(error, auc_error(labels))
    if np.isfinite(error) and strongest <= SIGMAS * error:
        which = "Besides what tells the label, no single feature" if leaks else "No single feature"
        sentence = (
            f"{which} carries signal: every AUC is within {strongest:.3f} of 0.5, and chance alone gives up to"
            f" {SIGMAS * error:.3f}; the accuracy of the larger class may be the ceiling."
        )
        yield Finding("no-signal", "warning", None, sentence)
