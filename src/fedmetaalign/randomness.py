"""Randomness that is addressed, not consumed.

Each random choice has an address: (seed, purpose, round, device name, ...). Its stream depends on nothing
else, so neither the order in which devices answer nor resuming a run changes a result.
"""

import hashlib

import numpy as np


def generator(seed: int, *address: str | int) -> np.random.Generator:
    """Returns the random stream that lives at an address.

    Args:
        seed: the recipe's seed.
        *address: what the stream is for, from the general to the special, e.g. `"order", "serial", 3`.

    Returns:
        A Philox generator keyed with SHA-256 of the address; equal addresses give equal streams on every
        platform, different addresses give independent ones.
    """
    # int() because NumPy's integers print otherwise than Python's.
    whole = tuple(part if isinstance(part, str) else int(part) for part in address)
    # repr keeps 1 and "1" apart, and a tuple's repr keeps ("ab", "c") and ("a", "bc") apart.
    digest = hashlib.sha256(repr((int(seed), *whole)).encode()).digest()
    return np.random.Generator(np.random.Philox(key=int.from_bytes(digest[:16], "little")))
