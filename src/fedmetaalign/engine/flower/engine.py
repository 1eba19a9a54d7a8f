"""The fleet over Flower: an `Engine` that speaks to the devices through a `Grid`."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from flwr.app import RecordDict

from fedmetaalign.engine import Missed, Presence, Replies
from fedmetaalign.engine.flower.answers import read_answer
from fedmetaalign.engine.flower.post import collect, send
from fedmetaalign.engine.flower.questions import Envelope, ask, kind
from fedmetaalign.engine.flower.roll import Roll
from fedmetaalign.engine.flower.wire import WireError
from fedmetaalign.engine.messages import Reply, Request
from fedmetaalign.fleet.device import Moments
from fedmetaalign.model.mlp import Network

Pool = Mapping[tuple[str, ...], Moments]
"""The moments of all devices that have the same features."""


@dataclass
class Question:
    """A request to one device.

    Attributes:
        device: its name.
        node: that it was sent to.
        message: the id that the answer will name; None while the device is not there.
        sent: when, by the monotonic clock.
    """

    device: str
    node: int = 0
    message: str | None = None
    sent: float = 0.0


@dataclass
class FlowerEngine:
    """Exchanges messages with the devices that are there, and judges what comes back.

    Attributes:
        roll: knows who is there.
        pool: what devices are standardised with under `scaling = "fleet"`.
        on_poll: called at each look for answers.
        poll: seconds between two looks; short beside what a device takes.
    """

    roll: Roll
    pool: Pool = field(default_factory=dict)
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
        until = time.monotonic() + patience
        questions = [Question(name) for name in names]
        while questions:
            nodes = self.roll.call()
            for question in questions:
                if question.message is None and question.device in nodes:
                    self._send(question, nodes[question.device], request)
            missed += self._late()
            came = collect(self.roll.grid, [q.message for q in questions if q.message])
            questions, before = [], questions
            for question in before:
                content = came.get(question.message or "")
                if isinstance(content, RecordDict):
                    try:
                        answers[question.device] = self._read(question.device, request, content)
                    except WireError as error:
                        missed.append(Missed(question.device, "rejected", str(error)))
                    continue
                failure = str(content) if content else self._failure(question, nodes, request)
                if failure is None:
                    questions.append(question)
                elif time.monotonic() < until:
                    questions.append(Question(question.device))
                else:
                    missed.append(Missed(question.device, "absent", failure))
            self.on_poll()
            if questions:
                time.sleep(self.poll + 0.01 * len(questions))  # each is a request to the SuperLink
        return Replies(dict(sorted(answers.items())), tuple(sorted(missed, key=lambda each: each.device)))

    def _send(self, question: Question, node: int, request: Request[Any]) -> None:
        roll, moments = self.roll, self.pool.get(self.roll.introductions[question.device].features)
        content = ask(self._envelope(question.device), request, moments)
        # Flower keeps it longer than the deadline, so that an answer that comes late is told from none.
        seconds, group = 10 * roll.deadline, str(request.number)
        question.message = send(roll.grid, content, node, f"train.{kind(request)}", seconds, group)
        question.node, question.sent = node, time.monotonic()

    def _read(self, device: str, request: Request[Reply], content: RecordDict) -> Reply:
        model = self.roll.envelope.recipe.model
        return read_answer(content, self._envelope(device), request, Network(model.inputs, model.hidden))

    def _envelope(self, device: str) -> Envelope:
        return replace(self.roll.envelope, device=device)

    def _failure(self, question: Question, nodes: Mapping[str, int], request: Request[Any]) -> str | None:
        """Says why a question will not be answered; None while it may be."""
        if question.message is None:
            return self.roll.refusal(question.device)
        if nodes.get(question.device) != question.node:
            reason = "It left before it answered."
        elif time.monotonic() > question.sent + self.roll.deadline:
            reason = f"It did not answer within {self.roll.deadline:g} seconds."
        else:
            return None
        self._overdue[question.message] = question.device, f"{kind(request)} {request.number}"
        return reason

    def _late(self) -> list[Missed]:
        """Drops the answers to questions that were given up, and tells of them."""
        missed = []
        for message, content in collect(self.roll.grid, list(self._overdue)).items():
            device, what = self._overdue.pop(message)
            if isinstance(content, RecordDict):
                reason = f"Its answer to {what} came after the deadline, and was dropped."
                missed.append(Missed(device, "late", reason))
        return missed
