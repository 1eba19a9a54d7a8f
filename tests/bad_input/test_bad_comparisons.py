"""Comparisons that are called wrongly, and the methods that a recipe has the means for."""

import pytest

from fedmetaalign.methods import names, runnable
from fedmetaalign.recipe import load


@pytest.fixture
def simulated(recipe):
    """Writes a recipe on simulated devices."""
    return lambda more="": recipe('[fleet]\nsimulator = "milling"\ncount = 2\nsamples = 60\n', more)


@pytest.mark.parametrize("seeds", ["0", "-3", "2.5", "few"])
def test_seeds_that_are_no_number_of_runs_are_a_wrong_call(simulated, cli, here, seeds):
    outcome = cli("compare", simulated(), "--seeds", seeds)
    assert (outcome.status, outcome.out) == (2, "")
    assert "--seeds" in outcome.err
    assert [path.name for path in here.iterdir()] == ["recipe.toml"]


def test_all_methods_are_those_that_can(simulated):
    frozen = load(str(simulated()))
    free = load(str(simulated()), ["personalize.freeze=0.0"])
    public = load(str(simulated('[foundation]\nsimulator = "milling"\n')))
    assert {name for name in names() if name not in runnable(frozen)} == {"feddf"}
    assert {name for name in names() if name not in runnable(free)} == {"feddf", "fedrep"}
    assert sorted(runnable(public)) == list(names())
