"""The fleet over Flower: an `Engine` that speaks to the devices through a `Grid`."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from flwr.app import RecordDict

from fedmetaalign.engine.flower.answers import read_answer
from fedmetaalign.engine.flower.post import LEFT, UNSENT, Failure
from fedmetaalign.engine.flower.questions import Envelope, ask, kind
from fedmetaalign.engine.flower.roll import Roll, Visitor
from fedmetaalign.engine.flower.wire import WireError
from fedmetaalign.federation.engine import Missed, Presence, Replies
from fedmetaalign.federation.messages import Reply, Request
from fedmetaalign.fleet.shared import Shared
from fedmetaalign.model.mlp import Network


@dataclass
class Question:
    """A request to one device.

    Attributes:
        device: its name.
        visitor: to whom it was sent; None while it has to be sent.
        message: the id that the answer will name.
        sent: when, by the monotonic clock.
        due: when it may be sent, by the same.
        lost: why it has to be sent again; empty where it was not sent yet.
    """

    device: str
    visitor: Visitor | None = None
    message: str = ""
    sent: float = 0.0
    due: float = 0.0
    lost: str = ""


@dataclass
class FlowerEngine:
    """Exchanges messages with the devices that are there, and judges what comes back.

    Attributes:
        roll: knows who is there.
        shared: what the devices have agreed on.
        on_poll: called at each look for answers.
        poll: seconds between the first looks, each of which asks the SuperLink for every answer by itself;
            later ones come as seldom as adds a twentieth to what the devices take, but once a second.
    """

    roll: Roll
    shared: Shared = field(default_factory=Shared)
    on_poll: Callable[[], None] = lambda: None
    poll: float = 0.1
    _overdue: dict[str, tuple[str, str]] = field(default_factory=dict)

    @property
    def names(self) -> tuple[str, ...]:
        """The devices that may take part, sorted by name, whether they are there or not."""
        return self.roll.names

    def presence(self) -> Mapping[str, Presence]:
        """Tells which of them were there at the last look."""
        return self.roll.presence()

    def exchange(self, names: Sequence[str], request: Request[Reply], patience: float = 0.0) -> Replies[Reply]:
        """Asks the named devices that are there, and waits for each until its deadline."""
        answers: dict[str, Reply] = {}
        missed: list[Missed] = []
        began = time.monotonic()
        questions = [Question(name) for name in names]
        while questions:
            there = self.roll.call()
            for question in questions:
                self._send(question, there, request)
            missed += self._late()
            looked = time.monotonic()  # who answers while others are looked at is not late for that
            came = self.roll.post.collect([q.message for q in questions if q.message])
            awaited = set(self.names) if looked < began + patience else set()
            for question in list(questions):
                patient = question.device in awaited
                content = came.get(question.message)
                verdict = self._judge(question, content, there, request, looked, patient)
                if verdict is None:
                    continue
                questions.remove(question)
                if isinstance(verdict, Missed):
                    missed.append(verdict)
                else:
                    answers[question.device] = verdict
            self.on_poll()
            if questions:
                time.sleep(min(max(self.poll, (time.monotonic() - began) / 20), 1.0))
        return Replies(dict(sorted(answers.items())), tuple(sorted(missed, key=lambda each: each.device)))

    def _send(self, question: Question, there: Mapping[str, Visitor], request: Request[Any]) -> None:
        """Sends a question that has yet to be sent, if its device is there."""
        visitor, now = there.get(question.device), time.monotonic()
        if question.visitor or visitor is None or visitor.introduction is None or now < question.due:
            return
        place = self.shared.place(visitor.introduction, self.roll.envelope.recipe.model)
        content = ask(self._envelope(question.device), request, place)
        # Flower keeps it longer than the deadline, so that an answer that comes late is told from none.
        seconds, group = 10 * self.roll.deadline, str(request.number)
        message = self.roll.post.send(content, visitor.node, f"train.{kind(request)}", seconds, group)
        question.visitor, question.message, question.sent = visitor, message or "", now

    def _judge(
        self,
        question: Question,
        content: RecordDict | Failure | None,
        there: Mapping[str, Visitor],
        request: Request[Reply],
        looked: float,
        patient: bool,
    ) -> Reply | Missed | None:
        """Returns the answer to a question, or why there is none; None while there may be one.

        Args:
            question: which.
            content: what came of it when it was looked for.
            there: the devices that are there.
            request: what was asked.
            looked: when, by the monotonic clock.
            patient: whether a device is waited for that is not there.

        Only who is not there, or has left, is waited for: who has failed once would do so again.
        """
        device, visitor = question.device, question.visitor
        if isinstance(content, RecordDict):
            try:
                return self._read(device, request, content)
            except WireError as error:
                return Missed(device, "rejected", str(error))
        if isinstance(content, Failure) and content.kind != "left":
            return Missed(device, "rejected" if content.kind == "unreadable" else "absent", content.sentence)
        if visitor is None:
            why = self.roll.refused.get(device) or question.lost or self.roll.refusal(device)
            return None if patient else Missed(device, "absent", why)
        left = content is not None or not question.message or there.get(device) is not visitor
        if not left and looked <= question.sent + self.roll.deadline:
            return None
        if content is None and question.message:  # from now on its answer comes late
            self._overdue[question.message] = device, f"{kind(request)} {request.number}"
        if not left:
            return Missed(device, "absent", f"It did not answer within {self.roll.deadline:g} seconds.")
        question.lost = content.sentence if content else LEFT if question.message else UNSENT
        if not patient:
            return Missed(device, "absent", question.lost)
        question.visitor, question.message, question.due = None, "", time.monotonic() + self.roll.pause
        return None

    def _read(self, device: str, request: Request[Reply], content: RecordDict) -> Reply:
        model, target = self.roll.envelope.recipe.model, self.shared.target
        network = Network(model.inputs, model.hidden, target.outputs)
        return read_answer(content, self._envelope(device), request, network, target)

    def _envelope(self, device: str) -> Envelope:
        return replace(self.roll.envelope, device=device)

    def _late(self) -> list[Missed]:
        """Drops the answers to questions that were given up, and tells of them.

        Flower tells of each question in the end that no answer will come any more.
        """
        missed = []
        for message, content in self.roll.post.collect(list(self._overdue)).items():
            device, what = self._overdue.pop(message)
            if isinstance(content, RecordDict):
                reason = f"Its answer to {what} came after the deadline, and was dropped."
                missed.append(Missed(device, "late", reason))
        return missed
