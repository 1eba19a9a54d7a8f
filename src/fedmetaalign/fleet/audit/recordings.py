"""What is to be known of windows of recordings: how many of each class, and of what length."""

from collections.abc import Iterator, Sequence

import numpy as np

from fedmetaalign.fleet.columns.findings import Finding
from fedmetaalign.fleet.schema import Table

_MANY = 0.95  # the share of a class's windows in one recording from which on that is all there is of it


def windows(table: Table) -> Iterator[Finding]:
    """Says how many recordings a device has, and which classes come from a single one.

    A network that knows a class by one recording may know the recording, and nothing can tell.
    """
    if table.windows is None:
        return
    recordings = table.windows.recordings
    counts = np.unique(recordings, return_counts=True)[1]
    told = f"{len(table):,} windows of {len(counts):,} recording{'s' * (len(counts) > 1)}"
    if len(counts) > 1:
        least, most = int(counts.min()), int(counts.max())
        told += f", {least:,} of each" if least == most else f", {least:,} to {most:,} of each"
    yield Finding("windows", "info", None, f"{told}.")
    for note in table.windows.notes:
        yield Finding("gaps", "warning", None, note)
    for i, name in enumerate(table.classes):
        names, own = np.unique(recordings[table.y == i], return_counts=True)
        if len(counts) > 1 and len(own) and own.max() >= _MANY * own.sum():
            sentence = (
                f"Nearly all windows of '{name}' are of recording '{names[own.argmax()]}': a model may know"
                " that recording and not the class; record it again, on another day or machine."
            )
            yield Finding("one-recording", "warning", None, sentence)


def flat(features: Sequence[str], table: Table) -> Iterator[Finding]:
    """Says of how many windows' features nothing can be learnt: a front end makes them all the same."""
    if features:
        shown = ", ".join(features[:5]) + (", ..." if len(features) > 5 else "")
        sentence = (
            f"Features that are the same in all windows: {len(features)} of {len(table.features)} ({shown})."
        )
        yield Finding("constant", "info", None, sentence)
