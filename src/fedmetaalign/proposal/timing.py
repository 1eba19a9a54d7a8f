"""Which column tells when a row was measured."""

from collections.abc import Iterable

from fedmetaalign.errors import DataError
from fedmetaalign.fleet.columns.findings import Finding
from fedmetaalign.fleet.times.clock import times_of
from fedmetaalign.fleet.times.stamps import Clock
from fedmetaalign.proposal.reading import Family

_LEAST = 10  # unlike times, for an earlier and a later part


def time_column(family: Family, findings: Iterable[Finding]) -> tuple[str | None, str]:
    """The first clock whose dates can be read in every table, and else why one cannot; a mere count is none.

    Args:
        family: the tables.
        findings: of an audit, which tell the clocks.
    """
    clocks = [str(finding.column) for finding in findings if finding.code == "clock"]
    why = ""
    for name in clocks:
        if family.lacking(name):
            continue
        try:
            times = [times_of(raw, Clock((name,))) for raw in family.raws]
        except DataError as error:
            why = why or f"CHECK the time: {error}; then name it with time and time_format."
            continue
        if all(each.dated and len({*each.values.tolist()}) >= _LEAST for each in times):
            return name, ""
    return None, why
