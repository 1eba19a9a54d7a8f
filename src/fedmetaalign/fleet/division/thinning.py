"""Of a device with more samples than a tiny network can learn from, so many are used, and the user is told."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from fedmetaalign.fleet.division.splits import strata_of
from fedmetaalign.fleet.schema import Table
from fedmetaalign.randomness import generator
from fedmetaalign.recipe import Splits


def thinned(table: Table, splits: Splits, seed: int) -> Table:
    """Draws `splits.most` of a device's samples, of each class its share and one at least, in their order.

    Under `kind = "blocks"` blocks are drawn, and of unlabelled samples `splits.most` too. Two devices with the
    same samples have the same draw. A table that is small enough stays as it is.
    """
    most, bare = splits.most, table.unlabelled
    if bare is not None and len(bare) > most:
        kept = generator(seed, "thinned", "unlabelled").choice(len(bare), most, replace=False, shuffle=False)
        table = replace(table, unlabelled=bare[np.sort(kept)])
    if len(table) <= most:
        return table
    random = generator(seed, "thinned")
    if splits.kind == "blocks" and table.windows is None:
        blocks = -(-len(table) // splits.block)
        drawn = random.choice(blocks, max(2, most // splits.block), replace=False, shuffle=False)
        rows = np.flatnonzero(np.isin(np.arange(len(table)) // splits.block, drawn))
    else:
        rows = np.sort(np.concatenate([*_drawn(_strata(table, splits), most, random)]))
    return replace(table.take(rows), unlabelled=table.unlabelled)


def _strata(table: Table, splits: Splits) -> np.ndarray:
    """What is thinned by itself, (rows,) int64: the strata of a split, and what a source has set aside."""
    strata = strata_of(table, splits).astype(np.int64)
    return strata if table.reserved is None else 2 * strata + table.reserved


def _drawn(strata: np.ndarray, most: int, random: np.random.Generator) -> list[np.ndarray]:
    found = []
    for stratum, count in zip(*np.unique(strata, return_counts=True), strict=True):
        rows = np.flatnonzero(strata == stratum)
        share = max(1, round(most * int(count) / len(strata)))
        found.append(random.choice(rows, min(share, len(rows)), replace=False, shuffle=False))
    return found


def notice(counts: Mapping[str, int], most: int) -> str:
    """Says which devices have more samples than are used.

    Args:
        counts: how many each of them has.
        most: that are used.
    """
    first, count = next(iter(counts.items()))
    who = f"{first} has {count:,} samples"
    if len(counts) > 1:
        who = f"{len(counts):,} devices have more than {most:,} samples, such as {first} with {count:,}"
    return f"{who}: {most:,} are used, drawn from each class by its share (splits.most)."
