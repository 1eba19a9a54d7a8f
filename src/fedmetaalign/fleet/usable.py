"""Whether tables make devices, and devices a fleet: what cannot be used is said in a sentence that names it."""

from collections.abc import Iterable

import numpy as np

from fedmetaalign.errors import DataError
from fedmetaalign.fleet.schema import Table
from fedmetaalign.model.target import Target
from fedmetaalign.recipe import Model


def check(raw: list[Table], model: Model) -> None:
    """Sees that each table makes a device, and that no two have one name.

    Raises:
        DataError: one does not; the sentence names it.
    """
    names = [table.name.casefold() for table in raw]
    for i, table in enumerate(raw):
        if names[i] in names[:i]:
            raise DataError(
                f"Two devices are called {table.name}: give one of them another name in the recipe."
            )
        check_width(table, model)
        if table.faults.all() and len(table):
            raise one_kind(table, "faults")


def check_width(table: Table, model: Model) -> None:
    """Sees that a network has an input for each feature of a table.

    Raises:
        DataError: it has not.
    """
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


def check_classes(tables: Iterable[Table], target: Target) -> None:
    """Sees that no kind of more than two has a single sample, with which it can be either learnt or tested.

    Raises:
        DataError: one has.
    """
    y = np.concatenate([table.labels(target) for table in tables]).astype(np.int64)
    for name, count in zip(target.classes, np.bincount(y, minlength=len(target.classes)), strict=True):
        if count == 1 and target.outputs > 1:
            raise DataError(
                f"One sample of the whole fleet is of class '{name}', which cannot be both learnt and tested:"
                " add some, or leave it out."
            )


def origin(table: Table) -> str:
    """Says which file a table is from."""
    return f" in {table.source}" if table.source else ""
