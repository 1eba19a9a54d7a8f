"""What other machines can reach of the SuperLink, and how much they can send it: asked of Flower's own app."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from flwr.proto.fleet_pb2 import PullMessagesRequest
from flwr.proto.node_pb2 import Node
from flwr.superlink import extensions, main

from fedmetaalign.gateways import access_filter, bypass

HERE, SERVER, ELSEWHERE = "127.0.0.1", "192.0.2.1", "192.0.2.7"
PROTOBUF = {"Content-Type": "application/protobuf"}


@pytest.fixture
def app(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The SuperLink's app as our program makes it."""
    made: list[Any] = []
    monkeypatch.setattr(extensions, "get_middleware", extensions.get_middleware)
    monkeypatch.setattr(main, "_get_middleware", main._get_middleware)
    monkeypatch.setattr("flwr.superlink.cli.flower_superlink", lambda: made.append(main.create_app()))
    access_filter.serve()
    return made[0]


def post(app: Any, path: str, client: str, body: bytes | AsyncIterator[bytes] = b"") -> httpx.Response:
    """Sends a request to the server at 192.0.2.1."""

    async def send() -> httpx.Response:
        way = httpx.ASGITransport(app, raise_app_exceptions=False, client=(client, 50000))
        async with httpx.AsyncClient(transport=way, base_url=f"http://{SERVER}:8000") as caller:
            return await caller.post(path, content=body, headers=PROTOBUF)

    return asyncio.run(send())


async def chunks(*parts: bytes) -> AsyncIterator[bytes]:
    for part in parts:
        yield part


@pytest.mark.parametrize(
    ("path", "client", "passes"),
    [
        ("/v1/control/register-node", HERE, True),
        ("/v1/control/register-node", SERVER, True),  # the server's own address: a client on its machine
        ("/v1/control/register-node", ELSEWHERE, False),
        ("/v1/control/list-nodes", ELSEWHERE, False),
        ("/v1/control/start-run", ELSEWHERE, False),
        ("/v1/runtime/acquire-task", ELSEWHERE, False),
        ("/docs", ELSEWHERE, False),
        ("/v1/fleetx", ELSEWHERE, False),
        ("/v1/fleet/activate-node", ELSEWHERE, True),
        ("/health", ELSEWHERE, True),
    ],
)
def test_other_machines_reach_nothing_but_the_api_of_the_devices(
    app: Any, path: str, client: str, passes: bool
) -> None:
    answer = post(app, path, client)
    refused = answer.status_code == 403 and "open on the machine of the SuperLink only" in answer.text
    assert refused is not passes


def test_a_layer_of_flowers_sees_what_it_is_for_and_all_of_it(app: Any) -> None:
    around = {
        layer.args[0].__name__: layer.args[1] for layer in app.user_middleware if layer.cls is bypass.Bypass
    }
    assert around == bypass._PATHS  # Flower has each of them, and what has no name here stands before all
    body = PullMessagesRequest(node=Node(node_id=7)).SerializeToString()
    assert post(app, "/v1/fleet/pull-messages", ELSEWHERE, body).status_code == 401  # the keys are asked for


def test_no_other_machine_sends_more_than_a_device_has_to(app: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(access_filter, "MOST_BYTES", 8)
    path = "/v1/fleet/push-object"
    # Flower's own word for a body that it has read, and that is no protobuf.
    read = post(app, path, ELSEWHERE, b"nonsense")
    assert "Invalid protobuf payload" in read.text and read.status_code == 400
    for body in (b"nonsense.", chunks(b"non", b"sense", b".")):
        refused = post(app, path, ELSEWHERE, body)
        assert (refused.status_code, refused.json()["detail"]) == (413, "A request has at most 8 bytes.")
    assert post(app, path, HERE, b"nonsense.").status_code == 400


def test_the_rest_of_a_request_that_is_too_large_is_not_waited_for() -> None:
    sent: list[Any] = []
    parts = iter([{"type": "http.request", "body": bytes(2**20), "more_body": True}] * 33)

    async def behind(scope: Any, receive: Any, send: Any) -> None:
        raise AssertionError

    async def receive() -> Any:
        return next(parts)  # raises where one more is asked for

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "path": "/v1/fleet/push-object", "client": (ELSEWHERE, 1), "server": (SERVER, 2)}
    asyncio.run(access_filter.AccessFilter(behind)(scope, receive, send))
    assert sent[0]["status"] == 413


def test_the_largest_object_of_flower_passes_the_gate() -> None:
    from flwr.common.constant import FLWR_PRIVATE_MAX_ARRAY_CHUNK_SIZE

    assert access_filter.MOST_BYTES >= 4 * FLWR_PRIVATE_MAX_ARRAY_CHUNK_SIZE
