"""The public samples of phase 0."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from fedmetaalign.errors import DataError
from fedmetaalign.fleet.device import Moments, Part
from fedmetaalign.fleet.missing.gaps import filled
from fedmetaalign.fleet.prepare import moments_of, own_of, preparation_of, samples_of
from fedmetaalign.fleet.schema import Table
from fedmetaalign.fleet.shared import Hello, Shared, union
from fedmetaalign.fleet.sources import tables_of
from fedmetaalign.fleet.usable import check_names, check_width, one_kind
from fedmetaalign.randomness import generator
from fedmetaalign.recipe import Recipe, Splits


def public_table(recipe: Recipe) -> tuple[Table | None, set[Path | None]]:
    """Returns the public samples of phase 0, None where it is left out, and their files.

    Raises:
        DataError: a table cannot be used.
    """
    if not recipe.foundation.enabled:
        return None, set()
    # Simulated public machines are others than the fleet's of the same name: their samples would be its own.
    seed = int(generator(recipe.seed, "public").integers(2**31))
    found = tables_of(recipe.foundation, Splits(), seed)  # the fleet's units are not the public table's
    check_names(found)
    for each in found:
        check_width(each, recipe.model)
    found = [_filled(table) for table in found]
    if lacking := [each for each in found if each.known != "faults"]:
        kinds = {"normal": "normal samples", "faulty": "faults"}
        raise one_kind(lacking[0], kinds.get(lacking[0].known, "samples without a label"))
    table = found[0]
    if len(found) > 1:  # several simulated devices, or a glob: they are pooled
        if any(other.features != table.features for other in found):
            raise DataError("The tables of [foundation] have unlike columns: name one table.")
        target = union({t.name: Hello.of(t) for t in found}, ())
        x, y = np.concatenate([t.x for t in found]), np.concatenate([t.labels(target) for t in found])
        normal = tuple(target.classes[i] for i in target.normal)
        table = replace(
            Table("public", table.features, x, y.astype(np.int8), table.units),
            classes=target.classes,
            normal=normal,
        )
    moments_of(table, np.arange(len(table)))  # so that values that are too large are known of now
    return table, {t.source for t in found}


def _filled(table: Table) -> Table:
    """Fills what a public table lacks; that it was missing is an input of the fleet's devices alone."""
    rule = "median" if table.missing.rule == "flag" else table.missing.rule
    return filled(replace(table, missing=replace(table.missing, rule=rule)), np.arange(len(table)))


def public_part(recipe: Recipe, table: Table, shared: Shared) -> Part:
    """Divides the public samples as the phases' are; their inputs and classes are the fleet's.

    Raises:
        DataError: they have a class that the fleet has not.
    """
    order = generator(recipe.seed, "split", "public").permutation(len(table))
    cut = round(recipe.splits.query * len(table))
    support, query = np.sort(order[cut:]), np.sort(order[:cut])
    own = own_of(table, support, recipe)
    # Moments stay their own; a map is the fleet's where it has the feature.
    place = shared.place(Hello.of(table, () if isinstance(own, Moments) else own), recipe.model)
    preparation = preparation_of(table, place, own)
    return Part(*(samples_of(table, rows, preparation, shared.target) for rows in (support, query)))
