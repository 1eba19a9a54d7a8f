"""Physical units as headers write them: "Air temperature [K]", "flow (m3/h)", "pressure_bar", "current_A"."""

import re

from fedmetaalign.fleet.columns.units import split_unit

_BRACKETS = re.compile(r".*\S\s*[\[(]\s*([^\[\]()]{1,12}?)\s*[\])]\s*")
_PLAIN = {
    "bar", "mbar", "pa", "hpa", "kpa", "mpa", "psi", "degc", "degf", "celsius", "fahrenheit", "kelvin",
    "°c", "°f", "rpm", "hz", "khz", "mhz", "ma", "mv", "kv", "kw", "mw", "kva", "kwh", "wh", "nm", "kn",
    "mm", "um", "µm", "cm", "km", "ms", "us", "ohm", "kohm", "db", "kg", "g/s", "mm/s", "m/s", "ms2",
    "m/s2", "l/min", "l/s", "l/h", "m3/h", "m3/s", "pct", "percent", "ppm", "amps", "amp", "volts", "watts",
    "lbs", "lb", "hp", "mil", "deg", "rad", "lux", "kbar", "inch", "ft", "gpm", "cfm", "kgh", "kg/h", "mps",
    "mmps", "lpm", "m3h", "m3ph",
}  # fmt: skip
_SPELT = {
    "degc": "°C", "celsius": "°C", "°c": "°C", "degf": "°F", "fahrenheit": "°F", "kelvin": "K", "pct": "%",
    "percent": "%", "amps": "A", "amp": "A", "volts": "V", "watts": "W", "pa": "Pa", "hpa": "hPa",
    "kpa": "kPa", "mpa": "MPa", "hz": "Hz", "khz": "kHz", "mhz": "MHz", "ma": "mA", "mv": "mV", "kv": "kV",
    "kw": "kW", "mw": "MW", "kva": "kVA", "kwh": "kWh", "wh": "Wh", "nm": "Nm", "kn": "kN", "um": "µm",
    "ohm": "Ω", "kohm": "kΩ", "db": "dB", "ms2": "m/s²", "m/s2": "m/s²", "m3/h": "m³/h", "m3/s": "m³/s",
    "mps": "m/s", "mmps": "mm/s", "lpm": "l/min", "m3h": "m³/h", "m3ph": "m³/h", "kgh": "kg/h", "deg": "°",
}  # fmt: skip
_LETTERS = {
    "a": ("A", ("current", "amp")), "v": ("V", ("volt",)), "w": ("W", ("power",)), "k": ("K", ("temp",)),
    "c": ("°C", ("temp", "heat")), "f": ("°F", ("temp", "heat")), "g": ("g", ("accel", "vibration", "vib")),
    "m": ("m", ("length", "height", "level", "distance", "depth", "position")),
    "n": ("N", ("force", "load", "thrust")), "s": ("s", ("time", "duration")),
    "h": ("h", ("hours", "time", "duration")), "l": ("l", ("volume",)), "j": ("J", ("energy", "work")),
}  # fmt: skip


def unit_of(column: str) -> str:
    """The unit in a column's name, "" where it has none: one letter counts only after a fitting quantity."""
    if found := _BRACKETS.fullmatch(column):
        inside = found[1]
        return inside if inside and not inside.isdigit() else ""
    return parted(column)[1]


def bare_of(column: str) -> tuple[str, str]:
    """A column's name without its unit, in brackets or as a word, and that; "" where there is none."""
    in_brackets = split_unit(column)
    return in_brackets if in_brackets[1] else parted(column)


def parted(column: str) -> tuple[str, str]:
    """A column's name without the unit that is its last word, or last two, and that; "" where there is none."""
    breaks = [*re.finditer(r"[_\s]+", column.strip())]
    for gap in breaks[-2:]:
        name, rest = column.strip()[: gap.start()], column.strip()[gap.end() :]
        if name and (unit := _unit(re.split(r"[_\s]+", rest), re.sub(r"[_\s]+", " ", name).lower())):
            return name, unit
    return column, ""


def _unit(words: list[str], quantity: str) -> str:
    text = "/".join(words).lower()
    if text in _PLAIN and (len(words) == 1 or "/" in text):
        return _SPELT.get(text, text)
    unit, quantities = _LETTERS.get(text, ("", ()))
    return unit if any(word in quantity for word in quantities) else ""
