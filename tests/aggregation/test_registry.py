"""The recipe decides the rule."""

import numpy as np
import pytest
from cohorts import cohort, near

from fedmetaalign.aggregation import Aggregate, Contribution, aggregate, stacked
from fedmetaalign.aggregation.registry import aggregator
from fedmetaalign.errors import RunError
from fedmetaalign.recipe import RULES, Parallel

SENT = cohort([10, 0], [0, 1], query_scores=[0.5, 0.5], samples=[1, 3], steps=[1, 3], root=[0, 2])
FOUR = cohort([0], [1], [3], [10])


def step_of(sent, **settings):
    """What the aggregator makes of what each device of a cohort sent."""
    each = zip(sent.deltas, sent.query_scores, sent.samples, sent.steps, strict=True)
    contributions = [Contribution(f"d{i}", *one) for i, one in enumerate(each)]
    return aggregate(aggregator(Parallel(**settings)), contributions, root=sent.root)


@pytest.mark.parametrize("name", RULES)
def test_every_name_that_the_recipe_takes_is_a_rule(name):
    made = step_of(SENT, aggregation=name)
    assert made.weights.sum() == pytest.approx(1)


@pytest.mark.parametrize(
    ("settings", "weights"),
    [
        ({"aggregation": "mean"}, [1 / 4, 3 / 4]),
        ({"floor": 0.0}, [10 / 11, 1 / 11]),
        ({"floor": 0.5}, [10 / (10 + 0.5 * 101**0.5), 0.5 * 101**0.5 / (10 + 0.5 * 101**0.5)]),
        ({"floor": 0.5, "reference": "others"}, [1 / 2, 1 / 2]),
        ({"reference": "root"}, [0.1 / 1.1, 1 / 1.1]),
        ({"unit_norm": True}, [1 / 2, 1 / 2]),
        ({"criteria": ()}, [1 / 2, 1 / 2]),
        ({"criteria": ("score",)}, [1 / 2, 1 / 2]),
        ({"aggregation": "fltrust"}, [0, 1]),
        ({"aggregation": "fedadp"}, [0.9430, 0.0570]),  # angles 0.2915 and 1.2793
    ],
)
def test_it_has_the_recipes_parameters(settings, weights):
    assert step_of(SENT, **settings).weights == pytest.approx(weights, abs=1e-3)


@pytest.mark.parametrize(
    ("settings", "step"),
    [
        ({"aggregation": "median"}, 2),
        ({"aggregation": "trimmed_mean"}, 3.5),
        ({"aggregation": "trimmed_mean", "byzantine": 0.25}, 2),
        ({"aggregation": "krum"}, 1),
        ({"aggregation": "krum", "byzantine": 0.25}, 0.5),
        ({"aggregation": "krum", "byzantine": 0.25, "keep": 3}, 4 / 3),
    ],
)
def test_robust_rules_have_theirs(settings, step):
    assert step_of(FOUR, **settings).step == near([step])


@pytest.mark.parametrize(
    ("settings", "needed"),
    [
        ({}, False),
        ({"aggregation": "fltrust"}, True),
        ({"reference": "root"}, True),
        ({"aggregation": "mean", "reference": "root"}, False),
    ],
)
def test_only_rules_that_compare_with_the_server_need_its_delta(settings, needed):
    assert Parallel(**settings).needs_root is needed


@pytest.mark.parametrize(
    "gives",
    [
        lambda cohort: None,
        lambda cohort: Aggregate(cohort.deltas.mean(axis=0)[:1], np.full(2, 0.5)),
        lambda cohort: Aggregate(cohort.deltas.mean(axis=0), np.ones(1)),
    ],
)
def test_a_rule_that_gives_anything_but_an_aggregate_is_reported(gives):
    sent = [Contribution(name, np.ones(3, np.float32), 0.5, 10, 10) for name in "ab"]
    with pytest.raises(RunError, match=r"a step of shape \(3,\) and weights of shape \(2,\), and gave"):
        aggregate(stacked(gives), sent)
