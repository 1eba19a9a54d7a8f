"""A convolution as C: a dense layer, at one place after the other."""

from fedmetaalign.operators.convolution.layer import Convolution
from fedmetaalign.operators.convolution.quantized import QuantizedConvolution, place
from fedmetaalign.operators.dense import firmware
from fedmetaalign.operators.grid import Grid
from fedmetaalign.operators.stage import FloatStage, Layout, Stage


def c_stage(source: Grid, layer: QuantizedConvolution, layout: Layout) -> Stage:
    """Returns what the firmware has to know of an integer layer."""
    one = firmware.c_stage(source, layer.place, layout._replace(wide=layout.pairs))
    return one._replace(
        bits=16 if layout.pairs else 8, places=layer.output_steps, stride=layer.stride * layer.channels
    )


def c_float_stage(layer: Convolution) -> FloatStage:
    """Returns what the firmware has to know of a float layer."""
    one = firmware.c_float_stage(place(layer))
    return one._replace(places=layer.output_steps, stride=layer.stride * layer.channels)
