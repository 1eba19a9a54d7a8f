"""Whole methods to compare: one file each, whose name is the method's name on the command line.

A method is a function named like its file, from a `Task` to an `Outcome`. Files that begin with an underscore
are the parts that methods share.
"""

import pkgutil
from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING

from fedmetaalign.errors import RecipeError

if TYPE_CHECKING:
    from fedmetaalign.methods._task import Outcome, Task

    Method = Callable[[Task], Outcome]


UNTRAINED = frozenset({"majority", "one_rule"})
"""Methods that take no gradient step, and so have no learning rate."""


def names() -> tuple[str, ...]:
    """Returns the names of all methods."""
    return tuple(sorted(m.name for m in pkgutil.iter_modules(__path__) if not m.name.startswith("_")))


def find(name: str) -> "Method":
    """Returns a method by its name.

    Raises:
        RecipeError: there is none of this name.
    """
    if name not in names():
        raise RecipeError(f"There is no method {name!r}: choose among {', '.join(names())}.")
    method: Method = getattr(import_module(f"{__name__}.{name}"), name)
    return method
