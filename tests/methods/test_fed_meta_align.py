"""The whole method as a list of rounds: what it runs, what it remembers, and that resuming changes no bit."""

from dataclasses import replace

import numpy as np
import pytest

from fedmetaalign.engine.device_runner import DeviceRunner, learner_of
from fedmetaalign.engine.local import LocalEngine
from fedmetaalign.fleet.build import build
from fedmetaalign.methods.fed_meta_align import METHOD
from fedmetaalign.model.mlp import Network, initialize
from fedmetaalign.model.online import ignore_steps
from fedmetaalign.phases.client import Client
from fedmetaalign.phases.schedule import federation, pretraining
from fedmetaalign.phases.server import Server, State, rounds
from fedmetaalign.randomness import generator
from fedmetaalign.recipe import parse
from fedmetaalign.run import training_steps
from fedmetaalign.run_folder import RunFolder


def server_of(recipe, on_steps=ignore_steps):
    fleet, learner = build(recipe), learner_of(recipe, on_steps=on_steps)
    clients = [Client(recipe, device, learner) for device in fleet.devices]
    return Server(
        recipe, LocalEngine(DeviceRunner(client, METHOD) for client in clients), learner, fleet.public
    )


def small(seed=0, foundation=True, serial=2, parallel=3, cohort=1.0, **settings):
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
            "parallel": {"rounds": parallel, "cohort": cohort, **settings},
        },
        "here",
    )


def plan_of(recipe, on_steps=ignore_steps):
    server = server_of(recipe, on_steps)
    return pretraining(server) + METHOD.rounds(server)


def start(recipe):
    return State(learner_of(recipe).initial())


def run(recipe):
    """All states of a run, the first one included, and its records."""
    states, records = [start(recipe)], []
    for _, state, told in rounds(plan_of(recipe), states[0]):
        states.append(state)
        records += told
    return states, records


def finish(plan, state):
    """The state at the end of a plan, and the records of what was left of it."""
    records = []
    for _, reached, told in rounds(plan, state):
        state, records = reached, records + told
    return state, records


@pytest.fixture(scope="module")
def undisturbed():
    return run(small(cohort=0.6))


def test_the_phases_come_in_the_papers_order():
    expected = [("foundation", 1), ("serial", 1), ("serial", 2), *[("parallel", i) for i in (1, 2, 3)]]
    assert [(r.phase, r.number) for r in plan_of(small())] == expected


def test_it_starts_from_random_weights_of_the_seed():
    expected = initialize(Network(9, (8, 6)), generator(3, "initialize"))
    assert start(small(seed=3)).weights.tobytes() == expected.tobytes()


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


def test_the_foundation_does_not_know_the_fleet():
    with_foundation, _ = run(small(serial=0, parallel=0))
    assert with_foundation[1].weights.tobytes() == run(small())[0][1].weights.tobytes()


def test_phases_1_and_2_may_start_from_given_weights(undisturbed):
    states, records = undisturbed
    plan = federation(server_of(small(cohort=0.6)))
    assert [r.phase for r in plan] == ["serial"] * 2 + ["parallel"] * 3
    state, told = finish(plan, State(states[1].weights))
    assert state.weights.tobytes() == states[6].weights.tobytes()
    assert told == records[1:]
    assert (state.done, list(state.stages)) == (5, ["serial", "parallel"])


def test_phase_0_needs_no_devices(undisturbed):
    states, _ = undisturbed
    recipe = small(cohort=0.6)
    server = Server(recipe, LocalEngine([]), learner_of(recipe), build(recipe).public)
    _, state, _ = next(rounds(pretraining(server), start(recipe)))
    assert state.weights.tobytes() == states[1].weights.tobytes()
    assert pretraining(replace(server, public=None)) == []


def test_a_rule_that_remembers_resumes_from_a_run_folder_with_the_same_bits(tmp_path):
    # A cohort of two of three, so that the devices have taken part in unlike numbers of rounds.
    recipe = small(serial=0, parallel=4, cohort=0.6, aggregation="fedadp")
    states, records = run(recipe)
    remembered = states[-1].memory
    assert sum(rounds_ for _, rounds_ in remembered.values()) == 8
    for done in (1, 2, 3, 4):
        folder = RunFolder.create(tmp_path / str(done), recipe)
        folder.checkpoint(states[done], [])
        state, told = finish(plan_of(recipe), folder.restore(len(states[done].weights)))
        assert state.weights.tobytes() == states[-1].weights.tobytes()
        assert {name: array.tobytes() for name, array in state.memory.items()} == {
            name: array.tobytes() for name, array in remembered.items()
        }
        assert told == records[len(records) - len(told) :]


def test_forgetting_the_angles_would_be_noticed():
    recipe = small(serial=0, cohort=0.6, aggregation="fedadp")
    states, _ = run(recipe)
    end, _ = finish(plan_of(recipe), State(states[3].weights, states[3].done, states[3].stages))
    assert end.weights.tobytes() != states[-1].weights.tobytes()


@pytest.mark.parametrize("settings", [{"aggregation": "fltrust"}, {"reference": "root"}])
def test_a_rule_that_needs_it_is_given_the_servers_own_delta(settings):
    recipe = small(serial=0, parallel=2, **settings)
    taken = []
    state, records = finish(federation(server_of(recipe, taken.append)), start(recipe))
    assert sum(taken) == 2 * (3 + 1) * 32  # three devices train on 32 samples each, and the server
    assert np.isfinite(state.weights).all()
    assert all(-1 <= r["alignment"] <= 1 for r in records)


@pytest.mark.parametrize("samples", [100, 25])
@pytest.mark.parametrize("cohort", [1.0, 0.6])
def test_the_steps_of_the_server_are_counted_before_they_are_taken(cohort, samples):
    # With 25 public samples there are fewer of them than a device trains on.
    recipe = small(serial=1, parallel=2, cohort=cohort, aggregation="fltrust", epochs=2)
    recipe = recipe.model_copy(update={"foundation": recipe.foundation.model_copy(update={"samples": samples})})
    fleet = build(recipe)
    taken = []
    plan = plan_of(recipe, taken.append)
    finish(plan, start(recipe))
    assert sum(taken) == training_steps(recipe, fleet, plan) - training_steps(recipe, fleet, [])


def test_a_rule_that_does_not_need_it_costs_no_step_of_the_server():
    recipe = small(serial=0, parallel=1)
    taken = []
    next(rounds(federation(server_of(recipe, taken.append)), start(recipe)))
    assert sum(taken) == 3 * 32  # the devices'
