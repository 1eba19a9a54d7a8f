"""Whether tables make devices, and devices a fleet: what cannot be used is said in a sentence that names it."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fedmetaalign.errors import MOST_OF_A_KIND, DataError, DataErrors, Problem
from fedmetaalign.fleet.schema import Table
from fedmetaalign.model.target import Target
from fedmetaalign.recipe import Model, Recipe


@dataclass(frozen=True)
class LeftOut:
    """A device that cannot be used.

    Attributes:
        name: the device's.
        problems: why, one at least.
    """

    name: str
    problems: tuple[Problem, ...]

    @property
    def sentence(self) -> str:
        """Names it and says why."""
        more = f" (and {len(self.problems) - 1} more)" if len(self.problems) > 1 else ""
        return f"{self.name} is left out: {self.problems[0].sentence.rstrip('.')}{more}."


def notices(left_out: Sequence[LeftOut]) -> Iterator[str]:
    """Yields what the user has to know of devices that are left out: of the first five why, of all who."""
    yield from (each.sentence for each in left_out[:MOST_OF_A_KIND])
    if rest := left_out[MOST_OF_A_KIND:]:
        yield f"Left out, too: {', '.join(each.name for each in rest)}."


def of_left_out(left_out: Sequence[LeftOut]) -> dict[str, Any]:
    """Returns what results.json says of devices that are left out: nothing where none is."""
    found = {each.name: [problem.to_dict() for problem in each.problems] for each in left_out}
    return {"left_out": found} if found else {}


def refuse(left_out: Iterable[LeftOut], *more: Problem) -> DataErrors:
    """Returns the error that tells why devices, and perhaps the fleet, cannot be used."""
    return DataErrors([*(each for device in left_out for each in device.problems), *more])


def check_names(tables: Sequence[Table]) -> None:
    """Sees that no two devices have one name.

    Raises:
        DataError: two have.
    """
    names = [table.name.casefold() for table in tables]
    for i, table in enumerate(tables):
        if names[i] in names[:i]:
            raise DataError(
                f"Two devices are called {table.name}: give one of them another name in the recipe."
            )


def check(table: Table, recipe: Recipe) -> None:
    """Sees that a table makes a device of a recipe's fleet.

    One with faults alone trains with the others. By its own moments its faults would lie where the others have
    their normal samples, and they would be taught that these are faults.

    Raises:
        DataError: it does not; the sentence names it.
    """
    check_width(table, recipe.model)
    if table.known == "faulty" and recipe.fleet.scaling == "device":
        raise DataError(
            f"Device {table.name}{origin(table)} has only faults, and standardised by these alone they look as"
            ' normal samples do elsewhere: set fleet.scaling = "fleet", add normal samples, or leave the device'
            " out."
        )


def check_width(table: Table, model: Model) -> None:
    """Sees that a network has an input for each feature of a table.

    Raises:
        DataError: it has not.
    """
    if model.kind == "cnn" and len(table.features) != model.inputs:
        channels = model.channels or 1
        raise DataError(
            f"Device {table.name} has windows of {len(table.features):,} values, and the network takes"
            f" {model.inputs // channels:,} samples of {channels} channels: cut all windows alike, of the same"
            " channels."
        )
    if len(table.features) > model.inputs:
        said = f", of which {len(table.flags)} say that another is missing," if table.flags else ""
        raise DataError(
            f"Device {table.name} has {len(table.features)} features{said} and the network takes"
            f" {model.inputs}: raise model.inputs or name fewer features."
        )


def one_kind(table: Table, kind: str) -> DataError:
    """Returns the error of a table that has one kind of sample where both are needed."""
    return DataError(
        f"Device {table.name}{origin(table)} has only {kind}: a classifier needs samples of both; add some or"
        " leave the device out."
    )


def single_samples(tables: Iterable[Table], target: Target) -> Iterator[str]:
    """Yields what the user has to know of kinds, of more than two, of which the whole fleet has one sample."""
    if target.outputs == 1:
        return
    y = np.concatenate([table.labels(target) for table in tables]).astype(np.int64)
    counts = np.bincount(y, minlength=len(target.classes))
    if once := [name for name, count in zip(target.classes, counts, strict=True) if count == 1]:
        yield (
            f"One sample of the whole fleet is of class {', '.join(map(repr, once))}: it is in the training set"
            " or in the test set of its device, so that this kind is learnt or tested, and not both; add some,"
            " or give it another kind."
        )


def check_learnt(devices: Iterable[tuple[Table, np.ndarray, np.ndarray]], target: Target, units: str) -> None:
    """Sees that each class that is tested is in the training set of some device.

    Args:
        devices: of each its samples, the test rows and the training rows.
        target: the classes.
        units: the units that the recipe has named as the test set.

    Raises:
        DataError: one is in none.
    """
    sides: tuple[set[str], set[str]] = (set(), set())
    for table, *rows in devices:
        for side, own in zip(sides, rows, strict=True):
            side.update(table.classes[i] for i in np.unique(table.y[own]))
    lacking = [name for name in target.classes if name in sides[0] - sides[1]]
    if lacking:
        raise DataError(
            f"splits.test_units = {units} takes every sample of class {', '.join(map(repr, lacking))} for the"
            " test set, and none is left to learn it by: name fewer units."
        )


def origin(table: Table) -> str:
    """Says which file a table is from."""
    return f" in {table.source}" if table.source else ""
