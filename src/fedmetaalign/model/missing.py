"""What stands for a value that a sensor did not give: in training, in a prediction, and on the microcontroller.

A value is broken if it is no finite number, or lies outside the range that its sensor can have. What is then
done about it says a rule:

    reject  in a table it is an error; of a new sample the mean stands for it
    drop    in a table its row goes; of a new sample the mean stands for it
    median  the median of the training samples stands for it
    last    the last good value of the rows before stands for it, or the median where there is none
    flag    as `median`, and a further input says that it was broken, by 1 in place of 0

A new sample with a broken value never counts as normal. Under `reject` and `drop` it is a "sensor fault"; under
the others it is a fault where its score says so, and else a "sensor fault".
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from fedmetaalign.model.rules import LARGEST, RULES, Rule


@dataclass(frozen=True)
class Missing:
    """What is missing, and what is done about it.

    Attributes:
        rule: see above.
        texts: what means a missing value in a table, beside what usually does.
        ranges: by feature the least and the greatest value that its sensor can have, in the feature's unit.
    """

    rule: Rule = "reject"
    texts: tuple[str, ...] = ()
    ranges: Mapping[str, tuple[float, float]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Raises ValueError where this is no such rule, as in a damaged file."""
        if self.rule not in RULES:
            raise ValueError(f"there is no rule {self.rule!r} for missing values")
        for name, (low, high) in self.ranges.items():
            if not -LARGEST <= low < high <= LARGEST:
                raise ValueError(f"the range of {name!r} is from {low} to {high}")

    @classmethod
    def of(cls, facts: Mapping[str, Any]) -> "Missing":
        """Reads what `dataclasses.asdict` makes of it.

        Raises:
            TypeError, ValueError, AttributeError: it is damaged.
        """
        ranges = {str(name): (float(low), float(high)) for name, (low, high) in facts.get("ranges", {}).items()}
        return cls(facts.get("rule", "reject"), tuple(map(str, facts.get("texts", ()))), ranges)

    @property
    def fills(self) -> bool:
        """Whether another value takes the place of a broken one."""
        return self.rule in ("median", "last", "flag")

    def limits(self, features: tuple[str, ...]) -> tuple[np.ndarray, np.ndarray]:
        """Returns the least and the greatest good value of each feature, both (features,) float32."""
        both = [self.ranges.get(name, (-LARGEST, LARGEST)) for name in features]
        low, high = np.array(both, np.float64).reshape(-1, 2).T
        return low.astype(np.float32), high.astype(np.float32)

    def broken(self, x: np.ndarray, features: tuple[str, ...]) -> np.ndarray:
        """Returns which values are broken, (rows, features) bool, as a device decides it, in float32.

        Args:
            x: (rows, features), raw.
            features: their names.
        """
        low, high = self.limits(features)
        with np.errstate(over="ignore", invalid="ignore"):
            values = x.astype(np.float32)
            return np.asarray(~((values >= low) & (values <= high)))


def carried(x: np.ndarray, broken: np.ndarray) -> np.ndarray:
    """Puts the last good value of the rows before in the place of each broken one; NaN where there is none.

    Args:
        x: (rows, features).
        broken: (rows, features) bool.
    """
    rows = np.where(broken, -1, np.arange(len(x))[:, None])
    last = np.maximum.accumulate(rows, axis=0)
    return np.where(last < 0, np.nan, np.take_along_axis(x, np.maximum(last, 0), axis=0))
