"""The forest is scikit-learn's, tree for tree, without its estimators."""

import numpy as np
import pytest
from sklearn.ensemble import RandomForestClassifier

from fedmetaalign.model.online import Samples
from fedmetaalign.phases.trees import forest


@pytest.mark.parametrize(
    ("classes", "features", "missing"), [(2, 9, False), (5, 17, False), (1, 3, False), (3, 6, True)]
)
def test_it_is_the_same_to_the_last_bit(classes, features, missing):
    rng = np.random.default_rng(classes)
    x = rng.normal(size=(70, features)).astype(np.float32)
    if missing:
        x[::7, 2] = np.nan
    y = (2 * rng.integers(0, classes, 70)).astype(np.float32)
    new = rng.normal(size=(40, features)).astype(np.float32)
    theirs = RandomForestClassifier(random_state=4).fit(x, y)
    ours = forest(Samples(x, y), 4)
    assert len(ours.trees) == 100
    np.testing.assert_array_equal(ours.predict_proba(new), theirs.predict_proba(new))
    np.testing.assert_array_equal(ours.classes_, theirs.classes_)
    for mine, other in zip(ours.trees, theirs.estimators_, strict=True):
        np.testing.assert_array_equal(mine.threshold, other.tree_.threshold)
        np.testing.assert_array_equal(mine.feature, other.tree_.feature)
