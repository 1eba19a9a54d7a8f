"""What `predict` says of samples: scores and alarms, and of several classes kinds and probabilities."""

import csv
import io
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from fedmetaalign.drift import Followed
from fedmetaalign.model.missing import carried
from fedmetaalign.tinyml import decision
from fedmetaalign.tinyml.bundle import Bundle
from fedmetaalign.tinyml.runtimes import Runtime

_SHOWN = 5  # features that have drifted


class Stream:
    """Scores samples that come in pieces, one after another, as a device does.

    Attributes:
        rows: how many there have been, or were left out.
        outside: how many of them lie outside the calibrated range.
        drift: by feature the row from which on it has drifted, as `drifted` returns it.
    """

    def __init__(self, bundle: Bundle, runtime: Runtime | None = None) -> None:
        """Starts with a bundle, and the runtime whose arithmetic to use, by default the bundle's."""
        self._bundle, self._runtime = bundle, runtime
        self._before: np.ndarray | None = None  # the last good values, where they may have to stand for others
        self._followed: Followed | None = None
        self.rows, self.outside, self.drift = 0, 0, dict[str, int]()

    def restart(self) -> None:
        """Forgets the last good values: what comes next is another recording."""
        self._before = None

    def told(self, x: np.ndarray) -> dict[str, Any]:
        """Returns what there is to say of the next samples, (rows, measured) float64, as `of` does."""
        scores = self.scores(x)
        self._followed = self._bundle.drift(x, scores, self._followed)
        for name, row in drifted(self._bundle, self._followed, self.rows + 1).items():
            self.drift.setdefault(name, row)  # another of the feature's sums may raise an alarm later
        self.outside += self._bundle.outside(x)
        self.rows += len(x)
        return of(self._bundle, x, scores)

    def scores(self, x: np.ndarray) -> np.ndarray:
        """Returns the scores of the next samples, (rows, measured) float64, as `Bundle.scores` does."""
        preparation = self._bundle.preparation
        if preparation.missing.rule != "last":
            return self._bundle.scores(x, self._runtime)
        before = np.full((1, x.shape[1]), np.nan) if self._before is None else self._before
        rows = np.concatenate([before, x])
        self._before = carried(rows, preparation.broken(rows))[-1:]
        return self._bundle.scores(rows, self._runtime)[1:]


def of(bundle: Bundle, x: np.ndarray, scores: np.ndarray) -> dict[str, Any]:
    """Returns what there is to say of samples, for JSON.

    Args:
        bundle: whose network gave the scores.
        x: (rows, measured) float64, the samples.
        scores: (rows,) or (rows, classes) float64, as `Bundle.scores` gives them.

    Returns:
        `scores`, the probability of a fault of each sample, None where it is no number; and `alarms`, "normal",
        "fault" or "sensor fault". Of several
        classes also `classes`, their names; `kinds`, of each sample the likeliest fault, or None without an
        alarm; and `probabilities`, of each sample a list.
    """
    labels, decisions = bundle.labels, bundle.decisions(x, scores)
    words = [decision.Decision(said).word for said in range(len(decision.Decision))]
    found: dict[str, Any] = {
        "scores": _known(decision.fault_probability(scores, labels).tolist()),
        "alarms": [words[said] for said in decisions.tolist()],
    }
    if labels.outputs > 1:
        kinds = decision.kinds(scores, labels).tolist()
        found["classes"] = list(labels.classes)
        fault = (decisions == decision.Decision.FAULT).tolist()
        found["kinds"] = [labels.classes[k] if is_so else None for k, is_so in zip(kinds, fault, strict=True)]
        found["probabilities"] = [_known(row) for row in scores.tolist()]
    return found


def _known(numbers: list[float]) -> list[float | None]:
    return [None if math.isnan(number) else number for number in numbers]


def columns(found: Mapping[str, Any], first: int = 1) -> dict[str, Sequence[Any]]:
    """Returns what `of` returns as columns: a row a sample, and a column `p(CLASS)` for each class.

    Args:
        found: what there is to say.
        first: number of the first sample.
    """
    rows = range(first, first + len(found["scores"]))
    table: dict[str, Sequence[Any]] = {"row": rows, "score": found["scores"], "alarm": found["alarms"]}
    if "classes" in found:
        table["kind"] = found["kinds"]
        names = (f"p({name})" for name in found["classes"])
        table |= zip(names, zip(*found["probabilities"], strict=True), strict=True)
    return table


def written(found: Mapping[str, Any], kind: str, first: int = 1, *, header: bool = True) -> bytes:
    """Returns what `of` returns as a file.

    Args:
        found: what there is to say.
        kind: "csv", "jsonl" or "parquet".
        first: number of the first sample.
        header: begin a CSV file with the names of the columns.
    """
    table = columns(found, first)
    if kind == "parquet":
        import polars as pl

        file = io.BytesIO()
        texts = dict.fromkeys(("alarm", "kind"), pl.String)
        pl.DataFrame({**table, "row": pl.Series(table["row"])}, schema_overrides=texts).write_parquet(file)
        return file.getvalue()
    rows = zip(*table.values(), strict=True)
    if kind == "jsonl":
        return "".join(json.dumps(dict(zip(table, row, strict=True))) + "\n" for row in rows).encode()
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    if header:
        writer.writerow(table)
    writer.writerows([repr(value) if isinstance(value, float) else value for value in row] for row in rows)
    return out.getvalue().encode()


def drifted(bundle: Bundle, followed: Followed | None, first: int = 1) -> dict[str, int]:
    """Returns the features of samples that have drifted, and the row from which on each has.

    Args:
        bundle: that has followed the samples.
        followed: what it returned.
        first: number of the first sample.
    """
    if followed is None:
        return {}
    return {bundle.preparation.measured[i]: first + int(followed.since[i]) for i in followed.drifted}


def drift_sentence(drift: Mapping[str, int]) -> str:
    """Says which features have drifted, as `drifted` returns them, and what that means."""
    shown = [f"{name} (from row {row} on)" for name, row in [*drift.items()][:_SHOWN]]
    more = f" and {len(drift) - _SHOWN} more" if len(drift) > _SHOWN else ""
    return (
        f"The inputs have drifted from those that the model was trained on: {', '.join(shown)}{more}. Its"
        " scores may mean little there: look at the sensors, and train again with samples of now."
    )
