"""What the tests of the rules share: cohorts in one line, and numbers that are equal but for rounding."""

import numpy as np
import pytest

from fedmetaalign.aggregation import Cohort


def cohort(*deltas, query_scores=None, samples=None, steps=None, root=None, memory=None):
    """A cohort of devices named a, b, c, ..., alike in all that is not given."""
    k = len(deltas)
    return Cohort(
        deltas=np.array(deltas, np.float32),
        query_scores=np.ones(k) if query_scores is None else np.array(query_scores),
        samples=np.ones(k, np.int64) if samples is None else np.array(samples),
        steps=np.ones(k, np.int64) if steps is None else np.array(steps),
        names=tuple("abcdefghijklmnopqrstuvwxyz"[:k]),
        root=None if root is None else np.array(root, np.float32),
        memory=memory or {},
    )


def near(expected):
    return pytest.approx(expected, rel=1e-12, abs=1e-12)
