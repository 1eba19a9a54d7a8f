"""Sending and collecting single messages: one that a device has spoilt cannot take the others, or us, down."""

from collections.abc import Iterable

from flwr.app import Message, RecordDict
from flwr.serverapp import Grid

from fedmetaalign.engine.flower.wire import WireError


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
        The id that the answer will name; None where the node has left meanwhile.
    """
    [message] = grid.push_messages([Message(content, node, what, ttl=seconds, group_id=group)])
    return message or None


def collect(grid: Grid, messages: Iterable[str]) -> dict[str, RecordDict | WireError]:
    """Returns the answers that have come, by the message that they answer.

    Flower's own word that there will be no answer, and one that cannot be taken apart, are errors.
    """
    found: dict[str, RecordDict | WireError] = {}
    for message in messages:
        # One by one, since Flower gives none of several where one cannot be read.
        try:
            for reply in grid.pull_messages([message]):
                failed = WireError(f"It failed: {reply.error.reason}") if reply.has_error() else None
                found[message] = failed or reply.content
        except (ValueError, TypeError, KeyError, EOFError) as error:
            found[message] = WireError(f"Its answer cannot be read ({error}).")
    return found
