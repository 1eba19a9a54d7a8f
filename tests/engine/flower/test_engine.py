"""An exchange over Flower: every device answers, or fails with a reason, and none disturbs the others."""

import threading
from collections import Counter
from contextlib import contextmanager

import httpx
import pytest
from flwr.app import ConfigRecord, Error
from flwr.app.message import make_message
from flwr.common.constant import ErrorCode
from small_run import HEADER, TRAIN, WEIGHTS
from toy_fleet import DELTA, FEATURES, ToyGrid, engine_of

from fedmetaalign.engine.flower import replies
from fedmetaalign.federation.messages import Train
from fedmetaalign.fleet.shared import Hello, Place, share

TWO = ("fan", "pump")


def failed(replies):
    return [(each.device, each.kind, each.reason) for each in replies.failed]


def lie(**said):
    """Answers with other words in the reply."""

    def deed(content):
        content["reply"] = ConfigRecord({**content["reply"], **said})
        return content

    return deed


@contextmanager
def impatient(engine, *honest):
    """Ends the patience with all others as soon as the answers of some have been read: no test waits for it."""
    read, heard, deadline, on_poll = engine._read, set(), engine.registry.deadline, engine.on_poll

    def look():
        if heard.issuperset(honest):
            engine.registry.deadline = 0.0

    engine._read = lambda device, *rest: (heard.add(device), read(device, *rest))[1]
    engine.on_poll = look
    yield
    engine._read, engine.on_poll, engine.registry.deadline = read, on_poll, deadline


@pytest.mark.parametrize("patience", [0.0, 0.2])
def test_who_is_not_there_is_absent_and_the_others_answer(patience):
    with ToyGrid() as grid:
        replies = engine_of(grid).exchange(["boiler", *TWO], TRAIN, patience)
        assert list(replies.answers) == list(TWO)
        assert failed(replies) == [("boiler", "absent", "It is not there.")]
        assert replies.answers["pump"].delta.tobytes() == DELTA.tobytes()


def test_who_cannot_take_part_is_absent_with_its_own_reason():
    with ToyGrid() as grid:
        engine = engine_of(grid)
        grid.toys.deeds["pump", "introduce"] = lambda content: replies.refuse("pump", "The table is empty.")
        grid.leave("pump")
        grid.join("pump")
        while not engine.registry.refused:
            engine.registry.poll()
        assert failed(engine.exchange(TWO, TRAIN)) == [("pump", "absent", "The table is empty.")]


@pytest.mark.parametrize("back", [False, True], ids=["away", "back at once"])
def test_who_leaves_before_it_answers_is_absent(back):
    with ToyGrid() as grid:
        engine, busy = engine_of(grid), threading.Event()

        def go():
            if busy.is_set():
                grid.leave("pump")
                if back:
                    grid.join("pump")
                busy.clear()
                free.set()

        free = threading.Event()
        grid.toys.deeds["pump", "train"] = lambda content: (busy.set(), free.wait(60), content)[2]
        engine.on_poll = go
        replies = engine.exchange(TWO, TRAIN)
        assert list(replies.answers) == ["fan"]
        assert failed(replies) == [("pump", "absent", "It left before it answered.")]
        assert failed(engine.exchange(["fan"], TRAIN)) == []  # and that was all about it


def test_questions_that_nobody_will_answer_are_forgotten():
    with ToyGrid() as grid:
        engine, free = engine_of(grid), threading.Event()
        grid.toys.deeds["pump", "train"] = lambda content: (free.wait(60), content)[1]
        with impatient(engine, "fan"):
            assert len(engine.exchange(TWO, TRAIN).failed) == 1
        assert len(engine._overdue) == 1
        grid.leave("pump")
        free.set()
        assert failed(engine.exchange(TWO, TRAIN)) == [("pump", "absent", "It is not there.")]
        assert engine._overdue == {}


def test_with_patience_who_comes_or_comes_back_is_asked():
    with ToyGrid(["boiler", *TWO]) as grid:
        engine, busy, free = engine_of(grid, ("boiler", *TWO)), threading.Event(), threading.Event()
        grid.leave("boiler")

        def events():
            if busy.is_set():
                grid.leave("pump")
                busy.clear()
                del grid.toys.deeds["pump", "train"]
                free.set()
            elif free.is_set() and len(list(grid.get_nodes())) == 1:
                grid.join("boiler")
                grid.join("pump")

        grid.toys.deeds["pump", "train"] = lambda content: (busy.set(), free.wait(60), content)[2]
        engine.on_poll = events
        replies = engine.exchange(["boiler", *TWO], TRAIN, patience=60.0)
        assert list(replies.answers) == ["boiler", "fan", "pump"] and replies.failed == ()
        assert Counter(grid.toys.asked) == {
            ("boiler", "introduce"): 2,
            ("boiler", "train"): 1,
            ("fan", "introduce"): 1,
            ("fan", "train"): 1,
            ("pump", "introduce"): 2,
            ("pump", "train"): 2,
        }


def fail(content):
    raise ValueError("no\ndata")


@pytest.mark.parametrize(
    ("deed", "kind", "reason"),
    [
        (fail, "absent", "Its app raised ValueError: no data"),
        (lambda _: replies.refuse("pump", "Training has diverged."), "rejected", "Training has diverged."),
        (lie(round=2), "rejected", "It answered round 2, and was asked 3."),
        (lie(device="fan"), "rejected", "It answered in the name of 'fan'."),
    ],
)
def test_who_fails_or_lies_is_not_asked_again_whatever_the_patience(deed, kind, reason):
    with ToyGrid() as grid:
        engine = engine_of(grid)
        grid.toys.deeds["pump", "train"] = deed
        replies = engine.exchange(TWO, TRAIN, patience=60.0)
        assert list(replies.answers) == ["fan"] and failed(replies) == [("pump", kind, reason)]
        assert grid.toys.asked.count(("pump", "train")) == 1


def test_who_pretends_to_have_left_is_not_asked_without_a_pause():
    def pretend(name, reply):
        if name == "pump" and reply.metadata.message_type == "train.train":
            return make_message(reply.metadata, error=Error(ErrorCode.NODE_UNAVAILABLE, "x"))
        return reply

    with ToyGrid(faults=pretend) as grid:
        engine = engine_of(grid)
        engine.registry.pause = 0.1
        replies = engine.exchange(TWO, TRAIN, patience=0.35)
        assert failed(replies) == [("pump", "absent", "It left before it answered.")]
        assert 1 <= grid.toys.asked.count(("pump", "train")) <= 5


def test_who_is_revoked_while_it_is_waited_for_is_waited_for_no_longer():
    with ToyGrid() as grid:
        roster = ["boiler", *TWO]
        engine = engine_of(grid)
        engine.registry.roster = lambda: roster
        engine.on_poll = lambda: "boiler" in roster and roster.remove("boiler")
        replies = engine.exchange(["boiler", *TWO], TRAIN, patience=1e9)
        assert list(replies.answers) == list(TWO)
        assert failed(replies) == [("boiler", "absent", "It is not there.")]


class Halting(ToyGrid):
    """A grid in which the answers of one node begin to arrive, and go on only when they may."""

    def __init__(self) -> None:
        super().__init__()
        self.may, self.pulled = threading.Event(), []

    def pull_messages(self, message_ids):
        replies = list(super().pull_messages(message_ids))
        for reply in replies:
            if reply.metadata.src_node_id == 3 and reply.metadata.message_type == "train.train":
                self.pulled.append(reply.metadata.reply_to_message_id)
                self.may.wait(60)
        return replies


@pytest.mark.parametrize("slow", ["to train", "to arrive"])
def test_an_answer_after_the_deadline_is_dropped_and_reported_once(slow):
    with Halting() as grid:
        engine = engine_of(grid)
        engine.registry.mailbox.poll_timeout = 0.01
        if slow == "to train":
            grid.toys.deeds["pump", "train"] = lambda content: (grid.may.wait(60), content)[1]
        with impatient(engine, "fan"):
            replies = engine.exchange(TWO, TRAIN)
        assert list(replies.answers) == ["fan"]
        assert failed(replies) == [("pump", "absent", "It did not answer within 0 seconds.")]
        grid.may.set()
        for _ in range(500):
            if told := failed(engine.exchange(["fan"], Train(WEIGHTS, 4, 2))):
                break
        assert told == [("pump", "late", "Its answer to train 3 came after the deadline, and was dropped.")]
        after = engine.exchange(TWO, Train(WEIGHTS, 5, 2))
        assert list(after.answers) == list(TWO) and after.failed == ()
        assert engine._overdue == {}


def test_an_answer_that_takes_long_to_arrive_holds_up_nobody():
    with Halting() as grid:
        engine, looks = engine_of(grid), []
        engine.registry.mailbox.poll_timeout = 0.0

        def look():
            looks.append(len(grid.pulled))
            if len(looks) > 5 and grid.pulled:
                grid.may.set()

        engine.on_poll = look
        replies = engine.exchange(TWO, TRAIN)
        assert list(replies.answers) == list(TWO) and replies.failed == ()
        assert len(grid.pulled) == 1 and looks.count(1) > 1  # it was looked at meanwhile, and pulled once


class Garbled(ToyGrid):
    """A grid in which one node's answers to training make Flower stumble."""

    error: Exception = ValueError("Unexpected set of `children`.")

    def pull_messages(self, message_ids):
        replies = list(super().pull_messages(message_ids))
        for reply in replies:
            if reply.metadata.src_node_id == 3 and reply.metadata.message_type == "train.train":
                raise self.error
        return replies


def bare(name, reply):
    """Takes away the records of an answer, as Flower's own code would not."""
    if name == "pump" and reply.metadata.message_type == "train.train":
        reply.__dict__["_content"] = reply.content["arrays"]
    return reply


@pytest.mark.parametrize("kind", [ValueError, AttributeError, IndexError, RecursionError, MemoryError])
def test_an_answer_that_flower_cannot_read_is_rejected(kind):
    with Garbled() as grid:
        grid.error = kind("odd\x1b[2J bytes")
        replies = engine_of(grid).exchange(TWO, TRAIN, patience=60.0)
        assert list(replies.answers) == ["fan"]
        assert failed(replies) == [("pump", "rejected", "Its answer cannot be read (odd [2J bytes).")]


def test_an_answer_without_records_is_rejected():
    with ToyGrid(faults=bare) as grid:
        [(device, kind, reason)] = failed(engine_of(grid).exchange(TWO, TRAIN))
        assert (device, kind) == ("pump", "rejected") and reason.startswith("Its answer cannot be read (")


def test_a_superlink_that_is_gone_is_not_taken_for_a_device_s_fault():
    with Garbled() as grid:
        grid.error = httpx.ConnectError("refused")
        with pytest.raises(httpx.ConnectError):
            engine_of(grid).exchange(TWO, TRAIN)


@pytest.mark.parametrize("answer", [[None], []], ids=["not taken", "too large"])
def test_a_question_that_cannot_be_sent_is_sent_again_only_with_patience(answer):
    with ToyGrid() as grid:
        engine = engine_of(grid)
        grid.lost["pump"] = [answer]
        assert [m.device for m in engine.exchange(TWO, TRAIN).failed] == ["pump"]
        grid.lost["pump"] = [answer, answer]
        assert list(engine.exchange(TWO, TRAIN, patience=60.0).answers) == list(TWO)


def test_each_device_gets_its_own_place():
    told = {"fan": Hello(FEATURES[::-1], ("mm",) * 3), "pump": Hello(FEATURES, ("mm",) * 3)}
    with ToyGrid(["milling", "pump"]) as grid:
        shared = share(told, HEADER.recipe)
        engine = engine_of(grid, ("milling", "pump"), shared=shared)
        engine.exchange(["milling", "pump"], TRAIN)
        assert grid.toys.places == {"milling": Place((0, -1, -1)), "pump": Place((2, 1, 0))}


def test_a_device_that_is_revoked_is_not_asked_and_one_that_is_enrolled_is():
    with ToyGrid(["boiler", *TWO]) as grid:
        roster = ["fan", "pump"]
        engine = engine_of(grid, ("boiler", *TWO))
        engine.registry.roster = lambda: roster
        assert engine.names == TWO
        roster[:] = ["boiler", "fan"]
        replies = engine.exchange(TWO, TRAIN)
        assert [(m.device, m.kind) for m in replies.failed] == [("pump", "absent")]
        assert list(engine.exchange(engine.names, TRAIN).answers) == ["boiler", "fan"]


def test_everyone_is_looked_after_while_it_waits():
    with ToyGrid() as grid:
        looks = []
        engine = engine_of(grid, on_poll=lambda: looks.append(engine.liveness()))
        engine.exchange(TWO, TRAIN)
        assert looks and all(liveness["pump"].online for liveness in looks)
