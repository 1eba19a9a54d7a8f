"""What can be said of devices with samples of one kind, without labels, or left out, which are in no mean."""

from fedmetaalign.report.finished import DeviceReport, Run, mapping, mean, number
from fedmetaalign.report.numbers import count, listing, percent


def sentences(run: Run) -> list[str]:
    """Counts the devices with one kind of sample, without labels, or left out: no figure is of them."""
    found = []
    if normal := [device for device in run.devices if device.known == "normal"]:
        shares = [device.false_alarms.share for device in normal if device.false_alarms]
        alarms = f": {percent(mean(shares))} false alarms{' on average' * (len(normal) > 1)}" if shares else ""
        has, it = ("has", "it is") if len(normal) == 1 else ("have", "they are")
        found.append(
            f"{count(len(normal), 'device')} {has} no faults to be judged by{alarms}; {it} in no other figure."
        )
    if faulty := [device for device in run.devices if device.known == "faulty"]:
        recall = number(mapping(run.fleet.get("without_normal")).get("recall"))
        told = "" if recall is None else f": {percent(recall)} of them found{' on average' * (len(faulty) > 1)}"
        has, it = ("has", "it is") if len(faulty) == 1 else ("have", "they are")
        found.append(
            f"{count(len(faulty), 'device')} {has} faults alone{told}, and nothing to test false alarms on;"
            f" {it} in no other figure."
        )
    if nothing := [device for device in run.devices if device.known == "nothing"]:
        has = "has" if len(nothing) == 1 else "have"
        found.append(f"{count(len(nothing), 'device')} {has} no labels, and nothing can be judged there.")
    if run.left_out:
        who, be = listing([*run.left_out]), "was" if len(run.left_out) == 1 else "were"
        found.append(f"{count(len(run.left_out), 'device')} could not be used and {be} left out: {who}.")
    return found


def false_alarms(device: DeviceReport) -> str | None:
    """Tells of more false alarms than were asked for, if that is more than chance."""
    found = device.false_alarms
    if found is None or found.low <= found.allowed:
        return None
    return (
        f"{percent(found.share)} of {found.samples} normal test samples, {percent(found.allowed)} were allowed"
    )


def few_faults(device: DeviceReport) -> str | None:
    """Tells what a handful of faults in a test set says."""
    few = device.few_faults
    if few is None:
        return None
    return (
        f"{few.found} of {count(few.faults, 'fault')} found, which is {percent(few.low)} to {percent(few.high)}"
        " of all with 95 % confidence"
    )
