"""What a recipe knows of this package's simulators without running them."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

SIMULATORS = ("feeder", "milling", "motor_current", "rotating", "vibration", "waveform")
"""The simulators of this package."""

FEATURES: Mapping[str, int] = MappingProxyType(
    {"feeder": 6, "milling": 6, "motor_current": 1, "rotating": 9, "vibration": 2, "waveform": 6}
)
"""How many features, or channels and speed, each has."""

WINDOWS: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        # 2 s. Sidebands lie too near the supply for bands of the current; its envelope has them alone.
        "motor_current": {
            "length": 1024,
            "stride": 512,
            "channels": ("current",),
            "rate": 512.0,
            "front": ("statistics", "bands", "envelope"),
            "envelope": (20.0, 80.0),
        },
        # 85 ms, one to four turns of a shaft.
        "vibration": {
            "length": 1024,
            "stride": 512,
            "channels": ("acceleration",),
            "rate": 12_000.0,
            "front": ("statistics", "bands"),
        },
        # Two cycles, and a decision every cycle.
        "waveform": {
            "length": 128,
            "stride": 64,
            "channels": ("Ia", "Ib", "Ic", "Va", "Vb", "Vc"),
            "rate": 3200.0,
            "label": "majority",
            "front": ("statistics", "bands"),
        },
    }
)
"""Of simulators whose rows are samples of a signal, the keys of [fleet.window] where a recipe sets none."""


def window_of(simulator: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the window of a simulator of signals: what a recipe gives, and its own for the rest."""
    own = dict(WINDOWS[simulator])
    if "envelope" not in given.get("front", ("envelope",)):
        own.pop("envelope", None)
    return {**own, **given}
