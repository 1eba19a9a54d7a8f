"""The whole method as a list of rounds: what it runs, what it remembers, and that resuming changes no bit."""

from functools import partial

import numpy as np
import pytest

from fedmetaalign.aggregation import Cohort
from fedmetaalign.engine.local import LocalEngine
from fedmetaalign.fleet.build import build
from fedmetaalign.methods.fed_meta_align import State, rounds, rule, schedule, start
from fedmetaalign.model.mlp import Network, initialize
from fedmetaalign.randomness import generator
from fedmetaalign.recipe import Parallel, parse


def small(seed=0, foundation=True, serial=2, parallel=3, cohort=1.0):
    return parse(
        {
            "seed": seed,
            "fleet": {"simulator": "feeder", "count": 3, "samples": 100},
            "model": {"hidden": [8, 6]},
            "optimizer": {"learning_rate": 1e-3},
            "foundation": {
                "simulator": "milling",
                "count": 1,
                "samples": 100,
                "epochs": 1,
                "enabled": foundation,
            },
            "serial": {"rounds": serial},
            "parallel": {"rounds": parallel, "cohort": cohort},
        },
        "here",
    )


def plan_of(recipe):
    fleet = build(recipe)
    return schedule(recipe, LocalEngine(recipe, fleet.devices), fleet.public)


def run(recipe):
    """All states of a run, the first one included, and its records."""
    states, records = [start(recipe)], []
    for _, state, told in rounds(plan_of(recipe), states[0]):
        states.append(state)
        records += told
    return states, records


@pytest.fixture(scope="module")
def undisturbed():
    return run(small(cohort=0.6))


def test_the_phases_come_in_the_papers_order():
    expected = [("foundation", 1), ("serial", 1), ("serial", 2), *[("parallel", i) for i in (1, 2, 3)]]
    assert [(r.phase, r.number) for r in plan_of(small())] == expected


def test_it_starts_from_random_weights_of_the_seed():
    first = start(small(seed=3))
    expected = initialize(Network(9, (8, 6)), generator(3, "initialize"))
    assert first.weights.tobytes() == expected.tobytes()
    assert (first.done, dict(first.stages)) == (0, {})


def test_stages_hold_the_weights_at_the_end_of_each_phase(undisturbed):
    states, _ = undisturbed
    assert [state.done for state in states] == [0, 1, 2, 3, 4, 5, 6]
    assert [list(state.stages) for state in states] == [
        [],
        ["foundation"],
        ["foundation"],
        ["foundation", "serial"],
        ["foundation", "serial"],
        ["foundation", "serial"],
        ["foundation", "serial", "parallel"],
    ]
    for phase, end in (("foundation", 1), ("serial", 3), ("parallel", 6)):
        assert states[6].stages[phase].tobytes() == states[end].weights.tobytes()


def test_every_round_moves_the_weights(undisturbed):
    states, _ = undisturbed
    assert len({state.weights.tobytes() for state in states}) == 7
    assert all(state.weights.dtype == np.float32 for state in states)


def test_records_tell_of_every_device_and_round(undisturbed):
    _, records = undisturbed
    told = [(r["phase"], r["round"]) for r in records]
    # one epoch of phase 0; three devices twice; two of three devices three times
    assert told == [(0, 1), *[(1, 1)] * 3, *[(1, 2)] * 3, *[(2, 1)] * 2, *[(2, 2)] * 2, *[(2, 3)] * 2]


@pytest.mark.parametrize("done", range(7))
def test_resuming_from_any_state_gives_the_same_bits(undisturbed, done):
    states, records = undisturbed
    # What a checkpoint holds, and nothing else: arrays that were written and read again.
    saved = State(
        np.frombuffer(states[done].weights.tobytes(), np.float32),
        states[done].done,
        {name: np.frombuffer(w.tobytes(), np.float32) for name, w in states[done].stages.items()},
    )
    resumed, told = saved, []
    for _, state, new in rounds(plan_of(small(cohort=0.6)), saved):
        resumed, told = state, told + new
    assert resumed.done == 6
    assert resumed.weights.tobytes() == states[6].weights.tobytes()
    assert {k: w.tobytes() for k, w in resumed.stages.items()} == {
        k: w.tobytes() for k, w in states[6].stages.items()
    }
    assert told == records[len(records) - len(told) :]


def test_another_seed_gives_other_weights(undisturbed):
    states, _ = undisturbed
    assert run(small(seed=1, cohort=0.6))[0][6].weights.tobytes() != states[6].weights.tobytes()


@pytest.mark.parametrize(
    ("without", "stages"),
    [
        ({"foundation": False}, ["serial", "parallel"]),
        ({"serial": 0}, ["foundation", "parallel"]),
        ({"parallel": 0}, ["foundation", "serial"]),
        ({"serial": 0, "parallel": 0}, ["foundation"]),
        ({"foundation": False, "serial": 0}, ["parallel"]),
    ],
)
def test_a_phase_without_rounds_is_left_out(without, stages):
    states, _ = run(small(**without))
    assert list(states[-1].stages) == stages
    assert states[-1].stages[stages[-1]].tobytes() == states[-1].weights.tobytes()


def test_with_nothing_to_do_the_start_is_the_end():
    states, records = run(small(foundation=False, serial=0, parallel=0))
    assert len(states) == 1
    assert records == []


def test_the_foundation_is_not_told_of_the_fleet():
    with_foundation, _ = run(small(serial=0, parallel=0))
    assert with_foundation[1].weights.tobytes() == run(small())[0][1].weights.tobytes()


COHORT = Cohort(np.array([[10, 0], [0, 1]], np.float32), np.array([0.5, 0.5]), np.array([1, 3]))


@pytest.mark.parametrize(
    ("settings", "weights"),
    [
        ({"aggregation": "mean"}, [1 / 4, 3 / 4]),
        ({"floor": 0.0}, [10 / 11, 1 / 11]),
        ({"floor": 0.5}, [10 / (10 + 0.5 * 101**0.5), 0.5 * 101**0.5 / (10 + 0.5 * 101**0.5)]),
        ({"floor": 0.5, "reference": "others"}, [1 / 2, 1 / 2]),
        ({"unit_norm": True}, [1 / 2, 1 / 2]),
    ],
)
def test_the_recipe_decides_the_rule(settings, weights):
    chosen = partial(rule(Parallel(**settings)))
    assert chosen(COHORT).weights == pytest.approx(weights)
