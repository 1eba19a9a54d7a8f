"""Leaves out of a request's way what Flower's API has for others: a third to two thirds of what it costs.

Each of Flower's layers looks whether a request is for it, and hands it on if it is not. That alone takes a
third of a millisecond of a core and more, and a round takes about thirty requests a device.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from starlette.middleware import Middleware
    from starlette.types import ASGIApp, Receive, Scope, Send

_PATHS = {
    "ControlSensitiveResponseMiddleware": "/v1/control/",
    "ControlAuthenticationMiddleware": "/v1/control/",
    "ControlLicenseMiddleware": "/v1/control/",
    "ControlEventLogMiddleware": "/v1/control/",
    "RuntimeTracingMiddleware": "/v1/runtime/",
    "NodeAuthMiddleware": "/v1/fleet/",
    "FleetEventLogMiddleware": "/v1/fleet/",
}
"""What the requests begin with that a layer looks at; one that is not named here sees all."""


def bypassed(layers: "Sequence[Middleware]") -> "list[Middleware]":
    """Returns the same layers, each of which sees what it is for alone."""
    from starlette.middleware import Middleware

    return [
        Middleware(Bypass, layer.cls, path, layer.args, layer.kwargs)
        if (path := _PATHS.get(getattr(layer.cls, "__name__", "")))
        else layer
        for layer in layers
    ]


class Bypass:
    """A layer, and a way around it for requests that it is not for.

    Args:
        app: what is behind it.
        layer: makes the layer of that, and of the arguments.
        path: what the path of a request begins with that the layer is for.
        positional: arguments of the layer.
        named: others.
    """

    def __init__(
        self, app: "ASGIApp", layer: Any, path: str, positional: Sequence[Any], named: Mapping[str, Any]
    ) -> None:
        self._app, self._path = app, path
        self._layer = layer(app, *positional, **named)

    async def __call__(self, scope: "Scope", receive: "Receive", send: "Send") -> None:
        """Hands a request to the layer, or past it."""
        concerned = scope["type"] != "http" or scope["path"].startswith(self._path)
        await (self._layer if concerned else self._app)(scope, receive, send)
