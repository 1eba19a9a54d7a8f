"""The feeder against circuit theory, with impedances chosen so that the answers are round numbers."""

import numpy as np
import pytest

from fedmetaalign.fleet.simulators.feeder import (
    FAULTS,
    OMEGA,
    Fault,
    PowerNetwork,
    balanced,
    phase_matrix,
    simulate,
    solve,
    time_constant,
    waveforms,
)

# Up to the end of the line: Z1 = Z2 = 1 + 4j, Z0 = 2 + 12j.
NETWORK = PowerNetwork(source=(0 + 1j, 0 + 2j), line=(1 + 3j, 2 + 10j))
EMF = balanced(1000.0)
IDLE = np.full(3, np.inf)


def fault(kind, arc, ground=1.0, location=1.0):
    phases, grounded = FAULTS[kind]
    return Fault(phases, grounded, location, arc, ground)


def test_there_are_eleven_faults():
    assert len(FAULTS) == 11
    assert len(set(FAULTS.values())) == 11


def test_single_line_to_ground():
    # 3E / (Z1 + Z2 + Z0 + 3 Rf) = 3000 / (4 + 20j + 3 * 2) = 60 - 120j
    current = solve(NETWORK, EMF, IDLE, fault("A-G", arc=0.5, ground=1.5)).current
    np.testing.assert_allclose(current, [60 - 120j, 0, 0], atol=1e-9)


def test_line_to_line():
    # sqrt(3) E / |Z1 + Z2 + Rf| = 1732.05 / |2 + 8j + 4|
    current = solve(NETWORK, EMF, IDLE, fault("B-C", arc=2.0)).current
    np.testing.assert_allclose(np.abs(current), [0, 173.2050808, 173.2050808], atol=1e-6)
    assert abs(current[1] + current[2]) < 1e-9


def test_double_line_to_ground():
    # In the ground 3E / |Z1 + 2 Z0 + 6 Rg| with the arc in every sequence: 3000 / |3 + 4j + 2 (4 + 12j) + 10|
    current = solve(NETWORK, EMF, IDLE, fault("B-C-G", arc=2.0, ground=5 / 3)).current
    assert abs(current[1] + current[2]) == pytest.approx(3000 / 35)


@pytest.mark.parametrize("kind", ["A-B-C", "A-B-C-G"])
def test_three_phase(kind):
    # E / (Z1 + arc) = 1000 / (3 + 4j)
    current = solve(NETWORK, EMF, IDLE, fault(kind, arc=2.0)).current
    np.testing.assert_allclose(current, balanced(1.0) * 1000 / (3 + 4j), rtol=1e-9)


def test_bolted_three_phase_at_the_measuring_point_leaves_no_voltage():
    at_bus = solve(NETWORK, EMF, IDLE, fault("A-B-C-G", arc=1e-6, location=0.0))
    np.testing.assert_allclose(np.abs(at_bus.current), 1000.0, rtol=1e-5)
    np.testing.assert_allclose(np.abs(at_bus.voltage), 0.0, atol=1e-2)


def test_balanced_load():
    # 1000 / (1 + 4j + 29 + 36j) = 1000 / (30 + 40j)
    phasors = solve(NETWORK, EMF, np.full(3, 29 + 36j), None)
    np.testing.assert_allclose(phasors.current, balanced(1.0) * 20 * (0.6 - 0.8j), rtol=1e-9)
    # Behind Zs = j: 1000 - j (12 - 16j) = 984 - 12j
    assert phasors.voltage[0] == pytest.approx(984 - 12j)


@pytest.mark.parametrize("kind", FAULTS)
def test_currents_sum_to_zero_unless_they_return_through_ground(kind):
    load = np.array([60 + 20j, 75 + 30j, 50 + 10j])
    shunt = fault(kind, arc=3.0, ground=5.0, location=0.4)
    before, after = solve(NETWORK, EMF, load, None), solve(NETWORK, EMF, load, shunt)
    current, _ = waveforms(NETWORK, before, after, 0.01, 0.003, np.linspace(0.003, 0.06, 50))
    residual = np.abs(current.sum(axis=1)).max()
    assert abs(before.current.sum()) < 1e-9
    # A symmetrical fault sends nothing to ground, tied to it or not.
    if FAULTS[kind][1] and kind != "A-B-C-G":
        assert residual > 1
    else:
        assert residual < 1e-9


def test_more_fault_resistance_and_distance_mean_less_current():
    near, far, resistive = (
        abs(solve(NETWORK, EMF, IDLE, fault("A-G", arc, 1.0, location)).current[0])
        for arc, location in ((1, 0.1), (1, 0.9), (40, 0.1))
    )
    assert near > far > resistive


def test_time_constant_is_the_loop_s_l_over_r():
    # (4 + 20j + 3 * 2): 20 / 10 / (100 pi)
    assert time_constant(NETWORK, fault("A-G", 0.5, 1.5)) == pytest.approx(6.366198e-3)
    # 1 + 4j + 1: 4 / 2 / (100 pi)
    assert time_constant(NETWORK, fault("A-B", 1.0)) == pytest.approx(6.366198e-3)


def test_dc_offset_starts_at_the_jump_and_falls_to_a_third():
    shunt = fault("A-B-C", arc=1.0)
    before, after = solve(NETWORK, EMF, IDLE, None), solve(NETWORK, EMF, IDLE, shunt)
    decay = time_constant(NETWORK, shunt)
    times = 0.002 + np.array([0.0, decay, 2 * decay])
    current, _ = waveforms(NETWORK, before, after, decay, 0.002, times)
    steady = np.sqrt(2) * (after.current * np.exp(1j * OMEGA * times)[:, None]).real
    offset = current - steady
    np.testing.assert_allclose(current[0], 0.0, atol=1e-9)
    np.testing.assert_allclose(offset[1] / offset[0], 0.3678794, rtol=1e-6)
    np.testing.assert_allclose(offset[2] / offset[0], 0.1353353, rtol=1e-6)


@pytest.mark.parametrize("kind", ["A-G", "A-B", "A-B-C"])
def test_waveforms_solve_the_differential_equation(kind):
    """L di/dt + R i = e, integrated by the midpoint rule from no current, at an idle feeder."""
    shunt = fault(kind, arc=0.5, ground=1.5)
    path = phase_matrix(1 + 4j, 2 + 12j)
    source = phase_matrix(*NETWORK.source)
    loops = {
        "A-G": np.array([[1.0], [0.0], [0.0]]),
        "A-B": np.array([[1.0], [-1.0], [0.0]]),
        "A-B-C": np.array([[1.0, 0.0], [0.0, 1.0], [-1.0, -1.0]]),
    }[kind]
    resistor = np.diag(np.where(np.isin(range(3), shunt.phases), shunt.arc, 0.0))
    resistor[0, 0] += shunt.ground if shunt.grounded else 0.0
    inductance = loops.T @ (path.imag / OMEGA) @ loops
    resistance = loops.T @ (path.real + resistor) @ loops
    step, inception, steps = 1e-5, 0.0013, 3000
    times = inception + step * np.arange(steps + 1)
    half = np.sqrt(2) * (EMF * np.exp(1j * OMEGA * (times[:-1] + step / 2))[:, None]).real
    left, right = inductance / step + resistance / 2, inductance / step - resistance / 2
    loop_current = np.zeros((steps + 1, loops.shape[1]))
    for k in range(steps):
        loop_current[k + 1] = np.linalg.solve(left, right @ loop_current[k] + loops.T @ half[k])
    expected = loop_current @ loops.T

    before, after = solve(NETWORK, EMF, IDLE, None), solve(NETWORK, EMF, IDLE, shunt)
    decay = time_constant(NETWORK, shunt)
    current, voltage = waveforms(NETWORK, before, after, decay, inception, times)
    np.testing.assert_allclose(current, expected, atol=1e-4 * np.abs(expected).max())
    slope = np.diff(expected, axis=0) / step
    middle = half - slope @ (source.imag / OMEGA).T
    np.testing.assert_allclose((voltage[1:] + voltage[:-1]) / 2, middle, atol=1.0)


def test_normal_rows_have_load_currents_and_rated_voltages():
    for table in simulate(5, 400, 0):
        normal = table.x[table.y == 0]
        assert np.abs(normal[:, :3]).max() < 1500
        assert np.abs(normal[:, 3:]).max() < 1.25
        # The rms of a sine of 0.96 to 1.05 p.u. peak, a little less for sags and line drop.
        assert np.sqrt((normal[:, 3:] ** 2).mean()) == pytest.approx(0.69, abs=0.05)


def test_four_rows_share_an_event():
    (table,) = simulate(1, 400, 0)
    events, rows = np.unique(table.groups, return_counts=True)
    assert len(events) == 100
    assert set(rows) == {4}
    assert all(len(set(table.kinds[table.groups == event])) == 1 for event in events)
