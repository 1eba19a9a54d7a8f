"""How weights and updates are transformed on their way, where the recipe saves bytes on it."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from fedmetaalign.federation.compression import pack_weights, pack_with_feedback, unpack
from fedmetaalign.federation.memory import Memory
from fedmetaalign.federation.messages import Local, Request, Train, Update, Vectors
from fedmetaalign.model.mlp import diverged
from fedmetaalign.recipe import Transport

RESIDUAL = "residual"
"""What rounding has lost of a device's deltas, in its memory."""
FLOAT_BYTES = 4


def packed_request(request: Train, settings: Transport, layers: Sequence[int]) -> Train:
    """Returns a round's request as the devices see it: they start from the weights as they arrive.

    Args:
        request: with the weights as they are.
        settings: the recipe's section.
        layers: parameters of each layer, which share a scale.
    """
    if settings.receive == "float32" or diverged(request.weights):
        return request
    packed = pack_weights(request.weights, layers)
    return replace(request, weights=unpack(packed, layers), packed=packed)


def packed_update(
    update: Update, settings: Transport, layers: Sequence[int], number: int, memory: Memory
) -> Update:
    """Returns a device's answer as the server will see it, and keeps what rounding loses for the next round."""
    if settings.send == "float32" or diverged(update.delta):
        return update
    lost = memory.before(RESIDUAL, number)
    before = np.zeros(len(update.delta), np.float32) if lost is None else lost
    sent, residual = pack_with_feedback(update.delta, before, settings.send, layers)
    memory.keep(RESIDUAL, number, residual)
    return replace(update, delta=unpack(sent, layers), packed=sent)


def sent_bytes(message: Request[Any] | Local | Update, parameters: int | None = None) -> int:
    """Returns the bytes of the vectors that a request or a reply is made of.

    Args:
        message: from the server or a device.
        parameters: how many of the weights travel, where a method sends only the first so many of them.
    """
    vectors: Vectors = getattr(message, "vectors", {})
    packed = getattr(message, "packed", None)
    own = message.delta if isinstance(message, Update) else message.weights
    sent = FLOAT_BYTES * (parameters or len(own)) if packed is None else packed.nbytes
    return int(sent) + sum(FLOAT_BYTES * len(each) for each in vectors.values())
