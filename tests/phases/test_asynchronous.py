"""Rounds that wait for the first deltas alone, with numbers worked out by hand, and against those that wait."""

import json

import numpy as np
import pytest
from fake_engine import FakeEngine, server_of, update

from fedmetaalign.aggregation import stacked
from fedmetaalign.aggregation.mean import MEAN
from fedmetaalign.aggregation.similarity import similarity
from fedmetaalign.errors import RecipeError, RunError
from fedmetaalign.federation.records import RoundError
from fedmetaalign.phases import asynchronous
from fedmetaalign.phases.asynchronous import buffered_round, check_buffer
from fedmetaalign.phases.parallel import fl_round
from fedmetaalign.phases.server import State
from fedmetaalign.recipe import parse
from fedmetaalign.run import run

UPDATES = {"a": update(8, 0), "b": update(0, 8), "c": update(4, 4)}
ZERO = np.zeros(2, np.float32)


@pytest.fixture
def durations(monkeypatch):
    """A training takes a 1, b 1.5 and c 4."""
    monkeypatch.setattr(asynchronous, "_duration", lambda seed, name: {"a": 1.0, "b": 1.5, "c": 4.0}[name])


def rounds_of(engine, count, deltas=2, **settings):
    server = server_of(engine, parallel={"rounds": 10, "asynchronous": deltas, **settings})
    states, records = [State(ZERO)], []
    for number in range(1, count + 1):
        state, found = buffered_round(server, states[-1], number, MEAN)
        states.append(state)
        records.append(found)
    return states, records


def test_the_fast_start_again_and_the_slow_go_on_from_what_they_were_given(durations):
    engine = FakeEngine("abc", UPDATES)
    states, records = rounds_of(engine, 4)
    # a and b are done by 1.5, by 3.0, and a by 4.0 = 3.0 + 1 with c, which began at 0 and was given round 1's.
    assert [(name, number) for name, number, _ in engine.trained] == [
        *[("a", 1), ("b", 1)],
        *[("a", 2), ("b", 2)],
        *[("a", 3), ("c", 1)],
        *[("b", 3), ("a", 4)],  # b since 3.0, so by 4.5; a since 4.0, so by 5.0
    ]
    assert [r["staleness"] for found in records for r in found] == [0, 0, 0, 0, 0, 2, 0, 1]
    # Means of (8, 0) and (0, 8) twice; of (8, 0) and (4, 4) / sqrt(3); of (8, 0) and (0, 8) / sqrt(2).
    late, b_late = 4 / np.sqrt(3), 8 / np.sqrt(2)
    expected = [(0, 0), (4, 4), (8, 8), (12 + late / 2, 8 + late / 2)]
    expected.append((expected[3][0] + 4, expected[3][1] + b_late / 2))
    np.testing.assert_allclose([state.weights for state in states], expected, rtol=1e-6)
    assert engine.trained[5][2] == [0, 0]  # c trains what round 1 gave it
    assert engine.trained[6][2] == [8, 8]


def test_nothing_is_kept_of_weights_that_nobody_works_with_nor_after_the_last_round(durations):
    states, _ = rounds_of(FakeEngine("abc", UPDATES), 3)
    kept = {key for key in states[3].memory if key.startswith(asynchronous._WEIGHTS)}
    assert kept == {"asynchronous.weights.3"}  # b is at work on them
    server = server_of(FakeEngine("abc", UPDATES), parallel={"rounds": 1, "asynchronous": 2})
    assert buffered_round(server, State(ZERO), 1, MEAN)[0].memory == {}


def test_a_round_of_all_deltas_is_one_that_waits():
    rule = stacked(similarity)
    server = server_of(FakeEngine("abc", UPDATES), parallel={"asynchronous": 3})
    waits = server_of(FakeEngine("abc", UPDATES))
    state = other = State(ZERO)
    for number in (1, 2):
        state, records = buffered_round(server, state, number, rule)
        other, expected = fl_round(waits, other, number, rule)
        assert state.weights.tobytes() == other.weights.tobytes()
        assert records == [record | {"staleness": 0} for record in expected]


def test_who_does_not_answer_is_not_waited_for_and_starts_again_from_new_weights(durations):
    engine = FakeEngine("abc", UPDATES, deaf=("a",))
    states, records = rounds_of(engine, 1)
    assert [(r["device"], r.get("absent")) for r in records[0]] == [
        ("b", None),
        ("c", None),
        ("a", "it is deaf"),
    ]
    engine.deaf = ()
    server = server_of(engine, parallel={"rounds": 10, "asynchronous": 1})
    buffered_round(server, states[1], 2, MEAN)
    assert engine.trained[-1][:2] == ("a", 2)
    engine.deaf = "abc"
    with pytest.raises(RoundError, match=r"In parallel round 3 none of 3 devices gave a sound answer"):
        buffered_round(server, states[1], 3, MEAN)


def test_more_deltas_than_devices_are_waited_for_by_nobody():
    recipe = parse({"fleet": {"simulator": "feeder"}, "parallel": {"asynchronous": 5}}, "here")
    check_buffer(recipe, 5)
    with pytest.raises(
        RunError, match=r"asynchronous = 5 waits for 5 deltas, and 4 devices train: set it to 4"
    ):
        check_buffer(recipe, 4)


def test_a_run_that_was_stopped_goes_on_with_who_was_at_work(tmp_path, monkeypatch):
    recipe = parse(
        {
            "fleet": {"simulator": "feeder", "count": 4, "samples": 100},
            "model": {"hidden": [4]},
            "serial": {"rounds": 0},
            "parallel": {"rounds": 5, "asynchronous": 2},
            "personalize": {"epochs": 1},
            "evaluation": {"alone": False},
        },
        "here",
    )
    run(recipe, tmp_path / "whole")
    records = [json.loads(line) for line in (tmp_path / "whole" / "rounds.jsonl").read_text().splitlines()]
    found = [record["staleness"] for record in records if record["phase"] == 2]
    assert len(found) == 10 and max(found) > 0

    def stops(server, state, number, aggregator):
        if number == 4:
            raise KeyboardInterrupt
        return buffered_round(server, state, number, aggregator)

    with monkeypatch.context() as patch:
        patch.setattr("fedmetaalign.phases.schedule.buffered_round", stops)
        with pytest.raises(KeyboardInterrupt):
            run(recipe, tmp_path / "stopped")
    run(recipe, tmp_path / "stopped", resume=True)
    for name in ("rounds.jsonl", "results.json", "checkpoint.safetensors"):
        assert (tmp_path / "stopped" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_a_method_that_waits_for_all_is_not_told_to_do_without():
    raw = {"fleet": {"simulator": "feeder"}, "parallel": {"asynchronous": 2}, "method": "fedavg"}
    with pytest.raises(RecipeError, match=r'"fedavg" waits for all that it asks: take it out'):
        parse(raw, "here")
