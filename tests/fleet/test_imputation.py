"""What stands in for features that a device lacks: regression by correlations, folded into the first layer."""

from dataclasses import replace

import numpy as np
import pytest

from fedmetaalign.fleet.build import build, build_shared
from fedmetaalign.fleet.missing.imputation import LARGEST_SHARE, Correlations, Fill, correlations_of, pooled
from fedmetaalign.fleet.shared import load_shared, save_shared
from fedmetaalign.fleet.sources import Found, raw_tables
from fedmetaalign.model.mlp import Network, initialize
from fedmetaalign.recipe import parse

A, B, C = ("a", ""), ("b", ""), ("c", "")
FAMILY = {A: 0, B: 1, C: 2}


def test_a_feature_that_is_the_sum_of_two_is_made_of_both():
    x = np.random.default_rng(0).normal(size=(4000, 2))
    whole = np.column_stack([x, x.sum(axis=1)])
    found = pooled([((A, B, C), correlations_of(whole), 4000)]).fill(np.array([0, 1, -1, -1]), (A, B), FAMILY)
    assert found.missing == (2,)
    assert found.shares[0] == pytest.approx((1, 1, 0, 0), abs=0.01)
    # The other way round: c takes all of what a gives it, and the device's own order does not matter.
    found = pooled([((A, B, C), correlations_of(whole), 4000)]).fill(np.array([-1, 1, 0]), (C, B), FAMILY)
    assert found.missing == (0,)
    assert found.shares[0] == pytest.approx((0, -1, 1), abs=0.01)


def test_what_a_device_works_with_gives_the_logits_of_the_filled_inputs():
    fill = Fill((1, 3), ((0.5, 0, -1.0, 0), (0.25, 0, 2.0, 0)))
    network = Network(4, (5, 3))
    weights = initialize(network, np.random.default_rng(1))
    x = np.random.default_rng(2).normal(size=(20, 4))
    x[:, [1, 3]] = 0
    filled = x + x @ np.array([[0, 0.5, 0, 0.25], [0] * 4, [0, -1.0, 0, 2.0], [0] * 4])
    own = network.layers(fill.folded(weights, 5))
    first = network.layers(weights)[0]
    assert x @ own[0][:4] == pytest.approx(filled @ first[:4], abs=1e-6)
    assert (own[0][4] == first[4]).all()
    assert (own[1] == network.layers(weights)[1]).all()
    assert fill.unfolded(fill.folded(weights, 5), 5) == pytest.approx(weights, abs=1e-6)
    assert Fill().folded(weights, 5) is weights


def test_pairs_count_where_they_are_measured_and_by_the_number_of_samples():
    one, other = np.array([[1.0, 0.5], [0.5, 1.0]]), np.array([[1.0, -0.1], [-0.1, 1.0]])
    found = pooled([((A, B), one, 10), ((B, A), other, 30), ((C,), np.eye(1), 5)])
    assert found.features == (A, B, C)
    assert np.array(found.values) == pytest.approx(np.array([[1, 0.05, 0], [0.05, 1, 0], [0, 0, 1]]))


def test_correlations_that_are_none_ask_for_no_more_than_a_bound():
    false = Correlations((A, B, C), ((1, 16, 16), (16, 1, -16), (16, -16, 1)))
    [shares] = false.fill(np.array([0, 1, -1]), (A, B), FAMILY).shares
    assert max(map(abs, shares)) == LARGEST_SHARE


def test_who_lacks_nothing_or_knows_nothing_of_what_it_lacks_is_left_alone():
    told = pooled([((A, B), np.eye(2), 10)])
    assert told.fill(np.array([0, 1]), (A, B), {A: 0, B: 1}) == Fill()
    assert told.fill(np.array([0, -1]), (A,), {A: 0, C: 1}) == Fill()
    assert Correlations().fill(np.array([0, -1]), (A,), {A: 0, B: 1}) == Fill()


RECIPE = {
    "fleet": {
        "simulator": "milling",
        "count": 4,
        "samples": 100,
        "scaling": "fleet",
        "encoding": "quantiles",
        "missing": "regression",
    },
    "splits": {"reuse": True},
}


def without(table, *features):
    kept = [i for i, name in enumerate(table.features) if name not in features]
    names, units = ([of[i] for i in kept] for of in (table.features, table.units))
    return replace(table, features=tuple(names), units=tuple(units), x=table.x[:, kept])


def test_a_mill_without_a_speed_takes_it_from_its_torque(monkeypatch, tmp_path):
    recipe = parse(RECIPE, "here")
    first, *others = raw_tables(recipe)
    less = [without(first, "rotational speed"), *others]
    monkeypatch.setattr("fedmetaalign.fleet.build.find_devices", lambda recipe: Found(tuple(less), (), ()))
    fleet, shared = build_shared(recipe)
    fill = fleet.devices[0].fill
    torque, speed = (
        shared.layout.families[0][each] for each in (("torque", "Nm"), ("rotational speed", "rpm"))
    )
    assert fill.missing == (speed,)
    assert fill.shares[0][torque] == pytest.approx(-0.9, abs=0.15)  # speed falls as torque rises
    assert sum(map(abs, fill.shares[0])) - abs(fill.shares[0][torque]) < 0.5
    assert [device.fill for device in fleet.devices[1:]] == [Fill()] * 3
    save_shared(shared, tmp_path / "fleet.json")
    assert load_shared(tmp_path / "fleet.json") == shared

    plain = build(parse({**RECIPE, "fleet": {**RECIPE["fleet"], "missing": "zero"}}, "here"))
    assert plain.devices[0].fill == Fill()
    for one, other in zip(fleet.devices, plain.devices, strict=True):
        assert one.train.x.tobytes() == other.train.x.tobytes()
