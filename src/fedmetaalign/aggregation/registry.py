"""From the recipe's name of a rule to the aggregator."""

from functools import partial
from typing import Any

from fedmetaalign.aggregation import Aggregator, stacked
from fedmetaalign.aggregation.fedadp import fedadp
from fedmetaalign.aggregation.fedfv import fedfv
from fedmetaalign.aggregation.fednova import fednova
from fedmetaalign.aggregation.fltrust import fltrust
from fedmetaalign.aggregation.krum import krum
from fedmetaalign.aggregation.mean import MEAN
from fedmetaalign.aggregation.median import median
from fedmetaalign.aggregation.similarity_stream import Settings, of_any_size
from fedmetaalign.aggregation.trimmed_mean import trimmed_mean
from fedmetaalign.errors import RecipeError
from fedmetaalign.recipe import Parallel
from fedmetaalign.system import plugins

PLAIN = {"fednova": fednova, "fedadp": fedadp, "fltrust": fltrust, "fedfv": fedfv, "median": median}
"""Rules that have no parameters."""


def aggregator(settings: Parallel) -> Aggregator[Any]:
    """Returns the aggregator of the rule that the recipe names, with the recipe's parameters.

    A rule of another package is an `Aggregator`, or a function from a `Cohort` to an `Aggregate`.

    Raises:
        RecipeError: a plug-in cannot be loaded, or is neither.
    """
    match settings.aggregation:
        case "similarity":
            return of_any_size(
                Settings(settings.floor, settings.reference, settings.unit_norm, settings.criteria)
            )
        case "mean":
            return MEAN
        case "trimmed_mean":
            rule = partial(trimmed_mean, byzantine=settings.byzantine)
        case "krum":
            rule = partial(krum, byzantine=settings.byzantine, keep=settings.keep)
        case plain if plain in PLAIN:
            return stacked(PLAIN[plain])
        case other:
            found: Any = plugins.load(plugins.RULES, other, object)
            if not isinstance(found, Aggregator) and not callable(found):
                raise RecipeError(f"The plug-in {other} is neither an Aggregator nor a function: correct it.")
            return found if isinstance(found, Aggregator) else stacked(found)
    return stacked(rule)
