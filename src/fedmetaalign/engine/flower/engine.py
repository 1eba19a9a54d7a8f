"""The fleet over Flower: an `Engine` that speaks to the devices through a `Grid`."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from flwr.app import RecordDict

from fedmetaalign.engine.flower.mailbox import LEFT, UNSENT, Failure
from fedmetaalign.engine.flower.node_registry import NodeRegistry, Session
from fedmetaalign.engine.flower.replies import read_reply
from fedmetaalign.engine.flower.requests import Header, ask, kind
from fedmetaalign.engine.flower.wire import WireError
from fedmetaalign.federation.engine import FailedReply, Liveness, Replies
from fedmetaalign.federation.messages import Reply, Request
from fedmetaalign.fleet.placement import relatives
from fedmetaalign.fleet.shared import Shared
from fedmetaalign.model.target import ONE_SIDED
from fedmetaalign.phases.layers import network_of


@dataclass
class PendingRequest:
    """A request to one device.

    Attributes:
        device: its name.
        session: to whom it was sent; None while it has to be sent.
        message: the id that the answer will name.
        sent: when, by the monotonic clock.
        due: when it may be sent, by the same.
        lost: why it has to be sent again; empty where it was not sent yet.
    """

    device: str
    session: Session | None = None
    message: str = ""
    sent: float = 0.0
    due: float = 0.0
    lost: str = ""


@dataclass
class FlowerEngine:
    """Exchanges messages with the devices that are online, and judges what comes back.

    Attributes:
        registry: knows who is online.
        shared: what the devices have agreed on.
        on_poll: called at each look for answers.
        poll_interval: seconds between the first looks, each of which asks the SuperLink for every answer by
            itself; later ones come as seldom as adds a twentieth to what the devices take, and as takes a
            quarter of this process's time, but once a second.
    """

    registry: NodeRegistry
    shared: Shared = field(default_factory=Shared)
    on_poll: Callable[[], None] = lambda: None
    poll_interval: float = 0.02
    _overdue: dict[str, tuple[str, str]] = field(default_factory=dict)
    _at_work: dict[tuple[str, int], PendingRequest] = field(default_factory=dict)

    @property
    def names(self) -> tuple[str, ...]:
        """The devices that take part in the rounds, sorted by name: none that says it has no label."""
        hellos = self.registry.hellos
        return tuple(n for n in self.registry.names if n not in hellos or hellos[n].known != "nothing")

    @property
    def everyone(self) -> tuple[str, ...]:
        """The devices that may take part, sorted by name, whether they are online or not."""
        return self.registry.names

    def liveness(self) -> Mapping[str, Liveness]:
        """Tells which of them were online at the last look."""
        return self.registry.liveness()

    def families(self) -> Mapping[str, int]:
        """Tells the family of each device that has been online."""
        return relatives({name: hello.sensors for name, hello in self.registry.hellos.items()})

    def one_sided(self) -> frozenset[str]:
        """Tells which devices have said that their samples are all normal, or all faults."""
        return frozenset(n for n, hello in self.registry.hellos.items() if hello.known in ONE_SIDED)

    def exchange(self, names: Sequence[str], request: Request[Reply], patience: float = 0.0) -> Replies[Reply]:
        """Asks the named devices that are online, and waits for each until its deadline."""
        return self.exchange_each(dict.fromkeys(names, request), patience)

    def exchange_each(self, requests: Mapping[str, Request[Reply]], patience: float = 0.0) -> Replies[Reply]:
        """Asks each device something of its own, as `exchange` does."""
        self._at_work = {}  # nobody wants that any more
        return self._collect(requests, len(requests), patience)

    def first(self, requests: Mapping[str, Request[Reply]], count: int) -> Replies[Reply]:
        """Asks those that are online, and waits for so many answers, or until no more can come."""
        return self._collect(requests, count, 0.0)

    def _collect(self, requests: Mapping[str, Request[Reply]], count: int, patience: float) -> Replies[Reply]:
        """Asks, and waits; who is at work on what it was asked before is not asked again."""
        answers: dict[str, Reply] = {}
        failed: list[FailedReply] = []
        began = time.monotonic()
        at_work, self._at_work = self._at_work, {}
        unanswered = [
            at_work.get((name, request.number)) or PendingRequest(name) for name, request in requests.items()
        ]
        while unanswered and len(answers) < count:
            look = time.monotonic()
            online = self.registry.poll()
            for pending in unanswered:
                self._send(pending, online, requests[pending.device])
            failed += self._late()
            looked = time.monotonic()  # who answers while others are looked at is not late for that
            came = self.registry.mailbox.poll([q.message for q in unanswered if q.message])
            awaited = set(self.everyone) if looked < began + patience else set()
            for pending in list(unanswered):
                request, patient = requests[pending.device], pending.device in awaited
                content = came.get(pending.message)
                verdict = self._judge(pending, content, online, request, looked, patient)
                if verdict is None:
                    continue
                unanswered.remove(pending)
                if isinstance(verdict, FailedReply):
                    failed.append(verdict)
                else:
                    answers[pending.device] = verdict
            self.on_poll()
            if unanswered and len(answers) < count:
                now = time.monotonic()
                time.sleep(min(max(self.poll_interval, (now - began) / 20, 3 * (now - look)), 1.0))
        self._at_work = {(each.device, requests[each.device].number): each for each in unanswered}
        return Replies(dict(sorted(answers.items())), tuple(sorted(failed, key=lambda each: each.device)))

    def _send(self, pending: PendingRequest, online: Mapping[str, Session], request: Request[Any]) -> None:
        """Sends a request that is yet to be sent, if its device is online."""
        session, now = online.get(pending.device), time.monotonic()
        if pending.session or session is None or session.hello is None or now < pending.due:
            return
        place = self.shared.place(session.hello, self.registry.header.recipe.model)
        content = ask(self._header(pending.device), request, place)
        # Flower keeps it longer than the deadline, so that an answer that comes late differs from none.
        seconds, group = 10 * self.registry.deadline, str(request.number)
        message = self.registry.mailbox.send(content, session.node, f"train.{kind(request)}", seconds, group)
        pending.session, pending.message, pending.sent = session, message or "", now

    def _judge(
        self,
        pending: PendingRequest,
        content: RecordDict | Failure | None,
        online: Mapping[str, Session],
        request: Request[Reply],
        looked: float,
        patient: bool,
    ) -> Reply | FailedReply | None:
        """Returns the answer to a request, or why there is none; None while there may be one.

        Args:
            pending: the request to one device.
            content: what came of it when it was looked for.
            online: the devices that are online.
            request: what was asked.
            looked: when, by the monotonic clock.
            patient: whether a device is waited for that is not there.

        Only who is not online, or has left, is waited for: who has failed once would do so again.
        """
        device, session = pending.device, pending.session
        if isinstance(content, RecordDict):
            try:
                return self._read(device, request, content)
            except WireError as error:
                return FailedReply(device, "rejected", str(error))
        if isinstance(content, Failure) and content.kind != "left":
            return FailedReply(
                device, "rejected" if content.kind == "unreadable" else "absent", content.sentence
            )
        if session is None:
            why = self.registry.refused.get(device) or pending.lost or self.registry.refusal(device)
            return None if patient else FailedReply(device, "absent", why)
        left = content is not None or not pending.message or online.get(device) is not session
        if not left and looked <= pending.sent + self.registry.deadline:
            return None
        if content is None and pending.message:  # from now on its answer comes late
            self._overdue[pending.message] = device, f"{kind(request)} {request.number}"
        if not left:
            return FailedReply(
                device, "absent", f"It did not answer within {self.registry.deadline:g} seconds."
            )
        pending.lost = content.sentence if content else LEFT if pending.message else UNSENT
        if not patient:
            return FailedReply(device, "absent", pending.lost)
        pending.session, pending.message, pending.due = None, "", time.monotonic() + self.registry.pause
        return None

    def _read(self, device: str, request: Request[Reply], content: RecordDict) -> Reply:
        model, target = self.registry.header.recipe.model, self.shared.target
        network = network_of(model, target.outputs)
        return read_reply(content, self._header(device), request, network, target)

    def _header(self, device: str) -> Header:
        return replace(self.registry.header, device=device)

    def _late(self) -> list[FailedReply]:
        """Drops and reports the answers to requests that were given up.

        Flower reports of each request in the end that no answer will come any more.
        """
        failed = []
        for message, content in self.registry.mailbox.poll(list(self._overdue)).items():
            device, what = self._overdue.pop(message)
            if isinstance(content, RecordDict):
                reason = f"Its answer to {what} came after the deadline, and was dropped."
                failed.append(FailedReply(device, "late", reason))
        return failed
