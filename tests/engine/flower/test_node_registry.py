"""The registry knows which node is which device, from when it comes until it goes, and who may take part."""

import threading
import time
from types import SimpleNamespace

import pytest
from small_run import HEADER
from toy_fleet import Keyless, ToyGrid, called, refused, registry_of

from fedmetaalign.engine.flower import node_registry as registry_module
from fedmetaalign.engine.flower import replies
from fedmetaalign.fleet.shared import Hello

TWO = ("fan", "pump")


def refuse(content):
    return replies.refuse(str(content["reply"]["device"]), "The table has no column 'heat'.")


def test_names_those_who_may_take_part_and_tells_who_is_there():
    with ToyGrid() as grid:
        registry = registry_of(grid, ["pump", "fan", "boiler"])
        assert registry.names == ("boiler", "fan", "pump")
        assert not any(each.online for each in registry.liveness().values())
        called(registry, "fan", "pump")
        liveness = registry.liveness()
        assert {name: each.online for name, each in liveness.items()} == {
            "boiler": False,
            "fan": True,
            "pump": True,
        }
        assert liveness["boiler"].last_seen is None and liveness["fan"].last_seen > 1.7e9
        assert registry.refusal("boiler") == "It is not there."
        grid.leave("pump")
        called(registry, "fan")
        assert not registry.liveness()["pump"].online and registry.liveness()["pump"].last_seen is not None


def test_whoever_comes_is_believed_its_name_where_there_is_no_roster():
    with Keyless(one="pump", two="fan") as grid:
        registry = registry_of(grid, None)
        assert registry.names == ()
        called(registry, "fan", "pump")
        assert registry.names == TWO
        grid.leave("one")
        called(registry, "fan")
        assert registry.names == TWO  # it may come again


def test_a_device_is_asked_once_for_as_long_as_it_stays():
    with ToyGrid() as grid:
        registry = registry_of(grid)
        called(registry, *TWO)
        pulls = grid.pulls
        for _ in range(5):
            registry.poll()
        assert sorted(grid.toys.asked) == [("fan", "introduce"), ("pump", "introduce")]
        assert grid.pulls == pulls  # nobody owes an answer any more


def test_a_device_that_was_away_unseen_is_another_visitor():
    with ToyGrid() as grid:
        registry = registry_of(grid)
        before = called(registry, *TWO)
        grid.leave("pump")
        grid.join("pump")
        assert "pump" not in registry.poll()
        assert registry.refusal("pump") == "It has not introduced itself yet."
        after = called(registry, *TWO)
        assert after["pump"] is not before["pump"] and after["pump"].node == before["pump"].node
        assert after["fan"] is before["fan"]
        assert grid.toys.asked.count(("pump", "introduce")) == 2


def test_a_device_that_cannot_take_part_says_why_and_is_not_pestered():
    with ToyGrid() as grid:
        grid.toys.deeds["pump", "introduce"] = refuse
        registry = registry_of(grid)
        assert refused(registry, "pump") == "The table has no column 'heat'."
        called(registry, "fan")
        for _ in range(5):
            registry.poll()
        assert registry.refusal("pump") == "The table has no column 'heat'."
        assert grid.toys.asked.count(("pump", "introduce")) == 1


def test_a_device_that_could_not_take_part_is_asked_again_after_the_deadline(monkeypatch):
    with ToyGrid() as grid:
        grid.toys.deeds["pump", "introduce"] = refuse
        registry = registry_of(grid, deadline=600.0)
        refused(registry, "pump")
        del grid.toys.deeds["pump", "introduce"]
        for _ in range(5):
            registry.poll()
        later = SimpleNamespace(monotonic=lambda: time.monotonic() + 600, time=time.time)
        monkeypatch.setattr(registry_module, "time", later)
        called(registry, *TWO)
        assert registry.refused == {} and grid.toys.asked.count(("pump", "introduce")) == 2


def test_a_key_does_for_one_name_only():
    with ToyGrid(["fan"], pump="fan") as grid:
        registry = registry_of(grid)
        assert refused(registry, "pump") == "It was enrolled as 'pump' and calls itself 'fan'."
        online = called(registry, "fan")
        assert online["fan"].registered == "fan" and list(registry.refused) == ["pump"]


def test_of_two_with_one_name_who_came_first_is_asked_and_then_the_other():
    with Keyless(one="pump", two="pump") as grid:
        one, two = grid.get_node_ids()
        registry = registry_of(grid, None)
        grid.leave("one")
        assert called(registry, "pump")["pump"].node == two
        grid.join("one")
        while sum(session.hello is not None for session in registry._sessions.values()) < 2:
            assert registry.poll()["pump"].node == two
            time.sleep(0.01)
        assert registry.poll()["pump"].node == two
        grid.leave("two")
        assert registry.poll()["pump"].node == one  # at once: it has introduced itself already
        assert len(grid.toys.asked) == 2


def test_who_is_enrolled_or_revoked_meanwhile_is_in_or_out_at_the_next_call():
    with ToyGrid(["boiler", "fan", "pump"]) as grid:
        roster = ["fan", "pump"]
        registry = registry_of(grid, roster)
        called(registry, *TWO)
        assert ("boiler", "introduce") not in grid.toys.asked
        roster[:] = ["boiler", "pump"]
        assert "fan" not in registry.poll() and registry.names == ("boiler", "pump")
        called(registry, "boiler", "pump")
        roster[:] = ["boiler", "fan", "pump"]
        assert sorted(registry.poll()) == roster


def test_a_slow_device_owes_one_introduction_at_most():
    with ToyGrid() as grid:
        busy, free = threading.Event(), threading.Event()
        grid.toys.deeds["pump", "introduce"] = lambda content: (busy.set(), free.wait(600), content)[2]
        registry = registry_of(grid, deadline=0.3)
        assert refused(registry, "pump") == "It has not said in time who it is."
        assert busy.wait(60)
        assert grid.toys.asked.count(("pump", "introduce")) == 1
        registry.deadline = 600.0
        free.set()
        called(registry, *TWO)


def test_an_introduction_that_gets_lost_is_asked_for_again_long_before_the_deadline(monkeypatch):
    lost = []

    def lose(name, reply):
        if name == "pump" and len(lost) < 2:
            lost.append(reply)
            return None
        return reply

    monkeypatch.setattr(registry_module, "FIRST_DEADLINE", 0.2)
    with ToyGrid(faults=lose) as grid:
        registry = registry_of(grid, deadline=1e6)
        online = called(registry, *TWO)
        assert len(lost) == 2 and online["pump"].seconds >= 8 * 0.2  # 0.2, 0.4, and then enough


@pytest.mark.parametrize("answer", [[None], []])
def test_a_message_that_is_not_taken_is_sent_again_a_little_later(answer):
    with ToyGrid() as grid:
        grid.lost["pump"] = [answer, answer]
        called(registry_of(grid), *TWO)
        assert grid.lost["pump"] == []


@pytest.mark.parametrize(
    ("deed", "reason"),
    [
        (lambda content: content["arrays"], "Its app raised KeyError"),
        (lambda content: replies.refuse("../pump", "x"), "It calls itself '../pump'"),
        (
            lambda content: replies.write_hello("pump", "another", Hello(("a",), ("",))),
            "answered run",
        ),
    ],
)
def test_an_introduction_that_is_none_does_not_disturb_the_others(deed, reason):
    with ToyGrid() as grid:
        grid.toys.deeds["pump", "introduce"] = deed
        registry = registry_of(grid)
        assert reason in refused(registry, "pump")
        called(registry, "fan")


def test_a_roll_is_about_one_run():
    with ToyGrid() as grid:
        asked = []
        grid.toys.deeds["pump", "introduce"] = lambda content: asked.append(content) or content
        called(registry_of(grid), *TWO)
        assert [content["reply"]["run"] for content in asked] == [HEADER.run]
