"""What `predict` says of samples: scores and alarms, and of several classes kinds and probabilities."""

import csv
import io
from collections.abc import Mapping
from typing import Any

import numpy as np

from fedmetaalign.tinyml import decision
from fedmetaalign.tinyml.bundle import Bundle

_SHOWN = 5  # features that have drifted


def of(bundle: Bundle, scores: np.ndarray) -> dict[str, Any]:
    """Returns what there is to say of samples, for JSON.

    Args:
        bundle: whose network gave the scores.
        scores: (rows,) or (rows, classes) float64, as `Bundle.scores` gives them.

    Returns:
        `scores`, the probability of a fault of each sample, and `alarms`, "fault" or "normal". Of several
        classes also `classes`, their names; `kinds`, of each sample the likeliest fault, or None without an
        alarm; and `probabilities`, of each sample a list.
    """
    labels, faults = bundle.labels, bundle.faults(scores).tolist()
    found: dict[str, Any] = {
        "scores": decision.fault_probability(scores, labels).tolist(),
        "alarms": ["fault" if fault else "normal" for fault in faults],
    }
    if labels.outputs > 1:
        kinds = decision.kinds(scores, labels).tolist()
        found["classes"] = list(labels.classes)
        found["kinds"] = [labels.classes[k] if fault else None for k, fault in zip(kinds, faults, strict=True)]
        found["probabilities"] = scores.tolist()
    return found


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


def drift_sentence(drift: Mapping[str, int]) -> str:
    """Says which features have drifted, as `Bundle.drift` returns them, and what that means."""
    shown = [f"{name} (from row {row + 1} on)" for name, row in [*drift.items()][:_SHOWN]]
    more = f" and {len(drift) - _SHOWN} more" if len(drift) > _SHOWN else ""
    return (
        f"The inputs have drifted from those that the model was trained on: {', '.join(shown)}{more}. Its"
        " scores may mean little there: look at the sensors, and train again with samples of now."
    )
