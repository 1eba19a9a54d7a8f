"""How much RAM the firmware of a device takes, known before anything is compiled."""

from fedmetaalign.model.preparation import Preparation
from fedmetaalign.operators.stage import Layout
from fedmetaalign.tinyml import time_code
from fedmetaalign.tinyml.network import DeployedNetwork, Interface, QuantizedNetwork, layer_widths

_FRAMES = 320  # bytes of stack beside the arrays on it, on a Cortex-M


def stream(preparation: Preparation, network: DeployedNetwork) -> int:
    """Returns the bytes of `fma_stream_t`: the window, and what is known of it."""
    signal = preparation.signal
    assert signal is not None  # noqa: S101 - asked of signals alone
    channels, last = len(signal.channels), preparation.missing.rule == "last"
    size = Interface.of(network).input.itemsize if takes_samples(preparation) else 4
    words = 1 + channels + bool(signal.speed) + last * len(preparation.measured)
    return -(-signal.length * channels * size // 4) * 4 + 4 * words


def buffers(preparation: Preparation, network: DeployedNetwork, pairs: bool = False) -> int:
    """Returns the bytes of the static buffers of `fma_infer.c` and `fma_front.c`; `pairs` is of its weights."""
    layers, floats = (network.layers, network.head) if isinstance(network, QuantizedNetwork) else ((), network)
    total = 8 * max(layer_widths(floats)) if floats else 0
    if isinstance(network, QuantizedNetwork) and time_code.goes_over_time(network):
        total += time_code.ram(network, pairs)
    elif layers:
        total += (4 + Layout(False, pairs).step) * -(-max(layer_widths(layers)) // 4)
    outputs = Interface.of(network).outputs
    if outputs > 1 and not floats:
        total += 5 * outputs
    if preparation.signal is not None:
        total += 4 * max((how.points for how in preparation.signal.spectra.values()), default=0)
        total += 0 if takes_samples(preparation) else 4 * len(preparation.measured)
    return total


def stack(preparation: Preparation, network: DeployedNetwork) -> int:
    """Returns the bytes of stack that a decision takes, about, on a Cortex-M."""
    if takes_samples(preparation):
        return _FRAMES
    interface = Interface.of(network)
    return interface.inputs * interface.input.itemsize + _FRAMES


def takes_samples(preparation: Preparation) -> bool:
    """Tells whether the network takes the samples of a window as they come: a device keeps its inputs alone."""
    signal, columns = preparation.signal, preparation.columns
    if signal is None or signal.front != ("raw",) or preparation.missing.rule == "last":
        return False
    return columns == tuple(range(len(columns)))
