"""The rules for missing values by name, for whoever need not compute with them: see `missing`."""

from typing import Literal, get_args

Rule = Literal["reject", "drop", "median", "last", "flag"]

RULES: tuple[Rule, ...] = get_args(Rule)

LARGEST = 3.4028234663852886e38
"""The largest finite value of a sensor: a microcontroller reads float32."""

FLAGGED = "{} is missing"
"""The name of the input that says so of a feature."""
