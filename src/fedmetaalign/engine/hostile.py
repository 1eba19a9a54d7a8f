"""A fleet some of whose devices are hostile, or broken."""

from collections.abc import Mapping, Sequence
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

    def exchange(self, names: Sequence[str], request: Request[Reply], patience: float = 0.0) -> Replies[Reply]:
        """Asks, and lets the liars lie."""
        replies = super().exchange(names, request, patience)
        own = {name: each for name, each in replies.answers.items() if name in self.liars}
        lies = forged(self.attack, request, own, self.seed)
        return replace(replies, answers={**replies.answers, **lies})

    def first(self, requests: Mapping[str, Request[Reply]], count: int) -> Replies[Reply]:
        """Asks, and lets each liar lie on its own."""
        replies = super().first(requests, count)
        lies = dict(replies.answers)
        for name in self.liars & lies.keys():
            lies |= forged(self.attack, requests[name], {name: lies[name]}, self.seed)
        return replace(replies, answers=lies)


def mislabelled(device: Device, target: Target) -> Device:
    """Returns a device all of whose training samples have the label of the next class."""

    def wrong(samples: Samples) -> Samples:
        classes = max(target.outputs, 2)
        return Samples(samples.x, ((samples.y + 1) % classes).astype(np.float32))

    def part(own: Part) -> Part:
        return Part(wrong(own.support), wrong(own.query))

    parts = {phase: part(each) for phase, each in device.parts.items()}
    return replace(device, parts=parts, own=part(device.own))
