"""A fleet some of whose devices are hostile, or broken."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from fedmetaalign.federation.attacks import forged
from fedmetaalign.federation.engine import Around, Replies
from fedmetaalign.federation.messages import Reply, Request
from fedmetaalign.fleet.device import Device, Part
from fedmetaalign.model.online import Samples
from fedmetaalign.model.target import Target
from fedmetaalign.recipe.compare import Attack


@dataclass(frozen=True)
class Hostile(Around):
    """An engine of whose devices some lie.

    Attributes:
        liars: their names.
        attack: what they do.
        seed: of the run.
    """

    liars: frozenset[str]
    attack: Attack
    seed: int

    def exchange_each(self, requests: Mapping[str, Request[Reply]], patience: float = 0.0) -> Replies[Reply]:
        """Asks, and lets the liars lie."""
        return self._lying(requests, super().exchange_each(requests, patience))

    def first(self, requests: Mapping[str, Request[Reply]], count: int) -> Replies[Reply]:
        """Asks, and lets the liars lie."""
        return self._lying(requests, super().first(requests, count))

    def _lying(self, requests: Mapping[str, Request[Reply]], replies: Replies[Reply]) -> Replies[Reply]:
        """Lets those that were asked the same agree on what they say."""
        answers = dict(replies.answers)
        liars = [name for name in answers if name in self.liars]
        for request in {id(requests[name]): requests[name] for name in liars}.values():
            own = {name: answers[name] for name in liars if requests[name] is request}
            answers |= forged(self.attack, request, own, self.seed)
        return replace(replies, answers=answers)


def mislabelled(device: Device, target: Target) -> Device:
    """Returns a device all of whose training samples have the label of the next class."""

    def wrong(samples: Samples) -> Samples:
        classes = max(target.outputs, 2)
        return Samples(samples.x, ((samples.y + 1) % classes).astype(np.float32))

    def part(own: Part) -> Part:
        return Part(wrong(own.support), wrong(own.query))

    parts = {phase: part(each) for phase, each in device.parts.items()}
    return replace(device, parts=parts, own=part(device.own))
