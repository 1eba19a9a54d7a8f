"""What bundle.json says of a network and of what goes into it, and how it is read back."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from fedmetaalign.model.curve import Curve
from fedmetaalign.model.missing import Missing
from fedmetaalign.model.preparation import Preparation
from fedmetaalign.operators import output_of
from fedmetaalign.signals import Signal
from fedmetaalign.tinyml.network import DeployedNetwork, QuantizedNetwork

_OPTIONAL = ("curves", "fill", "flags")  # parts of the preparation that stand where they are not empty


def preparation_facts(preparation: Preparation) -> dict[str, Any]:
    """Returns what stands under "preparation"."""
    facts = asdict(preparation)
    del facts["signal"]  # it has a key of its own
    return {key: part for key, part in facts.items() if part or key not in _OPTIONAL}


def preparation_of(facts: Mapping[str, Any]) -> Preparation:
    """Returns the preparation that bundle.json tells of.

    Raises:
        ValueError, KeyError, TypeError, AttributeError, OverflowError: it is damaged.
    """
    p = facts["preparation"]
    if not all(isinstance(text, str) for text in (*p["features"], *p["units"], facts["device"])):
        raise ValueError("features, units and device have to be texts")
    return Preparation(
        features=tuple(p["features"]),
        units=tuple(p["units"]),
        categories={name: tuple(values) for name, values in p["categories"].items()},
        mean=tuple(map(float, p["mean"])),
        scale=tuple(map(float, p["scale"])),
        columns=tuple(map(int, p["columns"])),
        curves=tuple(_curve(curve) for curve in p.get("curves", ())),
        missing=Missing.of(p.get("missing", {})),
        fill=tuple(map(float, p.get("fill", ()))),
        flags=tuple(map(int, p.get("flags", ()))),
        signal=Signal.of(facts["signal"]) if "signal" in facts else None,
    )


def _curve(facts: Mapping[str, Any]) -> Curve:
    return Curve(tuple(map(float, facts["knots"])), tuple(map(float, facts["levels"])))


def format_of(network: DeployedNetwork) -> str:
    """Names a network's format as a recipe's deploy.format does."""
    if not isinstance(network, QuantizedNetwork):
        return "float32"
    if network.head:
        return "int8-float-head"
    if any(layer.bits == 4 for layer in network.layers):
        return "int4"
    return {"uint8": "uint8", "int8": "int8", "float32": "int8-float-io"}[network.edges]


def quantization(network: DeployedNetwork) -> dict[str, Any]:
    """Returns what a reader of bundle.json needs to know to feed the model and to read its score.

    `input` is the grid of the integer features, for float32 features the one that they are put on first;
    `score` is the grid of the score, which a float32 head does not have.
    """
    if not isinstance(network, QuantizedNetwork):
        return {"format": format_of(network), "edges": "float32"}
    unsigned = network.edges == "uint8"
    facts = {
        "format": format_of(network),
        "edges": network.edges,
        "bits": [layer.bits for layer in network.layers],
        "per_channel": any(len(layer.weight_scales) > 1 for layer in network.layers),
        "head": len(network.head),
        "input": asdict(network.input.unsigned if unsigned else network.input),
    }
    if network.head:
        return facts
    score = output_of(network.layers[-1].outputs).grid
    return facts | {"score": asdict(score.unsigned if unsigned else score)}
