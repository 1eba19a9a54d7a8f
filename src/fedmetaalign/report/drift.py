"""What time did to a fleet: which inputs are no longer those of training, in words, and where accuracy went."""

from fedmetaalign.report.finished import DeviceReport
from fedmetaalign.report.numbers import MINUS, interval, percent


def drifted(device: DeviceReport) -> str | None:
    """Names the inputs of a device that are far from those of training; None where none is."""
    large = [each for each in device.drift if each.large]
    if not large:
        return None
    told = [
        f"{each.feature} ({each.means:+.1f} standard deviations, PSI {each.index:.2f})".replace("-", MINUS)
        for each in large[:3]
    ]
    more = f" and {len(large) - 3} more" if len(large) > 3 else ""
    return f"{len(large)} of {len(device.drift)} inputs: {', '.join(told)}{more}"


def fading(device: DeviceReport) -> str | None:
    """Tells where the last span of a test set is worse than the first by more than chance; else None."""
    if len(device.over_time) < 2:
        return None
    first, last = device.over_time[0], device.over_time[-1]
    before, after = interval(first.accuracy, first.samples), interval(last.accuracy, last.samples)
    if before is None or after is None or after[1] >= before[0]:
        return None
    return f"{percent(first.accuracy)} from {first.start} on, {percent(last.accuracy)} from {last.start} on"
