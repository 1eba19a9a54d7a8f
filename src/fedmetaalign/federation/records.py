"""What a phase tells about one device in one round: a line of rounds.jsonl."""

from collections.abc import Sequence
from typing import Any

from fedmetaalign.errors import RunError

Record = dict[str, Any]


class RoundError(RunError):
    """A round in which too few devices gave an answer that can be used.

    Attributes:
        records: of the round, with the reasons.
    """

    def __init__(self, sentence: str, records: Sequence[Record]) -> None:
        super().__init__(sentence)
        self.records = list(records)


def record(phase: int, number: int, device: str, **measured: float | str | None) -> Record:
    """Returns the record of phase 0 to 3, round from 1, and device, with what was measured."""
    return {"phase": phase, "round": number, "device": device, **measured}


def why(records: Sequence[Record]) -> str:
    """Says, in parentheses, why the first device without a sound answer has none; empty where all have one."""
    for each in records:
        if reason := each.get("absent") or each.get("rejected"):
            return f" ({each['device']}: {reason.rstrip('.')})"
    return ""
