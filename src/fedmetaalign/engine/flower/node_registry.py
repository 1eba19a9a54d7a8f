"""Who is online: which of Flower's nodes is which device, as each has said in its hello."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from logging import WARNING

from flwr.app import RecordDict
from flwr.serverapp import Grid
from flwr.supercore import log

from fedmetaalign.engine.flower.mailbox import Failure, Mailbox
from fedmetaalign.engine.flower.replies import read_hello, read_name
from fedmetaalign.engine.flower.requests import Header, ask_hello
from fedmetaalign.engine.flower.wire import WireError
from fedmetaalign.federation.engine import Liveness
from fedmetaalign.fleet.shared import Hello

HELLO = "query.introduce"
"""The message type by which a node is asked who it is."""

FIRST_DEADLINE = 30.0
"""Seconds that a node has to say who it is when it is first asked, then twice as many, up to the deadline."""


@dataclass(eq=False)
class Session:
    """One life of a node, from when it comes until it goes; after a restart it is another session.

    Attributes:
        node: its id, which outlasts the life.
        since: when Flower says that the life began.
        registered: the name that its key was registered under; empty where keys are not asked for.
        due: when to ask it who it is, should it not have said so by then; by the monotonic clock.
        message: the id that its answer will name; None before it is asked, and once it has answered.
        seconds: that it has to answer when it is asked next.
        name: the device that it says it is.
        hello: None before it has said hello.
        refused: why it cannot take part; empty otherwise.
    """

    node: int
    since: str
    registered: str
    due: float = 0.0
    message: str | None = None
    seconds: float = field(default_factory=lambda: FIRST_DEADLINE)
    name: str = ""
    hello: Hello | None = None
    refused: str = ""

    @property
    def called(self) -> str:
        """What to call it to others, also before its name is known."""
        return self.registered or self.name or f"node {self.node}"


@dataclass
class NodeRegistry:
    """Keeps the list of the devices that can be asked.

    A node is asked who it is: whether its table can be used is known before the first round, and a node that
    was not registered under a name says its own.

    Attributes:
        grid: Flower's.
        header: the run, and the recipe.
        roster: returns the names of the devices that may take part now; None where everybody may who comes,
            which only a fleet on loopback may allow. A node has to be what its key was registered as; one
            without is believed its name.
        deadline: seconds that a device has for an answer; one that cannot take part is asked again after them.
        pause: seconds after which a device is asked again whose answer got lost, where it is still online.
        hellos: of all devices that have been online, by name.
        mailbox: over the grid.
    """

    grid: Grid
    header: Header
    roster: Callable[[], Sequence[str]] | None
    deadline: float
    pause: float = 5.0
    hellos: dict[str, Hello] = field(default_factory=dict)
    mailbox: Mailbox = field(init=False)
    _sessions: dict[int, Session] = field(default_factory=dict)
    _online: Mapping[str, Session] = field(default_factory=dict)
    _last_seen: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.mailbox = Mailbox(self.grid)

    @property
    def names(self) -> tuple[str, ...]:
        """The devices that may take part, sorted by name, whether they are online or not."""
        return tuple(sorted(self.hellos if self.roster is None else self.roster()))

    def liveness(self) -> Mapping[str, Liveness]:
        """Tells which of them were online at the last call."""
        return {name: Liveness(name in self._online, self._last_seen.get(name)) for name in self.names}

    @property
    def refused(self) -> Mapping[str, str]:
        """Why devices that have come cannot take part, by name."""
        return {v.called: v.refused for v in self._sessions.values() if v.refused}

    def refusal(self, name: str) -> str:
        """Says why a device is not there."""
        if name in self.refused:
            return self.refused[name]
        come = any(session.called == name for session in self._sessions.values())
        return "It has not introduced itself yet." if come else "It is not there."

    def poll(self) -> Mapping[str, Session]:
        """Returns the devices that are online now, by name, and asks new nodes who they are."""
        self._notice_nodes()
        self._take_hellos()
        allowed = None if self.roster is None else set(self.roster())
        online: dict[str, Session] = {}
        for session in self._sessions.values():
            if allowed is not None and session.registered not in allowed:
                continue
            if session.hello is not None:
                online.setdefault(session.name, session)  # of two with one name, who came first
            elif session.message is None and time.monotonic() >= session.due:
                self._ask(session)
        self.hellos |= {name: v.hello for name, v in online.items() if v.hello}
        self._last_seen |= dict.fromkeys(online, time.time())
        self._online = online
        return online

    def _notice_nodes(self) -> None:
        """Takes note of the nodes that have come, gone, or both since the last call."""
        nodes = {info.node_id: info for info in self.grid.get_nodes()}
        for node, session in list(self._sessions.items()):
            if node not in nodes or session.since != nodes[node].last_activated_at:
                del self._sessions[node]
                self.mailbox.forget(session.message)
        for node, info in nodes.items():
            self._sessions.setdefault(node, Session(node, info.last_activated_at, info.name))

    def _ask(self, session: Session) -> None:
        request = ask_hello(replace(self.header, device=session.registered))
        # A node that was at work for a server that was killed may lose what the next one asks it first: it must
        # not be waited for until the deadline. Flower says when the time is up, and then it is asked again.
        seconds = min(session.seconds, self.deadline)
        session.message = self.mailbox.send(request, session.node, HELLO, seconds)
        session.due = time.monotonic() + (self.deadline if session.message else self.pause)
        session.seconds *= 2

    def _take_hellos(self) -> None:
        """Takes in the hellos that have come meanwhile."""
        waiting = {v.message: v for v in self._sessions.values() if v.message}
        for message, content in self.mailbox.poll(waiting).items():
            session = waiting[message]
            session.message = None
            try:
                self._read(session, content)
            except WireError as error:
                session.refused = str(error)
                log(WARNING, "%s cannot take part: %s", session.called, error)

    def _read(self, session: Session, content: RecordDict | Failure) -> None:
        """Reads a hello, or raises a WireError."""
        if isinstance(content, Failure):
            if content.kind == "left":
                session.due = min(session.due, time.monotonic() + self.pause)
                raise WireError("It has not said in time who it is.")
            raise WireError(content.sentence)
        session.name = read_name(content)
        if session.registered and session.name != session.registered:
            raise WireError(f"It was enrolled as {session.registered!r} and calls itself {session.name!r}.")
        session.hello = read_hello(content, self.header)
        session.refused = ""
        if session.name in self._online:
            log(WARNING, "Node %s waits: there is a device called %s already", session.node, session.name)
