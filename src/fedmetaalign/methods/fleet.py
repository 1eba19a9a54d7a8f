"""Joining pays: groups, tours with a decaying rate, and a model of each device's own that several have taught.

    1  Each device trains the start on either half of its samples. Devices whose updates point the same way are
       a group (aggregation/groups); those that share no feature, also by way of others, never are.
    2  In each group the weights tour the devices, as in the paper's Algorithm 2, with nothing held back and a
       rate that decays. Beside them tour the weights of each fold, which no device trains on that fold of its
       samples. What a device hands back that is further away than groups.reach lets it go is not gone on with.
       Of more than two kinds of fault a device says nothing of those that it has not met (phases/kinds).
    3  A device asks four teachers: a forest and a network of its own samples, its group's model, and that
       fine-tuned. Those of the folds tell, on all of its samples, whether the joint blend or the local one
       serves it better (phases/teaching). One network learns what the blend says (phases/distillation).
       A device that has not met all of its group's kinds fine-tunes the group's model, which has.
       Where a threshold is asked for by F1, it is drawn to the fleet's (evaluation/fleet_threshold).

Each part can be switched: groups.alignment = -1 makes one group a family, serial.decay and fleet.encoding say
what they say, teaching.teachers names the teachers.
"""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from fedmetaalign.aggregation.groups import alignments, groups
from fedmetaalign.evaluation.fleet_threshold import BINS
from fedmetaalign.federation.messages import (
    Last,
    Local,
    Personal,
    Score,
    Scores,
    Train,
    Update,
    Vectors,
    Visit,
)
from fedmetaalign.federation.records import Record, record
from fedmetaalign.methods._device import train, update
from fedmetaalign.methods._method import Method
from fedmetaalign.model.online import Trained
from fedmetaalign.phases import kinds
from fedmetaalign.phases.client import Client, check_finite
from fedmetaalign.phases.folds import folds, taken
from fedmetaalign.phases.parallel import broadcast
from fedmetaalign.phases.serial import Tour, cut, decayed, go, mean, moved
from fedmetaalign.phases.server import Final, Round, Server, State
from fedmetaalign.phases.shifting import shifted
from fedmetaalign.phases.taught import scores_of, taught
from fedmetaalign.randomness import generator
from fedmetaalign.recipe import Recipe

OTHER = "other"
"""A device's update on the second half of its samples."""
MODEL, FOLD = "model", "fold."
"""What a group's weights are called, and what the names of each fold's begin with."""
START = "start"
"""What a group begins with."""
GROUP = "group."
"""What the names of each device's group begin with."""
UNTOLD = "It has not told yet what it measures."
KINDS = "kinds"
"""Which kinds a device, or a group, has met."""
HAS = "kinds."
"""What the names of each device's kinds begin with."""
COUNTS = "counts"
"""How the scores of all devices lie."""
MEDIAN = "median"
"""How many samples the median device has."""
STRIDE = "stride"
"""How long the median device's update on half of its samples is."""


def rounds(server: Server) -> list[Round]:
    """Lists the tours; the first one begins with the groups."""
    count = server.recipe.serial.rounds
    return [Round("serial", number, partial(tour, server, number)) for number in range(1, count + 1)]


def tour(server: Server, number: int, state: State) -> tuple[State, list[Record]]:
    """Takes each group's weights, and those of its folds, to its devices in a fresh random order."""
    records: list[Record] = []
    if START not in state.memory:
        state, records = grouped(server, state)
    state = joined(server, state)
    of, names = group_of(state), server.engine.names
    records += [record(1, number, name, absent=UNTOLD) for name in names if name not in of]
    weights, kept = state.weights, dict(state.memory)
    most = math.ceil(server.recipe.groups.cap * state.memory[MEDIAN][0])
    tours = {
        group: [Tour(route, touring(server, state, group)) for route in cut(order, server.recipe.serial)]
        for group, order in orders(server.recipe, state, number, [name for name in names if name in of]).items()
    }
    rate = decayed(server.recipe.serial, number)
    reach = rate * server.recipe.groups.reach * float(state.memory[STRIDE][0])

    def request(own: Vectors) -> Visit:
        rest = {key: each for key, each in own.items() if key != MODEL}
        return Visit(own[MODEL], number, len(names), number, rate, most, rest)

    # Those of all groups go side by side: they have nothing to do with each other.
    go(
        server.engine,
        [each for those in tours.values() for each in those],
        number,
        request,
        lambda _, local: handed_back(local),
        lambda own, local: too_far(own, handed_back(local), reach),
    )
    for group, those in tours.items():
        records += [each for one in those for each in one.records]
        for name in those[0].carried:
            kept[f"{group}.{name}"] = mean([(one.carried[name], one.answers) for one in those])
        weights = kept[f"{group}.{MODEL}"] if group == 0 else weights
    state = replace(moved(state, weights, number, records), memory=kept)
    if number == server.recipe.serial.rounds and server.recipe.personalize.by_f1:
        state, failed = told(server, state)
        records += failed
    return state, records


def orders(recipe: Recipe, state: State, number: int, names: Sequence[str]) -> dict[int, list[str]]:
    """Returns the devices of each group in the order in which a round visits them."""
    found = {}
    for group, devices in members(names, state).items():
        order = generator(recipe.seed, "order", "fleet", number, group).permutation(len(devices))
        found[group] = [devices[i] for i in order]
    return found


def handed_back(local: Local) -> Vectors:
    """Returns the weights that a device hands back, by name."""
    return {MODEL: local.weights, **local.vectors}


def too_far(before: Vectors, after: Vectors, reach: float) -> str:
    """Says that a device has moved weights further than `reach`, if it has.

    One that lies, or whose training has run away, would else leave the next ones nothing to go on with.
    """
    far = max(float(np.linalg.norm(after[key].astype(np.float64) - each)) for key, each in before.items())
    if far <= reach:
        return ""
    return f"It moved the weights {far / reach:.3g} times as far as groups.reach lets a device."


def told(server: Server, state: State) -> tuple[State, list[Record]]:
    """Adds up how the devices' scores lie, for a threshold that each of them can be drawn to."""
    counts, failed = np.zeros((2, BINS), np.int64), list[Record]()
    for final in finals(server.engine.names, state):
        request = Score(final.weights, 1, len(server.engine.names), final.vectors)
        replies = server.engine.exchange(final.names, request)
        counts += sum((each.counts for each in replies.answers.values()), np.zeros_like(counts))
        failed += replies.failed_records(3, 1)
    return replace(state, memory={**state.memory, COUNTS: counts}) if counts[1].any() else state, failed


def grouped(server: Server, state: State) -> tuple[State, list[Record]]:
    """Divides the devices that send updates into groups, by their features and these."""
    target, nothing = server.learner.target, np.zeros_like(state.weights)
    vectors = {OTHER: nothing} | ({KINDS: nothing} if target.outputs > 1 else {})
    updates, failed = broadcast(server, state.weights, 1, vectors)
    have = {
        f"{HAS}{name}": kinds.read(u.vectors[KINDS], target.outputs)
        for name, u in updates.items()
        if KINDS in u.vectors
    }
    # Alone, devices with one class would be a group that says always the same: they join another.
    weighs = [each.samples for each in updates.values()]
    updates = {n: u for n, u in updates.items() if n not in server.engine.one_sided()} or updates
    pair = (
        np.stack([u.delta for u in updates.values()]),
        np.stack([u.vectors[OTHER] for u in updates.values()]),
    )
    families = server.engine.families()
    least = server.recipe.groups.alignment
    of = groups(alignments(*pair), least, np.array([families[name] for name in updates]))
    numbers = {f"{GROUP}{name}": of[i : i + 1] for i, name in enumerate(updates)}
    lengths = np.linalg.norm(np.concatenate(pair).astype(np.float64), axis=1)
    found = {MEDIAN: np.array([np.median(weighs)]), STRIDE: np.array([np.median(lengths)])}
    kept = {**state.memory, START: state.weights, **found, **have, **numbers}
    return replace(state, memory=kept), failed


def joined(server: Server, state: State) -> State:
    """Lets each device without a group join the largest of its family, or begin one.

    Those with samples of one class are among them. A device that has not told its features yet waits for the
    next tour.
    """
    families, found = server.engine.families(), group_of(state)
    for name in server.engine.names:
        if name not in found and name in families:
            kin = Counter(group for other, group in found.items() if families.get(other) == families[name])
            largest = min(kin, key=lambda group: (-kin[group], group), default=max(found.values()) + 1)
            found[name] = largest
    numbers = {f"{GROUP}{name}": np.array([group], np.int64) for name, group in found.items()}
    return replace(state, memory={**state.memory, **numbers})


def group_of(state: State) -> dict[str, int]:
    """Returns the group of each device that has one."""
    prefix = len(GROUP)
    return {name[prefix:]: int(of[0]) for name, of in state.memory.items() if name.startswith(GROUP)}


def members(names: Sequence[str], state: State) -> dict[int, list[str]]:
    """Returns the devices of each group, by its number, sorted by name; who has none is with the largest."""
    of, found = group_of(state), dict[int, list[str]]()
    for name in sorted(names):
        found.setdefault(of.get(name, 0), []).append(name)
    return dict(sorted(found.items()))


def kinds_of(names: Sequence[str], state: State) -> np.ndarray | None:
    """Returns which kinds some devices have met, (outputs,) bool; None of two classes."""
    found = [state.memory[f"{HAS}{name}"] for name in names if f"{HAS}{name}" in state.memory]
    return np.any(found, axis=0) if found else None


def touring(server: Server, state: State, group: int) -> Vectors:
    """Returns what tours a group: its model, and that of each fold; before its first tour all are alike."""
    names = (MODEL, *(f"{FOLD}{fold}" for fold in range(server.recipe.teaching.folds)))
    start, met = state.memory[START], kinds_of(members(server.engine.names, state)[group], state)
    if met is not None and not met.all():
        start = kinds.without(start, server.learner.layer_sizes[-1], met)
    return {name: state.memory.get(f"{group}.{name}", start) for name in names}


def halves(client: Client, request: Train) -> Update:
    """Trains the weights on either half of the device's samples."""
    request = replace(request, weights=client.folded(request.weights))
    samples, settings = client.device.train, client.recipe.groups
    half = folds(samples, client.learner.target, 2, client.recipe.seed, client.name, client.device.period)
    deltas = []
    for part in (0, 1):
        own = taken(samples, half == part)
        trained = client.learner.train(
            request.weights, own, "halves", part, client.name, epochs=settings.epochs
        )
        check_finite(trained.weights, f"on {client.name}")
        deltas.append(trained)
    first, second = deltas
    vectors = {OTHER: second.weights - request.weights}
    if KINDS in request.vectors:
        vectors[KINDS] = kinds.written(own_kinds(client), len(request.weights))
    return update(client, request, first, vectors)


def hop(client: Client, request: Visit) -> Local:
    """Trains the weights on all of the device's samples, and those of each fold on all but that fold.

    Of a device that has far more samples than the others, each tour takes other ones: it would pull the weights
    its way with all of them. It says nothing of kinds that it has not met.
    """
    held = kinds.held_back(own_kinds(client))
    samples, count = client.device.train, client.recipe.teaching.folds
    dealt = folds(samples, client.learner.target, count, client.recipe.seed, client.name, client.device.period)
    rate = request.rate * client.recipe.optimizer.learning_rate
    drawn = generator(client.recipe.seed, "cap", request.number, client.name).permutation(len(samples))
    now = np.isin(np.arange(len(samples)), drawn[: request.most or len(samples)])

    def trained(weights: np.ndarray, rows: np.ndarray, *address: str | int) -> Trained:
        own, settings = taken(samples, rows & now), client.recipe.serial
        if settings.shift:
            random = generator(client.recipe.seed, "shift", request.number, *address, client.name)
            own = shifted(own, settings.shift, client.recipe.model.channels or 1, random)
        begin = kinds.moved(weights, held)
        found = train(client, begin, own, "fleet", request.number, *address, learning_rate=rate)
        return found._replace(weights=kinds.moved(found.weights, -held))

    whole = trained(client.folded(request.weights), now)
    found, losses, right = {}, [], []
    for fold in range(count):
        name = f"{FOLD}{fold}"
        own = trained(client.folded(request.vectors[name]), dealt != fold, fold).weights
        found[name] = client.unfolded(own)
        if not (dealt == fold).any():  # of a handful of samples
            continue
        loss, accuracy = client.learner.evaluate(own, taken(samples, dealt == fold))
        losses.append(loss)
        right.append(accuracy)
    measured = whole.loss, float(np.mean(losses)), float(np.mean(right))
    return Local(client.unfolded(whole.weights), *measured, len(samples), found)


def finals(names: tuple[str, ...], state: State) -> list[Final]:
    """Sends each device the weights of its group and of the folds; who took no part, those of the largest."""
    found = []
    for group, devices in members(names, state).items():
        own = {k.removeprefix(f"{group}."): v for k, v in state.memory.items() if k.startswith(f"{group}.")}
        weights, counts = own.pop(MODEL), state.memory.get(COUNTS)
        met = kinds_of(devices, state)
        if met is not None:
            own[KINDS] = kinds.written(met, len(weights))
        stages = {**state.stages, "serial": weights}
        found.append(Final(tuple(devices), weights, stages, own, counts, group + 1))
    return found


def scores(client: Client, request: Score) -> Scores:
    """Counts what the device's blend says of its samples."""
    return scores_of(client, *of_group(client, request.vectors))


def personal(client: Client, request: Last[Any]) -> Personal:
    """Lets the device's teachers teach a network of its own."""
    return taught(client, client.folded(request.weights), *of_group(client, request.vectors), request.counts)


def of_group(client: Client, vectors: Vectors) -> tuple[dict[int, np.ndarray], bool]:
    """Returns the group's model without each fold, as the device works with it.

    Returns:
        Them, and whether the group has met kinds that the device has not.
    """
    prefix = len(FOLD)
    folds = {int(name[prefix:]): client.folded(each) for name, each in vectors.items() if name != KINDS}
    own = own_kinds(client)
    more = KINDS in vectors and (kinds.read(vectors[KINDS], len(own)) & ~own).any()
    return folds, bool(more)


def own_kinds(client: Client) -> np.ndarray:
    """Returns which kinds the device has met, (outputs,) bool; none are counted of two classes."""
    return kinds.met(client.device.train.y, client.learner.target.outputs)


def lacking(recipe: Recipe) -> str:
    """Says what a recipe lacks."""
    return "" if recipe.serial.rounds else "fleet tours the devices: set serial.rounds to 1 at least."


METHOD = Method(
    rounds,
    local=halves,
    hop=hop,
    finals=finals,
    scores=scores,
    personal=personal,
    lacking=lacking,
    tuned=False,
    one_model=False,
)
