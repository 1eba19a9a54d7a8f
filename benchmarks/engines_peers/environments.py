"""What the peers need: an environment each."""

from collections.abc import Mapping, Sequence
from importlib.metadata import version

TORCH = "torch==2.13.0"
PINS: Mapping[str, Sequence[str]] = {
    # Our step runs in Flower's environment, too: on the libraries that it has in this one.
    "flower": (
        "flwr[simulation]>=1.41,<1.43",
        TORCH,
        *(f"{name}=={version(name)}" for name in ("jax", "numpy", "scipy")),
    ),
    "pfl": ("pfl==0.6.0", TORCH),
}
