"""What `predict` says of samples: scores and alarms, and of several classes kinds and probabilities."""

import csv
import io
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from fedmetaalign.tinyml import decision
from fedmetaalign.tinyml.bundle import Bundle


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
    labels, decisions = bundle.labels, [decision.Decision(said) for said in bundle.decisions(x, scores)]
    found: dict[str, Any] = {
        "scores": _known(decision.fault_probability(scores, labels).tolist()),
        "alarms": [said.word for said in decisions],
    }
    if labels.outputs > 1:
        kinds = decision.kinds(scores, labels).tolist()
        found["classes"] = list(labels.classes)
        fault = [said == decision.Decision.FAULT for said in decisions]
        found["kinds"] = [labels.classes[k] if is_so else None for k, is_so in zip(kinds, fault, strict=True)]
        found["probabilities"] = [_known(row) for row in scores.tolist()]
    return found


def _known(numbers: list[float]) -> list[float | None]:
    return [None if math.isnan(number) else number for number in numbers]


def text(found: Mapping[str, Any]) -> str:
    """Returns a table of what `of` returns, as CSV: a row a sample, and a column `p(CLASS)` for each class."""
    out = io.StringIO()
    table = csv.writer(out, lineterminator="\n")
    columns = [found["scores"], found["alarms"]]
    names = ["row", "score", "alarm"]
    if "classes" in found:
        columns += [found["kinds"], *zip(*found["probabilities"], strict=True)]
        names += ["kind", *(f"p({name})" for name in found["classes"])]
    table.writerow(names)
    for row, values in enumerate(zip(*columns, strict=True), 1):
        table.writerow([row, *(repr(v) if isinstance(v, float) else v for v in values)])
    return out.getvalue()
