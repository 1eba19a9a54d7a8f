"""How a recipe names the tables of a source: a pattern where one fits, else each."""

import os
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Place:
    """What one source of a recipe calls its tables.

    Attributes:
        table: the key's value.
        tables: how many it stands for.
        exclude: the devices among those of a pattern that take no part.
    """

    table: str
    tables: int = 1
    exclude: tuple[str, ...] = ()


def places(paths: Sequence[Path], folder: Path, spare: Collection[Path]) -> list[Place]:
    """Names some tables.

    Args:
        paths: the tables.
        folder: the recipe's, to which they are relative.
        spare: tables that cannot be used, which a pattern may stand for as well.
    """
    groups: dict[tuple[Path, str], list[Path]] = {}
    for path in paths:
        groups.setdefault((path.parent, path.suffix), []).append(path)
    found: list[Place] = []
    for (parent, suffix), group in groups.items():
        stem = _beginning([path.name for path in group])
        patterns = [f"*{suffix}", *([f"{stem}*{suffix}"] if stem else [])]
        if len(group) == 1 or any(sign in f"{parent.resolve()}{stem}" for sign in "*?["):
            patterns = []
        for pattern in patterns:
            more = {*parent.glob(pattern)} - {*group}
            if all(path in spare or not path.is_file() for path in more):
                exclude = tuple(sorted(path.stem for path in more))
                found.append(Place(_from(folder, parent / pattern), len(group), exclude))
                break
        else:
            found += [Place(_from(folder, path)) for path in group]
    return found


def _from(folder: Path, path: Path) -> str:
    """A path as seen from a folder, whole where it does not lie in it."""
    folder, path = (Path(os.path.abspath(each)) for each in (folder, path))  # noqa: PTH100 - links stay links
    return (path.relative_to(folder) if path.is_relative_to(folder) else path).as_posix()


def _beginning(names: Sequence[str]) -> str:
    """What all of some names begin with."""
    first, last = min(names), max(names)
    return first[: next((i for i, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), len(first))]
