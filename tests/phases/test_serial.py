"""The tour (Algorithm 2): every device once, in a fresh order, each with the weights of the one before."""

import numpy as np
import pytest
from fake_engine import FakeEngine, server_of

from fedmetaalign.errors import RecipeError
from fedmetaalign.federation.records import RoundError
from fedmetaalign.phases.serial import cut, parallel_tours, serial_round
from fedmetaalign.phases.server import State
from fedmetaalign.recipe import Serial

NAMES = ("a", "b", "c", "d", "e")


START = np.zeros(2, np.float32)


def on_tour(number=1, tours=1, engine=None, seed=0, at_once=1):
    engine = engine or FakeEngine(NAMES)
    server = server_of(engine, seed, serial={"tours": tours, "parallel_tours": at_once})
    state, records = serial_round(server, State(START), number)
    return engine, state.weights, records


def test_each_device_is_handed_the_weights_of_the_one_before():
    engine, weights, _ = on_tour()
    carried = [0.0, 0.0]
    for name, _, handed in engine.visits:
        assert handed == carried
        carried = [w + 10 ** NAMES.index(name) for w in carried]
    assert weights.tolist() == carried == [11111, 11111]


def test_every_device_is_visited_once_a_tour_and_the_tours_are_counted_on():
    engine, _, records = on_tour(number=3, tours=2)
    tours = [tour for _, tour, _ in engine.visits]
    assert tours == [5] * 5 + [6] * 5  # two rounds of two tours came before
    for half in (engine.visits[:5], engine.visits[5:]):
        assert sorted(name for name, _, _ in half) == list(NAMES)
    assert len(records) == 10


def test_the_order_is_fresh_on_every_tour():
    orders = [tuple(name for name, _, _ in on_tour(number)[0].visits) for number in range(1, 21)]
    assert len(set(orders)) > 15  # of 120 possible ones
    assert {order[0] for order in orders} == set(NAMES)
    both = [name for name, _, _ in on_tour(1, tours=2)[0].visits]
    assert both[:5] != both[5:]


def test_the_order_depends_on_seed_and_tour_alone():
    def order(seed, number, tours=1):
        return [name for name, _, _ in on_tour(number, tours, seed=seed)[0].visits]

    assert order(0, 2) == order(0, 2)
    assert order(0, 2) != order(1, 2)
    assert order(0, 1, tours=2) == order(0, 1) + order(0, 2)


def test_answers_do_not_change_the_order():
    class Stubborn(FakeEngine):
        def visit(self, name, request):
            reply = super().visit(name, request)
            np.random.default_rng(0).random(100)
            return type(reply)(request.weights, 9.0, 9.0, 0.0, 1)

    other = Stubborn(NAMES)
    on_tour(engine=other)
    assert [v[0] for v in other.visits] == [v[0] for v in on_tour()[0].visits]


def test_a_record_tells_of_each_visit_in_order():
    engine, _, records = on_tour(number=4)
    assert [r["device"] for r in records] == [name for name, _, _ in engine.visits]
    expected = {"phase": 1, "round": 4, "support_loss": 0.5, "query_loss": 0.25, "accuracy": 0.75}
    assert all(expected.items() <= r.items() for r in records)


def test_the_weights_handed_in_are_not_written_to():
    on_tour()
    assert START.tolist() == [0, 0]


def test_the_tour_goes_on_without_a_device_that_does_not_answer():
    engine, weights, records = on_tour(3, engine=FakeEngine(NAMES, deaf=(NAMES[1],)))
    assert sorted(name for name, _, _ in engine.visits) == sorted(set(NAMES) - {NAMES[1]})
    # Every visit adds its device's own power of ten, and the missing one's digit stays 0.
    assert weights[0] == sum(10.0**i for i in range(len(NAMES)) if i != 1)
    [silent] = [record for record in records if "absent" in record]
    assert silent == {"phase": 1, "round": 3, "device": NAMES[1], "absent": "it is deaf"}


def test_a_tour_that_nobody_answers_ends_the_run_with_the_reasons():
    with pytest.raises(
        RoundError,
        match=r"In serial round 2 no device gave a sound answer \(\w+: it is deaf\): see to them, then",
    ) as ended:
        on_tour(2, engine=FakeEngine(NAMES, deaf=NAMES))
    assert sorted((each["device"], each["absent"]) for each in ended.value.records) == [
        (name, "it is deaf") for name in sorted(NAMES)
    ]


def test_side_by_side_each_tour_hands_on_its_own_weights_and_the_pass_ends_with_their_mean():
    engine, weights, records = on_tour(at_once=2)
    order = [name for name, _, _ in on_tour()[0].visits]
    three, two = order[:3], order[3:]
    assert engine.at_once == [(three[0], two[0]), (three[1], two[1]), (three[2],)]
    handed = {name: weights[0] for name, _, weights in engine.visits}
    for tour in (three, two):
        carried = 0.0
        for name in tour:
            assert handed[name] == carried
            carried += 10 ** NAMES.index(name)
    ends = [sum(10.0 ** NAMES.index(name) for name in tour) for tour in (three, two)]
    assert weights.tolist() == [np.float32((3 * ends[0] + 2 * ends[1]) / 5)] * 2
    assert [each["device"] for each in records] == [*three, *two]


def test_each_pass_begins_with_the_mean_and_divides_the_devices_anew():
    engine, _, _ = on_tour(tours=2, at_once=2)
    _, first, _ = on_tour(at_once=2)
    begins = [weights for _, tour, weights in engine.visits if tour == 2][:2]
    assert begins == [first.tolist()] * 2
    groups = {frozenset(on_tour(number, at_once=2)[0].at_once[0]) for number in range(1, 13)}
    assert len(groups) > 5


def test_a_tour_that_nobody_answers_has_no_part_in_the_mean():
    order = [name for name, _, _ in on_tour()[0].visits]
    engine = FakeEngine(NAMES, deaf=order[3:])
    _, weights, records = on_tour(engine=engine, at_once=2)
    assert weights.tolist() == [sum(10.0 ** NAMES.index(name) for name in order[:3])] * 2
    assert [r["device"] for r in records if "absent" in r] == order[3:]


def test_as_many_tours_as_devices_is_a_mean_of_all_and_more_are_refused():
    _, weights, _ = on_tour(at_once=5)
    assert weights.tolist() == [np.float32(11111 / 5)] * 2
    with pytest.raises(RecipeError, match="parallel_tours = 6, and the fleet has 5 devices"):
        on_tour(at_once=6)


def test_fewer_devices_than_tours_may_answer_a_cohort():
    assert cut(["a", "b"], Serial(parallel_tours=6)) == [["a"], ["b"]]
    assert cut([], Serial(parallel_tours=6)) == [[]]


@pytest.mark.parametrize(("devices", "tours"), [(1, 1), (19, 1), (20, 2), (100, 10), (1000, 100)])
def test_auto_gives_a_tour_ten_devices(devices, tours):
    assert parallel_tours(Serial(parallel_tours="auto"), devices) == tours
