"""Milling machines against the published data set (doi:10.24432/C5HS5C): its rules and its statistics."""

import numpy as np
import pytest

from fedmetaalign.fleet.simulators.milling import Settings, failure_modes, operate, simulate
from fedmetaalign.randomness import generator

SEEDS = range(40)


@pytest.fixture(scope="module")
def runs():
    return [operate(Settings(), 10_000, generator(seed, "test")) for seed in SEEDS]


@pytest.mark.parametrize(
    ("mode", "count"),
    [("tool wear", 46), ("heat dissipation", 115), ("power", 95), ("overstrain", 98), ("random", 19)],
)
def test_failure_counts_are_the_published_ones(runs, mode, count):
    column = ["tool wear", "heat dissipation", "power", "overstrain", "random"].index(mode)
    mean = np.mean([run.modes[:, column].sum() for run in runs])
    assert abs(mean - count) < 3 * np.sqrt(count)


def test_failures_in_all_are_the_published_ones(runs):
    # 339, of which nine have no failure mode.
    assert np.mean([(run.kinds != "normal").sum() for run in runs]) == pytest.approx(330, abs=3 * 330**0.5)


def test_marginals_are_the_published_ones(runs):
    x = np.concatenate([run.x for run in runs])
    kinds = np.bincount(x[:, 0].astype(int)) / len(x)
    np.testing.assert_allclose(kinds, [0.6000, 0.2997, 0.1003], atol=0.005)
    np.testing.assert_allclose(x[:, 1:].mean(axis=0), [300.00, 310.01, 1538.8, 39.99, 107.95], rtol=0.01)
    np.testing.assert_allclose(x[:, [1, 3, 4, 5]].std(axis=0), [2.000, 179.3, 9.97, 63.65], rtol=0.03)
    speed = np.quantile(x[:, 3], [0.01, 0.1, 0.5, 0.9, 0.99])
    np.testing.assert_allclose(speed, [1275, 1364, 1503, 1746, 2188], rtol=0.01)
    assert np.mean([run.tools[-1] for run in runs]) == pytest.approx(119, abs=2)
    power = x[:, 3] * x[:, 4] * 2 * np.pi / 60
    assert power.mean() == pytest.approx(6280, rel=0.01)
    assert power.std() == pytest.approx(1067, rel=0.03)


def test_tools_end_at_the_published_wear(runs):
    ends = np.concatenate([run.x[:-1, 5][np.diff(run.tools) > 0] for run in runs])
    np.testing.assert_allclose(np.quantile(ends, [0.05, 0.5, 0.95]), [202, 215, 234], atol=3)


def test_temperatures_walk():
    run = operate(Settings(), 10_000, generator(0, "test"))
    _, air, process = run.x.T[:3]
    assert (process - air).mean() == pytest.approx(10, abs=0.01)
    assert (process - air).std() == pytest.approx(1, abs=0.01)
    assert np.corrcoef(air[1:], air[:-1])[0, 1] > 0.99


def test_wear_grows_by_what_each_part_adds():
    run = operate(Settings(), 2000, generator(0, "test"))
    same_tool = np.diff(run.tools) == 0
    added = np.array([2, 3, 5])[run.x[:-1, 0].astype(int)]
    assert (np.diff(run.x[:, 5])[same_tool] == added[same_tool]).all()
    assert run.x[0, 5] == 0
    assert (run.x[1:, 5][~same_tool] == 0).all()


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        # type, air, process, speed, torque, wear
        ((0, 300, 310.0, 1500, 40, 100), []),
        ((0, 300, 308.5, 1379, 40, 100), ["heat"]),
        ((0, 300, 308.5, 1381, 40, 100), []),
        ((0, 300, 308.7, 1379, 40, 100), []),
        ((0, 300, 310.0, 1400, 61.3, 0), []),  # 8987 W
        ((0, 300, 310.0, 1400, 61.5, 0), ["power"]),  # 9016 W
        ((0, 300, 310.0, 2800, 11.9, 0), ["power"]),  # 3489 W
        ((0, 300, 310.0, 2800, 12.0, 0), []),  # 3519 W
        ((0, 300, 310.0, 1400, 55, 201), ["strain"]),  # 11,055 min Nm
        ((1, 300, 310.0, 1400, 55, 201), []),
        ((1, 300, 310.0, 1400, 55, 219), ["strain"]),  # 12,045
        ((2, 300, 310.0, 1400, 55, 219), []),
        ((2, 300, 310.0, 1400, 55, 237), ["strain"]),  # 13,035
    ],
)
def test_failure_rules(row, expected):
    modes = failure_modes(np.array([row], float), np.array([False]), np.array([False]))[0]
    names = ["tool", "heat", "power", "strain", "random"]
    assert [name for name, on in zip(names, modes, strict=True) if on] == expected


def test_a_random_failure_does_not_count():
    run = operate(Settings(), 10_000, generator(0, "test"))
    only_random = run.modes[:, 4] & ~run.modes[:, :4].any(axis=1)
    assert only_random.any()
    assert set(run.kinds[only_random]) == {"normal"}


def test_stressed_devices_share_the_physics():
    """Every fault but a worn tool's obeys the published rules, up to the rounding of the values."""
    seen = set()
    for table in simulate(10, 400, 0):
        seen |= set(table.kinds)
        kind, air, process, speed, torque, wear = table.x.T
        power = speed * torque * 2 * np.pi / 60
        limit = np.array([11_000, 12_000, 13_000])[kind.astype(int)]
        heat, strain = table.kinds == "heat dissipation", table.kinds == "overstrain"
        assert (process - air < 8.71)[heat].all()
        assert (speed <= 1380)[heat].all()
        assert (wear * torque - limit > -15)[strain].all()
        assert (wear * torque - limit < 15)[table.y == 0].all()
        assert power[table.y == 0].min() > 3450
        assert power[table.y == 0].max() < 9050
    assert seen == {"normal", "tool wear", "heat dissipation", "power", "overstrain"}
