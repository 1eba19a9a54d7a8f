"""What the commands that score samples have in common: where they write, and what they say beside it."""

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fedmetaalign.errors import FedMetaAlignError

if TYPE_CHECKING:
    from fedmetaalign.tinyml.score_file import Write, Written

MOST_JSON = 1_000_000
"""Samples in one JSON document."""


def gathered(found: dict[str, Any], told: "Mapping[str, Any]") -> None:
    """Adds what is said of some samples to what was said of those before.

    Raises:
        FedMetaAlignError: it is more than one JSON document should hold.
    """
    if "scores" not in found:
        found.update(told)
        return
    for key, values in told.items():
        if key != "classes":
            found[key] += values
    if len(found["scores"]) > MOST_JSON:
        raise FedMetaAlignError(
            f"--json holds all that is said in memory, and there are more than {MOST_JSON:,} samples: write"
            " them one a line, with --format jsonl."
        )


@contextmanager
def writing(out: Path | None, kind: str, written: "Written | None" = None) -> "Iterator[Write]":
    """As `score_file`, where it cannot be written saying so in a sentence."""
    from fedmetaalign.tinyml import predictions
    from fedmetaalign.tinyml.score_file import score_file

    try:
        with score_file(out, kind, written or predictions.written) as write:
            yield write
    except OSError as error:
        if out is None or isinstance(error, BrokenPipeError):
            raise
        raise FedMetaAlignError(f"Cannot write {out}: {error.strerror}; choose another --out.") from None


def say(sentence: str) -> None:
    """Says something beside the scores."""
    sys.stderr.write(f"fedmetaalign: {sentence}{'' if sentence.endswith('.') else '.'}\n")
