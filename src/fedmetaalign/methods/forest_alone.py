"""Random forest (Breiman, 2001) of each device's own samples: what scikit-learn gives whoever does not join.

RandomForestClassifier with its defaults: 100 trees, each grown on a bootstrap sample until its leaves are pure,
the best of sqrt(features) by Gini impurity at each split; probabilities are the trees' mean. See `_trees`.
"""

from fedmetaalign.methods._trees import alone, forest

METHOD = alone("forest_alone", forest)
