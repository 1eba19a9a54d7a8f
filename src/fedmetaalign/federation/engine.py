"""Who runs a device's step: the phases speak to an `Engine` and do not know where the devices are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, Literal, Protocol, TypeVar, get_args

from fedmetaalign.federation.records import Record, record

if TYPE_CHECKING:  # they bring JAX, which Flower's own processes can do without
    from fedmetaalign.federation.messages import Reply, Request

Answer = TypeVar("Answer")

Kind = Literal["absent", "rejected", "late"]
"""Why an answer cannot be used: there was none in time, or a wrong one, or it is one to a request of before."""

KINDS: tuple[Kind, ...] = get_args(Kind)


@dataclass(frozen=True)
class FailedReply:
    """A reply that cannot be used.

    Attributes:
        device: whose.
        kind: see `Kind`.
        reason: one sentence.
    """

    device: str
    kind: Kind
    reason: str


@dataclass(frozen=True)
class Replies(Generic[Answer]):
    """What came back of a request.

    Attributes:
        answers: by device, sorted by name.
        failed: the others, and late answers to requests of before.
    """

    answers: Mapping[str, Answer]
    failed: tuple[FailedReply, ...] = ()

    def failed_records(self, phase: int, number: int) -> list[Record]:
        """Returns the records of those that failed: the reason, under "absent", "rejected" or "late"."""
        return [record(phase, number, each.device, **{each.kind: each.reason}) for each in self.failed]


@dataclass(frozen=True)
class Liveness:
    """Whether a device is online.

    Attributes:
        online: it could be asked now.
        last_seen: when it last was, in seconds since 1970; None if never.
    """

    online: bool
    last_seen: float | None


class Engine(Protocol):
    """A fleet that answers. A request gives the same numbers on every engine."""

    @property
    def names(self) -> tuple[str, ...]:
        """The devices that take part in the rounds, sorted by name, whether they are there or not."""
        ...

    @property
    def everyone(self) -> tuple[str, ...]:
        """The same and those without a label, which only receive what the others learn, sorted by name."""
        ...

    def liveness(self) -> Mapping[str, Liveness]:
        """Tells of every device whether it is there."""
        ...

    def families(self) -> Mapping[str, int]:
        """Tells the family of each device that has told its features; unlike families share no feature."""
        ...

    def one_sided(self) -> frozenset[str]:
        """Tells which devices have said that their samples are all normal, or all faults."""
        ...

    def exchange(self, names: Sequence[str], request: Request[Reply], patience: float = 0.0) -> Replies[Reply]:
        """Asks the named devices, and waits for their answers.

        Args:
            names: whom.
            request: the same for all.
            patience: seconds to wait for a device that is not there, or has left before it answered.
        """
        ...

    def exchange_each(self, requests: Mapping[str, Request[Reply]], patience: float = 0.0) -> Replies[Reply]:
        """Asks each device by its name something of its own, all at once, as `exchange` does."""
        ...

    def first(self, requests: Mapping[str, Request[Reply]], count: int) -> Replies[Reply]:
        """Asks each device what is for it, unless it is at work on that, and waits for the first answers.

        Args:
            requests: by device, in the order in which they answer where that is simulated. They are told apart
                by their numbers; whoever is at work on another request is not waited for any more.
            count: how many answers to wait for; none of those that have come by then is left.
        """
        ...


@dataclass(frozen=True)
class Around:
    """An engine that passes everything on to another; who makes one replaces `exchange_each` and `first`.

    Attributes:
        engine: reaches the devices.
    """

    engine: Engine

    @property
    def names(self) -> tuple[str, ...]:
        """As the engine says."""
        return self.engine.names

    @property
    def everyone(self) -> tuple[str, ...]:
        """As the engine says."""
        return self.engine.everyone

    def liveness(self) -> Mapping[str, Liveness]:
        """As the engine says."""
        return self.engine.liveness()

    def families(self) -> Mapping[str, int]:
        """As the engine says."""
        return self.engine.families()

    def one_sided(self) -> frozenset[str]:
        """As the engine says."""
        return self.engine.one_sided()

    def exchange(self, names: Sequence[str], request: Request[Reply], patience: float = 0.0) -> Replies[Reply]:
        """As `exchange_each`, the same of all."""
        return self.exchange_each(dict.fromkeys(names, request), patience)

    def exchange_each(self, requests: Mapping[str, Request[Reply]], patience: float = 0.0) -> Replies[Reply]:
        """Asks the engine."""
        return self.engine.exchange_each(requests, patience)

    def first(self, requests: Mapping[str, Request[Reply]], count: int) -> Replies[Reply]:
        """Asks the engine."""
        return self.engine.first(requests, count)
