"""Methods whose global weights after every round can be worked out by hand, where a device's step is 1."""

import pytest
from fake_learner import Learner, cell_run, firsts

from fedmetaalign.methods import find


@pytest.mark.parametrize(
    ("name", "serial", "parallel", "expected"),
    [
        # A tour adds both devices' steps, a round their mean.
        ("cyclicfl", 2, 2, [2, 4, 5, 6]),
        ("cyclicfl", 0, 2, [1, 2]),
        ("cyclicfl", 2, 0, [2, 4]),
        # Nine tenths of the last step are added to the next: 1, 1.9, 2.71, 3.439.
        ("fedavgm", 2, 2, [1, 2.9, 5.61, 9.049]),
        # Two devices a round, each by a share that falls to zero: 2 * 1, 2 * 0.75, 2 * 0.5, 2 * 0.25.
        ("reptile", 2, 2, [2, 3.5, 4.5, 5]),
    ],
)
def test_by_hand(name, serial, parallel, expected):
    reached = firsts(cell_run(Learner(), serial=serial, parallel=parallel).run(find(name)))
    assert reached == pytest.approx(expected)


@pytest.mark.parametrize(
    ("name", "steps"),
    [
        # 0.01 * 1 / (1 + 0.001), then m = 0.09 / 0.19 and v = 0.0099 / 0.0199:
        # 0.01 * 0.473684 / (0.705328 + 0.001)
        ("fedadam", (0.00999001, 0.00670629)),
        # m = 0.9e-6 + 0.1 and v = 1e-6 + 0.01: 0.01 * 1.000009 / (1.00005 + 0.001). Without a new square v is
        # 0.010001 still, where Adam's has fallen to 0.0099: 0.01 * 0.473684 / (0.708917 + 0.001)
        ("fedyogi", (0.00998960, 0.00667239)),
    ],
)
def test_the_servers_optimizer_by_hand(name, steps):
    """The mean delta is 1 in the first round and 0 in the second."""
    first, second = firsts(cell_run(Learner([1, 1, 0]), serial=0).run(find(name)))
    assert (first, second - first) == pytest.approx(steps, rel=1e-4)


@pytest.mark.parametrize(("name", "sent"), [("cyclicfl", 1), ("fedavg", 1), ("scaffold", 2)])
def test_a_visit_is_two_messages_of_so_many_vectors(name, sent):
    stage = cell_run(Learner()).run(find(name)).stages["global"]
    assert stage.bytes == sent * 4 * 2 * 2 * 2 * 4  # rounds, devices, ways, weights, bytes
