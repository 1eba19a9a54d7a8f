"""Sending and polling single messages: one that a device has spoilt cannot take the others, or us, down."""

import re
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import httpx
from flwr.app import Error, Message, RecordDict
from flwr.common.constant import ErrorCode
from flwr.serverapp import Grid

from fedmetaalign.engine.flower.wire import plain

LEFT = "It left before it answered."
UNSENT = "The request could not be sent to it."

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


class Mailbox:
    """Sends messages and collects answers, none of which can hold up the others.

    Flower tells of an answer as soon as its device begins to send it, and then waits for the rest: for minutes,
    if the device is slow or has died over it.

    Attributes:
        grid: Flower's.
        poll_timeout: seconds that a look waits for an answer whose arrival has begun; it is asked for again at
            later looks, and costs these no time.
    """

    def __init__(self, grid: Grid, poll_timeout: float = 1.0) -> None:
        self.grid = grid
        self.poll_timeout = poll_timeout
        self._arriving: dict[str, _Pull] = {}

    def send(self, content: RecordDict, node: int, what: str, seconds: float, group: str = "") -> str | None:
        """Sends a message to a node.

        Args:
            content: goes with it.
            node: where to.
            what: the message type.
            seconds: after which nobody will want an answer.
            group: what Flower shows as the round.

        Returns:
            The id that the answer will name; None where the node has left meanwhile, or the SuperLink did not
            take the message.
        """
        ids = [*self.grid.push_messages([Message(content, node, what, ttl=seconds, group_id=group)])]
        return ids[0] or None if ids else None  # there is none at all of a message that is too large

    def poll(self, messages: Iterable[str]) -> dict[str, RecordDict | Failure]:
        """Returns the answers that have come, by the message that they answer.

        Each takes a request to the SuperLink. Flower has its own word for no answer, also where none will come
        any more since the message is too old.
        """
        found: dict[str, RecordDict | Failure] = {}
        for message in messages:
            pull = self._arriving.get(message)
            if pull is None:
                pull = self._arriving[message] = _Pull(self.grid, message)
                pull.start()
                pull.join(self.poll_timeout)
            if not pull.is_alive():
                del self._arriving[message]
                found |= pull.found()
        return found

    def forget(self, message: str | None) -> None:
        """Drops what has come, or is yet to come, of a message that nobody asks for any more."""
        self._arriving.pop(message or "", None)


class _Pull(threading.Thread):
    """Asks for the answer to one message; a thread, since the device decides how long it takes."""

    def __init__(self, grid: Grid, message: str) -> None:
        super().__init__(daemon=True)  # nobody waits for one at the end of the run
        self._grid, self._message = grid, message
        self._came: RecordDict | Failure | None = None
        self._raised: BaseException | None = None

    def run(self) -> None:
        """Asks, and keeps what comes of it."""
        try:
            # One by one, since Flower gives none of several where one cannot be read.
            for reply in self._grid.pull_messages([self._message]):
                self._came = _failure(reply.error) if reply.has_error() else reply.content
        except httpx.HTTPError as error:  # the SuperLink's, not the device's
            self._raised = error
        except Exception as error:  # a device decides what is inflated: Flower may raise anything
            self._came = Failure("unreadable", plain(f"Its answer cannot be read ({error})."))
        except BaseException as error:  # by which Flower ends a run that was stopped
            self._raised = error

    def found(self) -> dict[str, RecordDict | Failure]:
        """Returns the answer by its message, nothing if there is none yet; raises what is no device's fault."""
        if self._raised is not None:
            raise self._raised
        return {} if self._came is None else {self._message: self._came}


def _failure(error: Error) -> Failure:
    if error.code == ErrorCode.NODE_UNAVAILABLE:
        return Failure("left", LEFT)
    if raised := _RAISED.fullmatch(error.reason or ""):
        return Failure("failed", plain(f"Its app raised {raised[1]}: {raised[2]}"))
    return Failure("left" if error.code in _LEFT else "failed", plain(f"It failed: {error.reason}"))
