"""Who is there: which of Flower's nodes is which device, as each has introduced itself."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from logging import WARNING

from flwr.app import RecordDict
from flwr.serverapp import Grid
from flwr.supercore import log

from fedmetaalign.engine.flower.answers import read_introduction, read_name
from fedmetaalign.engine.flower.post import Failure, Post
from fedmetaalign.engine.flower.questions import Envelope, ask_introduction
from fedmetaalign.engine.flower.wire import WireError
from fedmetaalign.federation.engine import Presence
from fedmetaalign.fleet.shared import Introduction

INTRODUCE = "query.introduce"
"""The message type by which a node is asked who it is."""

FIRST_DEADLINE = 30.0
"""Seconds that a node has to say who it is when it is first asked, then twice as many, up to the deadline."""


@dataclass(eq=False)
class Visitor:
    """One life of a node, from when it comes until it goes; after a restart it is another visitor.

    Attributes:
        node: its id, which outlasts the life.
        since: when Flower says that the life began.
        registered: the name that its key was registered under; empty where keys are not asked for.
        due: when to ask it who it is, should it not have told by then; by the monotonic clock.
        message: the id that its answer will name; None before it is asked, and once it has answered.
        seconds: that it has to answer when it is asked next.
        name: the device that it says it is.
        introduction: None before it has introduced itself.
        refused: why it cannot take part; empty otherwise.
    """

    node: int
    since: str
    registered: str
    due: float = 0.0
    message: str | None = None
    seconds: float = field(default_factory=lambda: FIRST_DEADLINE)
    name: str = ""
    introduction: Introduction | None = None
    refused: str = ""

    @property
    def called(self) -> str:
        """What to call it to others, also before its name is known."""
        return self.registered or self.name or f"node {self.node}"


@dataclass
class Roll:
    """Keeps the list of the devices that can be asked.

    A node is asked who it is: whether its table can be used is known before the first round, and a node that
    was not registered under a name says its own.

    Attributes:
        grid: Flower's.
        envelope: the run, and the recipe.
        roster: returns the names of the devices that may take part now; None where everybody may who comes,
            which only a fleet on loopback may allow. A node has to be what its key was registered as; one
            without is believed its name.
        deadline: seconds that a device has for an answer; one that cannot take part is asked again after them.
        pause: seconds after which a device is asked again whose answer got lost, where it is still there.
        introductions: of all devices that have been there, by name.
        post: over the grid.
    """

    grid: Grid
    envelope: Envelope
    roster: Callable[[], Sequence[str]] | None
    deadline: float
    pause: float = 5.0
    introductions: dict[str, Introduction] = field(default_factory=dict)
    post: Post = field(init=False)
    _visitors: dict[int, Visitor] = field(default_factory=dict)
    _there: Mapping[str, Visitor] = field(default_factory=dict)
    _seen: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.post = Post(self.grid)

    @property
    def names(self) -> tuple[str, ...]:
        """The devices that may take part, sorted by name, whether they are there or not."""
        return tuple(sorted(self.introductions if self.roster is None else self.roster()))

    def presence(self) -> Mapping[str, Presence]:
        """Tells which of them were there at the last call."""
        return {name: Presence(name in self._there, self._seen.get(name)) for name in self.names}

    @property
    def refused(self) -> Mapping[str, str]:
        """Why devices that have come cannot take part, by name."""
        return {v.called: v.refused for v in self._visitors.values() if v.refused}

    def refusal(self, name: str) -> str:
        """Says why a device is not there."""
        if name in self.refused:
            return self.refused[name]
        come = any(visitor.called == name for visitor in self._visitors.values())
        return "It has not introduced itself yet." if come else "It is not there."

    def call(self) -> Mapping[str, Visitor]:
        """Returns the devices that are there now, by name, and asks new nodes who they are."""
        self._meet()
        self._listen()
        allowed = None if self.roster is None else set(self.roster())
        there: dict[str, Visitor] = {}
        for visitor in self._visitors.values():
            if allowed is not None and visitor.registered not in allowed:
                continue
            if visitor.introduction is not None:
                there.setdefault(visitor.name, visitor)  # of two with one name, who came first
            elif visitor.message is None and time.monotonic() >= visitor.due:
                self._ask(visitor)
        self.introductions |= {name: v.introduction for name, v in there.items() if v.introduction}
        self._seen |= dict.fromkeys(there, time.time())
        self._there = there
        return there

    def _meet(self) -> None:
        """Takes note of the nodes that have come, gone, or both since the last call."""
        online = {info.node_id: info for info in self.grid.get_nodes()}
        for node, visitor in list(self._visitors.items()):
            if node not in online or visitor.since != online[node].last_activated_at:
                del self._visitors[node]
                self.post.forget(visitor.message)
        for node, info in online.items():
            self._visitors.setdefault(node, Visitor(node, info.last_activated_at, info.name))

    def _ask(self, visitor: Visitor) -> None:
        question = ask_introduction(replace(self.envelope, device=visitor.registered))
        # A node that was at work for a server that was killed may lose what the next one asks it first: it must
        # not be waited for until the deadline. Flower says when the time is up, and then it is asked again.
        seconds = min(visitor.seconds, self.deadline)
        visitor.message = self.post.send(question, visitor.node, INTRODUCE, seconds)
        visitor.due = time.monotonic() + (self.deadline if visitor.message else self.pause)
        visitor.seconds *= 2

    def _listen(self) -> None:
        """Hears who has introduced itself meanwhile."""
        waiting = {v.message: v for v in self._visitors.values() if v.message}
        for message, content in self.post.collect(waiting).items():
            visitor = waiting[message]
            visitor.message = None
            try:
                self._read(visitor, content)
            except WireError as error:
                visitor.refused = str(error)
                log(WARNING, "%s cannot take part: %s", visitor.called, error)

    def _read(self, visitor: Visitor, content: RecordDict | Failure) -> None:
        """Reads an introduction, or raises a WireError."""
        if isinstance(content, Failure):
            if content.kind == "left":
                visitor.due = min(visitor.due, time.monotonic() + self.pause)
                raise WireError("It has not said in time who it is.")
            raise WireError(content.sentence)
        visitor.name = read_name(content)
        if visitor.registered and visitor.name != visitor.registered:
            raise WireError(f"It was enrolled as {visitor.registered!r} and calls itself {visitor.name!r}.")
        visitor.introduction = read_introduction(content, self.envelope)
        visitor.refused = ""
        if visitor.name in self._there:
            log(WARNING, "Node %s waits: there is a device called %s already", visitor.node, visitor.name)
