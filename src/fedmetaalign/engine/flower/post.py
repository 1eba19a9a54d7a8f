"""Sending and collecting single messages: one that a device has spoilt cannot take the others, or us, down."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import httpx
from flwr.app import Error, Message, RecordDict
from flwr.common.constant import ErrorCode
from flwr.serverapp import Grid

from fedmetaalign.engine.flower.wire import plain

LEFT = "It left before it answered."

_LEFT = (
    ErrorCode.NODE_UNAVAILABLE,
    ErrorCode.MESSAGE_UNAVAILABLE,
    ErrorCode.REPLY_MESSAGE_UNAVAILABLE,
    ErrorCode.CLIENT_APP_CRASHED,
)
_RAISED = re.compile(r"<class '(?:builtins\.)?([\w.]+)'>:<'(.*)'>", re.DOTALL)


@dataclass(frozen=True)
class Failure:
    """Why there will be no answer to a message.

    Attributes:
        kind: the device has left meanwhile; or it failed, and would again; or it answered what cannot be read.
        sentence: says so, safe to print.
    """

    kind: Literal["left", "failed", "unreadable"]
    sentence: str


def send(grid: Grid, content: RecordDict, node: int, what: str, seconds: float, group: str = "") -> str | None:
    """Sends a message to a node.

    Args:
        grid: Flower's.
        content: goes with it.
        node: where to.
        what: the message type.
        seconds: after which nobody will want an answer.
        group: what Flower shows as the round.

    Returns:
        The id that the answer will name; None where the node has left meanwhile, or the SuperLink did not take
        the message.
    """
    ids = [*grid.push_messages([Message(content, node, what, ttl=seconds, group_id=group)])]
    return ids[0] or None if ids else None  # there is none at all of a message that is too large


def collect(grid: Grid, messages: Iterable[str]) -> dict[str, RecordDict | Failure]:
    """Returns the answers that have come, by the message that they answer.

    Each takes a request to the SuperLink. Flower has its own word for no answer, also where none will come any
    more since the message is too old.
    """
    found: dict[str, RecordDict | Failure] = {}
    for message in messages:
        # One by one, since Flower gives none of several where one cannot be read.
        try:
            for reply in grid.pull_messages([message]):
                found[message] = _failure(reply.error) if reply.has_error() else reply.content
        except httpx.HTTPError:  # the SuperLink's, not the device's
            raise
        except Exception as error:  # a device decides what is inflated: Flower may raise anything
            found[message] = Failure("unreadable", plain(f"Its answer cannot be read ({error})."))
    return found


def _failure(error: Error) -> Failure:
    if error.code == ErrorCode.NODE_UNAVAILABLE:
        return Failure("left", LEFT)
    if raised := _RAISED.fullmatch(error.reason or ""):
        return Failure("failed", plain(f"Its app raised {raised[1]}: {raised[2]}"))
    return Failure("left" if error.code in _LEFT else "failed", plain(f"It failed: {error.reason}"))
