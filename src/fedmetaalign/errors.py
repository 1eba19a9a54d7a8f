"""The errors a person can act on.

Every message is one sentence: what was found, where (file, row, column, key), and what to do. The command
line prints it alone, without a traceback, and exits with 1. What is wrong with tables is told all at once, a
sentence each.
"""

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from typing import Any

MOST_OF_A_KIND = 5
"""Problems of one kind that are told one by one; of the others it is said how many there are."""


class FedMetaAlignError(Exception):
    """Base of all errors that this package raises on purpose."""


class RecipeError(FedMetaAlignError):
    """A recipe has an unknown key, a value out of range, or keys that exclude each other."""


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong with the data.

    Attributes:
        sentence: what was found, where, and what to do.
        kind: what is wrong, for programs: "empty", "number", ...; "" where the sentence alone says it.
        device: whose data it is; None where that is not known.
        file: that it is in.
        column: of the file.
        lines: of the file, the first ones of those that it is on.
        count: how many cells or lines it is about.
    """

    sentence: str
    kind: str = ""
    device: str | None = None
    file: str | None = None
    column: str | None = None
    lines: tuple[int, ...] = ()
    count: int = 1

    @property
    def alike(self) -> str:
        """The same of problems that differ in names and numbers alone."""
        return self.kind or re.sub(r"'[^']*'|\S*[/\\]\S*|Device \S+|\d[\d,.]*", "*", self.sentence)

    def to_dict(self) -> dict[str, Any]:
        """Returns what is known of it, for JSON."""
        return {key: value for key, value in asdict(self).items() if value not in (None, "", ())}


class DataError(FedMetaAlignError):
    """A table, or the fleet made from tables, cannot be used as it is.

    Args:
        sentence: what is wrong.
        facts: the same for programs; see `Problem`.
    """

    def __init__(self, sentence: str, **facts: Any) -> None:
        super().__init__(sentence)
        self._problems: tuple[Problem, ...] = (Problem(sentence, **facts),)

    @property
    def problems(self) -> tuple[Problem, ...]:
        """All that is wrong, one at least."""
        return self._problems

    def on(self, device: str) -> tuple[Problem, ...]:
        """Returns the problems as those of a device."""
        return tuple(replace(each, device=each.device or device) for each in self.problems)


class DataErrors(DataError):  # noqa: N818 - several of them
    """Several things are wrong with tables, or one.

    Args:
        problems: one at least.
    """

    def __init__(self, problems: Iterable[Problem]) -> None:
        self._problems = tuple(problems)
        FedMetaAlignError.__init__(self, text_of(self._problems))

    def __reduce__(self) -> tuple[Any, ...]:
        """Lets it be raised in another process."""
        return DataErrors, (self._problems,)


def text_of(problems: tuple[Problem, ...]) -> str:
    """Tells problems a line each, of a kind the first five and how many more; a single one is told alone."""
    if len(problems) == 1:
        return problems[0].sentence
    lines = [f"{len(problems)} things are wrong with the tables:"]
    for kind in dict.fromkeys(each.alike for each in problems):
        those = [each.sentence for each in problems if each.alike == kind]
        lines += [f"{sentence.rstrip('.')}." for sentence in those[:MOST_OF_A_KIND]]
        if (more := len(those) - MOST_OF_A_KIND) > 0:
            lines.append(f"... and {more} more of this kind.")
    return "\n  ".join(lines)


@contextmanager
def noting(found: list[Problem]) -> Iterator[None]:
    """Takes down what a DataError within its context says, and goes on behind it."""
    try:
        yield
    except DataError as error:
        found.extend(error.problems)


class RunError(FedMetaAlignError):
    """A run folder cannot be written, resumed or read."""


class BundleError(FedMetaAlignError):
    """A device's bundle is incomplete, altered, or does not fit the data given to it."""


class ToolError(FedMetaAlignError):
    """A compiler, an emulator or an interpreter is missing, or refuses the firmware."""
