"""Simulated fleets, for beginners, tests and anyone whose own data may not leave the building.

Each simulator follows published physics or published rules, named in its docstring. A device's rows depend
only on the seed, the simulator and the device's name, so adding devices changes no other device.
"""

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any, Protocol, cast

from fedmetaalign.errors import DataError
from fedmetaalign.fleet.schema import Table
from fedmetaalign.fleet.simulators import feeder, milling, motor_current, rotating, vibration, waveform
from fedmetaalign.system import plugins

__all__ = ["KINDS", "SIMULATORS", "Simulator", "find", "kinds"]


class Simulator(Protocol):
    """What every simulator is."""

    def __call__(self, devices: int, samples: int, seed: int) -> list[Table]:
        """Simulates a fleet.

        Args:
            devices: how many devices, at least 1; they are called "<simulator>-00", "<simulator>-01", ...
            samples: rows of each device, at least 1; both classes occur from 2 on (feeder: from 5 on,
                rotating: from 20 on).
            seed: the recipe's seed.

        Returns:
            One table a device, its rows shuffled, in physical units; of signals (`recipe.simulated.WINDOWS`)
            rows are samples in order of time, recording after recording, as many as give so many windows.

        Raises:
            DataError: if `devices` or `samples` is below 1.
        """
        ...


SIMULATORS: Mapping[str, Simulator] = MappingProxyType(
    {
        "feeder": feeder.simulate,
        "milling": milling.simulate,
        "motor_current": motor_current.simulate,
        "rotating": rotating.simulate,
        "vibration": vibration.simulate,
        "waveform": waveform.simulate,
    }
)

KINDS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "feeder": ("normal", *feeder.FAULTS),
        "milling": ("normal", *milling.MODES[:-1]),  # a random failure does not count as one
        "motor_current": ("normal", *motor_current.FAULTS),
        "rotating": ("normal", *rotating.MODES),
        "vibration": ("normal", *vibration.FAULTS),
        "waveform": ("normal", *feeder.FAULTS),
    }
)
"""What `Table.kinds` may hold; "normal" is no fault."""


def find(name: str) -> Simulator:
    """Returns a simulator of this package or of another.

    Raises:
        RecipeError: it is another's, and cannot be loaded.
    """
    if name in SIMULATORS:
        return SIMULATORS[name]
    found: Any = plugins.load(plugins.SIMULATORS, name, object)
    return cast(Simulator, found)


def kinds(name: str, devices: Iterable[Table]) -> tuple[str, ...]:
    """Returns the kinds that a simulator knows, "normal" first; another package's are those of its devices.

    Raises:
        DataError: its devices have none.
    """
    if name in KINDS:
        return KINDS[name]
    found = {str(kind) for device in devices if device.kinds is not None for kind in device.kinds}
    if "normal" not in found or len(found) < 2:
        raise DataError(f"The simulator {name} does not tell kinds of faults from 'normal': drop kinds = true.")
    return ("normal", *sorted(found - {"normal"}))
