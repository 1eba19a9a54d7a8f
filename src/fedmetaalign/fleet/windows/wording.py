"""Counts, lists and lengths of time in words."""

from collections.abc import Iterator, Mapping, Sequence

from fedmetaalign.signals import Signal

_MOST = 5
_ALIKE = 0.01  # the share by which rates may differ


def counted(number: int, thing: str) -> str:
    """Returns "1 window", "1,200 windows"."""
    return f"{number:,} {thing}{'' if number == 1 else 's'}"


def listed(names: Sequence[str]) -> str:
    """Returns some names, of many the first."""
    rest = len(names) - _MOST
    return ", ".join(names[:_MOST]) + (f" and {rest:,} more" if rest > 0 else "")


def rates_told(signals: Mapping[str, Signal]) -> Iterator[str]:
    """Yields on which devices samples come at unlike rates, where features are not the same then.

    Args:
        signals: by device.
    """
    by_rate: dict[float, list[str]] = {}
    for name, signal in sorted(signals.items()):
        if signal.rate and not signal.speed and {*signal.front} != {"statistics"}:
            near = next((rate for rate in by_rate if abs(rate - signal.rate) <= _ALIKE * rate), signal.rate)
            by_rate.setdefault(near, []).append(name)
    if len(by_rate) > 1:
        told = "; ".join(f"{rate:g} a second on {listed(names)}" for rate, names in sorted(by_rate.items()))
        yield (
            f"Samples come at unlike rates ({told}): what one device calls a band, or a point, is another on"
            " another; resample, or let a shaft's `speed` say which frequencies are alike."
        )


def lasting(microseconds: float, dated: bool) -> str:
    """Returns a length of time; of a mere count its number."""
    if not dated:
        return f"{microseconds / 1e6:.6g}"
    for unit, size in (("h", 3.6e9), ("min", 6e7), ("s", 1e6), ("ms", 1e3)):
        if microseconds >= size:
            return f"{microseconds / size:.4g} {unit}"
    return f"{microseconds:.4g} us"
