"""What can be said of devices without faults, or without labels, which are in no mean."""

from fedmetaalign.report.numbers import count, percent
from fedmetaalign.report.reading import DeviceReport, Run, mean


def sentences(run: Run) -> list[str]:
    """Counts the devices without faults, or without labels, of which the figures say nothing."""
    found = []
    if normal := [device for device in run.devices if device.known == "normal"]:
        shares = [device.false_alarms.share for device in normal if device.false_alarms]
        alarms = f": {percent(mean(shares))} false alarms{' on average' * (len(normal) > 1)}" if shares else ""
        has, it = ("has", "it is") if len(normal) == 1 else ("have", "they are")
        found.append(
            f"{count(len(normal), 'device')} {has} no faults to be judged by{alarms}; {it} in no other figure."
        )
    if nothing := [device for device in run.devices if device.known == "nothing"]:
        has = "has" if len(nothing) == 1 else "have"
        found.append(f"{count(len(nothing), 'device')} {has} no labels, and nothing can be judged there.")
    return found


def false_alarms(device: DeviceReport) -> str | None:
    """Tells of more false alarms than were asked for, if that is more than chance."""
    found = device.false_alarms
    if found is None or found.low <= found.allowed:
        return None
    return (
        f"{percent(found.share)} of {found.samples} normal test samples, {percent(found.allowed)} were allowed"
    )
