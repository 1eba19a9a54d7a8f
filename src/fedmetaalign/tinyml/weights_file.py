"""What `weights.safetensors` of a bundle says of a float network beside its arrays.

Of dense layers `relu` is a list of whether each has one. Where layers are not all dense, `layers` has a table
for each in its place, with the name of its kind and its numbers. It is one key or the other: the library writes
several in a random order, and the same run would end in other bytes.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any

import numpy as np

from fedmetaalign.operators import OPERATORS, Layer, operator_of
from fedmetaalign.operators.dense import Dense
from fedmetaalign.tinyml.network import Layers

_KINDS = {operator.layer.__name__.lower(): operator for operator in OPERATORS}


def metadata(layers: Layers) -> dict[str, str]:
    """Returns the file's metadata."""
    if all(isinstance(layer, Dense) for layer in layers):
        return {"relu": json.dumps([layer.relu for layer in layers])}
    return {"layers": json.dumps([_said(layer) for layer in layers])}


def layers(metadata: Mapping[str, str], tensor: Callable[[str], np.ndarray], first: int = 0) -> list[Layer]:
    """Returns the layers of a file.

    Args:
        metadata: the file's.
        tensor: gives an array by its name, "0.weight" of the network's first layer and so on.
        first: number of the first one that the file holds.
    """
    if "layers" in metadata:
        said: list[dict[str, Any]] = json.loads(metadata["layers"])
    else:
        said = [{"layer": "dense", "relu": relu} for relu in json.loads(metadata["relu"])]
    made = []
    for i, numbers in enumerate(said, first):
        operator = _KINDS[numbers.pop("layer")]
        arrays = {attribute: tensor(f"{i}.{name}") for name, attribute in operator.arrays.items()}
        made.append(operator.layer(**arrays, **numbers))
    return made


def _said(layer: Layer) -> dict[str, Any]:
    """Returns a layer's kind and what it is made of but arrays."""
    arrays = operator_of(layer).arrays.values()
    numbers = {field.name: getattr(layer, field.name) for field in fields(layer) if field.name not in arrays}
    return {"layer": type(layer).__name__.lower(), **numbers}
