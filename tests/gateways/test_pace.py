"""How long a device waits, and whom it tells that there is a message."""

import os
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from fedmetaalign.gateways import pace


class Program:
    """An answerer that does nothing, and may have ended."""

    def __init__(self) -> None:
        self.told, write = os.pipe()
        self.stdin = os.fdopen(write, "wb")
        self.ended: int | None = None

    def poll(self) -> int | None:
        return self.ended


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A clock that sleeping moves on, and the programs that are started."""
    world = SimpleNamespace(now=100.0, slept=[], started=[], programs=[])

    def sleep(seconds: float) -> None:
        world.slept.append(round(seconds, 3))
        world.now += seconds

    def start(command: list[str], stdin: int) -> Program:
        world.started.append(command[1:])
        world.programs.append(Program())
        return world.programs[-1]

    monkeypatch.setattr(pace, "time", SimpleNamespace(sleep=sleep, monotonic=lambda: world.now))
    monkeypatch.setattr(pace.subprocess, "Popen", start)
    yield world
    for program in world.programs:
        program.stdin.close()
        os.close(program.told)


def test_a_server_that_holds_a_question_is_asked_again_at_once_and_another_after_a_second(world: Any) -> None:
    waits = pace.Pace(lambda: None)
    waits.sleep(3)  # it has begun long ago
    world.now += 10  # the question was held
    waits.sleep(3)
    assert world.slept == []
    world.now += 0.01
    waits.sleep(3)
    assert world.slept == [pace.IDLE]


def test_an_answer_is_looked_for_often_at_first_and_its_maker_told_once(world: Any) -> None:
    def answer(looks: int) -> None:
        for _ in range(looks):
            waits.sleep(0.5)

    waits = pace.Pace(answer)
    waits.start(["flower-superexec", "--insecure"])
    waits.answer(looks=3)
    assert world.slept == [0.01, 0.01, 0.01]
    assert os.read(world.programs[0].told, 100) == b"\n"
    waits.answer(looks=200)
    assert max(world.slept) == 0.25
    assert os.read(world.programs[0].told, 100) == b"\n"


def test_who_makes_answers_is_started_again_when_it_has_ended(world: Any) -> None:
    waits = pace.Pace(lambda: None)
    waits.start(["flower-superexec", "--insecure"])
    world.programs[0].ended = -9
    waits.answer()
    assert world.started == [["-m", pace.ANSWERER, "--insecure"]] * 2
    assert os.read(world.programs[1].told, 100) == b"\n"
