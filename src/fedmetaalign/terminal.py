"""What the commands print to."""

import sys

from rich.console import Console


def stdout() -> Console:
    """Returns standard output, for tables of names and numbers."""
    return Console(
        file=sys.stdout,
        width=None if sys.stdout.isatty() else 1000,  # where nobody can widen the window, nothing is cut off
        markup=False,  # a device may be called "[bold]"
        emoji=False,
        highlight=False,
    )
