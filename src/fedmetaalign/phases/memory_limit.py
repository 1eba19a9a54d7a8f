"""Under `deploy.max_ram`: whether a device has room for its window, the network's buffers, and the stack."""

import numpy as np

from fedmetaalign.errors import RunError
from fedmetaalign.fleet.device import Device
from fedmetaalign.model.mlp import Network
from fedmetaalign.phases.conversion import convert
from fedmetaalign.phases.layers import float_layers
from fedmetaalign.recipe import Deploy
from fedmetaalign.tinyml import memory
from fedmetaalign.tinyml.codegen import has_pairs
from fedmetaalign.tinyml.network import DeployedNetwork


def check_ram(device: Device, network: DeployedNetwork, settings: Deploy) -> None:
    """Makes sure that a deployed network has room on its device.

    Raises:
        RunError: it has not; the sentence says what takes how much.
    """
    preparation = device.preparation
    stream = memory.stream(preparation, network) if preparation.signal else 0
    buffers = memory.buffers(preparation, network, has_pairs(network, settings.target))
    stack = memory.stack(preparation, network)
    if settings.max_ram is None or stream + buffers + stack <= settings.max_ram:
        return
    window = f"{stream:,} for a window, " if stream else ""
    shorter = "shorten fleet.window.length, " if stream else ""
    raise RunError(
        f"deploy.max_ram = {settings.max_ram} cannot be met: device {device.name} takes"
        f" {stream + buffers + stack:,} bytes ({window}{buffers:,} for buffers, about {stack:,} of stack):"
        f" raise it, {shorter}or give model narrower layers."
    )


def check_ram_of(device: Device, network: Network, head: int, settings: Deploy) -> None:
    """As `check_ram`, of a network that is not trained yet: what it takes does not depend on its weights.

    Args:
        device: the device.
        network: the recipe's.
        head: layers, counted from the last, that phase 3 trains.
        settings: the recipe's section.

    Raises:
        RunError: as `check_ram`.
    """
    weights = np.random.default_rng(0).normal(size=network.parameters).astype(np.float32)
    layers = float_layers(network, weights)
    check_ram(device, convert(layers, head, device.inputs[:8], settings), settings)
