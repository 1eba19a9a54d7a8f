"""What is said of all methods at once: which are controls, which cannot run."""

import pytest

from fedmetaalign.methods import ALONE, CONTROLS, NO_RIVALS, find, names, runnable
from fedmetaalign.recipe import parse

RULES = {"majority", "one_rule"}
TREES = {"forest_alone", "forest_pooled", "boosting_alone", "boosting_pooled"}


def recipe(hidden=(4,), freeze=0.5):
    fleet = {"simulator": "feeder"}
    return parse({"fleet": fleet, "model": {"hidden": list(hidden)}, "personalize": {"freeze": freeze}}, "here")


def test_controls_are_methods_and_federate_nothing():
    assert CONTROLS == RULES | TREES | {"pooled", "local_only"} == NO_RIVALS | {ALONE}
    assert set(names()) >= CONTROLS
    assert ALONE not in NO_RIVALS  # who joins gives it up: it is a rival to all


def test_who_takes_no_gradient_step_and_who_sends_nothing():
    assert {name for name in names() if not find(name).trains} == RULES | TREES | {"federated_boosting"}
    alone = {"local_only", "forest_alone", "boosting_alone"}
    assert {name for name in names() if not find(name).federates} == RULES | alone


def test_controls_come_first():
    assert runnable(recipe())[: len(CONTROLS) + 1] == [*sorted(CONTROLS), "apfl"]


@pytest.mark.parametrize(
    ("hidden", "freeze", "lacks"),
    # A network has one layer more than it has hidden ones; their share is rounded down.
    [
        ((4,), 0.5, False),
        ((4,), 0.49, True),
        ((4, 4, 4), 0.25, False),
        ((4, 4, 4), 0.24, True),
        ((4,), 0, True),
    ],
)
def test_fedrep_lacks_a_layer_where_phase_3_freezes_none(hidden, freeze, lacks):
    assert bool(find("fedrep").lacking(recipe(hidden, freeze))) == lacks
    assert ("fedrep" in runnable(recipe(hidden, freeze))) != lacks
