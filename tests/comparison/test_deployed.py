"""A comparison of deployed models judges those that a run would give its devices."""

import pytest

from fedmetaalign.comparison.run_cell import run_cell, start
from fedmetaalign.fleet.build import build
from fedmetaalign.recipe import parse, with_settings
from fedmetaalign.run import run

RECIPE = parse(
    {
        "fleet": {"simulator": "feeder", "count": 2, "samples": 150},
        "model": {"hidden": [16]},
        "optimizer": {"learning_rate": 1e-3},
        "foundation": {"enabled": False},
        "deploy": {"format": "int4", "threshold": "personalized"},
        "serial": {"rounds": 1},
        "parallel": {"rounds": 2},
    },
    "here",
)


def final(method: str, **settings):
    recipe = with_settings(RECIPE, settings)
    fleet = build(recipe)
    return run_cell(method, recipe, fleet, start(recipe, fleet)).stages["final"].devices


def test_the_deployed_models_are_a_runs(tmp_path):
    devices = run(RECIPE, tmp_path / "run")["devices"]
    judged = final("fed_meta_align", **{"compare.deployed": True})
    for name, device in devices.items():
        assert {key: device["stages"]["deployed"][key] for key in ("accuracy", "brier", "f1")} == pytest.approx(
            {key: judged[name][key] for key in ("accuracy", "brier", "f1")}, abs=1e-12
        )


def test_what_is_no_network_stays_as_it_is():
    assert final("forest_alone", **{"compare.deployed": True}) == final("forest_alone")
    assert final("local_only", **{"compare.deployed": True}) != final("local_only")
