"""One page that says what a run did and what it gained; reads the run folder alone.

`findings` says the same in words, and needs no drawing library: the page is imported when it is first used.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fedmetaalign.report.page import write_report

__all__ = ["write_report"]


def __getattr__(name: str) -> Any:
    if name != "write_report":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from fedmetaalign.report import page

    return page.write_report
