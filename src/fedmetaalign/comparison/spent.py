"""What a method spends: gradient steps, bytes and seconds, counted as it spends them."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from fedmetaalign.engine.local import LocalEngine
from fedmetaalign.federation.engine import Liveness, Replies
from fedmetaalign.federation.messages import (
    Answer,
    Collected,
    Local,
    Reply,
    Request,
    Scores,
    Update,
)
from fedmetaalign.federation.transport import FLOAT_BYTES, sent_bytes


@dataclass
class Spent:
    """What a method has spent so far. The one thing here that changes."""

    steps: int = 0
    bytes: int = 0
    seconds: float = 0.0
    began: float = field(default_factory=time.perf_counter)

    def add_steps(self, steps: int) -> None:
        """Counts gradient steps."""
        self.steps += steps


@dataclass(frozen=True)
class Metered:
    """An engine that counts the bytes of what is asked and answered, both ways, over all devices."""

    engine: LocalEngine
    spent: Spent
    travels: int | None

    @property
    def names(self) -> tuple[str, ...]:
        """The devices that take part."""
        return self.engine.names

    @property
    def everyone(self) -> tuple[str, ...]:
        """Those that only receive, too."""
        return self.engine.everyone

    def liveness(self) -> Mapping[str, Liveness]:
        """Tells which devices are there."""
        return self.engine.liveness()

    def families(self) -> Mapping[str, int]:
        """Numbers the families of devices that measure alike."""
        return self.engine.families()

    def one_sided(self) -> frozenset[str]:
        """Tells which devices have samples of one kind alone."""
        return self.engine.one_sided()

    def exchange(self, names: Sequence[str], request: Request[Reply], patience: float = 0.0) -> Replies[Reply]:
        """Asks, and counts what travels."""
        return self.exchange_each(dict.fromkeys(names, request), patience)

    def exchange_each(self, requests: Mapping[str, Request[Reply]], patience: float = 0.0) -> Replies[Reply]:
        """Asks each device something of its own, and counts what travels."""
        replies = self.engine.exchange_each(requests, patience)
        for name, reply in replies.answers.items():
            request = requests[name]
            match reply:
                case Collected():
                    self.spent.bytes += FLOAT_BYTES * len(reply.samples) * (reply.features + 1)
                case Answer():
                    arrays = [*getattr(request, "arrays", {}).values(), *reply.arrays.values()]
                    self.spent.bytes += FLOAT_BYTES * sum(each.size for each in arrays)
                case Scores():
                    sent = (request.weights, *getattr(request, "vectors", {}).values(), reply.counts)
                    self.spent.bytes += FLOAT_BYTES * sum(each.size for each in sent)
                case Local() | Update():
                    self.spent.bytes += sent_bytes(request, self.travels) + sent_bytes(reply, self.travels)
        return replies
