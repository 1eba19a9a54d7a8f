"""Physical units of one kind, and what a value in one is in another."""

from collections.abc import Collection, Iterator, Mapping

from fedmetaalign.fleet.columns.units import meant

_FAHRENHEIT = 5 / 9
KINDS: Mapping[str, Mapping[str, tuple[float, float]]] = {
    "temperature": {"°C": (1, 0), "K": (1, -273.15), "°F": (_FAHRENHEIT, -32 * _FAHRENHEIT)},
    "pressure": {
        **{"Pa": (1, 0), "hPa": (100, 0), "mbar": (100, 0), "kPa": (1e3, 0), "bar": (1e5, 0), "MPa": (1e6, 0)},
        "psi": (6894.757293168361, 0),
    },
    "speed": {"m/s": (1, 0), "mm/s": (1e-3, 0), "in/s": (0.0254, 0), "ft/s": (0.3048, 0), "km/h": (1 / 3.6, 0)},
    "length": {
        **{"m": (1, 0), "cm": (0.01, 0), "mm": (1e-3, 0), "µm": (1e-6, 0), "km": (1e3, 0)},
        **{"in": (0.0254, 0), "ft": (0.3048, 0), "mil": (2.54e-5, 0)},
    },
    "flow": {
        **{"m³/s": (1, 0), "m³/h": (1 / 3600, 0)},
        **{"l/s": (1e-3, 0), "l/min": (1 / 6e4, 0), "l/h": (1 / 3.6e6, 0)},
    },
    "current": {"A": (1, 0), "mA": (1e-3, 0), "kA": (1e3, 0)},
    "voltage": {"V": (1, 0), "mV": (1e-3, 0), "kV": (1e3, 0)},
    "power": {"W": (1, 0), "kW": (1e3, 0), "MW": (1e6, 0)},
    "frequency": {"Hz": (1, 0), "kHz": (1e3, 0), "MHz": (1e6, 0)},
    "force": {"N": (1, 0), "kN": (1e3, 0)},
    "mass": {"kg": (1, 0), "lb": (0.45359237, 0), "lbs": (0.45359237, 0)},
}  # fmt: skip
"""What a value in each unit is in the first of its kind: value * factor + offset. Gallons are of two sizes."""


def kind_of(units: Collection[str]) -> str:
    """Returns what some units are of, such as "pressure"; "" where they are of several kinds, or unknown."""
    return next((kind for kind, known in KINDS.items() if all(meant(unit) in known for unit in units)), "")


def way(unit: str, to: str) -> Iterator[tuple[str, float]]:
    """Yields the keys of `[fleet.conversions]` from a unit to one of its kind: factor, and perhaps offset."""
    known = KINDS[kind_of((unit, to))]
    (factor, offset), (by, less) = (known[meant(each)] for each in (unit, to))
    yield "factor", factor / by
    if offset != less:
        yield "offset", (offset - less) / by
