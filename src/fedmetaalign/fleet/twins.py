"""Devices that have the same samples: one is a copy of the other, and the fleet trains on what it tests."""

from collections.abc import Iterable, Iterator
from hashlib import sha256

import numpy as np

from fedmetaalign.fleet.placement import joined
from fedmetaalign.fleet.schema import Table


def twins(tables: Iterable[Table]) -> Iterator[str]:
    """Yields a sentence on each set of devices with the same samples, in whatever order their columns are."""
    sizes: dict[tuple[int, tuple[str, ...]], list[Table]] = {}
    for table in tables:
        sizes.setdefault((len(table), tuple(sorted(table.features))), []).append(table)
    for (rows, _), alike in sizes.items():
        same: dict[bytes, list[str]] = {}
        for table in alike if len(alike) > 1 and rows else ():
            same.setdefault(_digest(table), []).append(table.name)
        for names in same.values():
            if len(names) > 1:
                yield (
                    f"{joined(sorted(names))} have the same samples: one trains on what another is tested on."
                    " Leave all but one out with fleet.exclude."
                )


def _digest(table: Table) -> bytes:
    found = sha256()
    for i in np.argsort(table.features):
        found.update((table.x[:, i] + 0.0).tobytes())  # -0.0 becomes 0.0
    return found.digest()
