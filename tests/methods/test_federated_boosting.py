"""Trees that devices grow together are those that scikit-learn grows on all samples in one place."""

import numpy as np
import pytest
from fake_learner import Learner
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import log_loss
from threadpoolctl import threadpool_limits

from fedmetaalign.comparison.run_cell import CellRun
from fedmetaalign.fleet.device import Device, Part
from fedmetaalign.methods._bins import MOST, binned, edges, sketch
from fedmetaalign.methods._growing import best_split
from fedmetaalign.methods.federated_boosting import METHOD
from fedmetaalign.model.online import Samples
from fedmetaalign.model.preparation import Preparation
from fedmetaalign.model.target import Target
from fedmetaalign.recipe import parse

AS_IT_IS = Preparation(tuple("abcd"), ("",) * 4, {}, (0.0,) * 4, (1.0,) * 4, (0, 1, 2, 3))
SIZES = (5, 70, 400, 125)
"""Samples of the devices; the first could have no leaf of its own."""


class Kinds(Learner):
    target = Target(("normal", "short", "open", "arc"))


def problem(rows, step, classes, seed=0):
    """Four features on a grid, of which two decide together, and labels of which a tenth is wrong."""
    draw = np.random.default_rng(seed)
    x = np.round(draw.normal(size=(rows, 4)) / step) * step
    y = (x[:, 0] * x[:, 1] > 0.2) + (classes > 2) * 2 * (x[:, 2] > 0.8)
    return x.astype(np.float32), np.where(draw.random(rows) < 0.1, draw.integers(classes, size=rows), y)


def members(x, y):
    """The samples divided unevenly, in order of the first feature: no device sees all of its values."""
    order = np.argsort(x[:, 0], kind="stable")
    divided = [Samples(x[own], y[own]) for own in np.split(order, np.cumsum(SIZES)[:-1])]
    parts = [Part(Samples(own.x[1:], own.y[1:]), Samples(own.x[:1], own.y[:1])) for own in divided]
    return tuple(Device(f"d{i}", AS_IT_IS, x[:0], {}, part) for i, part in enumerate(parts))


def probabilities(devices, learner, test):
    recipe = parse({"fleet": {"simulator": "feeder"}}, "here")
    given = CellRun(recipe, learner(), devices, (), None, np.zeros(1, np.float32))
    models = given.run(METHOD).models
    found = {name: model.probabilities(test) for name, model in models.items()}
    assert all((each == found["d0"]).all() for each in found.values())
    assert given.spent.bytes > 0
    return found["d0"]


def scikit_learns(x, y):
    with threadpool_limits(1):
        return HistGradientBoostingClassifier(early_stopping=False).fit(x, y)


def test_with_the_same_bins_it_is_scikit_learns():
    x, y = problem(600, 0.05, 2)
    test, truth = problem(2000, 0.05, 2, seed=1)
    ours = probabilities(members(x, y), Learner, test)
    np.testing.assert_allclose(ours, scikit_learns(x, y).predict_proba(test)[:, 1], atol=1e-9)
    assert np.mean((ours > 0.5) == truth) > 0.85


def test_so_it_is_with_more_classes_one_of_them_never_seen():
    x, y = problem(600, 0.05, 4)
    y[y == 2] = 3
    test, _ = problem(2000, 0.05, 4, seed=1)
    ours = probabilities(members(x, y), Kinds, test)
    assert not ours[:, 2].any()
    # Of two cuts that are as good, the order of a sum may choose.
    np.testing.assert_allclose(ours[:, [0, 1, 3]], scikit_learns(x, y).predict_proba(test), atol=1e-3)


def test_many_values_are_binned_by_merged_quantiles():
    x, y = problem(600, 1e-4, 2)
    test, truth = problem(2000, 1e-4, 2, seed=1)
    ours, theirs = probabilities(members(x, y), Learner, test), scikit_learns(x, y).predict_proba(test)[:, 1]
    assert log_loss(truth, ours) == pytest.approx(log_loss(truth, theirs), rel=0.05)
    assert np.mean((ours > 0.5) == truth) == pytest.approx(np.mean((theirs > 0.5) == truth), abs=0.01)


def test_a_fleet_of_one_class_says_that_class():
    x, y = problem(600, 0.05, 2)
    assert probabilities(members(x, np.ones_like(y)), Learner, x[:9]).tolist() == [1.0] * 9


class TestBins:
    def test_few_values_are_parted_in_their_middles(self):
        found = edges([sketch(np.array([1.0, 3, 1])), sketch(np.array([4.0, 1]))])
        assert found.tolist() == [2, 3.5]
        assert binned(np.array([[1.0], [2], [2.1], [9]]), [found]).ravel().tolist() == [0, 0, 1, 2]

    def test_many_are_parted_into_bins_of_as_many_samples(self):
        values = np.random.default_rng(0).normal(size=(3, 4000)) * [[1], [2], [3]]
        found = edges([sketch(own) for own in values])
        assert len(found) == MOST - 1
        counts = np.bincount(binned(values.reshape(-1, 1), [found]).ravel(), minlength=MOST)
        assert counts.sum() == 12_000
        np.testing.assert_allclose(counts, 12_000 / MOST, rtol=0.6)
        assert np.abs(counts.cumsum() / 12_000 - np.arange(1, MOST + 1) / MOST).max() < 0.005

    def test_a_constant_has_no_edge(self):
        assert edges([sketch(np.ones(7)), sketch(np.ones(2))]).tolist() == []


class TestCut:
    def test_it_lessens_the_loss_most(self):
        # Two bins more, and 20 samples on each side: G^2 / H is 16/10 + 16/10 - 0.
        histogram = np.array(
            [[[-4, 10, 20], [4, 10, 20], [0, 0, 0]], [[0, 10, 20], [0, 10, 20], [0, 0, 0]]], float
        )
        found = best_split(histogram)
        assert (found.feature, found.bin, found.gain) == (0, 0, pytest.approx(3.2))

    def test_a_leaf_has_twenty_samples(self):
        assert best_split(np.array([[[-4, 10, 19], [4, 10, 21]]], float)) is None
        assert best_split(np.array([[[-4, 10, 20], [4, 1e-4, 20]]], float)) is None

    def test_nothing_is_won_by_parting_what_is_alike(self):
        assert best_split(np.array([[[1, 10, 20], [1, 10, 20]]], float)) is None
