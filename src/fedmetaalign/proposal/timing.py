"""Which column tells when a row was measured."""

from collections.abc import Iterable
from dataclasses import replace

from fedmetaalign.errors import DataError
from fedmetaalign.fleet.columns.findings import Finding
from fedmetaalign.fleet.files import cells
from fedmetaalign.fleet.times.clock import times_of
from fedmetaalign.fleet.times.stamps import Clock
from fedmetaalign.proposal.reading import Family

_DATE = r"^\d{1,4}[-./]\d{1,2}[-./]\d{1,4}$|^\d{1,2}[- .][A-Za-z]{3,9}[- .]\d{2,4}$"
_HOUR = r"^\d{1,2}:\d{2}(:\d{2}([.,]\d+)?)?( ?[AaPp][Mm])?$"
_SHOWN = 200  # rows
_PAIRS = 4
_LEAST = 10  # unlike times, for an earlier and a later part


def time_column(family: Family, findings: Iterable[Finding]) -> tuple[str | tuple[str, ...] | None, str]:
    """The first clock whose dates can be read in every table, and else why one cannot; a mere count is none.

    A column of dates and one of times of day are one clock.

    Args:
        family: the tables.
        findings: of an audit, which tell the clocks.
    """
    clocks = [str(finding.column) for finding in findings if finding.code == "clock"]
    why = ""
    clocks = [name for name in clocks if not family.lacking(name)]
    dates = [name for name in clocks if _are(family, name, _DATE)]
    hours = [name for name in clocks if _are(family, name, _HOUR)]
    pairs = [(date, hour) for date in dates for hour in hours][:_PAIRS]
    for names in [*pairs, *((name,) for name in clocks)]:
        try:
            times = [times_of(raw, Clock(names)) for raw in family.raws]
        except DataError as error:
            if names[0] not in hours:
                why = why or f"CHECK the time: {error}; then name it with time and time_format."
            continue
        long = [len({*each.values.tolist()}) >= _LEAST for each in times]
        if all(each.dated for each in times) and 2 * sum(long) > len(long):
            return names if len(names) > 1 else names[0], ""
    return None, why


def _are(family: Family, name: str, pattern: str) -> bool:
    """Whether the first cells of a column are written so in every table."""
    shown = [cells(replace(raw, frame=raw.frame.head(_SHOWN)), name).drop_nulls() for raw in family.raws]
    return all(len(text) and bool(text.str.contains(pattern).all()) for text in shown)
