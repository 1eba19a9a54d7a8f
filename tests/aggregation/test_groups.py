"""Groups of devices by the alignment of their updates, two by two and corrected for noise."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedmetaalign.aggregation.groups import alignments, groups


def noisy(directions, noise, seed=0):
    """Two updates of each device: its direction with fresh noise."""
    random = np.random.default_rng(seed)
    shape = (len(directions), directions.shape[1])
    return [directions + noise * random.standard_normal(shape) for _ in range(2)]


def test_noise_is_taken_out_of_an_alignment():
    # Two devices that want the same, each half of whose updates is noise: cosines of 0.5, corrected 1.
    same = np.ones((2, 4000))
    first, second = noisy(same, 1.0)
    raw = np.dot(first[0], first[1]) / np.linalg.norm(first[0]) / np.linalg.norm(first[1])
    assert raw == pytest.approx(0.5, abs=0.05)
    assert alignments(first, second)[0, 1] == pytest.approx(1.0, abs=0.05)


def test_by_hand():
    # Without noise the correction does nothing: cosines of (1, 0), (1, 1) and (0, -2).
    x = np.array([[1.0, 0.0], [1.0, 1.0], [0.0, -2.0]])
    half = np.sqrt(0.5)
    np.testing.assert_allclose(alignments(x, x), [[1, half, 0], [half, 1, -half], [0, -half, 1]], atol=1e-12)


def test_an_update_of_zeros_is_aligned_with_nobody():
    found = alignments(np.array([[0.0, 0.0], [1.0, 0.0]]), np.array([[0.0, 0.0], [1.0, 0.0]]))
    np.testing.assert_array_equal(found, [[1, 0], [0, 1]])


def test_opposed_and_unrelated_devices_come_apart():
    a, b = np.zeros(2000), np.zeros(2000)
    a[:1000], b[1000:] = 1, 1
    first, second = noisy(np.stack([b, a, -a, a, b, a]), 0.7)
    np.testing.assert_array_equal(groups(alignments(first, second), 0.2, np.zeros(6, int)), [1, 0, 2, 0, 1, 0])


def test_minus_one_puts_all_in_one():
    np.testing.assert_array_equal(groups(np.array([[1.0, -1.0], [-1.0, 1.0]]), -1, np.zeros(2, int)), [0, 0])


def test_a_device_alone_is_a_group():
    np.testing.assert_array_equal(groups(np.ones((1, 1)), 0.2, np.zeros(1, int)), [0])


@given(st.integers(2, 8), st.integers(0, 100), st.floats(-0.9, 0.9))
def test_groups_are_numbered_by_size_whatever_the_alignments(devices, seed, least):
    random = np.random.default_rng(seed)
    updates = random.standard_normal((2, devices, 5))
    found = groups(alignments(*updates), least, random.integers(2, size=devices))
    sizes = np.bincount(found)
    assert (sizes > 0).all() and (np.diff(sizes) <= 0).all()
