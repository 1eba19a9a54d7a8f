"""Whether what a device measures is still what its model was trained on.

`reference` is what a bundle carries of the training samples, `detector` follows samples one by one as the
firmware does (`fma_drift.c`), and `comparison` says how unlike two sets of samples are.
"""

from fedmetaalign.drift.comparison import Shift, shifts
from fedmetaalign.drift.detector import Followed, follow
from fedmetaalign.drift.reference import Reference

__all__ = ["Followed", "Reference", "Shift", "follow", "shifts"]
