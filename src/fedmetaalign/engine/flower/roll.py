"""Who is there: which of Flower's nodes is which device, as each has introduced itself."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from logging import WARNING

from flwr.serverapp import Grid
from flwr.supercore import log

from fedmetaalign.engine import Presence
from fedmetaalign.engine.flower.answers import Introduction, read_introduction
from fedmetaalign.engine.flower.post import collect, send
from fedmetaalign.engine.flower.questions import Envelope, ask_introduction
from fedmetaalign.engine.flower.wire import WireError

INTRODUCE = "query.introduce"
"""The message type by which a node is asked who it is."""


@dataclass
class Visitor:
    """A node, from when it comes until it goes.

    Attributes:
        registered: the name that its key was registered under; empty where keys are not asked for.
        asked: when it was asked who it is, by the monotonic clock.
        message: the id that its answer will name; None once it has answered.
        name: the device that it is; None before it is known.
        refused: why it cannot take part; empty otherwise.
    """

    registered: str
    asked: float
    message: str | None
    name: str | None = None
    refused: str = ""


@dataclass
class Roll:
    """Keeps the list of the devices that can be asked.

    A node is asked who it is: whether its table can be used is known before the first round, and a node that
    was not registered under a name says its own.

    Attributes:
        grid: Flower's.
        envelope: the run, and the recipe.
        roster: returns the names of the devices that may take part now; None where everybody may who comes,
            which only a fleet on loopback may allow.
        deadline: seconds that a device has for an answer.
        registered: a node's name is the one that its key was registered under; otherwise it is believed the
            name that it gives.
        introductions: of all devices that have been there, by name.
    """

    grid: Grid
    envelope: Envelope
    roster: Callable[[], Sequence[str]] | None
    deadline: float
    registered: bool
    introductions: dict[str, Introduction] = field(default_factory=dict)
    _visitors: dict[int, Visitor] = field(default_factory=dict)
    _seen: dict[str, float] = field(default_factory=dict)

    @property
    def names(self) -> tuple[str, ...]:
        """The devices that may take part, sorted by name, whether they are there or not."""
        return tuple(sorted(self.introductions if self.roster is None else self.roster()))

    def presence(self) -> Mapping[str, Presence]:
        """Tells which of them were there at the last call."""
        present = {visitor.name for visitor in self._visitors.values()}
        return {name: Presence(name in present, self._seen.get(name)) for name in self.names}

    def refusal(self, name: str) -> str:
        """Says why a device is not there."""
        reasons = [v.refused for v in self._visitors.values() if v.refused and v.registered == name]
        return reasons[0] if reasons else "It is not there."

    def call(self) -> Mapping[str, int]:
        """Returns the node of each device that is there now, and asks new nodes who they are."""
        online = {node.node_id: node.name for node in self.grid.get_nodes()}
        for gone in self._visitors.keys() - online.keys():
            del self._visitors[gone]  # it is asked again when it comes back: it may have another table by then
        self._listen()
        names = None if self.roster is None else set(self.roster())
        for node, name in online.items():
            if self.registered and names is not None and name not in names:
                continue
            visitor = self._visitors.get(node)
            overdue = visitor and visitor.name is None and time.monotonic() > visitor.asked + self.deadline
            if visitor is None or overdue:
                self._ask(node, name if self.registered else "")
        there = {
            v.name: node for node, v in self._visitors.items() if v.name and (names is None or v.name in names)
        }
        self._seen |= dict.fromkeys(there, time.time())
        return there

    def _ask(self, node: int, registered: str) -> None:
        question = ask_introduction(replace(self.envelope, device=registered))
        message = send(self.grid, question, node, INTRODUCE, 2 * self.deadline)
        self._visitors[node] = Visitor(registered, time.monotonic(), message)

    def _listen(self) -> None:
        """Hears who has introduced itself meanwhile."""
        waiting = {v.message: node for node, v in self._visitors.items() if v.message}
        for message, content in collect(self.grid, waiting).items():
            visitor = self._visitors[waiting[message]]
            visitor.message = None
            try:
                if isinstance(content, WireError):
                    raise content
                name, introduction = read_introduction(content, self.envelope)
                if self.registered and name != visitor.registered:
                    raise WireError(f"It was enrolled as {visitor.registered!r} and calls itself {name!r}.")
                if any(other.name == name for other in self._visitors.values()):
                    raise WireError(f"There is another device called {name!r} already.")
                visitor.name, self.introductions[name] = name, introduction
            except WireError as error:
                visitor.refused = str(error)
                log(WARNING, "Node %s (%s) cannot take part: %s", waiting[message], visitor.registered, error)
