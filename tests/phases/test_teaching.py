"""How a device chooses among blends of teachers, and the folds that the choice rests on."""

import numpy as np
import pytest

from fedmetaalign.model.online import Samples
from fedmetaalign.model.target import BINARY
from fedmetaalign.phases.folds import folds, taken
from fedmetaalign.phases.teaching import LEAST, blended, blends, choose


def sure(fault):
    """What a teacher says that is sure of (rows,) booleans."""
    p = np.where(fault, 1.0, 0.0)
    return np.stack([1 - p, p], axis=1)


class TestFolds:
    def test_each_has_its_share_of_faults_and_all_are_dealt(self):
        y = np.array([1.0] * 7 + [0.0] * 20, np.float32)
        samples = Samples(np.zeros((27, 2), np.float32), y)
        dealt = folds(samples, BINARY, 3, 0, "pump")
        for value, least in ((1, 2), (0, 6)):
            counts = np.bincount(dealt[y == value], minlength=3)
            assert counts.min() == least and counts.sum() == (y == value).sum()
        assert len(taken(samples, dealt == 0)) == (dealt == 0).sum()

    def test_they_are_the_devices_own_and_the_same_every_time(self):
        samples = Samples(np.zeros((30, 2), np.float32), np.arange(30, dtype=np.float32) % 2)
        first = folds(samples, BINARY, 3, 0, "pump")
        assert (first == folds(samples, BINARY, 3, 0, "pump")).all()
        assert (first != folds(samples, BINARY, 3, 0, "mill")).any()


class TestBlends:
    def test_weights_sum_to_one_whoever_is_there(self):
        for teachers in (["forest", "own", "tuned", "fleet"], ["tuned", "fleet"], ["forest"], ["fleet"]):
            assert all(sum(w.values()) == pytest.approx(1) for w in blends(teachers).values())
        assert [*blends(["fleet"])] == ["joint"]
        assert [*blends(["forest"])] == ["joint"]  # the local one would be the same

    def test_where_both_are_sure_the_fleet_contradicts_the_device(self):
        said = {"forest": sure([0]), "own": sure([0]), "tuned": sure([1]), "fleet": sure([1])}
        joint = blends([*said])["joint"]
        assert blended(said, joint)[0, 1] > 0.5

    def test_by_hand(self):
        # log odds 2 and -1 at weights 3/4 and 1/4 are 1.25.
        said = {
            "a": np.array([[1 / (1 + np.e**2), 1 - 1 / (1 + np.e**2)]]),
            "b": np.array([[0.7310586, 0.2689414]]),
        }
        found = blended(said, {"a": 0.75, "b": 0.25})
        assert np.log(found[0, 1] / found[0, 0]) == pytest.approx(1.25, abs=1e-6)

    def test_nobody_is_surer_than_the_bound(self):
        found = blended({"a": sure([1])}, {"a": 1.0})
        assert found[0, 0] == pytest.approx(LEAST / (1 + LEAST))


class TestChoice:
    def said(self, fleet_right):
        y = np.arange(60) % 2
        right, wrong = sure(y == 1), sure(y == 0)
        rows = np.arange(60)[:, None] < fleet_right
        fleet = np.where(rows, right, wrong)
        return {"forest": right, "own": right, "tuned": fleet, "fleet": fleet}, y

    def test_the_joint_blend_stays_where_the_fleet_does_not_harm(self):
        said, y = self.said(60)
        chosen = choose(said, y, 1.0)
        assert chosen.verdict.name == "joint"
        assert chosen.verdict.estimates["joint"] == pytest.approx(chosen.verdict.estimates["local"])

    def test_a_fleet_that_is_wrong_is_left(self):
        said, y = self.said(20)
        chosen = choose(said, y, 1.0)
        assert (chosen.verdict.name, set(chosen.weights)) == ("local", {"forest", "tuned"})
        assert chosen.verdict.estimates["local"] < chosen.verdict.estimates["joint"]
        assert ((chosen.probabilities[:, 1] > 0.5) == y).all()

    def test_one_mistake_in_sixty_is_no_proof(self):
        said, y = self.said(59)
        assert choose(said, y, 2.0).verdict.name == "joint"
        assert choose(said, y, 0.0).verdict.name == "local"
