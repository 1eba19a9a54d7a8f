"""What somebody should know of a proposal before believing a result of it."""

from fedmetaalign.fleet.files import listed
from fedmetaalign.fleet.labels.guess import Guess
from fedmetaalign.proposal.features import Sifted
from fedmetaalign.proposal.proposal import Cut
from fedmetaalign.proposal.reading import Family


def notes_of(family: Family, label: Guess, window: Cut | None, sifted: Sifted, step: int) -> list[str]:
    """Says it in sentences; what has to be looked at begins with CHECK.

    Args:
        family: the tables.
        label: what their label is.
        window: what rows are where they are samples of a signal, or windows of one.
        sifted: the features.
        step: how many rows each that was looked at stands for.
    """
    notes: list[str] = []
    features = sifted.features
    if not label.sure:
        healthy, faults = listed(label.normal), listed(label.faults)
        notes.append(
            f"CHECK the label: no value of '{label.columns[0]}' says that it is normal, and {healthy} is taken"
            f" for it ({faults} for fault); if none is, the model tells kinds apart and no fault from health."
        )
    spelt: dict[str, list[str]] = {}
    for each in (value for value in (*label.normal, *label.faults) if any(map(str.isalpha, value))):
        spelt.setdefault(" ".join(each.lower().replace("_", " ").replace("-", " ").split()), []).append(each)
    for alike in (found for found in spelt.values() if len(found) > 1):
        notes.append(
            f"CHECK the label: {listed(alike)} may be one kind in several spellings, and count as several."
        )
    without = [path.name for column in label.columns for path in family.lacking(column)]
    if without:
        notes.append(f"Left out, for want of the label '{label.columns[0]}': {listed(without)}.")
    if sifted.saved:
        notes.append(
            f"CHECK the features: {listed(sifted.saved)} alone all but gives the label away, and there is no"
            " other: either it is made from the label, or a threshold does what a network would."
        )
    if window is not None and window.parted:
        notes.append(
            "CHECK the recordings: some class has a single one, so each is tested on its own later part, next"
            " to what it is trained on: the accuracy flatters. Record more, name them with fleet.window.by, and"
            " drop split_recordings."
        )
    if step > 1:
        notes.append(f"The tables are large: one row in {step} was looked at, and numbers of rows are rounded.")
    signs = {family.decimals[path] for path in family.paths if path in family.decimals}
    if signs and not family.proof:
        shown = " or ".join(map(repr, sorted(signs)))
        notes.append(
            f"CHECK the numbers: in some tables nothing proves that {shown} is the decimal sign, and it is"
            " taken for that."
        )
    lacking = {name: len(family.lacking(name)) for name in features if family.lacking(name)}
    if lacking:
        notes.append(
            "Some tables lack features that others have: "
            + ", ".join(f"'{name}' ({count} of {len(family.raws)})" for name, count in lacking.items())
            + "; the method makes up for them."
        )
    return notes
