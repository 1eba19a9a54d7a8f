"""Methods, rules and simulators from other packages, which name them as entry points.

[project.entry-points."fedmetaalign.rules"]
clipped = "my_package.rules:clipped"
"""

from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any, TypeVar

from fedmetaalign.errors import RecipeError

Plugin = TypeVar("Plugin")

METHODS, RULES, SIMULATORS = "fedmetaalign.methods", "fedmetaalign.rules", "fedmetaalign.simulators"
"""The groups."""


def names(group: str) -> tuple[str, ...]:
    """Returns the names of a group's plug-ins, sorted."""
    return tuple(sorted(_found(group)))


def load(group: str, name: str, kind: type[Plugin]) -> Plugin:
    """Returns a plug-in.

    Args:
        group: for instance "fedmetaalign.methods".
        name: of the entry point.
        kind: what it has to be; `object` for anything.

    Raises:
        RecipeError: it cannot be imported, or is something else.
    """
    entry = _found(group)[name]
    try:
        found: Any = entry.load()
    except Exception as error:  # it is another package's code, and may raise anything
        raise RecipeError(f"The plug-in {name} ({entry.value}) cannot be loaded: {error}.") from error
    if not isinstance(found, kind):
        raise RecipeError(
            f"The plug-in {name} ({entry.value}) is not a {kind.__name__}: correct its entry point."
        )
    return found


def module(group: str, name: str) -> str | None:
    """Returns the module that a plug-in is in, None where no plug-in has this name."""
    entry = _found(group).get(name)
    return entry.module if entry else None


@cache
def _found(group: str) -> dict[str, EntryPoint]:
    return {entry.name: entry for entry in entry_points(group=group)}
