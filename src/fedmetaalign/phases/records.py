"""What a phase tells about one device in one round: a line of rounds.jsonl."""

from typing import Any

Record = dict[str, Any]


def record(phase: int, number: int, device: str, **measured: float | str | None) -> Record:
    """Returns the record of phase 0 to 3, round from 1, and device, with what was measured."""
    return {"phase": phase, "round": number, "device": device, **measured}
