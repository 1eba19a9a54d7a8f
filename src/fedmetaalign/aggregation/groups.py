"""Which devices help each other: groups by the alignment of their updates, two by two.

The paper's alignment says how far a device's update points where the mean of all points. Two by two it says
which devices would pull a common model the same way. Short updates on few samples are noisy, and noise lowers
every alignment; so each device gives two, from either half of its samples, and alignments between devices are
held against those within them: Spearman's correction for attenuation ("The proof and measurement of association
between two things", 1904). Clustering devices by the cosine of their updates is Sattler, Müller & Samek,
"Clustered federated learning", 2021; they cut one cluster at a time in two, once training has come to a halt.
"""

import numpy as np
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import squareform

_LEAST_RELIABILITY = 0.05
"""A device whose two updates hardly agree says nothing of its neighbours: what is divided by is bounded."""


def alignments(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Returns the alignment of devices two by two, corrected for the noise of their updates.

    Args:
        first: (devices, parameters) floating point, each device's update on one half of its samples.
        second: the same on the other half.

    Returns:
        (devices, devices) float64, symmetric, in [-1, 1], 1 on the diagonal.
    """
    across = _unit(first) @ _unit(second).T
    reliability = np.sqrt(np.clip(np.diag(across), _LEAST_RELIABILITY, 1))
    corrected = (across + across.T) / 2 / np.outer(reliability, reliability)
    np.fill_diagonal(corrected, 1)
    return np.asarray(np.clip(corrected, -1, 1))


def groups(alignment: np.ndarray, least: float, families: np.ndarray) -> np.ndarray:
    """Divides devices into groups by average linkage: the mean alignment between two groups is below `least`.

    Args:
        alignment: (devices, devices), as `alignments` returns.
        least: the alignment above which groups are joined; -1 joins all of a family.
        families: (devices,) int, the family of each: those of unlike families share no feature, and their
            updates move the same weights for nothing that is common to them.

    Returns:
        (devices,) int64, the group of each, 0 the largest; of equals the one with the first device.
    """
    found = np.zeros(len(families), np.int64)
    for family in np.unique(families):
        own = np.flatnonzero(families == family)
        found[own] = found.max() + 1 + _linked(alignment[np.ix_(own, own)], least)
    _, first, inverse, counts = np.unique(found, return_index=True, return_inverse=True, return_counts=True)
    rank: np.ndarray = np.empty(len(counts), np.int64)
    rank[np.lexsort((first, -counts))] = np.arange(len(counts))
    numbers: np.ndarray = rank[inverse]
    return numbers


def _linked(alignment: np.ndarray, least: float) -> np.ndarray:
    """Divides the devices of one family, (devices,) int64 from 0 on."""
    if len(alignment) < 2 or least <= -1:
        return np.zeros(len(alignment), np.int64)
    distance = 1 - alignment
    np.fill_diagonal(distance, 0)
    found = fcluster(linkage(squareform(distance, checks=False), "average"), 1 - least, "distance")
    return np.asarray(found - 1, np.int64)


def _unit(vectors: np.ndarray) -> np.ndarray:
    """Scales vectors to length 1; one of zeros stays."""
    exact = vectors.astype(np.float64)
    return np.asarray(exact / np.maximum(np.linalg.norm(exact, axis=1, keepdims=True), 1e-300))
