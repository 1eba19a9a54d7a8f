"""A fleet of Flower nodes in this process: any ServerApp against any ClientApp, without Ray or a SuperLink.

It is for tests, and for counting bytes. Messages, and the `Context` between two of them, go through Flower's
own serialisation in both directions, and what goes wrong is answered with Flower's own error replies. What it
cannot show: a real node answers each message from a fresh Python process, where nothing is left of what the
ClientApp has put into the globals of a module; here it is.

    with InProcessGrid(client_app, {"pump": {"table": "pump.csv"}, "fan": {"table": "fan.csv"}}) as grid:
        result = FedAvg().start(grid, ArrayRecord(weights), num_rounds=3)
"""

import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from logging import ERROR
from threading import Condition, Lock
from typing import Self, cast

from flwr.app import Context, Error, Message, Metadata, RecordDict, UserConfig
from flwr.app.message import remove_content_from_message
from flwr.clientapp import ClientApp
from flwr.common.constant import SUPERLINK_NODE_ID, ErrorCode
from flwr.common.serde import context_from_proto, context_to_proto, message_to_proto
from flwr.proto.message_pb2 import Context as ProtoContext
from flwr.proto.node_pb2 import NodeInfo
from flwr.server.superlink.linkstate.utils import (
    create_message_error_unavailable_ins_message,
    create_message_error_unavailable_res_message,
    message_ttl_has_expired,
)
from flwr.server.utils.validator import validate_message
from flwr.serverapp import Grid
from flwr.supercore import log
from flwr.supercore.date import now
from flwr.supercore.inflatable.inflatable_object import (
    get_all_nested_objects,
    get_object_tree,
    no_object_id_recompute,
)
from flwr.supercore.inflatable.inflatable_utils import inflate_object_from_contents
from flwr.supercore.run import Run
from flwr.supercore.task_identity import TaskIdentity
from threadpoolctl import threadpool_limits

from fedmetaalign.system.cores import cores

Faults = Callable[[str, Message], Message | None]
"""What becomes of a node's reply on its way: (name, reply) -> reply, or None for one that never arrives."""


def faultless(name: str, reply: Message) -> Message:
    """Lets every reply arrive as it is."""
    return reply


@dataclass(frozen=True)
class Parcel:
    """A message as the SuperLink keeps it.

    Attributes:
        metadata: of the message.
        objects: the message, its records, their arrays and the chunks of these, deflated, by object id; what is
            in the message twice is here once.
        size: bytes of these, of the message's envelope and of its tree of object ids, without the requests
            that carry them.
    """

    metadata: Metadata
    objects: Mapping[str, bytes]
    size: int


def pack(messages: Iterable[Message], replies: bool = False) -> list[Parcel]:
    """Deflates messages, what they share once, and gives them the ids that Flower gives them.

    Raises:
        ValueError: a SuperLink would refuse one of them; the sentence says why.
    """
    store: dict[str, bytes] = {}
    parcels = []
    with no_object_id_recompute():
        for message in messages:
            message.metadata.__dict__["_message_id"] = message.object_id
            if problems := validate_message(message, is_reply_message=replies):
                raise ValueError(f"A SuperLink would refuse this message: {'; '.join(problems)}.")
            parts = get_all_nested_objects(message)
            store.update((key, part.deflate()) for key, part in parts.items() if key not in store)
            objects = {key: store[key] for key in parts}
            envelope = message_to_proto(remove_content_from_message(message))
            size = envelope.ByteSize() + get_object_tree(message).ByteSize()
            parcels.append(Parcel(message.metadata, objects, size + sum(map(len, objects.values()))))
    return parcels


def unpack(parcel: Parcel) -> Message:
    """Inflates a message; it shares nothing with the one that was packed."""
    key = parcel.metadata.message_id
    message = cast(Message, inflate_object_from_contents(key, dict(parcel.objects)))
    message.metadata.__dict__["_message_id"] = key  # a message's bytes cannot hold their own hash
    return message


@dataclass(eq=False)
class Node:
    """One life of a node, from joining to leaving.

    Attributes:
        info: as the grid lists it.
        context: what it keeps from one message to the next, serialised.
        inbox: what it has yet to read.
        turn: held by the thread that answers for it: a node answers one message at a time.
    """

    info: NodeInfo
    context: ProtoContext
    inbox: deque[Parcel] = field(default_factory=deque)
    turn: Lock = field(default_factory=Lock)


class InProcessGrid(Grid):
    """A grid whose nodes are threads of this process.

    The nodes are numbered from 2 in the order given, and all are there at first. As over a SuperLink, a message
    that is pushed to an unknown node has the id None; a ClientApp that raises is answered with error code 2;
    a node that left before its answer was pulled with code 5, and a message past its time to live with code 3,
    both in the SuperLink's name (node 1).
    """

    def __init__(
        self,
        app: ClientApp,
        nodes: Mapping[str, UserConfig],
        run_config: UserConfig | None = None,
        workers: int | None = None,
        faults: Faults = faultless,
    ) -> None:
        """Starts the fleet.

        Args:
            app: what every node runs.
            nodes: the node_config of each, by the name it is registered under.
            run_config: of every node's `Context`.
            workers: nodes that answer at once; as many as there are cores if None.
            faults: what becomes of a reply, unless the ClientApp raised; called in the node's thread, where it
                may take its time, as a slow node does.
        """
        self._app = app
        self._faults = faults
        self._configs = dict(nodes)
        self._ids = {name: number for number, name in enumerate(nodes, SUPERLINK_NODE_ID + 1)}
        self._pool = ThreadPoolExecutor(workers or cores())
        # Over all nodes: what a ClientApp sets is the whole process's, and ends in the midst of another's step.
        self._limits = threadpool_limits(1, "blas")
        self._news = Condition()  # guards all that follows
        self._online: dict[str, Node] = {}
        self._sent: dict[str, tuple[Parcel, Node | None]] = {}
        self._replies: dict[str, Parcel] = {}
        self._down: Counter[str] = Counter()
        self._up: Counter[str] = Counter()
        self.set_run(replace(Run.create_empty(run_id=1), override_config=run_config or {}))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Waits for the nodes that are at work, and lets no other start."""
        self._pool.shutdown(cancel_futures=True)
        self._limits.restore_original_limits()

    def set_run(self, run: Run) -> None:
        """Begins a run: every node is there, with an empty `Context.state`."""
        self._run = run
        # `Message` asks it who sends; Flower sets it where it starts a ServerApp.
        TaskIdentity.task_id, TaskIdentity.run_id, TaskIdentity.node_id = 1, run.run_id, SUPERLINK_NODE_ID
        for name in self._configs:
            self.join(name)

    @property
    def run(self) -> Run:
        """The run that this grid serves."""
        return self._run

    @property
    def traffic(self) -> Mapping[str, tuple[int, int]]:
        """Bytes that each node was sent, and sent back, so far; see `Parcel.size`."""
        with self._news:
            return {name: (self._down[name], self._up[name]) for name in self._configs}

    def join(self, name: str) -> None:
        """Starts a node, or starts it again, with an empty `Context.state`, under the id that it had.

        Raises:
            KeyError: the fleet has no such node.
        """
        number = self._ids[name]
        context = Context(
            self._run.run_id, number, self._configs[name], RecordDict(), self._run.override_config
        )
        info = NodeInfo(node_id=number, name=name, status="online", last_activated_at=now().isoformat())
        node = Node(info, context_to_proto(context))
        with self._news:
            self._online[name] = node

    def leave(self, name: str) -> None:
        """Kills a node: what it was doing, and its `Context.state`, are lost.

        Raises:
            KeyError: no such node is there.
        """
        with self._news:
            del self._online[name]

    def get_nodes(self) -> Iterable[NodeInfo]:
        """Lists the nodes that are there, each with `node_id`, `name` and `status`."""
        with self._news:
            return sorted((node.info for node in self._online.values()), key=lambda info: info.node_id)

    def get_node_ids(self) -> Iterable[int]:
        """Lists the ids of the nodes that are there."""
        return [info.node_id for info in self.get_nodes()]

    def create_message(
        self,
        content: RecordDict,
        message_type: str,
        dst_node_id: int,
        group_id: str,
        ttl: float | None = None,
    ) -> Message:
        """Makes a message, as `flwr.app.Message` does."""
        return Message(content, dst_node_id, message_type, ttl=ttl, group_id=group_id)

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        """Sends messages, and returns their ids: None in place of one to a node that the fleet has not.

        Raises:
            ValueError: a SuperLink would refuse one of them.
        """
        names = {number: name for name, number in self._ids.items()}
        ids: list[str | None] = []
        for parcel in pack(messages):
            name = names.get(parcel.metadata.dst_node_id)
            ids.append(parcel.metadata.message_id if name else None)
            if name:
                self._send(parcel, name)
        return cast(list[str], ids)  # as Flower's own grid does

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        """Returns the replies to these messages that are there by now, in the order of the ids."""
        with self._news:
            found = [self._reply_to(message_id) for message_id in message_ids]
        return [unpack(reply) if isinstance(reply, Parcel) else reply for reply in found if reply]

    def send_and_receive(
        self, messages: Iterable[Message], *, timeout: float | None = None
    ) -> Iterable[Message]:
        """Sends messages, and returns the replies in the order in which they came.

        Args:
            messages: to whom it may be.
            timeout: seconds to wait for them; until they expire if None.
        """
        waiting = [message_id for message_id in self.push_messages(messages) if message_id]
        end = time.monotonic() + (float("inf") if timeout is None else timeout)
        replies: list[Message] = []
        while True:
            found = list(self.pull_messages(waiting))
            replies += found
            answered = {reply.metadata.reply_to_message_id for reply in found}
            waiting = [message_id for message_id in waiting if message_id not in answered]
            if not waiting or time.monotonic() >= end:
                return replies
            self._wait_for_any(waiting)

    def _wait_for_any(self, message_ids: list[str]) -> None:
        with self._news:  # not for long: nobody tells that a node has left, or a message expired
            self._news.wait_for(lambda: not self._replies.keys().isdisjoint(message_ids), timeout=0.02)

    def _send(self, parcel: Parcel, name: str) -> None:
        with self._news:
            node = self._online.get(name)
            self._sent[parcel.metadata.message_id] = parcel, node
            if node:
                node.inbox.append(parcel)
        if node:
            self._pool.submit(self._work, node)

    def _reply_to(self, message_id: str) -> Parcel | Message | None:
        """Takes out what there is to say on a message, if there is anything."""
        parcel, node = self._sent.get(message_id, (None, None))
        reply: Parcel | Message | None
        if parcel is None or message_ttl_has_expired(parcel.metadata, now().timestamp()):
            reply = create_message_error_unavailable_ins_message(message_id, self._run.run_id)
        elif node is None or not self._is_online(node):
            reply = create_message_error_unavailable_res_message(parcel.metadata, "node_unavail")
        else:
            reply = self._replies.get(message_id)
        if reply:
            self._sent.pop(message_id, None)
            self._replies.pop(message_id, None)
        return reply

    def _is_online(self, node: Node) -> bool:
        return self._online.get(node.info.name) is node

    def _work(self, node: Node) -> None:
        """Answers the oldest message in a node's inbox."""
        with node.turn:
            with self._news:
                if not self._is_online(node):
                    return
                parcel = node.inbox.popleft()
                self._down[node.info.name] += parcel.size
            reply = self._answer(node, unpack(parcel))
            with self._news:
                if reply and self._is_online(node):
                    self._up[node.info.name] += reply.size
                    if parcel.metadata.message_id in self._sent:
                        self._replies[parcel.metadata.message_id] = reply
                        self._news.notify_all()

    def _answer(self, node: Node, message: Message) -> Parcel | None:
        try:
            reply = self._faults(node.info.name, self._call(node, message))
            return pack([reply], replies=True)[0] if reply else None
        except Exception as error:  # whatever a ClientApp raises; the sentence is the SuperNode's
            log(ERROR, "The ClientApp of %s raised an exception", node.info.name, exc_info=error)
            reason = f"{type(error)}:<'{error}'>"
            failure = Message(Error(ErrorCode.CLIENT_APP_RAISED_EXCEPTION, reason), reply_to=message)
            return pack([failure], replies=True)[0]

    def _call(self, node: Node, message: Message) -> Message:
        context = context_from_proto(node.context)
        try:
            return self._app(message, context)
        finally:
            node.context = context_to_proto(context)
