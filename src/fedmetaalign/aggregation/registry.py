"""From the recipe's name of a rule to the aggregator."""

from functools import partial
from typing import Any

from fedmetaalign.aggregation import Aggregator, Rule, stacked
from fedmetaalign.aggregation.fedadp import fedadp
from fedmetaalign.aggregation.fedfv import fedfv
from fedmetaalign.aggregation.fednova import fednova
from fedmetaalign.aggregation.fltrust import fltrust
from fedmetaalign.aggregation.krum import krum
from fedmetaalign.aggregation.mean import mean
from fedmetaalign.aggregation.median import median
from fedmetaalign.aggregation.similarity import similarity
from fedmetaalign.aggregation.trimmed_mean import trimmed_mean
from fedmetaalign.recipe import Parallel


def aggregator(settings: Parallel) -> Aggregator[Any]:
    """Returns the aggregator of the rule that the recipe names, with the recipe's parameters."""
    rules: dict[str, Rule] = {
        "similarity": partial(
            similarity,
            floor=settings.floor,
            reference=settings.reference,
            unit_norm=settings.unit_norm,
            criteria=settings.criteria,
        ),
        "mean": mean,
        "fedadp": fedadp,
        "fltrust": fltrust,
        "fedfv": fedfv,
        "fednova": fednova,
        "median": median,
        "trimmed_mean": partial(trimmed_mean, byzantine=settings.byzantine),
        "krum": partial(krum, byzantine=settings.byzantine, keep=settings.keep),
    }
    return stacked(rules[settings.aggregation])
