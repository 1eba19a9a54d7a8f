"""The roll knows which node is which device, from when it comes until it goes, and who may take part."""

import threading
import time
from types import SimpleNamespace

import pytest
from small_run import ENVELOPE
from toy_fleet import Keyless, ToyGrid, called, refused, roll_of

from fedmetaalign.engine.flower import answers
from fedmetaalign.engine.flower import roll as roll_module
from fedmetaalign.fleet.shared import Introduction

TWO = ("fan", "pump")


def refuse(content):
    return answers.refuse(str(content["reply"]["device"]), "The table has no column 'heat'.")


def test_names_those_who_may_take_part_and_tells_who_is_there():
    with ToyGrid() as grid:
        roll = roll_of(grid, ["pump", "fan", "boiler"])
        assert roll.names == ("boiler", "fan", "pump")
        assert not any(there.present for there in roll.presence().values())
        called(roll, "fan", "pump")
        presence = roll.presence()
        assert {name: there.present for name, there in presence.items()} == {
            "boiler": False,
            "fan": True,
            "pump": True,
        }
        assert presence["boiler"].seen is None and presence["fan"].seen > 1.7e9
        assert roll.refusal("boiler") == "It is not there."
        grid.leave("pump")
        called(roll, "fan")
        assert not roll.presence()["pump"].present and roll.presence()["pump"].seen is not None


def test_whoever_comes_is_believed_its_name_where_there_is_no_roster():
    with Keyless(one="pump", two="fan") as grid:
        roll = roll_of(grid, None)
        assert roll.names == ()
        called(roll, "fan", "pump")
        assert roll.names == TWO
        grid.leave("one")
        called(roll, "fan")
        assert roll.names == TWO  # it may come again


def test_a_device_is_asked_once_for_as_long_as_it_stays():
    with ToyGrid() as grid:
        roll = roll_of(grid)
        called(roll, *TWO)
        pulls = grid.pulls
        for _ in range(5):
            roll.call()
        assert sorted(grid.toys.asked) == [("fan", "introduce"), ("pump", "introduce")]
        assert grid.pulls == pulls  # nobody owes an answer any more


def test_a_device_that_was_away_unseen_is_another_visitor():
    with ToyGrid() as grid:
        roll = roll_of(grid)
        before = called(roll, *TWO)
        grid.leave("pump")
        grid.join("pump")
        assert "pump" not in roll.call()
        assert roll.refusal("pump") == "It has not introduced itself yet."
        after = called(roll, *TWO)
        assert after["pump"] is not before["pump"] and after["pump"].node == before["pump"].node
        assert after["fan"] is before["fan"]
        assert grid.toys.asked.count(("pump", "introduce")) == 2


def test_a_device_that_cannot_take_part_says_why_and_is_not_pestered():
    with ToyGrid() as grid:
        grid.toys.deeds["pump", "introduce"] = refuse
        roll = roll_of(grid)
        assert refused(roll, "pump") == "The table has no column 'heat'."
        called(roll, "fan")
        for _ in range(5):
            roll.call()
        assert roll.refusal("pump") == "The table has no column 'heat'."
        assert grid.toys.asked.count(("pump", "introduce")) == 1


def test_a_device_that_could_not_take_part_is_asked_again_after_the_deadline(monkeypatch):
    with ToyGrid() as grid:
        grid.toys.deeds["pump", "introduce"] = refuse
        roll = roll_of(grid, deadline=600.0)
        refused(roll, "pump")
        del grid.toys.deeds["pump", "introduce"]
        for _ in range(5):
            roll.call()
        later = SimpleNamespace(monotonic=lambda: time.monotonic() + 600, time=time.time)
        monkeypatch.setattr(roll_module, "time", later)
        called(roll, *TWO)
        assert roll.refused == {} and grid.toys.asked.count(("pump", "introduce")) == 2


def test_a_key_does_for_one_name_only():
    with ToyGrid(["fan"], pump="fan") as grid:
        roll = roll_of(grid)
        assert refused(roll, "pump") == "It was enrolled as 'pump' and calls itself 'fan'."
        there = called(roll, "fan")
        assert there["fan"].registered == "fan" and list(roll.refused) == ["pump"]


def test_of_two_with_one_name_who_came_first_is_asked_and_then_the_other():
    with Keyless(one="pump", two="pump") as grid:
        one, two = grid.get_node_ids()
        roll = roll_of(grid, None)
        grid.leave("one")
        assert called(roll, "pump")["pump"].node == two
        grid.join("one")
        while sum(visitor.introduction is not None for visitor in roll._visitors.values()) < 2:
            assert roll.call()["pump"].node == two
            time.sleep(0.01)
        assert roll.call()["pump"].node == two
        grid.leave("two")
        assert roll.call()["pump"].node == one  # at once: it has introduced itself already
        assert len(grid.toys.asked) == 2


def test_who_is_enrolled_or_revoked_meanwhile_is_in_or_out_at_the_next_call():
    with ToyGrid(["boiler", "fan", "pump"]) as grid:
        roster = ["fan", "pump"]
        roll = roll_of(grid, roster)
        called(roll, *TWO)
        assert ("boiler", "introduce") not in grid.toys.asked
        roster[:] = ["boiler", "pump"]
        assert "fan" not in roll.call() and roll.names == ("boiler", "pump")
        called(roll, "boiler", "pump")
        roster[:] = ["boiler", "fan", "pump"]
        assert sorted(roll.call()) == roster


def test_a_slow_device_owes_one_introduction_at_most():
    with ToyGrid() as grid:
        busy, free = threading.Event(), threading.Event()
        grid.toys.deeds["pump", "introduce"] = lambda content: (busy.set(), free.wait(600), content)[2]
        roll = roll_of(grid, deadline=0.3)
        assert refused(roll, "pump") == "It has not said in time who it is."
        assert busy.wait(60)
        assert grid.toys.asked.count(("pump", "introduce")) == 1
        roll.deadline = 600.0
        free.set()
        called(roll, *TWO)


def test_an_introduction_that_gets_lost_is_asked_for_again_long_before_the_deadline(monkeypatch):
    lost = []

    def lose(name, reply):
        if name == "pump" and len(lost) < 2:
            lost.append(reply)
            return None
        return reply

    monkeypatch.setattr(roll_module, "FIRST_DEADLINE", 0.2)
    with ToyGrid(faults=lose) as grid:
        roll = roll_of(grid, deadline=1e6)
        there = called(roll, *TWO)
        assert len(lost) == 2 and there["pump"].seconds >= 8 * 0.2  # 0.2, 0.4, and then enough


@pytest.mark.parametrize("answer", [[None], []])
def test_a_message_that_is_not_taken_is_sent_again_a_little_later(answer):
    with ToyGrid() as grid:
        grid.lost["pump"] = [answer, answer]
        called(roll_of(grid), *TWO)
        assert grid.lost["pump"] == []


@pytest.mark.parametrize(
    ("deed", "reason"),
    [
        (lambda content: content["arrays"], "Its app raised KeyError"),
        (lambda content: answers.refuse("../pump", "x"), "It calls itself '../pump'"),
        (
            lambda content: answers.introduce("pump", "another", Introduction(("a",), ("",))),
            "answered run",
        ),
    ],
)
def test_an_introduction_that_is_none_does_not_disturb_the_others(deed, reason):
    with ToyGrid() as grid:
        grid.toys.deeds["pump", "introduce"] = deed
        roll = roll_of(grid)
        assert reason in refused(roll, "pump")
        called(roll, "fan")


def test_a_roll_is_about_one_run():
    with ToyGrid() as grid:
        asked = []
        grid.toys.deeds["pump", "introduce"] = lambda content: asked.append(content) or content
        called(roll_of(grid), *TWO)
        assert [content["reply"]["run"] for content in asked] == [ENVELOPE.run]
