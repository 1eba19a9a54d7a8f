"""Counts, lists and lengths of time in words."""

from collections.abc import Sequence

_MOST = 5


def counted(number: int, thing: str) -> str:
    """Returns "1 window", "1,200 windows"."""
    return f"{number:,} {thing}{'' if number == 1 else 's'}"


def listed(names: Sequence[str]) -> str:
    """Returns some names, of many the first."""
    rest = len(names) - _MOST
    return ", ".join(names[:_MOST]) + (f" and {rest:,} more" if rest > 0 else "")


def lasting(microseconds: float, dated: bool) -> str:
    """Returns a length of time; of a mere count its number."""
    if not dated:
        return f"{microseconds / 1e6:.6g}"
    for unit, size in (("h", 3.6e9), ("min", 6e7), ("s", 1e6), ("ms", 1e3)):
        if microseconds >= size:
            return f"{microseconds / size:.4g} {unit}"
    return f"{microseconds:.4g} us"
