"""Names of columns: which are there, and which look alike and are not."""

import difflib
import unicodedata
from collections.abc import Sequence

from fedmetaalign.errors import DataError

LONGEST_NAME = 1000
"""Characters of a column's name."""
MOST_COLUMNS = 20_000


def checked_names(header: Sequence[str], where: str) -> tuple[str, ...]:
    """The names of columns, without what cannot be seen in them; those without become "(column 8)".

    Raises:
        DataError: two are the same, or differ in nothing that can be seen; one is too long; there are too many.
    """
    if len(header) > MOST_COLUMNS:
        raise DataError(
            f"{where} names {len(header):,} columns, and there can be {MOST_COLUMNS:,}; leave some out"
        )
    names = [name or f"(column {index})" for index, name in enumerate(header, 1)]
    seen: dict[str, str] = {}  # by what can be seen
    for index, name in enumerate(names, 1):
        if len(name) > LONGEST_NAME:
            raise DataError(
                f"{where} has a name of {len(name):,} characters in column {index} ('{name[:40]}...'), and one"
                f" can have {LONGEST_NAME:,}; shorten it"
            )
        other = seen.get(visible(name))
        if other == name:
            raise DataError(f"{where} names column '{name}' twice; rename or remove one of them")
        if other is not None:
            raise DataError(
                f"{where} has two columns '{visible(name)}' that differ only in what cannot be seen:"
                f" {spelled(other)} and {spelled(name)}; rename one of them"
            )
        seen[visible(name)] = name
    return tuple(map(tidy, names))


def tidy(name: str) -> str:
    """A name as a reader sees it, where it has anything invisible, odd blanks, or accents apart."""
    plain = unicodedata.is_normalized("NFC", name) and all(c.isprintable() for c in name)
    return name if plain else visible(name) or name


def missing(path: object, name: str, there: Sequence[str], shown: str) -> DataError:
    """Returns the error of a column that is not there: it names the nearest, or how one differs unseen."""
    alike = [column for column in there if visible(column) == visible(name)]
    if alike:
        return DataError(
            f"{path} has no column {spelled(name)}, but {spelled(alike[0])}, which looks the same; copy the"
            " name from the file",
            file=str(path),
            column=name,
        )
    near = nearest(name, there)
    hint = f"did you mean '{near}'?" if near is not None else f"it has {shown}"
    return DataError(f"{path} has no column '{name}'; {hint}", file=str(path), column=name)


def nearest(name: str, there: Sequence[str]) -> str | None:
    """Returns the column that is called most like a name that is not there; None where none is like it."""
    folded = {column.casefold(): column for column in reversed(there)}
    near = difflib.get_close_matches(name.casefold(), folded, 1)
    return folded[near[0]] if near else None


def visible(name: str) -> str:
    """What a reader sees of a name: one space for all kinds of blanks, composed letters, nothing invisible."""
    text = unicodedata.normalize("NFC", name)
    text = "".join(" " if c.isspace() else "" if unicodedata.category(c) in ("Cf", "Cc") else c for c in text)
    return " ".join(text.split())


def spelled(name: str) -> str:
    """A name with the code points of what cannot be seen, or of accents that stand apart, in it."""

    def spell(index: int, character: str) -> str:
        seen = character.isprintable() and not unicodedata.combining(character)
        if character == " " and (index == 0 or index == len(name) - 1 or name[index - 1] == " "):
            seen = False
        return character if seen else f"<U+{ord(character):04X}>"

    return f"'{''.join(spell(index, character) for index, character in enumerate(name))}'"
