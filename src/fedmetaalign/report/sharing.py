"""From whose samples the models of a run have learnt, and who shares a group. Plain text, not HTML."""

from collections.abc import Mapping, Sequence

from fedmetaalign.report.finished import DeviceReport, Run
from fedmetaalign.report.numbers import listing

SHARED, GROUP, OWN = "its own and its group's samples", "its group's samples", "its own samples"
"""What a model has learnt from, where its method says so."""

_ROOM = 200
"""Characters for the names of all groups; where they do not fit, only their sizes are told."""


def received(run: Run) -> tuple[str, ...]:
    """Returns what the models have learnt from, and the groups where there are several."""
    learnt = {device.name: learnt_from(run, device) for device in run.devices}
    known = [each for each in (SHARED, GROUP, OWN) if each in learnt.values()]
    if run.lone or not known:
        return ()
    some = {each: [name for name, what in learnt.items() if what == each] for each in known}
    if len(some[known[0]]) == len(learnt):
        blends = f"Each device's model has learnt from {known[0]}{' alone' * (known == [OWN])}."
    else:
        parts: list[str] = []
        for what, names in some.items():
            where = (
                f"on {len(names):,}"
                if parts
                else f"On {len(names):,} of {len(learnt):,} devices the model has learnt"
            )
            parts.append(f"{where} from {what}{f' alone ({listing(names)})' if what == OWN else ''}")
        blends = f"{listing(parts)}."
    return (blends, grouping(run)) if len(run.groups) > 1 else (blends,)


def learnt_from(run: Run, device: DeviceReport) -> str | None:
    """Says from whose samples a device's model has learnt; None where its method does not say.

    A device that is a group by itself has nobody else to learn from. One that got no say in its blend, for want
    of a class, has the model of its group.
    """
    if device.blend is None and device.group is None:
        return None
    by_itself = device.group is not None and run.group_sizes[device.group] == 1
    if device.blend == "local" or run.lone or by_itself:
        return OWN
    return SHARED if device.blend else GROUP


def grouping(run: Run) -> str:
    """Names the devices of each group, if there is room: "2 groups: a-00 … a-09; mill-0 and mill-1."."""
    place = {device.name: number for number, device in enumerate(run.devices)}
    named = "; ".join(listing(_runs(place, group)) for group in run.groups)
    if len(named) <= _ROOM:
        return f"{len(run.groups)} groups: {named}."
    sizes = sorted(map(len, run.groups))
    return f"{len(run.groups):,} groups of {sizes[0]:,} to {sizes[-1]:,} devices."


def _runs(place: Mapping[str, int], group: Sequence[str]) -> list[str]:
    """The names of a group; three and more that follow each other in the fleet are "the first … the last"."""
    parts: list[list[str]] = []
    for name in group:
        if parts and place[name] == place[parts[-1][-1]] + 1:
            parts[-1].append(name)
        else:
            parts.append([name])
    return [text for part in parts for text in ([f"{part[0]} … {part[-1]}"] if len(part) > 2 else part)]
