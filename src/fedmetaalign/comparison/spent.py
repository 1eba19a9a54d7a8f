"""What a method spends: gradient steps, bytes and seconds, counted as it spends them."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from fedmetaalign.federation.engine import Around, Replies
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
class Metered(Around):
    """An engine that counts the bytes of what is asked and answered, both ways, over all devices."""

    spent: Spent
    travels: int | None

    def exchange_each(self, requests: Mapping[str, Request[Reply]], patience: float = 0.0) -> Replies[Reply]:
        """Asks, and counts what travels."""
        replies = super().exchange_each(requests, patience)
        self._count(requests, replies)
        return replies

    def first(self, requests: Mapping[str, Request[Reply]], count: int) -> Replies[Reply]:
        """Asks, and counts what travels of what is answered."""
        replies = super().first(requests, count)
        self._count(requests, replies)
        return replies

    def _count(self, requests: Mapping[str, Request[Reply]], replies: Replies[Reply]) -> None:
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
