"""What the commands print to."""

import json
import sys
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
