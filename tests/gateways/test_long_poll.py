"""When a device that asks for work is answered: asked of a server that hands out what has been pushed."""

import asyncio
from typing import Any

from flwr.proto.fleet_pb2 import PullMessagesRequest
from flwr.proto.message_pb2 import Message, Metadata
from flwr.proto.node_pb2 import Node
from flwr.proto.runtime_pb2 import PushAppMessagesRequest

from fedmetaalign.gateways.long_poll import LongPoll

ASKS, ORDERS = "/v1/fleet/pull-messages", "/v1/runtime/push-messages"


class Server:
    """What is behind: gives a node that asks what has been pushed for it, and counts the questions."""

    def __init__(self) -> None:
        self.inboxes: dict[int, int] = {}
        self.asked = 0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        body, found = (await receive())["body"], b""
        if scope["path"] == ORDERS:
            for message in PushAppMessagesRequest.FromString(body).messages_list:
                node = message.metadata.dst_node_id
                self.inboxes[node] = self.inboxes.get(node, 0) + 1
        else:
            self.asked += 1
            found = b"work" * self.inboxes.pop(PullMessagesRequest.FromString(body).node.node_id, 0)
        await send({"type": "http.response.start", "status": 200})
        await send({"type": "http.response.body", "body": found})


async def post(app: Any, path: str, body: bytes, hangs_up: asyncio.Event | None = None) -> bytes | None:
    parts = [{"type": "http.request", "body": body}]
    sent: list[Any] = []

    async def receive() -> Any:
        if parts:
            return parts.pop()
        await (hangs_up or asyncio.Event()).wait()
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(message)

    await app({"type": "http", "path": path}, receive, send)
    return bytes(sent[-1]["body"]) if sent else None


def ask(node: int) -> bytes:
    return bytes(PullMessagesRequest(node=Node(node_id=node)).SerializeToString())


def order(node: int) -> bytes:
    messages = [Message(metadata=Metadata(dst_node_id=node))]
    return bytes(PushAppMessagesRequest(messages_list=messages).SerializeToString())


async def turns() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


def test_who_asks_is_answered_when_there_is_work_for_him_and_nobody_else_is_asked_about() -> None:
    async def play() -> None:
        server = Server()
        app = LongPoll(server)
        first, second = (asyncio.ensure_future(post(app, ASKS, ask(node))) for node in (1, 2))
        await turns()
        assert not first.done() and server.asked == 2
        await post(app, ORDERS, order(2))
        assert await second == b"work"
        assert not first.done() and server.asked == 3
        await post(app, ORDERS, order(1))
        assert await first == b"work"
        await post(app, ORDERS, order(1))
        assert await post(app, ASKS, ask(1)) == b"work"  # what is there already is not waited for

    asyncio.run(play())


def test_what_comes_for_who_has_hung_up_is_kept_for_his_next_question() -> None:
    async def play() -> None:
        app, gone = LongPoll(Server()), asyncio.Event()
        first = asyncio.ensure_future(post(app, ASKS, ask(1), gone))
        await turns()
        gone.set()
        await first
        await post(app, ORDERS, order(1))
        assert await post(app, ASKS, ask(1)) == b"work"

    asyncio.run(play())


def test_a_server_that_ends_lets_all_go() -> None:
    async def play() -> None:
        app = LongPoll(Server())
        asked = asyncio.ensure_future(post(app, ASKS, ask(1)))
        await turns()
        app._release()
        assert await asked == b""

    asyncio.run(play())
