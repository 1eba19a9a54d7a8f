"""What a comparison found, in a few plain sentences; also what speaks against Fed-Meta-Align."""

from collections.abc import Callable

from fedmetaalign.methods import COLLECTING, CONTROLS, FORESTS, NO_RIVALS
from fedmetaalign.report.comparison.formats import ALPHA, METRICS, bracket, probability
from fedmetaalign.report.comparison.names import METRICS as NAMES
from fedmetaalign.report.comparison.names import OURS
from fedmetaalign.report.comparison.reading import NOTHING, Comparison, Rival, Row, ranked
from fedmetaalign.report.numbers import count, listing, percent, points

_MOST = 4
"""Methods that a sentence names."""


Naming = Callable[[str], str]
"""How a sentence writes a method's label."""


def sentences(comparison: Comparison, name: Naming = str) -> list[str]:
    """Returns who is best, where Fed-Meta-Align stands, and who leaves devices worse off.

    Args:
        comparison: what was compared.
        name: writes a method's label: as it is, unless the sentences' place needs it escaped or marked.
    """
    final = ranked(row for row in comparison.rows if row.stage == "final")
    raced = [row for row in final if row.method not in NO_RIVALS]
    if not raced:
        return ["No method came to a result: all of them diverged."]
    found = [
        _best(raced[0], name),
        _federated(raced, name),
        _control(final, raced[0], name),
        _forest(final, raced[0], name),
        _ours(raced, name),
    ]
    return [sentence for sentence in [*found, *_worse_off(comparison, name), _limits(comparison)] if sentence]


def _best(best: Row, name: Naming) -> str:
    interval = bracket(METRICS[best.rank], best.ranking)
    mean = f"a mean {NAMES[best.rank]} of {percent(best.ranking.mean)}"
    sentence = f"{name(best.label)} is best, with {mean} {interval}"
    rival = best.rival
    if rival is None or rival.difference.mean is None:
        return f"{sentence.rstrip()}."
    return f"{sentence.rstrip()}, {_distance(rival, name)}; {_luck('that lead', rival)}."


def _federated(raced: list[Row], name: Naming) -> str:
    """Who is best of those that federate, where training alone is better."""
    best = next((row for row in raced if row.method not in CONTROLS), None)
    if best is None or best is raced[0]:
        return ""
    return f"The best method that federates is {name(best.label)} with {percent(best.ranking.mean)}."


def _control(final: list[Row], best: Row, name: Naming) -> str:
    """What all data in one place would give, or trees without a federation, where no method comes up to it."""
    top = final[0]
    if top.method not in NO_RIVALS or top.method in ("majority", "one_rule"):
        return ""
    how = "all samples in one place" if top.method in COLLECTING else "each device by itself"
    sentence = f"{name(top.label)}, {how}, would give {percent(top.ranking.mean)}"
    return f"{sentence}: more than {name(best.label)}."


def _forest(final: list[Row], best: Row, name: Naming) -> str:
    """How far the best method is from the better forest."""
    forest = next((row for row in final if row.method in FORESTS), None)
    gain = best.fleet.get("gain_over_forest", NOTHING)
    if forest is None or gain.mean is None:
        return ""
    where = "ahead of" if gain.mean >= 0 else "behind"
    interval = bracket(METRICS["gain_over_forest"], gain)
    told = f"{name(best.label)} is {points(abs(gain.mean))} {where} the better forest {interval}".rstrip()
    return f"{told} ({name(forest.label)}, {percent(forest.ranking.mean)})."


def _ours(raced: list[Row], name: Naming) -> str:
    place = next((place for place, row in enumerate(raced) if row.name == OURS), None)
    if place is None:
        return ""
    ours, rival = raced[place], raced[place].rival
    parts = []
    if place > 0:
        known = rival is not None and rival.difference.mean is not None
        behind = f", {_distance(rival, name)} ({_luck('that distance', rival)})" if rival and known else ""
        parts.append(f"takes place {place + 1} of {len(raced)} with {percent(ours.ranking.mean)}{behind}")
    gain = ours.fleet.get("gain_over_local", NOTHING)
    if gain.mean is not None:
        side = "above" if gain.mean >= 0 else "below"
        interval = bracket(METRICS["gain_over_local"], gain)
        sentence = f"is {points(abs(gain.mean))} {side} training alone {interval}".rstrip()
        harmed = ours.fleet.get("worse_off", NOTHING).mean
        share = "no device" if harmed == 0 else f"{percent(harmed)} of the devices"
        parts.append(sentence + ("" if harmed is None else f" and leaves {share} worse off"))
    return f"{name(ours.label)} {'; it '.join(parts)}." if parts else ""


def _distance(rival: Rival, name: Naming) -> str:
    """How far ahead of its rival a row is, or behind it."""
    lead = rival.difference.mean or 0.0
    return f"{points(abs(lead))} {'behind' if lead < 0 else 'ahead of'} {name(rival.label)}"


def _worse_off(comparison: Comparison, name: Naming) -> list[str]:
    """Which of the final models leave devices with less than they had alone, most of them first."""
    shares = [
        (row.fleet.get("worse_off", NOTHING).mean, name(row.label))
        for row in comparison.rows
        if row.stage == "final" and row.name != OURS and row.method not in CONTROLS
    ]
    known = [(share, method) for share, method in shares if share is not None]
    known.sort(key=lambda each: -each[0])
    harmed = [f"{percent(share)} with {method}" for share, method in known if share > 0]
    spared = [method for share, method in known if share == 0]
    found = []
    if harmed:
        found.append(f"Devices worse off than alone: {listing(harmed, _MOST)}.")
    if spared:
        found.append(f"No device is worse off with {listing(spared, _MOST)}.")
    return found


def _limits(comparison: Comparison) -> str:
    """Says so where no difference, however clear, could come out as more than chance."""
    tested = [row.rival.p_holm for row in comparison.rows if row.rival and row.rival.p_holm is not None]
    # The least p of a two-sided test over the signs of so many differences; best and second are one pair.
    least = min(1.0, (len(tested) - 1) * 2.0 ** (1 - len(comparison.seeds)))
    if not tested or least < ALPHA or min(tested) < ALPHA:
        return ""
    return (
        f"With {count(len(comparison.seeds), 'seed')} and {count(len(tested), 'method')} compared, the "
        f"clearest lead can come to no corrected p below {probability(least)};"
        " more seeds could tell it from chance."
    )


def _luck(what: str, rival: Rival) -> str:
    if rival.p_holm is None:
        return f"whether {what} is more than chance is not known"
    verdict = "is more than chance" if rival.p_holm < ALPHA else "may be chance"
    sign = "" if rival.p_holm < 0.0005 else "= "
    return f"{what} {verdict}, Holm-corrected p {sign}{probability(rival.p_holm)}"
