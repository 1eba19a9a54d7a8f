"""A fleet in this process that answers soundly and at once, but for the devices that a test spoils."""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import numpy as np
from flwr.app import Context, Message, RecordDict
from flwr.clientapp import ClientApp
from flwr.proto.node_pb2 import NodeInfo
from small_run import HEADER, NETWORK, TRAINED

from fedmetaalign.engine.flower import replies, requests
from fedmetaalign.engine.flower.engine import FlowerEngine
from fedmetaalign.engine.flower.node_registry import NodeRegistry, Session
from fedmetaalign.federation.messages import Update
from fedmetaalign.fleet.shared import Hello, Place
from fedmetaalign.integrations.flower_grid import Faults, InProcessGrid, faultless

FEATURES = ("a", "b", "c")
DELTA = np.full(NETWORK.parameters, 0.5, np.float32)

Deed = Callable[[RecordDict], RecordDict]
"""What a device does with its sound answer."""


@dataclass
class Toys:
    """The devices' side.

    Attributes:
        deeds: by device and kind of question ("introduce" or "train"); whoever has none answers soundly.
        asked: device and kind of each question, in the order in which they came.
        places: what each device was told of its fleet, by name.
    """

    deeds: dict[tuple[str, str], Deed] = field(default_factory=dict)
    asked: list[tuple[str, str]] = field(default_factory=list)
    places: dict[str, Place] = field(default_factory=dict)

    def app(self) -> ClientApp:
        app = ClientApp()

        @app.query("introduce")
        def introduce(message: Message, context: Context) -> Message:
            name = str(context.node_config["name"])
            return self._reply(
                message, name, "introduce", lambda run: replies.write_hello(name, run, self.about(name))
            )

        @app.train("train")
        def train(message: Message, context: Context) -> Message:
            name = str(context.node_config["name"])
            request, self.places[name] = requests.read_request(message.content, HEADER.recipe.model)
            update = Update(DELTA, 0.8, **TRAINED)
            return self._reply(
                message, name, "train", lambda run: replies.write_reply(name, run, request, update)
            )

        return app

    def about(self, name: str) -> replies.Hello:
        features = FEATURES if name != "milling" else ("speed",)
        return Hello(features, ("mm",) * len(features))

    def _reply(self, message: Message, name: str, kind: str, sound: Callable[[str], RecordDict]) -> Message:
        self.asked.append((name, kind))
        content = sound(str(message.content["request"]["run"]))
        return Message(self.deeds.get((name, kind), lambda same: same)(content), reply_to=message)


class ToyGrid(InProcessGrid):
    """A grid that counts, and whose mailbox can fail.

    Attributes:
        toys: the devices.
        pulls: how many answers were asked for.
        lost: nodes that a message to is not taken, each for so many times.
    """

    def __init__(
        self, names: Iterable[str] = ("fan", "pump"), faults: Faults = faultless, **called: str
    ) -> None:
        """Starts nodes, registered under these names; in `called` stands what those call themselves who lie."""
        self.toys, self.pulls, self.lost = Toys(), 0, {}
        nodes = {name: {"name": called.get(name, name)} for name in [*names, *called]}
        super().__init__(self.toys.app(), nodes, workers=len(nodes), faults=faults)

    def pull_messages(self, message_ids):
        self.pulls += 1
        return super().pull_messages(message_ids)

    def push_messages(self, messages):
        [message] = messages
        name = next(info.name for info in self.get_nodes() if info.node_id == message.metadata.dst_node_id)
        answer = self.lost.get(name, [])
        return answer.pop(0) if answer else super().push_messages(messages)


class Keyless(ToyGrid):
    """A grid that asks for no keys, so that a node has no name but the one that it gives itself."""

    def __init__(self, **called: str) -> None:
        super().__init__((), **called)

    def get_nodes(self):
        return [
            NodeInfo(node_id=info.node_id, last_activated_at=info.last_activated_at)
            for info in super().get_nodes()
        ]

    def push_messages(self, messages):
        return InProcessGrid.push_messages(self, messages)


def registry_of(grid, roster=("fan", "pump"), deadline=600.0):
    """A registry that forgets soon who was lost; `roster` may be a list that changes later, or None."""
    return NodeRegistry(grid, HEADER, None if roster is None else lambda: roster, deadline, pause=0.01)


def called(registry: NodeRegistry, *names: str) -> dict[str, Session]:
    """Calls the registry until these are there, and nobody else."""
    end = time.monotonic() + 60
    while True:
        online = registry.poll()
        if sorted(online) == sorted(names):
            return dict(online)
        assert time.monotonic() < end, (
            f"{sorted(online)} are there, and not {sorted(names)}: {registry.refused}"
        )
        time.sleep(0.01)


def refused(registry: NodeRegistry, name: str) -> str:
    """Calls the registry until a device is refused, and returns why."""
    end = time.monotonic() + 60
    while name not in registry.refused:
        assert time.monotonic() < end
        registry.poll()
        time.sleep(0.01)
    return registry.refused[name]


def engine_of(grid, roster=("fan", "pump"), deadline=600.0, **more):
    """An engine whose devices have introduced themselves."""
    engine = FlowerEngine(registry_of(grid, roster, deadline), poll_interval=0.01, **more)
    called(engine.registry, *(info.name for info in grid.get_nodes()))
    return engine
