"""What bundle.json says of a network and of what goes into it, and how it is read back."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np

from fedmetaalign.model.curve import Curve
from fedmetaalign.model.missing import Missing
from fedmetaalign.model.preparation import Preparation
from fedmetaalign.operators import output_of
from fedmetaalign.signals import Signal, names, raw_of, shared
from fedmetaalign.tinyml.network import DeployedNetwork, QuantizedNetwork

_BY_CHANNEL = (
    "features",
    "units",
    "mean",
    "scale",
    "fill",
)  # parts that are alike for all samples of a channel
_OPTIONAL = ("curves", "fill", "flags")  # parts of the preparation that stand where they are not empty


def preparation_facts(preparation: Preparation) -> dict[str, Any]:
    """Returns what stands under "preparation".

    Where a signal's samples are features themselves, what they share stands once a channel, under its name, and
    "columns" is their number: a list of them all weighed a hundred kilobytes.
    """
    facts = asdict(preparation)
    del facts["signal"]  # it has a key of its own
    if _is_by_channel(preparation):
        signal = preparation.signal
        assert signal is not None  # noqa: S101 - said before
        first, _ = _channels(signal)
        facts |= {key: [facts[key][i] for i in first] for key in _BY_CHANNEL if facts[key]}
        start, _ = raw_of(signal)
        names = dict(zip(range(start, start + len(signal.channels)), signal.channels, strict=True))
        facts["features"] = [names.get(i, preparation.features[i]) for i in first]
        facts["columns"] = len(preparation.columns)
    return {key: part for key, part in facts.items() if part or key not in _OPTIONAL}


def _is_by_channel(preparation: Preparation) -> bool:
    """Tells whether bundle.json names what is prepared by channel: the inputs are a raw window, in order."""
    signal, width = preparation.signal, len(preparation.features)
    if signal is None or "raw" not in signal.front or preparation.columns != tuple(range(width)):
        return False
    return all(preparation.units[i] == preparation.units[j] for i, j in enumerate(shared(signal).tolist()))


def _channels(signal: Signal) -> tuple[list[int], np.ndarray]:
    """Returns the first feature of each of those that share, and of which of them each feature is one."""
    _, first, group = np.unique(shared(signal), return_index=True, return_inverse=True)
    return first.tolist(), group


def preparation_of(facts: Mapping[str, Any]) -> Preparation:
    """Returns the preparation that bundle.json tells of.

    Raises:
        ValueError, KeyError, TypeError, AttributeError, OverflowError: it is damaged.
    """
    p = facts["preparation"]
    if not all(isinstance(text, str) for text in (*p["features"], *p["units"], facts["device"])):
        raise ValueError("features, units and device have to be texts")
    if isinstance(p["columns"], int):
        p = _of_each(p, Signal.of(facts["signal"]))
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


def _of_each(facts: Mapping[str, Any], signal: Signal) -> dict[str, Any]:
    """Returns what stands under "preparation" of each feature, where it stands there by channel."""
    first, group = _channels(signal)
    if facts["columns"] != len(group) or any(len(facts.get(k) or first) != len(first) for k in _BY_CHANNEL):
        raise ValueError("what is prepared by channel is not of the signal's channels")
    each = {key: [facts[key][i] for i in group] for key in _BY_CHANNEL if key in facts}
    return {**facts, **each, "features": names(signal), "columns": range(len(group))}


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
