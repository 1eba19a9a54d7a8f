"""How each family of runtimes rounds.

Runtimes differ in how an accumulator, times the multiplier of its output, becomes an int8; in how a float
feature does; and in how the table of the sigmoid is made.

| `Rounding` | runtime | accumulator * multiplier | feature | sigmoid |
|---|---|---|---|---|
| `gemmlowp` | TensorFlow Lite Micro, our firmware | to a high half, then half away from 0 | divided | integer |
| `half-up` | LiteRT without delegates | to a high half, then half up | multiplied | float32 |
| `single` | LiteRT's reference kernels | once, in float64, half away from 0 | divided | float32 |
| `float32` | LiteRT with XNNPACK | once, in float32, half to even | multiplied | float64 |

(Several classes have a softmax instead, which comes in two kinds: see `softmax`. LiteRT's kernels round
convolutions otherwise than dense layers: see `run` of each.)

The first two round twice: a multiplier is a 31-bit integer and a right shift, and what is shifted is the
rounded high half of the doubled product. A feature is divided by the scale of its grid and rounded half away
from 0, or multiplied by the reciprocal and rounded half to even.

`gemmlowp` (Jacob et al. 2018, section 2.2; CMSIS-NN has it too) is integers alone from the first int8 to the
score. The others were read from their kernels' sources and confirmed with `ai-edge-litert` 2.3 on x86-64. There
`half-up` needs a processor with AVX: on one without, LiteRT's own kernels round like `single`.
"""

from typing import Literal

import numpy as np

Rounding = Literal["single", "gemmlowp", "half-up", "float32"]
"""A family of runtimes that give the same bits; see the table at the top of this module."""

_MOST_SHIFT = 31  # bits; a multiplier that needs more is 0


def fixed_point(multipliers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Writes multipliers as multiplier * 2**-31 * 2**-shift, TensorFlow Lite's `QuantizeMultiplier`.

    Args:
        multipliers: (n,) float64 in (0, 1).

    Returns:
        (n,) int64 multipliers, 0 or in [2**30, 2**31), and (n,) int64 right shifts in [0, 31].
    """
    fractions, exponents = np.frexp(multipliers)
    whole = np.floor(fractions * 2.0**31 + 0.5).astype(np.int64)
    carried = whole == 2**31
    whole, shifts = np.where(carried, 2**30, whole), -(exponents.astype(np.int64) + carried)
    lost = shifts > _MOST_SHIFT
    return np.where(lost, 0, whole), np.where(lost, 0, shifts)
