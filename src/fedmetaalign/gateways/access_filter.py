"""The SuperLink's program, with an access filter in front: what others must not reach, or must not send."""

from typing import TYPE_CHECKING

from fedmetaalign.gateways import addresses
from fedmetaalign.gateways.bypass import bypassed
from fedmetaalign.gateways.long_poll import LongPoll

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

MOST_BYTES = 32 * 2**20
"""In a request of another machine. Flower cuts arrays into objects of 5 MiB, and sends each by itself."""


def serve() -> None:
    """Runs `flower-superlink` with the `AccessFilter` in front, and the `LongPoll` behind it."""
    from flwr.superlink import extensions, main
    from flwr.superlink.cli import flower_superlink
    from starlette.middleware import Middleware

    extensions.get_middleware = lambda: (Middleware(AccessFilter), Middleware(LongPoll))
    layers = main._get_middleware
    main._get_middleware = lambda: bypassed(layers())
    flower_superlink()


class AccessFilter:
    """Lets other machines reach the API of the SuperNodes and no other, with requests of a bounded size.

    The SuperLink serves three APIs on one port. Only that of the SuperNodes asks who is there: whoever reaches
    the others can register a key of his own, or start a run, which is code on this machine. And it asks only
    when it has the whole request in memory.

    Args:
        app: what is behind it.
    """

    def __init__(self, app: "ASGIApp") -> None:
        self.app = app

    async def __call__(self, scope: "Scope", receive: "Receive", send: "Send") -> None:
        """Answers 403 or 413 in place of the app where that must not be reached, or would be sent too much."""
        from starlette.responses import JSONResponse

        if scope["type"] == "lifespan" or _is_here(scope["client"], scope["server"]):
            await self.app(scope, receive, send)
        elif not _is_open(scope["path"]):
            refusal = JSONResponse({"detail": "This is open on the machine of the SuperLink only."}, 403)
            await refusal(scope, receive, send)
        elif (whole := await _received(receive)) is None:
            refusal = JSONResponse({"detail": f"A request has at most {MOST_BYTES:,} bytes."}, 413)
            await refusal(scope, receive, send)
        else:
            await self.app(scope, whole, send)


async def _received(receive: "Receive") -> "Receive | None":
    """Waits for a whole request, and returns what hands it on; None as soon as it is too large."""
    messages: list[Message] = []
    size, more = 0, True
    while more:
        messages.append(message := await receive())
        size += len(message.get("body", b""))
        more = message.get("more_body", False)
        if size > MOST_BYTES:
            return None

    async def hand_on() -> "Message":
        return messages.pop(0) if messages else await receive()

    return hand_on


def _is_here(client: tuple[str, int], server: tuple[str, int]) -> bool:
    # Who connects from the address that he connects to is on this machine.
    return addresses.is_loopback(client[0]) or client[0] == server[0]


def _is_open(path: str) -> bool:
    return path == "/health" or path.startswith("/v1/fleet/")
