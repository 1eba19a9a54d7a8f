"""A training whose result nobody wants, in the time between a device's hello and its first order.

What JAX compiles for it is there when the order comes; otherwise the tour would wait for it at every device.
"""

from contextlib import suppress

from threadpoolctl import threadpool_limits

from fedmetaalign.engine.device_runner import DeviceRunner, learner_of
from fedmetaalign.federation.memory import Memory
from fedmetaalign.federation.messages import Request, Train, Visit
from fedmetaalign.fleet.device import Device
from fedmetaalign.methods import find
from fedmetaalign.phases.client import Client
from fedmetaalign.recipe import Recipe

MOST = 10_000
"""Samples of a device that does so: with more, training takes longer than compiling."""

_next: list[tuple[Recipe, Device]] = []


def note(recipe: Recipe, device: Device) -> None:
    """Keeps a device that is to be trained when there is time."""
    _next[:] = [(recipe, device)] if len(device.own.support) <= MOST else []


def rehearse() -> None:
    """Trains the device that was noted last, once, as the recipe's first round will."""
    if not _next:
        return
    recipe, device = _next.pop()
    client = Client(recipe, device, learner_of(recipe), Memory())
    weights = client.learner.initial()
    request: Request[object] = Visit(weights, 1, 2, tour=1) if recipe.serial.rounds else Train(weights, 1, 2)
    # What goes wrong does so again where somebody asks, who is told of it.
    with suppress(Exception), threadpool_limits(1, "blas"):
        DeviceRunner(client, find(recipe.method)).answer(request)
