"""One device of a recipe's fleet, made on the device itself from its own table."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from fedmetaalign.errors import DataError, RecipeError
from fedmetaalign.fleet import tables
from fedmetaalign.fleet.device import Device
from fedmetaalign.fleet.division.splits import split
from fedmetaalign.fleet.division.thinning import thinned
from fedmetaalign.fleet.folders import read_recordings, recordings_among
from fedmetaalign.fleet.missing import gaps
from fedmetaalign.fleet.missing.gaps import filled
from fedmetaalign.fleet.placement import conversions_told, converted
from fedmetaalign.fleet.prepare import hello_of, own_of, prepared
from fedmetaalign.fleet.schema import Table
from fedmetaalign.fleet.shared import Hello, Place
from fedmetaalign.fleet.sources import columns_of
from fedmetaalign.fleet.table_file import SUFFIX, load_table
from fedmetaalign.fleet.times import periods
from fedmetaalign.fleet.usable import check, check_width
from fedmetaalign.model.online import Samples
from fedmetaalign.recipe import Recipe, Source


def read_table(recipe: Recipe, name: str, *paths: Path) -> Table:
    """Reads a device's own table as the recipe says.

    Args:
        recipe: whose source of this name, or else whose only source of tables, says what the columns mean; the
            tables that it names itself are the server's concern.
        name: the device's.
        paths: a table, or one that `save_table` wrote; where the recipe says with fleet.window.files what the
            names of files tell, files, folders and patterns of them.

    Raises:
        DataError: the table cannot be used.
        RecipeError: the recipe does not say how.
    """
    table = load_table(paths[0], name) if paths[0].suffix == SUFFIX else _read(recipe, name, paths)
    table = converted(table, recipe.fleet.conversions)
    check(table, recipe)
    return thinned(table, recipe.splits, recipe.seed)


def told(recipe: Recipe, table: Table) -> Iterator[str]:
    """Yields what whoever is beside a device has to know of its table, which says too much of it for others.

    Raises:
        DataError: it has too few samples.
    """
    if table.dialect and table.source is not None:
        yield f"'{table.source.name}': {table.dialect}."
    yield from table.lacks
    yield from conversions_told([table])
    rows = split(table, recipe.splits, recipe.seed)
    yield from periods.notices([(table, rows.test, rows.train)], recipe.splits)
    yield from gaps.notices([table])


def hello(recipe: Recipe, table: Table) -> Hello:
    """Returns what the device tells of itself.

    Raises:
        DataError: it has too few samples, or such that cannot be standardised.
    """
    rows = split(table, recipe.splits, recipe.seed).train
    table = filled(table, rows)
    check_width(table, recipe.model)
    return hello_of(table, rows, own_of(table, rows, recipe), recipe)


def build_device(recipe: Recipe, table: Table, place: Place) -> tuple[Device, Samples]:
    """Returns the device, and apart from it its test set.

    Args:
        recipe: decides how the samples are divided.
        table: the device's.
        place: in its fleet.

    Raises:
        DataError: it has too few samples.
    """
    rows = split(table, recipe.splits, recipe.seed)
    table = filled(table, rows.train)
    return prepared(table, rows, place, own_of(table, rows.train, recipe), recipe)


def _read(recipe: Recipe, name: str, paths: Sequence[Path]) -> Table:
    columns = columns_of(_source(recipe, name), recipe.splits, recipe.fleet.conversions)
    if columns.window is not None and columns.window.files is not None:
        return read_recordings(recordings_among(paths, columns.window.files), columns, name)
    if len(paths) > 1:
        raise DataError(
            f"{paths[1]} is a second table, and of a device without fleet.window.files one is taken: put its"
            " rows into one file."
        )
    return tables.read(paths[0], columns, name)


def _source(recipe: Recipe, name: str) -> Source:
    """Finds the source that a device is one of."""
    of_tables = [source for source in recipe.fleet.sources if source.table is not None]
    named = [source for source in of_tables if source.name == name]
    found = named or of_tables
    if len(found) != 1:
        raise RecipeError(
            f"The recipe does not say which columns device {name} has: name it in one of [[fleet.devices]]."
        )
    return found[0]
