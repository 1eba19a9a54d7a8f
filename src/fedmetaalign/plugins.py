"""Methods, rules and simulators from other packages, which name them as entry points.

[project.entry-points."fedmetaalign.rules"]
clipped = "my_package.rules:clipped"
"""

from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any, TypeVar

from fedmetaalign.errors import RecipeError

Plugin = TypeVar("Plugin")


def names(group: str) -> tuple[str, ...]:
    """Returns the names of a group's plug-ins, sorted."""
    return tuple(sorted(_found(group)))


def load(group: str, name: str, kind: type[Plugin]) -> Plugin:
    """Returns a plug-in.

    Args:
        group: for instance "fedmetaalign.methods".
        name: of the entry point.
        kind: what it has to be; `object` for anything that can be called.

    Raises:
        RecipeError: it cannot be imported, or is something else.
    """
    entry = _found(group)[name]
    try:
        found: Any = entry.load()
    except Exception as error:  # it is another package's code, and may raise anything
        raise RecipeError(f"The plug-in {name} ({entry.value}) cannot be loaded: {error}.") from error
    if not isinstance(found, kind) or (kind is object and not callable(found)):
        what = "a function" if kind is object else f"a {kind.__name__}"
        raise RecipeError(f"The plug-in {name} ({entry.value}) is not {what}: correct its entry point.")
    return found


@cache
def _found(group: str) -> dict[str, EntryPoint]:
    return {entry.name: entry for entry in entry_points(group=group)}
