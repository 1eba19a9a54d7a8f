"""One page that says what a run did and what it gained; reads the run folder alone."""

from fedmetaalign.report.page import write_report

__all__ = ["write_report"]
