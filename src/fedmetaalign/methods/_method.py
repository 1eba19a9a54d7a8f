"""What a federated method is: the rounds of its server, and what its devices do when they are asked.

A method's file says only what is its own: the rest are the parts that all share, in `_device` and `_server`,
and the phases of the paper. All that it remembers is in the server's `State` and the device's `Memory`, so that
every method can be stopped and resumed, and runs on every engine.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from fedmetaalign.federation.messages import (
    Answer,
    Ask,
    Last,
    Local,
    Personal,
    Score,
    Scores,
    Train,
    Update,
    Visit,
)
from fedmetaalign.methods._device import plain, plain_hop
from fedmetaalign.model.learner import Learner
from fedmetaalign.phases.client import Client
from fedmetaalign.phases.personalize import personalize
from fedmetaalign.phases.server import Final, Round, Server, State, one_for_all
from fedmetaalign.recipe import Recipe


def no_rounds(server: Server) -> list[Round]:
    """Exchanges nothing."""
    return []


def nothing_lacking(recipe: Recipe) -> str:
    """Runs on every recipe."""
    return ""


def no_answer(client: Client, request: Ask) -> Answer:
    """Knows of nothing but what all methods ask."""
    raise TypeError(f"{client.name} does not know what {request.what!r} means")


def no_scores(client: Client, request: Score) -> Scores:
    """Knows no fleet's threshold."""
    raise TypeError(f"{client.name} is asked for scores, and its method has no use for them")


@dataclass(frozen=True)
class Method:
    """A method, as functions.

    Attributes:
        rounds: lists the rounds after phase 0, which move the server's state on.
        local: a device's part of a parallel round.
        hop: a device's part of a tour.
        finals: what the devices are sent in the end, given their names; each of them once, and first what a
            device that took no part is sent.
        scores: a device's part of the fleet's threshold.
        answer: a device's part of what no other method asks.
        personal: what a device makes of the final weights.
        lacking: the sentence that says what a recipe lacks for it; empty where nothing.
        travels: how many of the weights travel, from the beginning of the vector; None for all.
        trains: it takes gradient steps, and so has a learning rate.
        tuned: a comparison chooses its learning rate on validation samples; else it is the recipe's.
        federates: what a device ends with comes of other devices' samples.
        remembers: its devices keep something from round to round.
        one_model: phase 3 starts from one global model for all devices.
        no_bundle: the sentence that says why it ends in no bundle; empty where it does.
        in_process: the sentence that says why it runs in one process only; empty where it runs anywhere.
    """

    rounds: Callable[[Server], list[Round]] = no_rounds
    local: Callable[[Client, Train], Update] = plain
    hop: Callable[[Client, Visit], Local] = plain_hop
    finals: Callable[[tuple[str, ...], State], list[Final]] = one_for_all
    scores: Callable[[Client, Score], Scores] = no_scores
    answer: Callable[[Client, Ask], Answer] = no_answer
    personal: Callable[[Client, Last[Any]], Personal] = personalize
    lacking: Callable[[Recipe], str] = nothing_lacking
    travels: Callable[[Learner, Recipe], int | None] = lambda learner, recipe: None
    trains: bool = True
    tuned: bool = True
    federates: bool = True
    remembers: bool = False
    one_model: bool = True
    no_bundle: str = ""
    in_process: str = ""
