"""Pooling as C, for `firmware/fma_time.h`."""

from fedmetaalign.operators.grid import Grid
from fedmetaalign.operators.pool.layer import Pool
from fedmetaalign.operators.pool.quantized import QuantizedPool, is_mean, mean_multiplier
from fedmetaalign.operators.stage import FloatStage, Layout, Stage

_KINDS = {"max": "FMA_MAX", "average": "FMA_AVERAGE"}


def c_stage(source: Grid, layer: QuantizedPool, layout: Layout) -> Stage:
    """Returns what the firmware has to know of an integer layer."""
    multiplier, shift = mean_multiplier(source, layer) if is_mean(layer) else (0, 1)
    return Stage(
        "FMA_MEAN" if is_mean(layer) else _KINDS[layer.kind],
        [],
        multiplier,
        shift,
        steps=layer.size,
        outputs=layer.channels,
        places=layer.output_steps,
        stride=layer.stride * layer.channels,
        zero_point=layer.output.zero_point,
        source=source.zero_point,
    )


def c_float_stage(layer: Pool) -> FloatStage:
    """Returns what the firmware has to know of a float layer."""
    stride = layer.stride * layer.channels
    return FloatStage(_KINDS[layer.kind], layer.size, layer.channels, layer.output_steps, stride)
