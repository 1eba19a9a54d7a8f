"""Boosted trees (Ke et al., 2017) of all members' samples in one place; see `boosting_alone` and `pooled`."""

from fedmetaalign.methods._trees import boosting, pooled

METHOD = pooled("boosting_pooled", boosting)
