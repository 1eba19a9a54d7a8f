"""What the tests of Flower's records and of those who exchange them share: a small run, and the way between."""

import numpy as np
from flwr.app import Message, RecordDict
from flwr.clientapp import ClientApp

from fedmetaalign import recipe as recipes
from fedmetaalign.engine.flower.requests import Header
from fedmetaalign.federation.messages import Train
from fedmetaalign.fleet.shared import Place
from fedmetaalign.integrations.flower_grid import InProcessGrid, pack, unpack
from fedmetaalign.model.mlp import Network

RUN = "0123456789abcdef0123456789abcdef"
RECIPE = recipes.load(
    "mixed", ["model.inputs=3", "model.hidden=[2]", "personalize.epochs=2", "fleet.scaling=device"]
)
NETWORK = Network(RECIPE.model.inputs, RECIPE.model.hidden)
HEADER = Header("pump", RUN, RECIPE)
WEIGHTS = np.linspace(-1, 1, NETWORK.parameters, dtype=np.float32)
TRAIN = Train(WEIGHTS, 3, 2)
PLACE = Place((0, 1, 2))
MEASURED = {"support_loss": 0.5, "query_loss": 0.25, "accuracy": 0.75, "samples": 40}
TRAINED = {**MEASURED, "steps": 80, "left_steps": 0}


def travelled(records: RecordDict) -> RecordDict:
    """What is left of records at the other end."""
    with InProcessGrid(ClientApp(), {}):  # Flower's messages ask the run who sends them
        return unpack(pack([Message(records, 2, "train")])[0]).content


def same(one: np.ndarray, other: np.ndarray) -> bool:
    """Whether two arrays are the same to the last bit."""
    return one.dtype == other.dtype and one.shape == other.shape and one.tobytes() == other.tobytes()
