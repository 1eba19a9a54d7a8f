"""What the commands print to."""

import json
import sys
from collections.abc import Container, Iterable, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console


def stdout() -> "Console":
    """Returns standard output, for tables of names and numbers."""
    from rich.console import Console  # help has no need of it, and is quick

    return Console(
        file=sys.stdout,
        width=None if sys.stdout.isatty() else 1000,  # where nobody can widen the window, nothing is cut off
        markup=False,  # a device may be called "[bold]"
        emoji=False,
        highlight=False,
    )


def print_json(value: Any) -> None:
    """Prints a result as JSON."""
    sys.stdout.write(json.dumps(value, indent=2, allow_nan=False) + "\n")


def print_table(
    title: str,
    columns: Sequence[str],
    rows: Iterable[Sequence[str]],
    left: Container[str] = (),
    mean: Sequence[str] | None = None,
) -> None:
    """Prints a table on standard output: names in the first column, numbers in the others, to the right.

    Args:
        title: stands above it.
        columns: their heads.
        rows: as many texts each.
        left: heads of columns that hold words.
        mean: the row that sums the others up.
    """
    from rich.table import Table

    table = Table(title=title, title_justify="left", box=None, header_style="", pad_edge=False)
    for place, column in enumerate(columns):
        at_left = place == 0 or column in left
        table.add_column(column, justify="left" if at_left else "right", vertical="bottom")
    for row in rows:
        table.add_row(*row)
    if mean:
        table.add_row(*mean, style="bold")
    stdout().print(table)
