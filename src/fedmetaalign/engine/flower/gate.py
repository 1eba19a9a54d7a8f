"""The SuperLink's program, with a gate in front: what other machines must not reach."""

from typing import TYPE_CHECKING

from fedmetaalign.engine.flower import processes

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send


def serve() -> None:
    """Runs `flower-superlink` with the `Gate` in front."""
    from flwr.superlink import extensions
    from flwr.superlink.cli import flower_superlink
    from starlette.middleware import Middleware

    extensions.get_middleware = lambda: (Middleware(Gate),)
    flower_superlink()


class Gate:
    """Lets other machines reach the API of the SuperNodes, and no other.

    The SuperLink serves three APIs on one port. Only that of the SuperNodes asks who is there: whoever reaches
    the others can register a key of his own, or start a run, which is code on this machine.

    Args:
        app: what is behind it.
    """

    def __init__(self, app: "ASGIApp") -> None:
        self.app = app

    async def __call__(self, scope: "Scope", receive: "Receive", send: "Send") -> None:
        """Answers 403 in place of the app where that must not be reached."""
        from starlette.responses import JSONResponse

        if scope["type"] != "lifespan" and not _may_pass(scope["path"], scope["client"], scope["server"]):
            refusal = JSONResponse({"detail": "This is open on the machine of the SuperLink only."}, 403)
            await refusal(scope, receive, send)
        else:
            await self.app(scope, receive, send)


def _may_pass(path: str, client: tuple[str, int], server: tuple[str, int]) -> bool:
    # Who connects from the address that he connects to is on this machine.
    here = processes.is_loopback(client[0]) or client[0] == server[0]
    return here or path == "/health" or path.startswith("/v1/fleet/")
