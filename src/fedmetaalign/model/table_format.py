"""How a device's own table is written, as far as somebody has said it or its cells prove it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class TableFormat:
    """What a bundle carries, so that later tables of its device are read as the one that it was trained on.

    Attributes:
        csv: keys of a recipe's [fleet.csv], such as the decimal sign.
        time: the columns that tell the time of a row.
        time_format: how it is written; None where its cells tell.
        zone: of stamps that name none; None where there is none.
    """

    csv: Mapping[str, str | int | bool] = field(default_factory=dict)
    time: tuple[str, ...] = ()
    time_format: str | None = None
    zone: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Returns it as bundle.json has it: what is known, and no more."""
        found = {"csv": dict(self.csv), "time": self.time, "time_format": self.time_format, "zone": self.zone}
        return {key: value for key, value in found.items() if value}

    @classmethod
    def read(cls, facts: Mapping[str, Any]) -> "TableFormat":
        """Reads what `to_dict` returns.

        Raises:
            AttributeError, TypeError, ValueError: it is something else.
        """
        csv = {str(key): value for key, value in facts.get("csv", {}).items()}
        texts = [facts.get("time_format"), facts.get("zone")]
        if not all(isinstance(value, str | int | bool) for value in csv.values()):
            raise ValueError("a key of csv is neither a text nor a number")
        if not all(text is None or isinstance(text, str) for text in texts):
            raise ValueError("time_format and zone are texts")
        return cls(csv, tuple(map(str, facts.get("time", ()))), *texts)
