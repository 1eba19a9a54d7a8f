"""Arrays in a file that says what it holds: one that has changed on the disk, or lacks a part, is refused."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save


def sealed(arrays: Mapping[str, np.ndarray], facts: Mapping[str, Any]) -> bytes:
    """Returns a safetensors file of some arrays and facts, which JSON can hold, with a sha256 of both.

    The same content gives the same bytes.
    """
    said = {**facts, "sha256": _digest(arrays, facts)}
    # One key: safetensors writes several in an order that changes from run to run.
    return save(dict(arrays), metadata={"facts": json.dumps(said)})


def unsealed(path: Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Reads the arrays and the facts of a file that `sealed` made.

    Raises:
        OSError: it cannot be read.
        ValueError: it is damaged.
    """
    try:
        with safe_open(path, "numpy") as file:
            facts = json.loads((file.metadata() or {"facts": "{}"})["facts"])
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        digest = facts.pop("sha256", "")
    except (SafetensorError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(error) from None
    if digest != _digest(arrays, facts):
        raise ValueError("it does not hold what its sha256 says")
    return arrays, facts


def _digest(arrays: Mapping[str, np.ndarray], facts: Mapping[str, Any]) -> str:
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode())
    for name in sorted(arrays):
        array = arrays[name]
        digest.update(json.dumps([name, str(array.dtype), array.shape]).encode())
        digest.update(array.tobytes())
    return digest.hexdigest()
