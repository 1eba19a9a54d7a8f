"""What the server asks of a device, as Flower's records.

A message has "request" (what is asked, of whom, in which run and round, and the recipe), "arrays" (the weights)
and "place" (the device's in its fleet). A device keeps no recipe of its own: it is asked with it.
"""

import tomllib
from dataclasses import dataclass
from secrets import token_hex
from typing import Any

import numpy as np
from flwr.app import ConfigRecord, RecordDict

from fedmetaalign.engine.flower.agreement import place_record, read_place
from fedmetaalign.engine.flower.wire import (
    COUNTS,
    PROTOCOL,
    VECTOR,
    WireError,
    arrays,
    packed_arrays,
    read_arrays,
    read_config,
    read_counts,
    read_vector,
    read_vectors,
    share,
    whole,
    word,
)
from fedmetaalign.federation.messages import Finish, Request, Score, Train, Vectors, Visit
from fedmetaalign.fleet.shared import Place
from fedmetaalign.phases.layers import network_of
from fedmetaalign.recipe import Model, Recipe, dump, parse

STAGE = "stage."
"""What the names of the arrays begin with that are the global weights after a phase."""


LONGEST_RUN = 64
"""Characters of a run's name."""


@dataclass(frozen=True)
class Header:
    """What every request says first.

    Attributes:
        device: of whom it is asked; empty where the server does not know yet.
        run: names the run, so that a device does not mix up what it keeps for several: letters and digits.
        recipe: what to do.
    """

    device: str
    run: str
    recipe: Recipe


def ask_hello(header: Header) -> RecordDict:
    """Returns the request that asks who a device is, and whether its table can be used."""
    return RecordDict({"request": ConfigRecord(_said(header, "introduce"))})


def ask(header: Header, request: Request[Any], place: Place) -> RecordDict:
    """Returns a request as records, with the device's place in its fleet."""
    said = {
        **_said(header, kind(request)),
        "round": request.number,
        "devices": request.devices,
    }
    values = {"weights": request.weights}
    match request:
        case Visit():
            said |= {"tour": request.tour, "rate": request.rate, "most": request.most}
            values |= _named(request.vectors)
        case Score():
            values |= _named(request.vectors)
        case Train():
            if request.packed is not None:
                values = packed_arrays("weights", request.packed)
            values |= _named(request.vectors)
        case Finish():
            values |= {f"{STAGE}{name}": weights for name, weights in request.stages.items()}
            values |= _named(request.vectors)
            values |= {} if request.counts is None else {COUNTS: request.counts}
    return RecordDict({"arrays": arrays(values), "place": place_record(place), "request": ConfigRecord(said)})


def read_header(records: RecordDict) -> Header:
    """Returns what a request says first.

    Raises:
        WireError: the server speaks another version of these records, or says nothing sound.
        RecipeError: the recipe has keys or values that this version does not know.
    """
    said = read_config(records, "request")
    if said.get("protocol") != PROTOCOL:
        raise WireError(
            f"The server speaks version {said.get('protocol')} of the protocol, and this device version"
            f" {PROTOCOL}: install the same version of fedmetaalign on both."
        )
    run = word(said, "run")
    if not (run.isascii() and run.isalnum() and len(run) <= LONGEST_RUN):  # the device calls a folder after it
        raise WireError(f"The server calls the run {run!r}, and not by up to {LONGEST_RUN} letters and digits.")
    try:
        raw = tomllib.loads(word(said, "recipe"))
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise WireError(f"The server's recipe is not TOML ({error}).") from None
    return Header(str(said.get("device", "")), run, parse(raw, "the server's recipe"))


def read_request(records: RecordDict, model: Model) -> tuple[Request[Any], Place]:
    """Returns what is asked, and the device's place in its fleet.

    Raises:
        WireError: it is none for this network.
    """
    place = read_place(records, model.inputs)
    network = network_of(model, place.target.outputs)
    said, values = read_config(records, "request"), read_arrays(records, "arrays")
    weights, packed = read_vector(values, "weights", network)
    number, devices = whole(said, "round"), whole(said, "devices")
    request: Request[Any]
    match said.get("kind"):
        case "visit":
            tour, rate = whole(said, "tour"), share(said, "rate")
            most = whole(said, "most") if said.get("most") != 0 else 0
            request = Visit(weights, number, devices, tour, rate, most, read_vectors(values, network))
        case "train":
            request = Train(weights, number, devices, read_vectors(values, network), packed)
        case "score":
            request = Score(weights, number, devices, read_vectors(values, network))
        case "finish":
            stages, vectors = read_vectors(values, network, STAGE), read_vectors(values, network)
            counts = read_counts(values) if COUNTS in values else None
            request = Finish(weights, number, devices, stages, vectors, counts=counts)
        case other:
            raise WireError(f"The server asks for {other!r}, which this version does not know.")
    return request, place


def kind(request: Request[Any]) -> str:
    """Returns the name of a kind of request on the wire."""
    return type(request).__name__.lower()


def _named(vectors: Vectors) -> dict[str, np.ndarray]:
    return {f"{VECTOR}{name}": each for name, each in vectors.items()}


def _said(header: Header, kind: str) -> dict[str, Any]:
    return {
        "protocol": PROTOCOL,
        "kind": kind,
        "device": header.device,
        "run": header.run,
        "recipe": dump(header.recipe),
        # Flower names a message after its content, and lets any device answer that knows the name: none shall
        # be able to guess that of another's.
        "nonce": token_hex(16),
    }
