"""Gradient boosting over histograms (Ke et al., 2017, "LightGBM") of each device's own samples.

HistGradientBoostingClassifier with its defaults: learning rate 0.1, 100 iterations of a tree (of more than two
classes a tree each), at most 31 leaves of at least 20 samples, 255 bins a feature, no L2 penalty; it stops
early beyond 10,000 samples alone. A device with fewer than 40 samples has no split, and gets its majority. See
`_trees`.
"""

from fedmetaalign.methods._trees import alone, boosting

METHOD = alone("boosting_alone", boosting)
