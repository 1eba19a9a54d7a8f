"""Holds a SuperNode's question for work until there is some: with Flower alone it asks, sleeps, and asks again.

The SuperLink serves the questions of the devices and the orders of the ServerApp on one port, so that whoever
stands before both knows when to ask on behalf of a device again.
"""

import asyncio
from collections.abc import Callable
from types import FrameType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

LONGEST = 10.0
"""Seconds that a question is held; Flower's client gives up after 30, and routers forget who says nothing."""

_ASKS = "/v1/fleet/pull-messages"
_ORDERS = "/v1/runtime/push-messages"
_DISMISSES = "/v1/control/unregister-node"


class LongPoll:
    """Answers a SuperNode that asks for work as soon as there is some, or after `LONGEST` seconds.

    Args:
        app: what is behind it.
    """

    def __init__(self, app: "ASGIApp") -> None:
        self.app = app
        self._held: dict[int, set[asyncio.Event]] = {}
        self._ending = False
        _before_the_end(self._release)

    async def __call__(self, scope: "Scope", receive: "Receive", send: "Send") -> None:
        """Hands a request on, and holds it if it asks for work."""
        path = scope.get("path")
        if path == _ASKS:
            await self._ask(scope, receive, send)
        elif path == _ORDERS:
            body, gone = await _body(receive), asyncio.ensure_future(_gone(receive))
            try:
                await self.app(scope, _again(body, gone), send)
            finally:
                gone.cancel()
            for node in _addressees(body):
                self._wake(node)
        else:
            await self.app(scope, receive, send)
            if path == _DISMISSES:  # they hear of it when they ask, and some may have been unregistered
                for node in list(self._held):
                    self._wake(node)

    async def _ask(self, scope: "Scope", receive: "Receive", send: "Send") -> None:
        body = await _body(receive)
        node, event = _asker(body), asyncio.Event()
        until = asyncio.get_running_loop().time() + LONGEST
        gone = asyncio.ensure_future(_gone(receive))
        self._held.setdefault(node, set()).add(event)
        try:
            while True:
                event.clear()  # before it is asked: nothing that comes meanwhile is missed
                answer: list[Message] = []

                async def keep(message: "Message", answer: "list[Message]" = answer) -> None:
                    answer.append(message)

                # Each layer behind writes into the scope.
                await self.app({**scope, "state": {**scope.get("state", {})}}, _again(body, gone), keep)
                left = until - asyncio.get_running_loop().time()
                if not _is_nothing(answer) or left <= 0 or self._ending:
                    break
                waits = asyncio.ensure_future(event.wait())
                await asyncio.wait({waits, gone}, timeout=left, return_when=asyncio.FIRST_COMPLETED)
                waits.cancel()
                if gone.done():  # what is taken out for who has hung up would be lost
                    return
        finally:
            gone.cancel()
            self._held[node].discard(event)
            if not self._held[node]:
                del self._held[node]
        for message in answer:
            await send(message)

    def _wake(self, node: int) -> None:
        for event in self._held.get(node, ()):
            event.set()

    def _release(self) -> None:
        """Lets all go: a server that ends waits for the requests that it has."""
        self._ending = True
        for node in list(self._held):
            self._wake(node)


async def _body(receive: "Receive") -> bytes:
    parts, more = [], True
    while more:
        message = await receive()
        parts.append(message.get("body", b""))
        more = message.get("more_body", False)
    return b"".join(parts)


def _again(body: bytes, gone: "asyncio.Future[None]") -> "Receive":
    """Hands a body on that was read, and then that its sender has hung up."""
    said = False

    async def hand_on() -> "Message":
        nonlocal said
        if said:
            await asyncio.shield(gone)
            return {"type": "http.disconnect"}
        said = True
        return {"type": "http.request", "body": body, "more_body": False}

    return hand_on


async def _gone(receive: "Receive") -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _is_nothing(answer: "list[Message]") -> bool:
    """Tells whether an answer is Flower's for no work: an empty protobuf message."""
    return answer[0].get("status") == 200 and not any(message.get("body") for message in answer)


def _asker(body: bytes) -> int:
    """Returns the node that asks; 0 for a body that Flower will refuse."""
    from flwr.proto.fleet_pb2 import PullMessagesRequest
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

    try:
        return int(PullMessagesRequest.FromString(body).node.node_id)
    except DecodeError:
        return 0


def _addressees(body: bytes) -> set[int]:
    """Returns the nodes that messages are for; none for a body that Flower has refused."""
    from flwr.proto.runtime_pb2 import PushAppMessagesRequest
    from google.protobuf.message import DecodeError

    try:
        messages = PushAppMessagesRequest.FromString(body).messages_list
    except DecodeError:
        return set()
    return {int(message.metadata.dst_node_id) for message in messages}


def _before_the_end(release: Callable[[], None]) -> None:
    """Calls something when the server is told to end."""
    import uvicorn

    handle = uvicorn.Server.handle_exit

    def handle_exit(server: uvicorn.Server, sig: int, frame: FrameType | None) -> None:
        release()
        handle(server, sig, frame)

    uvicorn.Server.handle_exit = handle_exit  # type: ignore[assignment,method-assign]
