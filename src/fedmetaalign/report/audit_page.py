"""The page of an audit: one file that needs no network, no script and no other file."""

from pathlib import Path

from fedmetaalign.errors import RunError
from fedmetaalign.fleet.audit.fleet import Audits, grouped
from fedmetaalign.report.rendering import environment
from fedmetaalign.system.writing import replace

_TABLED = ("balance",)
"""The codes of findings that the page has in its table."""


def write_audit_page(audits: Audits, path: Path) -> None:
    """Writes what an audit found as a page.

    Raises:
        RunError: the page cannot be written.
    """
    try:
        replace(path, audit_page(audits).encode())
    except OSError as error:
        raise RunError(f"Cannot write {path}: {error.strerror}; choose another --page.") from None


def audit_page(audits: Audits) -> str:
    """Returns the page as HTML."""
    shared = [group for group in grouped(audits) if group[0].code not in _TABLED]
    told = {*_TABLED, *((finding.code, finding.column) for finding, _ in shared)}
    own = [
        (one.source, [f for f in one.findings if f.code not in told and (f.code, f.column) not in told])
        for one in audits.audits
    ]
    own.sort(key=lambda each: [finding.severity for finding in each[1]].count("error"), reverse=True)
    return (
        environment()
        .get_template("audit.html.j2")
        .render(
            audits=audits.audits,
            counts=audits.counts,
            findings=audits.findings,
            headline=_headline(audits),
            shared=shared,
            own=[(source, found) for source, found in own if found],
            wrong=[problem.sentence for problem in audits.wrong],
        )
    )


def _headline(audits: Audits) -> str:
    counts = audits.counts
    if audits.wrong and not audits.audits:
        return "No table can be audited."
    if counts["error"]:
        return "Mend the errors below before you believe any result on these data."
    if counts["warning"]:
        return "Nothing forbids training on these data; the warnings say how a result may mislead."
    return "Nothing speaks against training on these data."
