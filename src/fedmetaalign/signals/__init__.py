"""From windows of raw signals to the features of a network, with the same bits in Python and in C.

`window` says what a device must know to go from samples to features, `front` computes them in float32 as the
firmware does (`fma_front.c`), operation by operation.
"""

from fedmetaalign.signals.front import features, names, raw_of, shared
from fedmetaalign.signals.window import FRONTS, Front, Signal

__all__ = ["FRONTS", "Front", "Signal", "features", "names", "raw_of", "shared"]
