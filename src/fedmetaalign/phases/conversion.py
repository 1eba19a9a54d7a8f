"""From a float network to the format that a recipe deploys (Algorithm 4's conversion)."""

import numpy as np

from fedmetaalign.fleet.device import Device
from fedmetaalign.model.curve import LARGEST_LEVEL
from fedmetaalign.model.mlp import Network
from fedmetaalign.operators.grid import Bits
from fedmetaalign.phases.kinds import met
from fedmetaalign.recipe import Deploy, Personalize
from fedmetaalign.tinyml.calibration import Calibration, pushed_out
from fedmetaalign.tinyml.head import dense_tail
from fedmetaalign.tinyml.network import Layers, QuantizedNetwork
from fedmetaalign.tinyml.quantize import bits_of_int4, quantize
from fedmetaalign.tinyml.runtimes import Runtime

RUNTIME: Runtime = "firmware"
"""Whose rounding the deployed threshold is chosen with."""


def calibration_rows(device: Device, settings: Deploy, outputs: int = 1) -> np.ndarray:
    """Returns what a device's ranges are calibrated on, (rows, inputs) float32.

    Ranges that only its own samples have set would cut short what others have taught its network of kinds that
    it has never met: with "error" they are as wide for these as with "reach".

    Args:
        device: whose.
        settings: the recipe's section.
        outputs: logits of its network.
    """
    lacks = outputs > 1 and settings.calibration == "error" and not met(device.train.y, outputs).all()
    if lacks or (settings.calibration == "reach" and device.preparation.curves):
        return pushed_out(device.inputs, LARGEST_LEVEL)
    return device.inputs


def convert(
    layers: Layers, head: int, calibration: np.ndarray, settings: Deploy, bits: Bits = 8
) -> QuantizedNetwork | Layers:
    """Puts a float network into the recipe's format.

    Args:
        layers: the float network.
        head: how many layers, counted from the last, a float head has, where the format asks for one; those of
            them that are not dense stay in integers.
        calibration: as `calibration_rows` returns it.
        settings: the recipe's section.
        bits: 4 gives every integer format the weights of "int4".

    Returns:
        The network that is deployed.
    """
    per_channel = settings.per_channel
    by: Calibration = "range" if settings.calibration == "range" else "error"
    widths: list[Bits] = bits_of_int4(layers) if bits == 4 else [8] * len(layers)
    match settings.format:
        case "float32":
            return layers
        case "int4":
            return quantize(layers, calibration, bits=bits_of_int4(layers), by=by)
        case "int8-float-head":
            head = min(head, dense_tail(layers))
            return quantize(layers, calibration, per_channel, widths[: len(layers) - head], head, by=by)
        case "int8-float-io":
            return quantize(layers, calibration, per_channel, widths, edges="float32", by=by)
        case "uint8" | "int8":
            return quantize(layers, calibration, per_channel, widths, edges=settings.format, by=by)


def trained_layers(network: Network, settings: Personalize) -> int:
    """Returns how many layers of a device, pools too, phase 3 trains, counted from the last."""
    body = int(settings.freeze * len(network.operators))
    return sum(operator.parts for operator in network.operators[body:])
