"""Who is compared: an engine, and the training step that it carries. Needs nothing but Python."""

from typing import NamedTuple


class Contender(NamedTuple):
    """One row of the table.

    Attributes:
        label: in the table.
        module: of this package; its function `run` trains.
        step: which step `run` carries.
        environment: what it runs in, of `engines_peers.environments`; None: this one.
        packages: whose versions the result tells.
        spread: set to use every core; else the engine does what it does by itself.
    """

    label: str
    module: str
    step: str
    environment: str | None
    packages: tuple[str, ...]
    spread: bool


def _flower(label: str, step: str, *packages: str, spread: bool = True) -> Contender:
    packages = ("flwr", "ray", *packages)
    return Contender(f"Flower with Ray, {label}", "flower_ray", step, "flower", packages, spread)


def _pfl(label: str, step: str, spread: bool = True) -> Contender:
    return Contender(f"pfl-research, {label}", "pfl_research", step, "pfl", ("pfl", "torch"), spread)


CONTENDERS = {
    "ours": Contender("ours, in this process", "ours", "ours", None, ("jax", "numpy"), spread=True),
    "ours-flower": Contender(
        "ours, over Flower's messages in this process",
        "flower_in_process",
        "ours",
        None,
        ("flwr", "jax"),
        spread=True,
    ),
    "flower": _flower("PyTorch", "torch", "torch", spread=False),
    "flower-cores": _flower("PyTorch, one core a device", "torch", "torch"),
    "flower-fused": _flower("PyTorch with fused Adam, one core a device", "torch-fused", "torch"),
    "flower-ours": _flower("our step, one core a device", "ours", "jax"),
    "pfl": _pfl("PyTorch", "torch", spread=False),
    "pfl-cores": _pfl("PyTorch, one process a core", "torch"),
    "pfl-fused": _pfl("PyTorch with fused Adam, one process a core", "torch-fused"),
}
