"""How many inputs a network needs whose recipe gives no number, or says `model.inputs = "features"`."""

from collections.abc import Iterable

from fedmetaalign.model.rules import FLAGGED
from fedmetaalign.recipe.simulated import FEATURES
from fedmetaalign.recipe.source import Source
from fedmetaalign.recipe.window import Window
from fedmetaalign.signals import front

LEAST = 9
"""The paper's: narrower tables share its network, whose further inputs are zero."""


def enough(fleet: Iterable[Source], public: Source) -> int:
    """Returns the inputs with which no device's features share one with those of its family; `LEAST` at least.

    It is the same wherever the recipe is read, also on a machine without the tables.

    Args:
        fleet: the sources of devices. Those that share a feature, also by way of others, are one family;
            devices of unlike families lie over each other.
        public: that of public samples.
    """
    families: list[set[tuple[str, str]]] = []
    for source in fleet:
        kin = [family for family in families if not family.isdisjoint(_features(source))]
        families = [family for family in families if family not in kin]
        families.append(_features(source).union(*kin))
    return max(LEAST, len(_features(public)), *map(len, families))


def _features(source: Source) -> set[tuple[str, str]]:
    """Returns name and unit of each feature, and of each input that may say that one is missing.

    A simulator's are numbered, and those of another package's are not known before it has run; of windows they
    are those that a front end makes.
    """
    if source.window is not None:
        return {(name, "") for name in _of_windows(source, source.window)}
    if source.simulator is not None:
        return {(source.simulator, str(number)) for number in range(FEATURES.get(source.simulator, 0))}
    flagged = source.features if source.missing_values == "flag" else ()
    own = {(name, source.units.get(name, "")) for name in source.features}
    return own | {(FLAGGED.format(name), "") for name in flagged}


def _of_windows(source: Source, window: Window) -> tuple[str, ...]:
    """Returns the features of windows, as far as the channels are known; that of a pattern counts as one."""
    channels = tuple(dict.fromkeys(window.channels or source.features))
    if not channels:
        channels = tuple(map(str, range(FEATURES.get(source.simulator or "", 0))))
    length = window.length
    if window.points:
        length = max(2, -(-len(source.features) // len(window.patterns)))
        channels = tuple(map(str, range(len(window.patterns))))
    if not channels:
        return ()
    rate = window.rate or (4 * window.envelope[1] if window.envelope else 1.0)  # any will do
    try:
        return front.names(window.signal(channels, rate, length=length))
    except ValueError:  # of which whoever reads the tables tells
        return ()
